//! Patterns for the values of header fields, query parameters and cookies.

use crate::value::{self, Problem, word};
use regex::Regex;
use std::str::FromStr;

/// What a value must look like.
#[derive(Clone, Debug)]
pub enum TextPattern {
    /// The very text.
    Exact(String),
    /// `text*`: begins with it.
    Prefix(String),
    /// `~ regex`: holds a match.
    Regex(Regex),
    /// Is there, whatever it says.
    Present,
    /// Is not there.
    Absent,
}

word!(
    TextPattern,
    "text-pattern",
    "What the value is: the text itself, a beginning `text*`, a regular expression `~ ^a+$`, or \
     `present` or `absent`."
);

impl TextPattern {
    /// Whether the value is as wanted; one that is `absent` never is.
    pub fn accepts(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => value == text,
            Self::Prefix(text) => value.starts_with(text.as_str()),
            Self::Regex(regex) => regex.is_match(value),
            Self::Present => true,
            Self::Absent => false,
        }
    }
}

impl FromStr for TextPattern {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        Ok(match text {
            "present" => Self::Present,
            "absent" => Self::Absent,
            _ => match (text.strip_prefix('~'), text.strip_suffix('*')) {
                (Some(source), _) => Self::Regex(regex(source)?),
                (None, Some(prefix)) => Self::Prefix(prefix.to_owned()),
                (None, None) => Self::Exact(text.to_owned()),
            },
        })
    }
}

impl PartialEq for TextPattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(one), Self::Exact(other)) => one == other,
            (Self::Prefix(one), Self::Prefix(other)) => one == other,
            (Self::Regex(one), Self::Regex(other)) => one.as_str() == other.as_str(),
            (Self::Present, Self::Present) | (Self::Absent, Self::Absent) => true,
            _ => false,
        }
    }
}

impl Eq for TextPattern {}

/// What stands behind a `~`.
pub(super) fn regex(source: &str) -> Result<Regex, Problem> {
    source.trim().parse::<value::Regex>().map(|regex| regex.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> TextPattern {
        text.parse().unwrap()
    }

    #[test]
    fn each_form_accepts_its_values_and_no_others() {
        let cases = [
            ("1", "1", "11"),
            ("Mozilla*", "Mozilla/5.0", "mozilla"),
            ("~ ^a+$", "aaa", "ab"),
            ("~b", "abc", "ac"),
        ];
        for (text, yes, no) in cases {
            assert!(pattern(text).accepts(yes), "{text} {yes}");
            assert!(!pattern(text).accepts(no), "{text} {no}");
        }
        assert!(pattern("present").accepts("") && pattern("*").accepts(""));
        assert!(!pattern("absent").accepts(""));
    }

    #[test]
    fn a_broken_regex_says_why() {
        let problem = "~ (a".parse::<TextPattern>().unwrap_err();
        assert_eq!(problem.what, "`(a` is not a regular expression: unclosed group");
    }

    #[test]
    fn a_huge_regex_is_refused() {
        let problem = r"~ \w{9999}{9}".parse::<TextPattern>().unwrap_err();
        assert!(problem.what.ends_with("it is too big"), "{problem}");
    }
}
