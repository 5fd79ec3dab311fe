//! `mirror`: copies of requests go to another upstream too, and no client waits for them.

use super::metrics::{Copies, Differences, Metrics};
use crate::upstream::Upstream;
use crate::value::{FieldName, Problem, Share};
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Shares are drawn in hundredths of a percent.
const WHOLE: u64 = 10_000;

/// Where copies of requests go, whose answers are discarded. No client waits for them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "mirror")]
pub struct Config {
    /// The name of the upstream that gets the copies.
    pub upstream: String,
    /// The share of the requests that are copied. Default: `100%`.
    #[serde(default = "all")]
    pub share: Share,
    /// How many copies may be on their way at once; further requests are not copied. Default: 64.
    #[serde(default = "at_once")]
    #[schemars(range(min = 1, max = 65535))]
    pub at_once: u32,
    /// What of both answers is compared. Default: nothing.
    pub compare: Option<CompareConfig>,
}

fn all() -> Share {
    Share::percent(100)
}

fn at_once() -> u32 {
    64
}

/// What of both answers is compared; where they differ is counted and logged.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "mirror-compare")]
pub struct CompareConfig {
    /// Whether the statuses are compared. Default: true.
    pub status: bool,
    /// The header fields whose values are compared. Default: none.
    pub headers: Vec<FieldName>,
}

impl Default for CompareConfig {
    fn default() -> Self {
        Self { status: true, headers: Vec::new() }
    }
}

/// A compiled mirror.
#[derive(Debug)]
pub struct Mirror {
    /// The name of the route.
    pub route: Arc<str>,
    /// Where copies go.
    pub upstream: Arc<Upstream>,
    /// What became of them.
    pub copies: Copies,
    /// What is compared, if anything is.
    pub compare: Option<Compare>,
    share: Share,
    at_once: u32,
    under_way: Arc<AtomicU32>,
}

/// What of both answers is compared.
#[derive(Debug)]
pub struct Compare {
    /// How often they differed.
    pub differences: Differences,
    status: bool,
    headers: Box<[HeaderName]>,
}

/// A copy on its way, counted until dropped.
#[must_use = "the copy is there when this is dropped"]
#[derive(Debug)]
pub struct UnderWay(Arc<AtomicU32>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is compared of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// The values of each field; `None` if the edge itself answered.
    headers: Option<Vec<Vec<HeaderValue>>>,
}

/// In what two answers differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference<'a> {
    /// Whether their statuses do.
    pub status: bool,
    /// The fields that do.
    pub headers: Vec<&'a HeaderName>,
}

impl Config {
    /// What is wrong with `compare`.
    pub fn problem(&self) -> Option<Problem> {
        let compare = self.compare.as_ref()?;
        let is_empty = !compare.status && compare.headers.is_empty();
        let remedy = "name `headers`, or remove it";
        is_empty.then(|| Problem::new("nothing is compared", remedy))
    }

    /// The compiled mirror of a route. Copies of the snapshot before count among those at once.
    pub fn compile(
        &self,
        route: &str,
        upstream: Arc<Upstream>,
        metrics: &Metrics,
        before: Option<&Mirror>,
    ) -> Mirror {
        let compare = self.compare.as_ref().map(|compare| Compare {
            differences: metrics.differences(route),
            status: compare.status,
            headers: compare.headers.iter().map(|name| name.0.clone()).collect(),
        });
        Mirror {
            route: route.into(),
            upstream,
            copies: metrics.copies(route),
            compare,
            share: self.share,
            at_once: self.at_once,
            under_way: before.map(|before| before.under_way.clone()).unwrap_or_default(),
        }
    }
}

impl Mirror {
    /// Whether chance has a request copied.
    pub fn draws(&self) -> bool {
        fastrand::u64(..WHOLE) < self.share.of(WHOLE)
    }

    /// Lets a copy go, unless too many are on their way.
    pub fn enter(&self) -> Option<UnderWay> {
        let entered = UnderWay(self.under_way.clone());
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        (before < self.at_once).then_some(entered)
    }
}

impl Compare {
    /// What is compared of an endpoint's answer.
    pub fn of(&self, status: StatusCode, headers: &HeaderMap) -> Answer {
        let values = |name| headers.get_all(name).iter().cloned().collect();
        Answer { status, headers: Some(self.headers.iter().map(values).collect()) }
    }

    /// In what the answers to a client and to its copy differ.
    pub fn difference(&self, client: &Answer, copy: &Answer) -> Difference<'_> {
        let status = self.status && client.status != copy.status;
        let mut headers = Vec::new();
        if let (Some(ours), Some(theirs)) = (&client.headers, &copy.headers) {
            let pairs = self.headers.iter().zip(ours.iter().zip(theirs));
            let differing = pairs.filter(|(_, (ours, theirs))| ours != theirs);
            headers.extend(differing.map(|(name, _)| name));
        }
        Difference { status, headers }
    }
}

impl Answer {
    /// A reply of the edge's own, whose fields say nothing.
    pub fn own(status: StatusCode) -> Self {
        Self { status, headers: None }
    }
}

impl Difference<'_> {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Registry;
    use crate::upstream::{self, Security};
    use serde_json::json;

    fn mirror(mut config: serde_json::Value, before: Option<&Mirror>) -> Mirror {
        let registry = Registry::new();
        let (metrics, upstreams) =
            (Metrics::new(&registry, false), upstream::Metrics::new(&registry));
        let of_upstream =
            serde_json::from_value(json!({ "endpoints": ["http://127.0.0.1:1"] })).unwrap();
        let security = Security::default();
        let upstream = Upstream::new(
            "new".into(),
            of_upstream,
            security,
            None,
            Arc::default(),
            &upstreams,
            None,
        );
        config["upstream"] = "new".into();
        let config: Config = serde_json::from_value(config).unwrap();
        config.compile("site", upstream, &metrics, before)
    }

    fn answer(compare: &Compare, status: u16, fields: &[(&'static str, &'static str)]) -> Answer {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        compare.of(StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn all_are_copied_or_none_if_the_document_says_so() {
        let drawn = |share: &str| {
            let mirror = mirror(json!({ "share": share }), None);
            (0..1000).filter(|_| mirror.draws()).count()
        };
        assert_eq!((drawn("100%"), drawn("0%")), (1000, 0));
        assert_eq!((0..100).filter(|_| mirror(json!({}), None).draws()).count(), 100);
        // 500 are expected, with a standard deviation of 16.
        let half = drawn("50%");
        assert!((400..=600).contains(&half), "{half}");
    }

    #[test]
    fn so_many_are_on_their_way_and_no_more_whatever_the_document_becomes() {
        let first = mirror(json!({ "at_once": 2 }), None);
        let (one, two) = (first.enter(), first.enter());
        assert!(one.is_some() && two.is_some() && first.enter().is_none());
        let next = mirror(json!({ "at_once": 2 }), Some(&first));
        assert!(next.enter().is_none());
        drop(one);
        let three = next.enter();
        assert!(three.is_some() && first.enter().is_none());
    }

    #[test]
    fn answers_differ_by_what_is_compared_and_nothing_else() {
        let both = json!({ "compare": { "headers": ["Content-Type", "vary"] } });
        let both = mirror(both, None).compare.unwrap();
        let ours =
            answer(&both, 200, &[("content-type", "text/html"), ("vary", "a"), ("age", "1")]);
        let same = answer(&both, 200, &[("vary", "a"), ("content-type", "text/html")]);
        assert!(both.difference(&ours, &same).is_none());
        let other = answer(&both, 404, &[("content-type", "text/html"), ("vary", "b")]);
        let difference = both.difference(&ours, &other);
        assert!(difference.status && difference.headers == ["vary"]);
        let lacking = answer(&both, 200, &[("content-type", "text/html")]);
        assert_eq!(both.difference(&ours, &lacking).headers, ["vary"]);
        let twice = [("content-type", "text/html"), ("vary", "a"), ("vary", "a")];
        assert_eq!(both.difference(&ours, &answer(&both, 200, &twice)).headers, ["vary"]);

        let headers = json!({ "compare": { "status": false, "headers": ["vary"] } });
        let headers = mirror(headers, None).compare.unwrap();
        let [ours, other] = [200, 500].map(|status| answer(&headers, status, &[]));
        assert!(headers.difference(&ours, &other).is_none());
    }

    #[test]
    fn of_a_reply_of_our_own_only_the_status_is_compared() {
        let compare = mirror(json!({ "compare": { "headers": ["vary"] } }), None).compare.unwrap();
        let copy = answer(&compare, 200, &[("vary", "a")]);
        let difference = compare.difference(&Answer::own(StatusCode::BAD_GATEWAY), &copy);
        assert!(difference.status && difference.headers.is_empty());
        assert!(compare.difference(&Answer::own(StatusCode::OK), &copy).is_none());
    }
}
