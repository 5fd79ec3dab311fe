//! Upgrades under constant load: nobody notices.

use crate::support::{Load, allow_descriptors, app_for_load, edge, is_chaos};

const DOCUMENT: &str = "
    server: {idle_grace: 2s, upgrade_drain: 300s}
    listeners:
      web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}
      secure: {address: \"127.0.0.1:0\", tls: {certificates: [site]}}
    certificates: {site: {self_signed: [localhost]}}
    upstreams: {app: {endpoints: [$app]}}
    ";

#[tokio::test]
async fn no_request_fails_and_no_stream_ends() {
    let (upgrades, websockets, streams) = if is_chaos() { (20, 200, 50) } else { (3, 10, 6) };
    allow_descriptors(16_384);
    let (app, feeds) = app_for_load(streams).await;
    let mut edge = edge(DOCUMENT).with("app", &app).start().await;
    let clients = [edge.client("web"), edge.client("secure").tls()];
    let load = Load::of(&clients).and_streams(&clients, websockets, &feeds);
    load.goes_on(50).await;
    for _ in 0..upgrades {
        edge.upgrade().await;
        load.goes_on(200).await;
    }
    let (answers, farewells) = load.end().await;
    println!("{answers} answers, {farewells} connections said farewell, {upgrades} upgrades");
    let asked = app.requests().iter().filter(|request| request.target.ends_with("/app")).count();
    assert_eq!(asked, answers, "nothing was asked twice");
    edge.metric_becomes("falconer_runtime_generation", f64::from(upgrades) + 1.0).await;
}
