//! `^/shop/([a-z]+)$`.

use super::{Problem, word};
use regex::{Error, RegexBuilder};
use std::str::FromStr;

/// A regular expression of bounded size, however it is written.
#[derive(Clone, Debug)]
pub struct Regex(pub regex::Regex);

word!(Regex, "regular-expression", "A regular expression, such as `^/shop/([a-z]+)$`.");

impl FromStr for Regex {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let built = RegexBuilder::new(text).size_limit(1 << 20).dfa_size_limit(1 << 20).build();
        built.map(Self).map_err(|error| {
            let why = match error {
                Error::CompiledTooBig(_) => "it is too big".to_owned(),
                // The last line of a syntax error says what; those before draw where.
                other => {
                    let text = other.to_string();
                    let cause = text.lines().last().unwrap_or_default();
                    cause.trim_start_matches("error: ").to_owned()
                }
            };
            Problem::new(
                format!("`{text}` is not a regular expression: {why}"),
                "correct it; the syntax is that of Rust's `regex` crate",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_on_one_line() {
        let problem = "^/(a".parse::<Regex>().unwrap_err();
        assert_eq!(problem.what, "`^/(a` is not a regular expression: unclosed group");
        let problem = "(a{1000}){1000}".parse::<Regex>().unwrap_err();
        assert!(problem.what.ends_with("it is too big"), "{problem}");
    }
}
