//! What is counted when one document follows another.

use super::{Compiled, Retained, Snapshot, compile};
use crate::config;
use crate::exchange::Cause;
use crate::observe::Registry;
use crate::route::{Ended, Handles};
use crate::upstream::{Follows, Picked, Terms, Tried};
use crate::value::Diagnostic;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const FIRST: &str = "
listeners: {web: {address: ':8080'}, second: {address: ':8081'}}
upstreams:
  shop: {endpoints: [http://10.0.0.1, http://10.0.0.2]}
  gone: {endpoints: [http://10.0.0.3]}
routes:
  - {name: shop, match: {path: /shop}, upstream: shop}
  - {name: gone, match: {path: /gone}, upstream: gone}
";

const THEN: &str = "
listeners: {web: {address: ':8080'}}
upstreams: {shop: {endpoints: [http://10.0.0.1]}}
routes: [{name: shop, match: {path: /shop/*}, upstream: shop}]
";

/// What outlives documents, and its metrics.
struct Process(Retained);

impl Process {
    fn new() -> Self {
        Self(Retained::new(Registry::new(), true))
    }

    fn read(&self, previous: Option<&Snapshot>, text: &str) -> (Option<Compiled>, Vec<Diagnostic>) {
        let read = config::read_text(Path::new("falconer.yaml"), text);
        compile(&read.document, previous, &self.0, None)
    }

    fn compile(&self, previous: Option<&Snapshot>, text: &str) -> Snapshot {
        let (compiled, diagnostics) = self.read(previous, text);
        compiled.unwrap_or_else(|| panic!("{diagnostics:?}")).snapshot
    }

    /// The series of these beginnings with their values.
    fn shown(&self, series: &str) -> Vec<String> {
        let text = self.0.registry.encode();
        text.lines().filter(|line| line.starts_with(series)).map(str::to_owned).collect()
    }

    fn mentions(&self, text: &str) -> bool {
        self.0.registry.encode().contains(text)
    }
}

fn counting(snapshot: &Snapshot, route: &str) -> Arc<Handles> {
    let found = snapshot.routes.iter().find(|known| &*known.name == route);
    found.expect("the route").metrics.clone()
}

fn fail(handles: &Arc<Handles>) {
    let (duration, cause) = (Duration::from_millis(1), Some(Cause::UpstreamReset));
    handles.begin(0).end(&Ended { status: 502, cause, duration, received: 0, sent: 0 });
}

fn pick(snapshot: &Snapshot, upstream: &str) -> Picked {
    let upstream = &snapshot.upstreams[upstream];
    let (timeouts, follows) = (upstream.timeouts(), Follows::Nothing);
    let terms = Terms { claim: None, key: "", panics: true, timeouts, follows };
    upstream.pick(&mut Tried::new(), terms).expect("an endpoint")
}

#[test]
fn series_of_what_is_gone_end_and_all_others_count_on() {
    let process = Process::new();
    let first = process.compile(None, FIRST);
    fail(&counting(&first, "shop"));
    fail(&counting(&first, "gone"));
    for upstream in ["shop", "shop", "gone"] {
        drop(pick(&first, upstream));
    }
    for known in ["route=\"gone\"", "upstream=\"gone\"", "10.0.0.2", "listener=\"second\""] {
        assert!(process.mentions(known), "{known}");
    }

    let then = process.compile(Some(&first), THEN);
    drop(first);
    for gone in ["\"gone\"", "10.0.0.2", "10.0.0.3", "\"second\""] {
        assert!(!process.mentions(gone), "{gone} is still there");
    }
    fail(&counting(&then, "shop"));
    drop(pick(&then, "shop"));
    for series in [
        r#"falconer_route_requests_total{listener="web",route="shop",class="5xx"}"#,
        r#"falconer_route_failures_total{route="shop",cause="upstream_reset"}"#,
        r#"falconer_route_request_duration_seconds_count{route="shop"}"#,
        r#"falconer_upstream_attempts_total{upstream="shop",endpoint="http://10.0.0.1:80"}"#,
    ] {
        assert_eq!(process.shown(series), [format!("{series} 2")]);
    }
}

#[test]
fn what_is_gone_is_counted_until_its_last_exchange_has_ended() {
    let process = Process::new();
    let first = process.compile(None, FIRST);
    let (gone, attempt) = (counting(&first, "gone").begin(0), pick(&first, "gone"));
    let shop = counting(&first, "shop");
    let then = process.compile(Some(&first), THEN);
    drop(first);
    let in_flight = r#"falconer_route_requests_in_flight{route="gone"}"#;
    assert_eq!(process.shown(in_flight), [format!("{in_flight} 1")]);
    assert!(process.mentions("upstream=\"gone\""));
    drop((gone, attempt));
    assert!(!process.mentions("gone"));

    // A cause that comes up for the first time on the snapshot before is not lost with it.
    fail(&shop);
    drop(shop);
    fail(&counting(&then, "shop"));
    let failures = r#"falconer_route_failures_total{route="shop",cause="upstream_reset"}"#;
    assert_eq!(process.shown(failures), [format!("{failures} 2")]);
}

#[test]
fn a_document_that_is_refused_leaves_no_series() {
    let process = Process::new();
    let first = process.compile(None, FIRST);
    let bad =
        format!("{FIRST}  - {{name: new, upstream: none}}\n  - {{name: other, reply: {{}}}}\n");
    assert!(process.read(Some(&first), &bad).0.is_none());
    assert!(!process.mentions("\"other\"") && !process.mentions("\"new\""));
    assert!(process.mentions("route=\"shop\""));
}
