//! Real proxies before the edge: HAProxy, nginx, and curl as one.

use super::{REFUSED, requiring, telling};
use crate::support::{Certificate, Client, Edge, Port, haproxy, nginx, tool};

/// Asks from an address of its own, of which the edge must hear.
async fn check(edge: &Edge, client: &Client, own: u8) {
    let response = client.clone().from([127, 0, 9, own]).get("/").await;
    assert_eq!(response.status, 200, "{response:?}");
    let seen = response.header("x-client").unwrap_or_default();
    assert!(seen.starts_with(&format!("127.0.9.{own} ")), "{seen}");
    assert_eq!(edge.metric(REFUSED).await, 0.0);
}

#[tokio::test]
async fn haproxy_brings_its_clients() {
    let edge = requiring().await;
    let site = Certificate::self_signed(&["localhost"]);
    let ports: Vec<_> = (0..5).map(|_| Port::free()).collect();
    let [v1, v2, fields, tls, through] = ports.as_slice() else { panic!("five ports") };
    let (web, secure) = (edge.address("web"), edge.address("secure"));
    let sections = format!(
        "
listen v1
  bind 127.0.0.1:{v1}
  server edge {web} send-proxy
listen v2
  bind 127.0.0.1:{v2}
  server edge {web} send-proxy-v2
listen fields
  bind 127.0.0.1:{fields}
  unique-id-format %[uuid()]
  server edge {web} send-proxy-v2 proxy-v2-options crc32c,unique-id,authority,ssl
listen tls
  bind 127.0.0.1:{tls} ssl crt @pair alpn h2,http/1.1
  server edge {web} send-proxy-v2-ssl-cn proxy-v2-options crc32c,authority
listen through
  mode tcp
  bind 127.0.0.1:{through}
  server edge {secure} send-proxy-v2
"
    );
    let _haproxy = haproxy(&sections, &format!("{}{}", site.chain, site.key)).await;
    let at = |port: &Port| Client::new(format!("127.0.0.1:{port}"));
    let (own_tls, edges_tls) = (at(tls).tls(), at(through).sni("shop.example"));
    let ways = [
        at(v1),
        at(v2),
        at(fields),
        own_tls.clone(),
        own_tls.h2(),
        edges_tls.clone(),
        edges_tls.clone().h2(),
    ];
    for (own, client) in (1..).zip(ways) {
        check(&edge, &client, own).await;
    }
    let response = edges_tls.get("/").await;
    assert_eq!(response.header("x-sni"), Some("shop.example"));
}

#[tokio::test]
async fn the_health_checks_of_haproxy_are_its_own() {
    let edge = requiring().await;
    let web = edge.address("web");
    let sections = format!(
        "
backend edge
  option httpchk GET /health
  server v1 {web} send-proxy check inter 100ms
  server v2 {web} send-proxy-v2 check inter 100ms
"
    );
    let _haproxy = haproxy(&sections, "").await;
    for version in ["v1", "v2"] {
        let family = "falconer_listener_proxy_headers_total";
        edge.metric_reaches(&format!("{family}{{version=\"{version}\"}}"), 2.0).await;
    }
    let log = edge.access_log(4).await;
    for line in log {
        assert_eq!(line["path"], "/health");
        assert_eq!((&line["client"], &line["status"]), (&"127.0.0.1".into(), &200.into()));
    }
    assert_eq!(edge.metric(REFUSED).await, 0.0);
}

#[tokio::test]
async fn nginx_brings_its_clients() {
    let edge = requiring().await;
    let (clear, through) = (Port::free(), Port::free());
    let (web, secure) = (edge.address("web"), edge.address("secure"));
    let stream = format!(
        "
  server {{ listen 127.0.0.1:{clear}; proxy_pass {web}; proxy_protocol on; }}
  server {{ listen 127.0.0.1:{through}; proxy_pass {secure}; proxy_protocol on; }}
"
    );
    let _nginx = nginx("", &stream, "").await;
    let at = |port: &Port| Client::new(format!("127.0.0.1:{port}"));
    let ways = [at(&clear), at(&clear).h2(), at(&through).tls(), at(&through).tls().h2()];
    for (own, client) in (1..).zip(ways) {
        check(&edge, &client, own).await;
    }
}

#[tokio::test]
async fn curl_says_who_it_is() {
    for keys in ["proxy_protocol: require", "proxy_protocol: accept, trusted_proxies: [127.0.0.1]"]
    {
        let edge = telling(keys).await;
        let clear = format!("http://{}/", edge.address("web"));
        let secure = format!("https://{}/", edge.address("secure"));
        for (version, url) in [
            ("--http1.1", &clear),
            ("--http2-prior-knowledge", &clear),
            ("--http1.1", &secure),
            ("--http2", &secure),
        ] {
            let arguments = ["-ksS", "--haproxy-protocol", version, url];
            assert_eq!(tool("curl", &arguments).await.well(), "hello", "{version} {url}");
        }
        let headers = "falconer_listener_proxy_headers_total{version=\"v1\"}";
        assert_eq!(edge.metric(headers).await, 4.0);
    }
}
