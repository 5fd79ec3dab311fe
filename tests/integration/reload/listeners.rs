//! Listeners that appear, disappear and change while the edge runs.

use crate::support::{Certificate, Client, Edge, Feed, Gate, Port, Reply, edge, origin, within};
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HELLO: &str = "routes: [{name: all, reply: {status: 200, body: hello}}]";
const APP: &str = "upstreams: {app: {endpoints: [$app]}}";

/// Nobody accepts there any more.
async fn refuses(client: &Client) {
    let refused = client.connect().await;
    assert!(refused.is_err(), "somebody accepted");
}

#[tokio::test]
async fn a_new_listener_serves_and_a_removed_one_is_closed_with_its_file() {
    let mut edge = edge(HELLO).start().await;
    let web = "web: {address: \"127.0.0.1:0\"}";
    let more = "more: {address: [\"127.0.0.1:0\", \"unix:more.sock\"], protocols: [h1, h2]}";
    edge.reload(&format!("listeners: {{{web}, {more}}}\n{HELLO}")).await;
    let of_more: Vec<_> = edge.addresses("more").into_iter().map(Client::new).collect();
    assert_eq!(of_more.len(), 2);
    for client in &of_more {
        assert_eq!(client.get("/").await, "hello");
        assert_eq!(client.clone().h2().get("/").await, "hello");
    }
    let mut kept = edge.raw("web").await;
    kept.write(GET).await;
    assert_eq!(kept.response().await, "hello");

    edge.reload(&format!("listeners: {{{web}}}\n{HELLO}")).await;
    for client in &of_more {
        refuses(client).await;
    }
    assert!(!edge.file("more.sock").exists());
    kept.write(GET).await;
    assert_eq!(kept.response().await, "hello", "the other listener was not touched");
}

#[tokio::test]
async fn an_address_more_or_less_touches_no_connection() {
    let mut edge = edge(HELLO).start().await;
    let mut kept = edge.raw("web").await;
    kept.write(GET).await;
    kept.response().await;
    let two = "listeners: {web: {address: [\"127.0.0.1:0\", \"unix:web.sock\"]}}";
    edge.reload(&format!("{two}\n{HELLO}")).await;
    assert_eq!(
        Client::new(format!("unix:{}", edge.file("web.sock").display())).get("/").await,
        "hello"
    );
    let only_file = "listeners: {web: {address: \"unix:web.sock\"}}";
    let tcp = edge.client("web");
    edge.reload(&format!("{only_file}\n{HELLO}")).await;
    refuses(&tcp).await;
    kept.write(GET).await;
    let response = kept.response().await;
    assert_eq!(
        (response.text().as_str(), response.header("connection")),
        ("hello", Some("keep-alive"))
    );
}

#[tokio::test]
async fn a_changed_listener_ends_idle_connections_politely_and_no_stream() {
    let feed = Feed::new();
    let origin = origin()
        .answer("/feed", Reply::new(200).fed_by(&feed))
        .answer("/ws", Reply::websocket())
        .reply("/", "hello")
        .start()
        .await;
    let document = |limits: &str| {
        format!(
            "server: {{idle_grace: 20s}}\nlisteners: {{web: {{address: \"127.0.0.1:0\", protocols: [h1, h2], limits: {{{limits}}}}}}}\n{APP}"
        )
    };
    let mut edge = edge(&document("")).with("app", &origin).start().await;
    let mut idle = edge.raw("web").await;
    idle.write(GET).await;
    idle.response().await;
    let mut h2 = edge.h2("web").await;
    assert_eq!(h2.get("/").await, "hello");
    let mut stream = edge.client("web").request("GET", "/feed").open().await;
    assert_eq!(stream.head().await.status, 200);
    feed.send("one");
    assert_eq!(stream.bytes(3).await, b"one");
    let mut socket = edge.client("web").websocket("/ws", &[]).await.unwrap();

    edge.reload(&document("uri_size: 10B")).await;
    assert_eq!(edge.get("/longer-than-ten").await.status, 414);
    // Within the grace it is still answered, by the limits it came in with, and told to go.
    idle.write("GET /longer-than-ten HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let last = idle.response().await;
    assert_eq!((last.status, last.header("connection")), (404, Some("close")));
    idle.ended().await;
    h2.left().await.unwrap();
    feed.send("two");
    assert_eq!(stream.bytes(3).await, b"two");
    socket.send(Message::text("still here")).await.unwrap();
    assert_eq!(
        within("an echo", socket.next()).await.unwrap().unwrap(),
        Message::text("still here")
    );
}

#[tokio::test]
async fn what_is_open_on_a_removed_listener_ends_or_is_cut_off_in_time() {
    let gate = Gate::new();
    let feed = Feed::new();
    let origin = origin()
        .answer("/late", Reply::ok("late").behind(&gate))
        .answer("/feed", Reply::new(200).fed_by(&feed))
        .start()
        .await;
    let document = |more: &str| {
        format!(
            "server: {{drain: 5s, idle_grace: 0s}}
listeners: {{web: {{address: \"127.0.0.1:0\"}}{more}}}
{APP}"
        )
    };
    let with_more = document(", more: {address: \"127.0.0.1:0\"}");
    let mut edge = edge(&with_more).with("app", &origin).start().await;
    let client = edge.client("more");
    let late = tokio::spawn(async move { client.get("/late").await });
    let mut stream = edge.client("more").request("GET", "/feed").open().await;
    assert_eq!(stream.head().await.status, 200);
    feed.send("one");
    assert_eq!(stream.bytes(3).await, b"one");
    origin.until("both", |seen| seen.requests.len() == 2).await;

    edge.reload(&document("")).await;
    gate.open();
    assert_eq!(within("the answer", late).await.unwrap(), "late");
    feed.send("two");
    assert_eq!(stream.bytes(3).await, b"two");
    let ended = within("the cut", stream.rest(|_| {})).await;
    assert!(ended.is_err(), "a cut looks like no end");
    origin.until("given up", |seen| seen.requests.iter().any(|request| request.cancelled)).await;
}

#[tokio::test]
async fn an_address_goes_from_one_listener_to_another_without_a_gap() {
    let port = Port::free();
    let document = |name: &str, limits: &str| {
        format!(
            "listeners: {{{name}: {{address: \"127.0.0.1:{port}\", limits: {{{limits}}}}}}}\n{HELLO}"
        )
    };
    let mut edge = edge(&document("one", "")).start().await;
    let client = edge.client("one");
    for n in 0..10 {
        assert_eq!(client.get("/").await, "hello");
        let name = if n % 2 == 0 { "two" } else { "one" };
        // The listener is another one, or the same one changed, or both.
        edge.reload(&document(name, ["", "uri_size: 9KiB"][n / 5])).await;
        assert_eq!(client.get("/").await, "hello");
        let line = edge.logged("it", |line| line["listener"] == name).await;
        assert_eq!(line["status"], 200);
    }
}

#[tokio::test]
async fn who_waits_for_room_is_served_by_the_changed_listener() {
    let document = |most: u32| {
        format!(
            "listeners: {{web: {{address: \"127.0.0.1:0\", limits: {{connections: {most}}}}}}}
{HELLO}"
        )
    };
    let mut edge = edge(&document(1)).start().await;
    let mut first = edge.raw("web").await;
    first.write(GET).await;
    first.response().await;
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let mut raw = edge.raw("web").await;
        raw.write(GET).await;
        waiting.push(raw);
    }
    let pauses = "falconer_listener_accept_pauses_total{reason=\"connections\"}";
    edge.metric_reaches(pauses, 1.0).await;
    edge.reload(&document(100)).await;
    for mut raw in waiting {
        assert_eq!(raw.response().await, "hello");
    }
    first.write(GET).await;
    assert_eq!(first.response().await, "hello");
}

#[tokio::test]
async fn a_removed_listener_ends_what_is_open_from_before_it_changed() {
    let app = origin().answer("/ws", Reply::websocket()).start().await;
    let document = |more: &str| {
        format!(
            "server: {{drain: 1s, idle_grace: 0s}}
listeners: {{web: {{address: \"127.0.0.1:0\"}}{more}}}
{APP}"
        )
    };
    let more = |limits| format!(", more: {{address: \"127.0.0.1:0\", limits: {{{limits}}}}}");
    let mut edge = edge(&document(&more(""))).with("app", &app).start().await;
    let mut socket = edge.client("more").websocket("/ws", &[]).await.unwrap();
    for limits in ["uri_size: 9KiB", "uri_size: 10KiB"] {
        edge.reload(&document(&more(limits))).await;
        socket.send(Message::text("still here")).await.unwrap();
        within("an echo", socket.next()).await.unwrap().unwrap();
    }
    edge.reload(&document("")).await;
    let ended = within("the end", socket.next()).await;
    assert!(!matches!(ended, Some(Ok(Message::Text(_)))), "{ended:?}");
}

#[tokio::test]
async fn an_address_that_the_edge_itself_is_in_the_way_of_is_named_so() {
    let port = Port::free();
    let document = |address: &str| {
        format!(
            "listeners: {{web: {{address: {}}}}}\n{HELLO}",
            address.replace("PORT", &port.to_string())
        )
    };
    let edge = edge(&document("[\"0.0.0.0:PORT\", \"[::]:PORT\"]")).start().await;
    // The socket of `[::]` alone does not take IPv4, so it is not what `:PORT` means.
    for address in ["\":PORT\"", "\"127.0.0.1:PORT\""] {
        edge.rewrite(&document(address));
        let ended = edge.command(&["reload"]).await;
        assert_eq!(ended.code, 2, "{}", ended.said);
        let told = "this edge listens at that port already";
        assert!(ended.complained.contains(told), "{}", ended.complained);
    }
    for ip in ["127.0.0.1", "[::1]"] {
        assert_eq!(Client::new(format!("{ip}:{port}")).get("/").await, "hello");
    }
}

#[tokio::test]
async fn a_failing_bind_rejects_all_of_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut edge = edge(HELLO).start().await;
    let other = "routes: [{name: all, reply: {status: 200, body: other}}]";
    let document = |port: String| {
        format!(
            "listeners:
  web: {{address: [\"127.0.0.1:0\", \"unix:a.sock\"]}}
  more: {{address: \"127.0.0.1:{port}\"}}
{other}"
        )
    };
    let port = taken.local_addr().unwrap().port();
    edge.rewrite(&document(port.to_string()));
    let ended = edge.command(&["reload"]).await;
    assert_eq!(ended.code, 2);
    let told = "falconer.yaml:3:19: listener `more` cannot bind 127.0.0.1:";
    assert!(ended.complained.contains(told), "{}", ended.complained);
    assert_eq!(edge.get("/").await, "hello");
    assert!(!edge.file("a.sock").exists(), "what could be bound was given up");
    drop(taken);
    edge.reload(&document("0".into())).await;
    assert_eq!(edge.get("/").await, "other");
}

#[tokio::test]
async fn certificates_change_under_connections_that_stay() {
    let (first, second) =
        (Certificate::self_signed(&["localhost"]), Certificate::self_signed(&["localhost"]));
    let document = format!(
        "listeners: {{secure: {{address: \"127.0.0.1:0\", tls: {{certificates: [site]}}}}}}
certificates: {{site: {{chain: site.pem, key: site.key}}}}
{HELLO}"
    );
    let mut edge =
        edge(&document).file("site.pem", &first.chain).file("site.key", &first.key).start().await;
    let shown = async |edge: &Edge| {
        let (_, agreed) = edge.client("secure").tls().connect().await.unwrap();
        agreed.unwrap().chain.remove(0)
    };
    let mut kept = edge.client("secure").tls().raw().await;
    kept.write(GET).await;
    kept.response().await;
    assert_eq!(shown(&edge).await, first.chain_der()[0]);

    std::fs::write(edge.file("site.pem"), &second.chain).unwrap();
    let ended = edge.command(&["reload"]).await;
    assert_eq!(ended.code, 2, "the key is the old one's");
    assert_eq!(shown(&edge).await, first.chain_der()[0]);
    std::fs::write(edge.file("site.key"), &second.key).unwrap();
    let ended = edge.reload(&document).await;
    assert_eq!(ended.said, "changed certificate site\nreloaded: 1 change, generation 2");
    assert_eq!(shown(&edge).await, second.chain_der()[0]);
    kept.write(GET).await;
    assert_eq!(kept.response().await.header("connection"), Some("keep-alive"));
}

#[tokio::test]
async fn who_came_in_before_counts_for_the_caps_of_the_changed_listener() {
    let document = |more: &str| {
        format!(
            "listeners: {{web: {{address: \"127.0.0.1:0\", limits: {{connections_per_client: 1{more}}}}}}}
{HELLO}"
        )
    };
    let mut edge = edge(&document("")).start().await;
    let mut first = edge.raw("web").await;
    first.write(GET).await;
    first.response().await;
    edge.reload(&document(", uri_size: 9KiB")).await;
    let refused = edge.client("web").raw().await.try_response().await;
    assert!(refused.is_err(), "one too many");
    first.write(GET).await;
    assert_eq!(first.response().await, "hello");
}
