//! How fast a client must send its body, and when it need not.

use super::{clients, limited_before, listeners};
use crate::support::{Client, Gate, Reply, Response, edge, origin, paced, within};
use futures::future::join_all;
use std::time::{Duration, Instant};

/// After the grace of five seconds, and on a busy machine too.
const ENDED: std::ops::Range<Duration> = Duration::from_millis(4900)..Duration::from_secs(20);
/// Longer than the grace.
const LONG: Duration = Duration::from_secs(7);
const PACE: Duration = Duration::from_millis(250);

/// Sends pieces of a body at a steady pace, for longer than the grace.
async fn upload(client: &Client, path: &str, piece: usize) -> Response {
    let mut flow = client.request("POST", path).chunked().open().await;
    paced(LONG.div_duration_f32(PACE) as usize, PACE, async |_| {
        flow.write("x".repeat(piece)).await;
    })
    .await;
    flow.finish().await;
    flow.head().await
}

/// Sends a byte now and then until an answer comes, and says when.
async fn trickle(client: &Client, path: &str) -> (Response, Duration) {
    let started = Instant::now();
    let (mut up, mut down) = client.request("POST", path).chunked().open().await.split();
    let trickling = async {
        loop {
            up.write("x").await;
            tokio::time::sleep(PACE).await;
        }
    };
    let answer = tokio::select! {
        answer = down.head() => answer,
        () = trickling => unreachable!(),
    };
    (answer, started.elapsed())
}

#[tokio::test]
async fn a_slow_upload_gets_408_and_a_fast_one_passes() {
    let origin = origin().handler(|request| Reply::ok(request.length.to_string())).start().await;
    let edge = limited_before(&origin, "").await;
    let clients = clients(&edge);
    let slow = join_all(clients.iter().map(|client| trickle(client, "/")));
    let fast = join_all(clients.iter().map(|client| upload(client, "/", 100)));
    let (slow, fast) = tokio::join!(slow, fast);
    for (answer, time) in slow {
        assert_eq!(answer.status, 408, "{answer:?}");
        assert!(ENDED.contains(&time), "{time:?}");
    }
    for answer in fast {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let line = edge.logged("the slow one", |line| line["status"] == 408).await;
    assert_eq!(line["cause"], "request_body_timeout");
    edge.metric_becomes("falconer_route_failures_total{cause=\"request_body_timeout\"}", 4.0).await;
}

#[tokio::test]
async fn other_streams_of_the_connection_go_on() {
    let origin = origin().handler(|request| Reply::ok(request.length.to_string())).start().await;
    let edge = limited_before(&origin, "").await;
    let mut connection = edge.h2("web").await;
    let mut slow = connection.start("POST", "/", &[], false).await;
    let mut fast = connection.start("POST", "/", &[], false).await;
    paced(LONG.div_duration_f32(PACE) as usize, PACE, async |_| {
        fast.write("x".repeat(100), false).await;
    })
    .await;
    assert_eq!(slow.response().await.status, 408);
    fast.write("end", true).await;
    assert_eq!(fast.response().await.status, 200);
    assert_eq!(connection.get("/").await.status, 200);
}

#[tokio::test]
async fn an_endpoint_that_does_not_read_is_not_the_clients_fault() {
    let unread = join_all(["h1", "h2"].map(|protocol| async move {
        let gate = Gate::new();
        let app = origin().speaking(protocol).reads_body_after(&gate);
        let app = app.handler(|request| Reply::ok(request.length.to_string())).start().await;
        let document = listeners("min_body_rate: 1MB/s")
            + "upstreams: {app: {endpoints: [$app], protocol: $protocol}}\n";
        let edge = edge(&document).with("app", &app).with("protocol", protocol).start().await;
        let clients = clients(&edge);
        // Much more than all buffers on the way hold.
        let posts = clients
            .iter()
            .map(|client| client.request("POST", "/").body(vec![b'x'; 24_000_000]).send());
        let open = async {
            tokio::time::sleep(LONG).await;
            gate.open();
        };
        let (answers, ()) = tokio::join!(join_all(posts), open);
        for answer in answers {
            assert_eq!(answer, "24000000", "to {protocol}");
        }
    }));
    unread.await;
}

#[tokio::test]
async fn a_stream_without_a_window_is_not_the_clients_fault() {
    let gate = Gate::new();
    let app = origin().reads_body_after(&gate).reply("/", "read").start().await;
    let edge = limited_before(&app, "min_body_rate: 1MB/s").await;
    let mut connection = edge.h2("web").await;
    let mut stuck = Vec::new();
    // Each fills its own window, and all together that of the connection.
    for _ in 0..4 {
        stuck.push(connection.start("POST", "/", &[], false).await);
    }
    let fill = stuck.iter_mut().map(|stream| stream.write(vec![b'x'; 16_000_000], true));
    let late = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut late = connection.start("POST", "/", &[], false).await;
        late.write(vec![b'x'; 1_000_000], true).await;
        late.response().await
    };
    let open = async {
        tokio::time::sleep(LONG).await;
        gate.open();
    };
    let (_, late, ()) = tokio::join!(join_all(fill), late, open);
    assert_eq!(late, "read");
    for stream in &mut stuck {
        assert_eq!(stream.response().await, "read");
    }
}

#[tokio::test]
async fn who_waits_to_be_asked_for_the_body_is_not_slow() {
    let app = origin().before_body().answer("/", Reply::ok("late").after(LONG)).start().await;
    let edge = limited_before(&app, "").await;
    let mut raw = edge.raw("web").await;
    raw.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(raw.response().await, "late");
}

#[tokio::test]
async fn a_call_of_grpc_sends_its_messages_when_there_are_some() {
    let app = origin().h2c().before_body().answer("/", Reply::echo()).start().await;
    let edge = edge(
        "
        listeners: {web: {address: '127.0.0.1:0', protocols: [h1, h2]}}
        upstreams: {app: {endpoints: [$app], protocol: h2}}
        ",
    )
    .with("app", &app)
    .start()
    .await;
    let mut connection = edge.h2("web").await;
    let kind = ("content-type", "application/grpc+proto");
    let mut call = connection.start("POST", "/", &[kind], false).await;
    let mut other = connection.start("POST", "/", &[], false).await;
    for stream in [&mut call, &mut other] {
        stream.write("first", false).await;
        assert_eq!(stream.head().await.status(), 200);
        assert_eq!(stream.piece().await.unwrap().unwrap(), "first");
    }
    let reset = within("the reset of what is no call", other.piece()).await;
    assert!(matches!(reset, Some(Err(_))), "{reset:?}");
    tokio::time::sleep(LONG - Duration::from_secs(5)).await;
    call.write("second", true).await;
    assert_eq!(call.piece().await.unwrap().unwrap(), "second");
    let line = edge.logged("the other", |line| line["cause"] == "request_body_timeout").await;
    assert_eq!(line["status"], 200, "what was sent");
}

#[tokio::test]
async fn the_rate_can_be_off_and_a_route_has_its_own() {
    let routes = "
upstreams: {app: {endpoints: [$app]}}
routes:
  - {upstream: app}
  - {match: {path: /off}, upstream: app, limits: {min_body_rate: off}}
  - {match: {path: /less}, upstream: app, limits: {min_body_rate: 2B/s}}
  - {match: {path: /more}, upstream: app, limits: {min_body_rate: 1MB/s}}
";
    let app = origin().handler(|request| Reply::ok(request.length.to_string())).start().await;
    let start =
        async |limits: &str| edge(&(listeners(limits) + routes)).with("app", &app).start().await;
    let (on, off) = (start("min_body_rate: 1KB/s").await, start("min_body_rate: off").await);
    // Four bytes in a second.
    let cases = [
        (&on, "/", 408),
        (&on, "/off", 200),
        (&on, "/less", 200),
        (&on, "/more", 408),
        (&off, "/", 200),
        (&off, "/less", 200),
        (&off, "/more", 408),
    ];
    let answers = cases.iter().flat_map(|(edge, path, status)| {
        clients(edge).into_iter().map(move |client| async move {
            let answer = if *status == 200 {
                upload(&client, path, 1).await
            } else {
                trickle(&client, path).await.0
            };
            assert_eq!(answer.status, *status, "{path}: {answer:?}");
        })
    });
    join_all(answers).await;
}
