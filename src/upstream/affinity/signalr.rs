//! What SignalR says on the wire: a response to `POST .../negotiate` names a connection, and further
//! requests of it carry that name as `?id=`.

use super::learned::Learned;
use crate::upstream::clock::Moment;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::metrics::Affine;
use http::{HeaderMap, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// A longer response is none to a negotiation.
const LONGEST: usize = 16 * 1024;

/// Whether a request negotiates a connection.
pub(in crate::upstream) fn is_negotiation(method: &Method, path: &str) -> bool {
    method == Method::POST && path.rsplit_once('/').is_some_and(|(_, last)| last == "negotiate")
}

/// The connection that a request is of.
pub(super) fn id(query: &str) -> Option<Cow<'_, str>> {
    let id = query.split('&').find_map(|pair| pair.strip_prefix("id="))?;
    percent_decode_str(id).decode_utf8().ok().filter(|id| !id.is_empty())
}

/// The number of an endpoint, the same over sets and documents.
pub(super) fn number(endpoint: &Endpoint) -> u64 {
    xxh3_64(format!("{} {}", endpoint.label(), endpoint.address()).as_bytes())
}

/// Reads along with the response to a negotiation, and learns the connection that it names.
pub struct Listener {
    endpoint: u64,
    learned: Arc<Learned>,
    counts: Arc<Affine>,
    heard: Vec<u8>,
}

impl Listener {
    pub(super) fn new(endpoint: u64, learned: Arc<Learned>, counts: Arc<Affine>) -> Self {
        Self { endpoint, learned, counts, heard: Vec::new() }
    }

    /// Whether the head of a response announces what it can read.
    pub fn understands(status: StatusCode, headers: &HeaderMap) -> bool {
        let is = |name, begins: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.map(|value| {
                value.get(..begins.len()).is_some_and(|v| v.eq_ignore_ascii_case(begins))
            })
        };
        status == StatusCode::OK
            && is(header::CONTENT_TYPE, "application/json") == Some(true)
            && is(header::CONTENT_ENCODING, "identity") != Some(false)
    }

    /// Hears a piece before the client gets it; false if there is nothing more to hear.
    pub fn hear(&mut self, piece: &[u8]) -> bool {
        if self.heard.len() + piece.len() > LONGEST {
            return false;
        }
        self.heard.extend_from_slice(piece);
        // The client knows its connection when it has the last byte, whatever follows on the wire.
        if self.heard.trim_ascii_end().last() != Some(&b'}') {
            return true;
        }
        let Ok(answer) = serde_json::from_slice::<Answer>(&self.heard) else { return true };
        if let Some(id) = answer.id() {
            self.learned.insert(id, self.endpoint, Moment::of(Instant::now()));
            self.counts.new.inc();
        }
        false
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// The answer to a negotiation.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    /// Since version 1 further requests carry this.
    #[serde(borrow)]
    connection_token: Option<Cow<'a, str>>,
    /// In version 0, this.
    #[serde(borrow)]
    connection_id: Option<Cow<'a, str>>,
    /// Sends the client elsewhere.
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
}

impl Answer<'_> {
    fn id(&self) -> Option<&str> {
        let id = self.connection_token.as_deref().or(self.connection_id.as_deref());
        id.filter(|_| self.url.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Registry;
    use crate::upstream::affinity::config::SignalR;
    use crate::upstream::metrics::Metrics;

    const WHOLE: &str = r#"{"negotiateVersion":1,"connectionId":"public","connectionToken":"a-secret","availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}"#;

    struct Hearing {
        learned: Arc<Learned>,
        counts: Arc<Affine>,
    }

    impl Hearing {
        fn new() -> Self {
            let counts = Arc::new(Metrics::new(&Registry::new()).affinity("chat"));
            Self { learned: Arc::new(Learned::new(SignalR::default())), counts }
        }

        fn of(&self, pieces: &[&str]) -> Vec<bool> {
            let mut listener = Listener::new(7, self.learned.clone(), self.counts.clone());
            pieces.iter().map(|piece| listener.hear(piece.as_bytes())).collect()
        }

        fn find(&self, id: &str) -> Option<u64> {
            self.learned.find(id, Moment::of(Instant::now()))
        }
    }

    #[test]
    fn the_token_is_learned_with_the_last_byte() {
        let hearing = Hearing::new();
        let (first, last) = WHOLE.split_at(WHOLE.len() - 1);
        assert_eq!(hearing.of(&[first]), [true]);
        assert_eq!(hearing.find("a-secret"), None);
        assert_eq!(hearing.of(&[first, last]), [true, false]);
        assert_eq!(hearing.find("a-secret"), Some(7));
        assert_eq!(hearing.find("public"), None, "no request carries it");
        assert_eq!(hearing.counts.new.value(), 1);
    }

    #[test]
    fn pieces_may_end_anywhere() {
        let hearing = Hearing::new();
        let pieces: Vec<_> = WHOLE.split_inclusive('}').collect();
        assert!(pieces.len() > 1);
        assert_eq!(hearing.of(&pieces).last(), Some(&false));
        assert_eq!(hearing.find("a-secret"), Some(7));
    }

    #[test]
    fn version_0_goes_by_the_id() {
        let hearing = Hearing::new();
        hearing.of(&[r#"{"connectionId":"a\u002fb","availableTransports":[]} "#]);
        assert_eq!(hearing.find("a/b"), Some(7));
    }

    #[test]
    fn who_is_sent_elsewhere_teaches_nothing() {
        let hearing = Hearing::new();
        for answer in [
            r#"{"url":"https://x.example/","accessToken":"t","connectionId":"a"}"#,
            r#"{"error":"no"}"#,
            r#"{"connectionId":7}"#,
            r"{}",
            r"[1]}",
        ] {
            hearing.of(&[answer]);
        }
        assert_eq!(hearing.find("a"), None);
        assert_eq!(hearing.counts.new.value(), 0);
    }

    #[test]
    fn a_long_response_is_not_kept() {
        let hearing = Hearing::new();
        assert_eq!(hearing.of(&["{\"a\":\"", &"x".repeat(LONGEST)]), [true, false]);
    }

    #[test]
    fn only_a_whole_answer_in_plain_json_is_understood() {
        let understands = |status, fields: &[(&'static str, &'static str)]| {
            let fields = fields.iter().map(|(name, value)| {
                (header::HeaderName::from_static(name), header::HeaderValue::from_static(value))
            });
            Listener::understands(status, &fields.collect())
        };
        let json = ("content-type", "application/json");
        assert!(understands(StatusCode::OK, &[json]));
        assert!(understands(
            StatusCode::OK,
            &[("content-type", "Application/JSON; charset=utf-8")]
        ));
        assert!(understands(StatusCode::OK, &[json, ("content-encoding", "identity")]));
        assert!(!understands(StatusCode::OK, &[json, ("content-encoding", "gzip")]));
        assert!(!understands(StatusCode::OK, &[("content-type", "text/html")]));
        assert!(!understands(StatusCode::OK, &[]));
        assert!(!understands(StatusCode::CREATED, &[json]));
    }

    #[test]
    fn a_negotiation_is_told_by_its_path() {
        for path in ["/hub/negotiate", "/negotiate", "/a/b/_blazor/negotiate"] {
            assert!(is_negotiation(&Method::POST, path), "{path}");
        }
        for path in ["/hub", "/negotiate/", "/hub/negotiated", "/hub/renegotiate"] {
            assert!(!is_negotiation(&Method::POST, path), "{path}");
        }
        assert!(!is_negotiation(&Method::OPTIONS, "/hub/negotiate"));
    }

    #[test]
    fn the_id_is_found_in_the_query() {
        for (query, expected) in [
            ("id=a-b_c", Some("a-b_c")),
            ("x=1&id=a%2Fb&id=c", Some("a/b")),
            ("id=", None),
            ("xid=a", None),
            ("", None),
            ("id=%ff", None),
        ] {
            assert_eq!(id(query).as_deref(), expected, "{query}");
        }
    }
}
