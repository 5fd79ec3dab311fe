//! How TLS is spoken to endpoints: whom the edge believes, and what it says of itself.

use crate::support::{
    Authority, Certificate, Edge, Origin, OriginBuilder, Received, Reply, edge, origin, within,
};
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

/// The ways to ask over TLS.
const OVER_TLS: [&str; 3] = ["h1", "h2", "auto"];

#[tokio::test]
async fn the_authorities_of_a_file_replace_the_systems() {
    let (ours, systems) = (Authority::new(), Authority::new());
    let app = secure(&ours.issue(&["127.0.0.1"])).start().await;
    let other = secure(&systems.issue(&["127.0.0.1"])).start().await;
    for protocol in OVER_TLS {
        let edge = edge(
            "
            upstreams:
              app: {endpoints: [$app], protocol: $protocol, tls: {ca: ca.pem}}
              bundle: {endpoints: [$app], protocol: $protocol, tls: {ca: certs/bundle.pem}}
              other: {endpoints: [$other], protocol: $protocol, tls: {ca: ca.pem}}
              system: {endpoints: [$other], protocol: $protocol}
            routes:
              - {match: {host: app}, upstream: app}
              - {match: {host: bundle}, upstream: bundle}
              - {match: {host: other}, upstream: other}
              - {match: {host: system}, upstream: system}
            ",
        )
        .with("app", &app)
        .with("other", &other)
        .with("protocol", protocol)
        .file("ca.pem", &ours.pem)
        .file("certs/bundle.pem", format!("{}{}", Authority::new().pem, ours.pem))
        .trusting(&systems)
        .start()
        .await;
        for host in ["app", "bundle", "system"] {
            assert_eq!(ask(&edge, host).await, "hello", "{host}, {protocol}");
        }
        assert_eq!(ask(&edge, "other").await.status, 502, "{protocol}");
        let line = edge.logged("the refused", |line| line["status"] == 502).await;
        assert_eq!(line["cause"], "upstream_tls_failed");
    }
}

#[tokio::test]
async fn a_certificate_of_no_authority_can_be_named_itself() {
    let certificate = Certificate::self_signed(&["127.0.0.1"]);
    let app = secure(&certificate).start().await;
    let edge = edge("upstreams: {app: {endpoints: [$app], tls: {ca: app.pem}}}")
        .with("app", &app)
        .file("app.pem", &certificate.chain)
        .start()
        .await;
    assert_eq!(edge.get("/").await, "hello");
}

#[tokio::test]
async fn the_name_asked_for_is_the_one_that_the_certificate_must_carry() {
    let authority = Authority::new();
    let app = secure(&authority.issue(&["shop.internal"])).start().await;
    for (n, protocol) in OVER_TLS.into_iter().enumerate() {
        let edge = edge(
            "
            upstreams:
              right: {endpoints: [$app], protocol: $protocol, tls: {ca: ca.pem, sni: Shop.Internal}}
              wrong: {endpoints: [$app], protocol: $protocol, tls: {ca: ca.pem, sni: blog.internal}}
              none: {endpoints: [$app], protocol: $protocol, tls: {ca: ca.pem}}
            routes:
              - {match: {host: right}, upstream: right}
              - {match: {host: wrong}, upstream: wrong}
              - {match: {host: none}, upstream: none}
            ",
        )
        .with("app", &app)
        .with("protocol", protocol)
        .file("ca.pem", &authority.pem)
        .start()
        .await;
        assert_eq!(ask(&edge, "right").await, "hello", "{protocol}");
        assert_eq!(ask(&edge, "wrong").await.status, 502, "{protocol}");
        assert_eq!(ask(&edge, "none").await.status, 502, "{protocol}");
        let request = app.requests().swap_remove(n);
        assert_eq!(request.hello.sni.as_deref(), Some("shop.internal"));
        // What the client asked for stays the `Host`.
        assert_eq!(host(&request), Some("right"), "{protocol}");
    }
    assert_eq!(app.hits(), OVER_TLS.len());
}

#[tokio::test]
async fn an_endpoint_that_asks_gets_the_certificate() {
    let authority = Authority::new();
    let own = authority.issue(&["edge.internal"]);
    let app = secure(&authority.issue(&["127.0.0.1"])).demanding(&[&authority.pem]).start().await;
    for (n, protocol) in OVER_TLS.into_iter().enumerate() {
        let edge = edge(
            "
            certificates: {edge: {chain: edge.pem, key: edge.key}}
            upstreams:
              app: {endpoints: [$app], protocol: $protocol, tls: {ca: ca.pem, client_certificate: edge}}
              bare: {endpoints: [$app], protocol: $protocol, tls: {ca: ca.pem}}
            routes:
              - {match: {host: app}, upstream: app}
              - {match: {host: bare}, upstream: bare}
            ",
        )
        .with("app", &app)
        .with("protocol", protocol)
        .file("ca.pem", &authority.pem)
        .file("edge.pem", &own.chain)
        .file("edge.key", &own.key)
        .start()
        .await;
        assert_eq!(ask(&edge, "app").await, "hello", "{protocol}");
        assert_eq!(ask(&edge, "bare").await.status, 502, "{protocol}");
        let line = edge.logged("the refused", |line| line["status"] == 502).await;
        assert_eq!(line["cause"], "upstream_tls_failed", "{protocol}");
        let request = app.requests().swap_remove(n);
        assert_eq!(request.hello.chain, own.chain_der(), "the whole chain");
    }
    assert_eq!(app.hits(), OVER_TLS.len());
}

#[tokio::test]
async fn a_certificate_that_the_edge_made_can_be_shown_and_stays_the_same() {
    let authority = Authority::new();
    let app = secure(&authority.issue(&["127.0.0.1"])).demanding(&[&authority.pem]).start().await;
    let folder = tempfile::tempdir().unwrap();
    let document = "
        server: {state_dir: $folder}
        certificates: {edge: {self_signed: [edge.internal]}}
        upstreams: {app: {endpoints: [$app], tls: {ca: ca.pem, client_certificate: edge}}}
        ";
    let start = async |app: &Origin| {
        let edge = edge(document).with("app", app).with("folder", folder.path().display());
        edge.file("ca.pem", &authority.pem).start().await
    };
    // Nobody vouches for it yet.
    assert_eq!(start(&app).await.get("/").await.status, 502);
    let made = folder.path().join("certificates/edge.internal.pem");
    let made = std::fs::read_to_string(made).unwrap();
    let app = secure(&authority.issue(&["127.0.0.1"])).demanding(&[&made]).start().await;
    assert_eq!(start(&app).await.get("/").await, "hello");
    assert!(app.request().await.hello.shows(&Certificate { chain: made, key: String::new() }));
}

#[tokio::test]
async fn without_verification_any_endpoint_is_believed_and_the_edge_says_so() {
    let app = secure(&Certificate::self_signed(&["elsewhere.example"])).start().await;
    for (n, protocol) in OVER_TLS.into_iter().enumerate() {
        let document = "
            upstreams:
              app:
                endpoints: [$app]
                protocol: $protocol
                tls: {verify: false, sni: shop.internal}
            ";
        // A system without any authority, such as a bare container.
        let edge = edge(document).with("app", &app).with("protocol", protocol);
        let edge = edge.env("SSL_CERT_FILE", "/dev/null").start().await;
        assert_eq!(edge.get("/").await, "hello", "{protocol}");
        let request = app.requests().swap_remove(n);
        assert_eq!(request.hello.sni.as_deref(), Some("shop.internal"));
        let said = edge.stderr().text();
        assert!(said.contains("falconer.yaml:5:19: warning: endpoints are not verified"), "{said}");
    }
}

#[tokio::test]
async fn an_upgrade_goes_by_the_same_tls() {
    let authority = Authority::new();
    let own = authority.issue(&["edge.internal"]);
    let app = origin().tls(&authority.issue(&["app.internal"])).demanding(&[&authority.pem]);
    let app = app.answer("/ws", Reply::websocket()).start().await;
    for (n, protocol) in OVER_TLS.into_iter().enumerate() {
        let document = "
            certificates: {edge: {chain: edge.pem, key: edge.key}}
            upstreams:
              app:
                endpoints: [$app]
                protocol: $protocol
                tls: {ca: ca.pem, sni: app.internal, client_certificate: edge}
            ";
        let edge = edge(document).with("app", &app).with("protocol", protocol);
        let edge = edge.file("ca.pem", &authority.pem).file("edge.pem", &own.chain);
        let edge = edge.file("edge.key", &own.key).start().await;
        let mut socket = edge.client("web").websocket("/ws", &[]).await.unwrap();
        socket.send(Message::text("one")).await.unwrap();
        let back = within("a message", socket.next()).await.unwrap().unwrap();
        assert_eq!(back, Message::text("one"));
        assert!(app.requests().swap_remove(n).hello.shows(&own), "{protocol}");
    }
}

/// Whoever is believed, whoever is asked for and whoever asks: none of them gets a connection that
/// was made for another.
#[tokio::test]
async fn upstreams_that_differ_in_tls_never_share_a_connection() {
    let (authority, second) = (Authority::new(), Authority::new());
    let certificate = authority.issue(&["127.0.0.1", "a.internal", "b.internal"]);
    // Two authorities that number what they issue will meet.
    let (one, two) = (authority.issue_numbered("one", 1), second.issue_numbered("two", 1));
    let settings = [
        "{ca: ca.pem}",
        "{ca: bundle.pem}",
        "{ca: bundle.pem, sni: a.internal}",
        "{ca: bundle.pem, sni: b.internal}",
        "{ca: ca.pem, client_certificate: one}",
        "{ca: ca.pem, client_certificate: two}",
        "{verify: false}",
        "{verify: false, client_certificate: one}",
    ];
    for protocol in OVER_TLS {
        let app = secure(&certificate).asking(&[&authority.pem, &second.pem]).start().await;
        let (mut upstreams, mut routes) = (String::new(), String::new());
        for (n, tls) in settings.iter().enumerate() {
            let how = format!("endpoints: [$app], protocol: $protocol, tls: {tls}");
            upstreams += &format!("  up{n}: {{{how}}}\n");
            routes += &format!("  - {{match: {{host: up{n}}}, upstream: up{n}}}\n");
        }
        let certificates =
            "  one: {chain: one.pem, key: one.key}\n  two: {chain: two.pem, key: two.key}";
        let document =
            format!("certificates:\n{certificates}\nupstreams:\n{upstreams}routes:\n{routes}");
        let edge = edge(&document)
            .with("app", &app)
            .with("protocol", protocol)
            .file("ca.pem", &authority.pem)
            .file("bundle.pem", format!("{}{}", authority.pem, second.pem))
            .file("one.pem", &one.chain)
            .file("one.key", &one.key)
            .file("two.pem", &two.chain)
            .file("two.key", &two.key)
            .start()
            .await;
        for _ in 0..3 {
            for (n, tls) in settings.iter().enumerate() {
                assert_eq!(ask(&edge, &format!("up{n}")).await, "hello", "{tls}");
            }
        }
        let requests = app.requests();
        for (n, tls) in settings.iter().enumerate() {
            let own = requests.iter().filter(|request| host(request) == Some(&format!("up{n}")));
            let own: Vec<_> = own.collect();
            let same = own.iter().all(|request| request.connection == own[0].connection);
            assert!(own.len() == 3 && same, "{tls} keeps its own connection by {protocol}");
            let hello = &own[0].hello;
            let name = ["a.internal", "b.internal"].into_iter().find(|name| tls.contains(name));
            assert_eq!(hello.sni.as_deref(), name, "{tls}");
            assert_eq!(hello.shows(&one), tls.contains("certificate: one"), "{tls}");
            assert_eq!(hello.shows(&two), tls.contains("certificate: two"), "{tls}");
        }
        assert_eq!(app.connections(), settings.len(), "{protocol}");
    }
}

#[tokio::test]
async fn who_believes_nobody_gets_no_connection_of_who_believes_anybody() {
    let app = secure(&Certificate::self_signed(&["127.0.0.1"])).start().await;
    for protocol in OVER_TLS {
        let edge = edge(
            "
            upstreams:
              careless: {endpoints: [$app], protocol: $protocol, tls: {verify: false}}
              careful: {endpoints: [$app], protocol: $protocol}
              strict: {endpoints: [$app], protocol: $protocol, tls: {ca: ca.pem}}
            routes:
              - {match: {host: careless}, upstream: careless}
              - {match: {host: careful}, upstream: careful}
              - {match: {host: strict}, upstream: strict}
            ",
        )
        .with("app", &app)
        .with("protocol", protocol)
        .file("ca.pem", Authority::new().pem)
        .start()
        .await;
        for _ in 0..2 {
            assert_eq!(ask(&edge, "careless").await, "hello", "{protocol}");
            assert_eq!(ask(&edge, "careful").await.status, 502, "{protocol}");
            assert_eq!(ask(&edge, "strict").await.status, 502, "{protocol}");
        }
    }
}

#[tokio::test]
async fn upstreams_that_offer_other_versions_never_share_a_connection() {
    let authority = Authority::new();
    let app = secure(&authority.issue(&["127.0.0.1"])).start().await;
    let edge = by_versions(&app, &authority).await;
    for _ in 0..2 {
        for protocol in OVER_TLS {
            assert_eq!(ask(&edge, protocol).await, "hello", "{protocol}");
        }
    }
    let requests = app.requests();
    let versions: Vec<_> = requests.iter().map(|request| request.version.as_str()).collect();
    let round = ["HTTP/1.1", "HTTP/2.0", "HTTP/2.0"];
    assert_eq!(versions, [round, round].concat());
    let connections: Vec<_> = requests.iter().map(|request| request.connection).collect();
    assert_eq!(connections, [1, 2, 3, 1, 2, 3]);
}

#[tokio::test]
async fn who_insists_on_http_2_gets_no_connection_of_who_leaves_it_open() {
    let authority = Authority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    let app = origin().tls_with(&certificate, &["http/1.1"]).reply("/", "hello").start().await;
    let edge = by_versions(&app, &authority).await;
    for _ in 0..2 {
        assert_eq!(ask(&edge, "auto").await, "hello");
        assert_eq!(ask(&edge, "h2").await.status, 502);
    }
}

/// An edge that asks an endpoint in each way, by the host of the request.
async fn by_versions(app: &Origin, authority: &Authority) -> Edge {
    let document = "
        upstreams:
          h1: {endpoints: [$app], protocol: h1, tls: {ca: ca.pem}}
          h2: {endpoints: [$app], protocol: h2, tls: {ca: ca.pem}}
          auto: {endpoints: [$app], protocol: auto, tls: {ca: ca.pem}}
        routes:
          - {match: {host: h1}, upstream: h1}
          - {match: {host: h2}, upstream: h2}
          - {match: {host: auto}, upstream: auto}
        ";
    edge(document).with("app", app).file("ca.pem", &authority.pem).start().await
}

/// An origin behind TLS.
fn secure(certificate: &Certificate) -> OriginBuilder {
    origin().tls(certificate).reply("/", "hello")
}

/// The answer to a GET for a host.
async fn ask(edge: &Edge, host: &str) -> crate::support::Response {
    edge.request("GET", "/").header("Host", host).send().await
}

/// The host that a request names, in either version.
fn host(request: &Received) -> Option<&str> {
    request.authority.as_deref().or(request.header("host"))
}
