//! The id of a request.

use std::fmt;
use uuid::Uuid;

/// Longest id believed from a trusted proxy, in bytes.
const LONGEST: usize = 128;

/// A UUIDv7 of ours, or what a trusted proxy sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestId {
    /// Made here, in order of time.
    Own(Uuid),
    /// Sent by a trusted proxy.
    Given(Box<str>),
}

impl RequestId {
    /// A new id.
    pub fn new() -> Self {
        Self::Own(Uuid::now_v7())
    }

    /// The id a trusted proxy sent, if it is short and printable.
    pub fn given(text: &str) -> Option<Self> {
        let is_sound = !text.is_empty()
            && text.len() <= LONGEST
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        is_sound.then(|| Self::Given(text.into()))
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(id) => id.as_hyphenated().fmt(f),
            Self::Given(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsound_id_is_not_believed() {
        assert!(RequestId::given("abc-123").is_some());
        for text in ["", "two words", "quo\"te", "line\nbreak", &"x".repeat(129)] {
            assert_eq!(RequestId::given(text), None, "{text}");
        }
    }

    #[test]
    fn own_ids_are_version_7() {
        assert_eq!(RequestId::new().to_string().as_bytes()[14], b'7');
    }
}
