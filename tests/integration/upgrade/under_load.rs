//! Upgrades under constant load: nobody notices.

use crate::support::{Edge, Feed, Load, Origin, Reply, allow_descriptors, edge, origin};

const DOCUMENT: &str = "
    server: {idle_grace: 2s, upgrade_drain: 300s}
    listeners:
      web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}
      secure: {address: \"127.0.0.1:0\", tls: {certificates: [site]}}
    certificates: {site: {self_signed: [localhost]}}
    upstreams: {app: {endpoints: [$app]}}
    ";

async fn app(feeds: &[Feed]) -> Origin {
    let mut app = origin().answer("/app", Reply::ok("hello")).answer("/ws", Reply::websocket());
    for (n, feed) in feeds.iter().enumerate() {
        app = app.answer(&format!("/feed-{n}"), Reply::new(200).fed_by(feed));
    }
    app.start().await
}

fn load(edge: &Edge, websockets: usize, feeds: &[Feed]) -> Load {
    let (clear, secure) = (edge.client("web"), edge.client("secure").tls());
    let mut load = Load::of(&[clear.clone(), secure.clone()])
        .and_websockets(&clear, websockets / 2)
        .and_websockets(&secure, websockets / 2);
    for (n, feed) in feeds.iter().enumerate() {
        let client = [&clear, &secure][n % 2];
        load = load.and_events(client, &format!("/feed-{n}"), feed);
    }
    load
}

#[tokio::test]
async fn no_request_fails_and_no_stream_ends() {
    nobody_notices(3, 10, 6).await;
}

#[tokio::test]
#[ignore = "takes minutes: make chaos"]
async fn chaos_of_twenty_upgrades() {
    nobody_notices(20, 200, 50).await;
}

async fn nobody_notices(upgrades: usize, websockets: usize, streams: usize) {
    allow_descriptors(16_384);
    let feeds: Vec<_> = (0..streams).map(|_| Feed::new()).collect();
    let app = app(&feeds).await;
    let mut edge = edge(DOCUMENT).with("app", &app).start().await;
    let load = load(&edge, websockets, &feeds);
    load.goes_on(50).await;
    for _ in 0..upgrades {
        edge.upgrade().await;
        load.goes_on(200).await;
    }
    let (answers, farewells) = load.end().await;
    println!("{answers} answers, {farewells} connections said farewell, {upgrades} upgrades");
    let asked = app.requests().iter().filter(|request| request.target.ends_with("/app")).count();
    assert_eq!(asked, answers, "nothing was asked twice");
    edge.metric_becomes("falconer_runtime_generation", upgrades as f64 + 1.0).await;
}
