//! `Via` (RFC 9110, 7.6.3): who forwarded a message, so that one that goes round is noticed.

use crate::value::Problem;
use http::Version;
use http::header::{self, HeaderMap, HeaderValue};
use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::LazyLock;

/// By what name this process adds itself to `Via`; it finds its own requests again by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pseudonym(Box<str>);

/// The values that are added, made once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    pseudonym: Pseudonym,
    values: [HeaderValue; 3],
}

impl Pseudonym {
    /// A name that no other process has: a chain of edges must not be taken for a loop.
    pub fn of_process() -> Self {
        static OWN: LazyLock<Pseudonym> =
            LazyLock::new(|| Pseudonym(format!("falconer-{:08x}", fastrand::u32(..)).into()));
        OWN.clone()
    }
}

impl FromStr for Pseudonym {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        if !text.is_empty() && text.bytes().all(is_token) {
            return Ok(Self(text.into()));
        }
        let what = format!("`{text}` cannot be a name in `Via`");
        Err(Problem::new(what, "use letters, digits, dots and hyphens, such as `edge-1`"))
    }
}

impl Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Via {
    /// What a process of this name adds.
    pub fn new(pseudonym: Pseudonym) -> Self {
        let value = |version| {
            // A token makes a value.
            let value = format!("{version} {pseudonym}").try_into();
            value.unwrap_or(HeaderValue::from_static("1.1 falconer"))
        };
        Self { values: ["1.0", "1.1", "2.0"].map(value), pseudonym }
    }

    /// The element for a request that came in by this version.
    pub fn value(&self, received: Version) -> HeaderValue {
        let [old, usual, two] = &self.values;
        let value = match received {
            Version::HTTP_09 | Version::HTTP_10 => old,
            Version::HTTP_2 => two,
            _ => usual,
        };
        value.clone()
    }

    /// Whether the request passed this process before.
    pub fn has_passed(&self, headers: &HeaderMap) -> bool {
        let values = headers.get_all(header::VIA).iter();
        values.flat_map(|value| elements(value.as_bytes())).any(|element| self.is_own(element))
    }

    fn is_own(&self, element: &[u8]) -> bool {
        let mut words = element.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|name| name.eq_ignore_ascii_case(self.pseudonym.0.as_bytes()))
    }
}

/// The elements of a list; commas in comments separate nothing.
fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut depth, mut is_escaped) = (0_u32, false);
    list.split(move |byte| {
        let (was_escaped, within) = (is_escaped, depth > 0);
        is_escaped = within && *byte == b'\\' && !was_escaped;
        match byte {
            b'(' if !was_escaped => depth += 1,
            b')' if !was_escaped => depth = depth.saturating_sub(1),
            _ => {}
        }
        *byte == b',' && !within
    })
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_passed(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::VIA, value.parse().unwrap());
        }
        Via::new("edge-1".parse().unwrap()).has_passed(&headers)
    }

    #[test]
    fn a_process_finds_itself() {
        assert!(has_passed(&["1.1 edge-1"]));
        assert!(has_passed(&["1.0 fred, HTTP/2.0   EDGE-1 (falconer)"]));
        assert!(has_passed(&["1.1 a (b, (c), \\) d)", "1.1 x , 1.1 edge-1, 1.1 y"]));
    }

    #[test]
    fn a_process_is_not_found_in_others() {
        assert!(!has_passed(&[]));
        assert!(!has_passed(&["", "edge-1", "1.1", "1.1 edge-10, 1.1 my-edge-1"]));
        assert!(!has_passed(&["1.1 a (see, 1.1 edge-1)", "1.1 b edge-1"]));
    }

    #[test]
    fn the_version_is_the_one_it_came_by() {
        let via = Via::new("edge-1".parse().unwrap());
        assert_eq!(via.value(Version::HTTP_10), "1.0 edge-1");
        assert_eq!(via.value(Version::HTTP_11), "1.1 edge-1");
        assert_eq!(via.value(Version::HTTP_2), "2.0 edge-1");
    }

    #[test]
    fn a_pseudonym_is_a_token() {
        for text in ["", "two words", "a,b", "a(b)", "ü", "a:80"] {
            assert!(text.parse::<Pseudonym>().is_err(), "{text}");
        }
        assert_eq!(Pseudonym::of_process(), Pseudonym::of_process());
    }
}
