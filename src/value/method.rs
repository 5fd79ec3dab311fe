//! `GET`, `POST`.

use super::{Problem, word};
use std::str::FromStr;

/// A request method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(pub http::Method);

word!(Method, "method", "A request method in capitals: `GET`, `POST`, `PROPFIND`.");

impl FromStr for Method {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = |remedy: String| Problem::new(format!("`{text}` is not a method"), remedy);
        // Methods are case-sensitive: `get` would never match a browser's GET.
        if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return Err(bad(format!("write `{}`", text.to_ascii_uppercase())));
        }
        let method = http::Method::from_bytes(text.as_bytes());
        method.map(Self).map_err(|_| bad("write a name such as `GET`".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_other_methods_are_read() {
        for text in ["GET", "PROPFIND", "M-SEARCH"] {
            assert_eq!(text.parse::<Method>().unwrap().0.as_str(), text);
        }
    }

    #[test]
    fn small_letters_show_the_remedy() {
        assert_eq!("get".parse::<Method>().unwrap_err().remedy, "write `GET`");
        assert!("G ET".parse::<Method>().is_err());
    }
}
