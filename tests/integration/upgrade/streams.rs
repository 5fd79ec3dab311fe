//! What is under way when the place is taken ends where it began.

use crate::support::{Feed, Reply, edge, origin};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_download_and_an_upload_end_on_the_old_process() {
    end_where_they_began(Duration::ZERO).await;
}

#[tokio::test]
#[ignore = "takes minutes: make chaos"]
async fn chaos_of_slow_transfers() {
    let left = end_where_they_began(Duration::from_millis(400)).await;
    // The grace of what is idle, and a second.
    assert!(left < Duration::from_millis(1200), "{left:?}");
}

/// A download and an upload of 50 pieces; gives how long after the last the old process left.
async fn end_where_they_began(pause: Duration) -> Duration {
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
    for n in 0..50 {
        let piece = format!("{n:99}\n");
        feed.send(piece.clone());
        assert_eq!(down.bytes(100).await, piece.as_bytes());
        up.write(piece).await;
        tokio::time::sleep(pause).await;
    }
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
    assert_eq!(edge.get("/").await, "hello");
    left
}
