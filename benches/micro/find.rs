//! Finding the route of a request.

use criterion::{BenchmarkId, Criterion, Throughput};
use falconer::route::table::{Outcome, Request, Spec};
use falconer::route::{Match, Matcher, Table};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use std::hint::black_box;
use std::net::Ipv4Addr;

/// So many different requests go round that the processor cannot learn them.
const REQUESTS: usize = 1 << 16;

/// Routes as hosts with so many paths each.
struct Site {
    name: &'static str,
    paths_per_host: fn(usize) -> usize,
    pattern: fn(usize) -> String,
    path: fn(usize) -> String,
}

const SITES: [Site; 5] = [
    Site {
        name: "prefixes_on_many_hosts",
        paths_per_host: |_| 10,
        pattern: |n| format!("/section-{n}/*"),
        path: |n| format!("/section-{n}/items/42"),
    },
    Site {
        name: "prefixes_on_one_host",
        paths_per_host: |routes| routes,
        pattern: |n| format!("/section-{n}/*"),
        path: |n| format!("/section-{n}/items/42"),
    },
    Site {
        name: "exact_on_one_host",
        paths_per_host: |routes| routes,
        pattern: |n| format!("/api/v1/section-{n}"),
        path: |n| format!("/api/v1/section-{n}"),
    },
    Site {
        name: "one_path_on_many_hosts",
        paths_per_host: |_| 1,
        pattern: |_| "/*".to_owned(),
        path: |n| format!("/items/{n}"),
    },
    Site {
        name: "mixed",
        paths_per_host: |_| 100,
        pattern: |n| match n % 4 {
            0 => format!("/api/section-{n}"),
            1 => format!("/api/section-{n}/*"),
            2 => format!("/api/section-{n}/{{id}}/orders"),
            _ => format!("/{{tenant}}/section-{n}/{{rest*}}"),
        },
        path: |n| match n % 4 {
            0 => format!("/api/section-{n}"),
            2 => format!("/api/section-{n}/42/orders"),
            _ => format!("/api/section-{n}/items/42"),
        },
    },
];

impl Site {
    fn table(&self, routes: usize) -> Table {
        let per_host = (self.paths_per_host)(routes);
        let specs: Vec<Spec> = (0..routes)
            .map(|n| {
                let host = format!("host-{}.example.com", n / per_host);
                spec(json!({ "host": host, "path": (self.pattern)(n % per_host) }))
            })
            .collect();
        Table::build(&specs, &["web"])
    }

    /// Hosts and paths of random routes in a row; each begins, goes from host to path, and ends.
    fn requests(&self, routes: usize) -> (String, Vec<[usize; 3]>) {
        let per_host = (self.paths_per_host)(routes);
        let mut random = fastrand::Rng::with_seed(1);
        let mut text = String::new();
        let mut places = Vec::with_capacity(REQUESTS);
        for n in (0..REQUESTS).map(|_| random.usize(..routes)) {
            let begin = text.len();
            text += &format!("host-{}.example.com", n / per_host);
            let middle = text.len();
            text += &(self.path)(n % per_host);
            places.push([begin, middle, text.len()]);
        }
        (text, places)
    }
}

fn spec(config: Value) -> Spec {
    let config: Match = serde_json::from_value(config).expect("a match");
    let matcher = Matcher::compile(&config, &["web"]).expect("a matcher");
    Spec { matcher, priority: 0, guarded: false }
}

/// Hosts and paths against tables of routes.
pub(super) fn find(criterion: &mut Criterion) {
    let headers = HeaderMap::new();
    for site in SITES {
        let mut group = criterion.benchmark_group(format!("find/{}", site.name));
        group.throughput(Throughput::Elements(1));
        for routes in [100, 10_000, 100_000] {
            let table = site.table(routes);
            let (text, places) = site.requests(routes);
            let mut places = places.iter().cycle();
            group.bench_function(BenchmarkId::from_parameter(routes), |bencher| {
                bencher.iter(|| {
                    let [begin, middle, end] = *places.next().expect("a request");
                    let outcome = table.find(&Request {
                        listener: 0,
                        method: &Method::GET,
                        host: black_box(&text[begin..middle]),
                        path: black_box(&text[middle..end]),
                        query: "",
                        headers: &headers,
                        client: Ipv4Addr::LOCALHOST.into(),
                    });
                    assert!(matches!(outcome, Outcome::Found(_)));
                    black_box(outcome)
                });
            });
        }
        group.finish();
    }
}
