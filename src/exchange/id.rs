//! The id of a request.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::{Builder, Uuid};

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
    /// A new id for a request that arrived at a time. It need not be a secret, so its random part
    /// costs no system call.
    pub fn new(arrived: SystemTime) -> Self {
        let since = arrived.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut random = [0; 10];
        fastrand::fill(&mut random);
        Self::Own(
            Builder::from_unix_timestamp_millis(since.as_millis() as u64, &random).into_uuid(),
        )
    }

    /// The id a trusted proxy sent, if it is short and printable.
    pub fn given(text: &str) -> Option<Self> {
        let is_sound = !text.is_empty()
            && text.len() <= LONGEST
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        is_sound.then(|| Self::Given(text.into()))
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
    fn own_ids_are_version_7_and_begin_with_the_time() {
        let at = UNIX_EPOCH + std::time::Duration::from_millis(1_795_261_202_123);
        let id = RequestId::new(at).to_string();
        assert_eq!((&id[..13], id.as_bytes()[14]), ("01a1fde7-fecb", b'7'), "{id}");
        assert_ne!(id, RequestId::new(at).to_string());
    }
}
