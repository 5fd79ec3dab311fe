//! `x-request-id`.

use super::{Problem, word};
use std::str::FromStr;

/// The name of a header field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldName(pub http::HeaderName);

word!(FieldName, "field-name", "The name of a header field, such as `cf-connecting-ip`.");

impl FromStr for FieldName {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        text.parse().map(Self).map_err(|_| {
            Problem::new(
                format!("`{text}` cannot be the name of a header field"),
                "use letters, digits and hyphens, such as `cf-connecting-ip`",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_nonsense_is_refused() {
        assert_eq!("X-Tenant".parse::<FieldName>().unwrap().0, "x-tenant");
        for text in ["", "two words", "x:y", "x\ny"] {
            assert!(text.parse::<FieldName>().is_err(), "{text}");
        }
    }
}
