//! Paths that a route names: `/exact`, `/prefix/*`, `/user/{id}`, `/{rest*}`, `~ ^/regex$`.

use super::text::regex;
use crate::net::uri;
use crate::value::{Problem, word};
use regex::Regex;
use std::str::FromStr;

/// How many parts of a path a pattern may capture.
pub(super) const MAX_CAPTURES: usize = 8;

/// How many segments a pattern with captures or an open end may have.
pub(super) const MAX_SEGMENTS: usize = 32;

/// Which paths a route serves, compared with the normalised path of a request.
#[derive(Clone, Debug)]
pub struct PathPattern {
    text: String,
    kind: Kind,
}

word!(
    PathPattern,
    "path-pattern",
    "A path: `/exact`, `/prefix/*` (the prefix itself and all below it), `/user/{id}/orders` \
     (captures one segment), `/{rest*}` (captures the rest) or a regular expression `~ ^/regex$`. \
     Large and small letters differ."
);

/// The compiled form of a path pattern.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Compared segment by segment.
    Segments(Segments),
    /// Searched in the whole path.
    Regex(Regex),
}

/// A path cut at its slashes.
#[derive(Clone, Debug)]
pub(super) struct Segments {
    /// What stands after each slash.
    pub(super) segments: Vec<Segment>,
    /// What may follow.
    pub(super) end: End,
}

/// One part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text, normalised.
    Literal(String),
    /// Anything but nothing, under this name.
    Capture(String),
}

/// What follows the segments of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing.
    Closed,
    /// `/*`: nothing, or a slash and anything.
    Open,
    /// `/{name*}`: the same, under this name.
    Captured(String),
}

impl PathPattern {
    /// The pattern as the operator wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names it captures, in the order of the path.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let (segments, regex) = match &self.kind {
            Kind::Segments(segments) => (Some(segments), None),
            Kind::Regex(regex) => (None, Some(regex)),
        };
        let captured = segments.into_iter().flat_map(Segments::names);
        captured.chain(regex.into_iter().flat_map(|regex| regex.capture_names().flatten()))
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PathPattern {}

impl Segments {
    /// Matches every path there is.
    pub(super) const ANY: Self = Self { segments: Vec::new(), end: End::Open };

    fn names(&self) -> impl Iterator<Item = &str> {
        let segments = self.segments.iter().filter_map(|segment| match segment {
            Segment::Capture(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        });
        segments.chain(match &self.end {
            End::Captured(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

impl FromStr for PathPattern {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let kind = match text.strip_prefix('~') {
            Some(source) => Kind::Regex(regex(source)?),
            None => Kind::Segments(parse_path(text)?),
        };
        let pattern = Self { text: text.to_owned(), kind };
        match check_names(&pattern) {
            Some(remedy) => Err(bad(text, remedy)),
            None => Ok(pattern),
        }
    }
}

fn parse_path(text: &str) -> Result<Segments, Problem> {
    if !text.starts_with('/') {
        return Err(bad(text, format!("begin it with a slash: `/{text}`")));
    }
    if let Some(at) = text.find(['?', '#']) {
        let path = text.get(..at).unwrap_or_default();
        return Err(bad(text, format!("write `{path}`, and match the query with `query`")));
    }
    let escaped = uri::escape(text);
    let path = uri::normalise(&escaped)
        .map_err(|_| bad(text, "write two hex digits after each `%`, and never `%00`"))?;
    let mut segments = Vec::new();
    let mut end = End::Closed;
    for segment in path.split('/').skip(1) {
        if end != End::Closed {
            return Err(misplaced_rest(text));
        }
        match part(segment) {
            Part::Segment(segment) => segments.push(segment),
            Part::End(open) => end = open,
            Part::Star if segment.ends_with('*') => {
                let path = text.trim_end_matches('*');
                let remedy = format!("`*` stands for whole segments: write `{path}/*`");
                return Err(bad(text, remedy));
            }
            Part::Star => return Err(misplaced_rest(text)),
            Part::Brace => {
                let remedy = "a capture is a whole segment named by letters, digits and `_`, such \
                              as `{id}`; parts of a segment take a regular expression `~ ^/...$`";
                return Err(bad(text, remedy));
            }
        }
    }
    Ok(Segments { segments, end })
}

/// What a segment of a pattern turned out to be.
enum Part {
    Segment(Segment),
    End(End),
    Star,
    Brace,
}

fn part(segment: &str) -> Part {
    if segment == "*" {
        return Part::End(End::Open);
    }
    let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let (name, whole) = match inner {
        Some(inner) => match inner.strip_suffix('*') {
            Some(name) => (name, false),
            None => (inner, true),
        },
        None if segment.contains(['{', '}']) => return Part::Brace,
        None if segment.contains('*') => return Part::Star,
        None => return Part::Segment(Segment::Literal(segment.to_owned())),
    };
    match (is_name(name), whole) {
        (false, _) => Part::Brace,
        (true, true) => Part::Segment(Segment::Capture(name.to_owned())),
        (true, false) => Part::End(End::Captured(name.to_owned())),
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn check_names(pattern: &PathPattern) -> Option<String> {
    let mut seen = Vec::new();
    for name in pattern.names() {
        if seen.contains(&name) {
            return Some(format!("give the second `{{{name}}}` another name"));
        }
        seen.push(name);
    }
    if seen.len() > MAX_CAPTURES {
        return Some(format!("capture at most {MAX_CAPTURES} parts"));
    }
    let Kind::Segments(path) = &pattern.kind else { return None };
    let plain = seen.is_empty() && path.end == End::Closed;
    if !plain && path.segments.len() > MAX_SEGMENTS {
        return Some(format!("use at most {MAX_SEGMENTS} segments with a capture or an open end"));
    }
    None
}

fn misplaced_rest(text: &str) -> Problem {
    bad(text, "`*` ends a path; in its middle one segment is captured by name, such as `{id}`")
}

fn bad(text: &str, remedy: impl Into<String>) -> Problem {
    Problem::new(format!("`{text}` is not a path pattern"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        text.parse().unwrap()
    }

    fn names(text: &str) -> Vec<String> {
        pattern(text).names().map(str::to_owned).collect()
    }

    fn remedy(text: &str) -> String {
        text.parse::<PathPattern>().unwrap_err().remedy
    }

    fn literals(text: &str) -> String {
        let Kind::Segments(path) = pattern(text).kind else { panic!("{text} is a regex") };
        let parts = path.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => format!("/{text}"),
            Segment::Capture(name) => format!("/<{name}>"),
        });
        parts.collect::<String>() + if path.end == End::Closed { "" } else { "/..." }
    }

    #[test]
    fn every_form_is_read() {
        let cases = [
            ("/", "/"),
            ("/a/", "/a/"),
            ("/a/b", "/a/b"),
            ("/*", "/..."),
            ("/a/*", "/a/..."),
            ("/{rest*}", "/..."),
            ("/a/{id}/b/{rest*}", "/a/<id>/b/..."),
            ("/a//b", "/a//b"),
        ];
        for (text, parts) in cases {
            assert_eq!(literals(text), parts, "{text}");
        }
    }

    #[test]
    fn patterns_are_normalised_like_requests() {
        let cases = [
            ("/a/../b/%41", "/b/A"),
            ("/../*", "/..."),
            ("/a/./*", "/a/..."),
            ("/{id}/../b", "/b"),
            ("/a%2fb", "/a%2Fb"),
            ("/café au lait", "/caf%C3%A9%20au%20lait"),
        ];
        for (text, parts) in cases {
            assert_eq!(literals(text), parts, "{text}");
        }
    }

    #[test]
    fn captured_names_stand_in_the_order_of_the_path() {
        assert_eq!(names("/u/{id}/o/{order_2}/{rest*}"), ["id", "order_2", "rest"]);
        assert_eq!(names(r"~ ^/(?<page>\d+)/(x)/(?<tail>.*)"), ["page", "tail"]);
        assert!(names("/u/*").is_empty());
    }

    #[test]
    fn mistakes_show_the_remedy() {
        assert_eq!(remedy("api"), "begin it with a slash: `/api`");
        assert_eq!(remedy("/api*"), "`*` stands for whole segments: write `/api/*`");
        assert!(remedy("/a/*/b").starts_with("`*` ends a path"));
        assert!(remedy("/a/{rest*}/b").starts_with("`*` ends a path"));
        assert!(remedy("/a*b/c").starts_with("`*` ends a path"));
        assert_eq!(remedy("/{id}/{id}"), "give the second `{id}` another name");
        assert_eq!(remedy("/a?b=1"), "write `/a`, and match the query with `query`");
        assert!(remedy("/%zz").starts_with("write two hex digits"));
        for text in ["/{}", "/{1a}", "/{a-b}", "/a{b}", "/{a", "/a}", "/{*}"] {
            assert!(remedy(text).starts_with("a capture is a whole segment"), "{text}");
        }
        assert_eq!(remedy("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}"), "capture at most 8 parts");
    }

    #[test]
    fn long_paths_are_read_unless_they_capture() {
        let long = "/a".repeat(40);
        assert_eq!(literals(&long), long);
        assert!(remedy(&format!("{long}/*")).starts_with("use at most 32 segments"));
    }
}
