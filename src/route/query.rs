//! Query parameters, compared decoded without decoding them into memory.

use super::TextPattern;
use percent_encoding::percent_decode_str;

/// The values of the parameters with this name, as sent.
pub(super) fn values<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    query.split('&').filter(|pair| !pair.is_empty()).filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        decoded(key).eq(name.bytes()).then_some(value)
    })
}

/// Whether a value as sent fits the pattern once it is decoded.
pub(super) fn accepts(pattern: &TextPattern, value: &str) -> bool {
    if !value.contains(['%', '+']) {
        return pattern.accepts(value);
    }
    match pattern {
        TextPattern::Exact(text) => decoded(value).eq(text.bytes()),
        TextPattern::Prefix(text) => {
            let mut value = decoded(value);
            text.bytes().all(|byte| value.next() == Some(byte))
        }
        // The one case that allocates: a regex needs the decoded text in one piece.
        TextPattern::Regex(regex) => {
            String::from_utf8(decoded(value).collect()).is_ok_and(|text| regex.is_match(&text))
        }
        TextPattern::Present => true,
        TextPattern::Absent => false,
    }
}

/// The bytes meant, a `+` being a blank; broken escapes stand for themselves.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    text.split('+').enumerate().flat_map(|(at, piece)| {
        (at > 0).then_some(b' ').into_iter().chain(percent_decode_str(piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_their_decoded_name() {
        let query = "a=1&b&&%61=2&a+b=3&=4";
        assert_eq!(values(query, "a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(values(query, "b").collect::<Vec<_>>(), [""]);
        assert_eq!(values(query, "a b").collect::<Vec<_>>(), ["3"]);
        assert_eq!(values("", "").count(), 0);
    }

    #[test]
    fn values_are_compared_decoded() {
        let cases = [
            ("a b+", "a+b%2B", true),
            ("a+b", "a+b", false),
            ("é*", "%C3%A9t%C3%A9", true),
            ("a b*", "a%20", false),
            ("~ ^a b$", "a+b", true),
            ("~ .", "%ff", false),
            ("100%", "100%", true),
        ];
        for (pattern, value, fits) in cases {
            assert_eq!(accepts(&pattern.parse().unwrap(), value), fits, "{pattern} {value}");
        }
    }
}
