//! What is under way when the place is taken ends where it began.

use crate::support::{Feed, Reply, edge, is_chaos, origin, paced};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_download_and_an_upload_end_on_the_old_process() {
    let pause = Duration::from_millis(if is_chaos() { 400 } else { 1 });
    let feed = Feed::new();
    let app =
        origin().answer("/down", Reply::new(200).fed_by(&feed)).reply("/", "hello").start().await;
    let echo = origin().before_body().answer("/up", Reply::echo()).start().await;
    let document = "
        server: {idle_grace: 200ms}
        listeners:
          web:
            address: \"127.0.0.1:0\"
            protocols: [h1, h2]
            limits: {min_body_rate: off}
        upstreams: {app: {endpoints: [$app]}, echo: {endpoints: [$echo]}}
        routes: [{match: {path: /up}, upstream: echo}, {upstream: app}]
        ";
    let mut edge = edge(document).with("app", &app).with("echo", &echo).start().await;
    let mut down = edge.client("web").request("GET", "/down").open().await;
    assert_eq!(down.head().await.status, 200);
    let (mut up, mut echo) =
        edge.client("web").h2().request("POST", "/up").chunked().open().await.split();
    up.write("begun").await;
    let new = edge.upgrade().await;
    edge.stderr().line("draining, another process serves").await;
    assert_eq!(edge.get("/").await, "hello", "{new} serves");
    paced(50, pause, async |n| {
        let piece = format!("{n:99}\n");
        feed.send(piece.clone());
        assert_eq!(down.bytes(100).await, piece.as_bytes());
        up.write(piece).await;
    })
    .await;
    feed.end();
    down.rest(|_| {}).await.expect("the whole download");
    up.finish().await;
    assert_eq!(echo.head().await.status, 200);
    let mut length = 0;
    echo.rest(|piece| length += piece.len()).await.expect("the whole upload back");
    assert_eq!(length, 5 + 50 * 100);
    let ended = Instant::now();
    drop((down, up, echo));
    assert_eq!(edge.wait_exit().await, 0);
    let left = ended.elapsed();
    println!("the old process left {left:?} after the last exchange");
    // The grace of what is idle, and a second.
    assert!(!is_chaos() || left < Duration::from_millis(1200), "{left:?}");
    assert_eq!(edge.get("/").await, "hello");
}
