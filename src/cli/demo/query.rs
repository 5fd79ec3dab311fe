//! The part of a target after the question mark.

use crate::value::Problem;
use http::Uri;
use percent_encoding::percent_decode_str;
use std::time::Duration;

/// Names and values in the order written.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// The query of a target; an absent one is empty.
    pub(super) fn of(uri: &Uri) -> Self {
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let split = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(split.map(|(name, value)| (decode(name), decode(value))).collect())
    }

    /// Every name and value.
    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// A whole number, or the default if it is not given.
    pub(super) fn number(&self, name: &str, default: u64) -> Result<u64, Problem> {
        let Some((_, value)) = self.0.iter().find(|(given, _)| given == name) else {
            return Ok(default);
        };
        value.parse().map_err(|_| not_a_number(&format!("{name}={value}")))
    }

    /// The time that `ms` gives in milliseconds.
    pub(super) fn pause(&self, default: u64) -> Result<Duration, Problem> {
        self.number("ms", default).map(Duration::from_millis)
    }
}

/// The problem of a text where a number belongs.
pub(super) fn not_a_number(text: &str) -> Problem {
    Problem::new(format!("`{text}` is not a number"), "write a whole number, such as `5`")
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(target: &'static str) -> Query {
        Query::of(&Uri::from_static(target))
    }

    #[test]
    fn pairs_keep_their_order_and_are_decoded() {
        let pairs = query("/?b=1+2&a=%C3%BC%3D&&b=&c").0;
        let expected = [("b", "1 2"), ("a", "ü="), ("b", ""), ("c", "")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_number_is_read_or_its_default_taken() {
        assert_eq!(query("/?n=7").number("n", 5), Ok(7));
        assert_eq!(query("/").number("n", 5), Ok(5));
        assert!(query("/?n=").number("n", 5).is_err());
    }
}
