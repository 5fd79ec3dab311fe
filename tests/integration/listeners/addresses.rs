//! Addresses: TCP over IPv4 and IPv6, unix sockets, and several of them.

use crate::support::{Client, Port, Signal, edge, eventually};
use std::os::unix::net::{UnixListener, UnixStream};

const HELLO: &str = "routes: [{reply: {status: 200, body: hello}}]";

#[tokio::test]
async fn a_listener_serves_on_all_of_its_addresses() {
    let edge = edge(&format!(
        "
        listeners:
          web: {{address: [\"127.0.0.1:0\", \"[::1]:0\", \"unix:web.sock\"]}}
        {HELLO}
        "
    ))
    .start()
    .await;

    for address in edge.addresses("web") {
        assert_eq!(Client::new(address).get("/").await, "hello", "{address}");
    }
    let log = edge.access_log(3).await;
    for client in ["127.0.0.1", "::1", "unix:"] {
        assert!(log.iter().any(|line| line["client"] == client), "{client} in {log:?}");
    }
    assert!(log.iter().all(|line| line["listener"] == "web"), "{log:?}");
}

#[tokio::test]
async fn port_0_is_a_free_port_that_the_log_tells() {
    let edge = edge(&format!(
        "
        listeners:
          one: {{address: \"127.0.0.1:0\"}}
          two: {{address: \"127.0.0.1:0\"}}
        {HELLO}
        "
    ))
    .start()
    .await;

    let (one, two) = (edge.address("one"), edge.address("two"));
    assert!(one != two && !one.ends_with(":0") && !two.ends_with(":0"), "{one} {two}");
    assert_eq!(edge.client("one").get("/").await, "hello");
    assert_eq!(edge.client("two").get("/").await, "hello");
}

#[tokio::test]
async fn the_unspecified_ipv6_address_takes_ipv4_too() {
    let edge = edge(&format!("listeners: {{web: {{address: \"[::]:0\"}}}}\n{HELLO}")).start().await;
    let port = edge.address("web").rsplit(':').next().unwrap();

    assert_eq!(Client::new(format!("[::1]:{port}")).get("/").await, "hello");
    assert_eq!(Client::new(format!("127.0.0.1:{port}")).get("/").await, "hello");
    for client in ["::1", "127.0.0.1"] {
        edge.logged(client, |line| line["client"] == client).await;
    }
}

#[tokio::test]
async fn both_unspecified_addresses_share_a_port() {
    let port = Port::free();
    let edge = edge(&format!(
        "
        listeners:
          web: {{address: [\"0.0.0.0:$port\", \"[::]:$port\"]}}
        {HELLO}
        "
    ))
    .with("port", &port)
    .start()
    .await;

    assert_eq!(Client::new(format!("[::1]:{port}")).get("/").await, "hello");
    assert_eq!(Client::new(format!("127.0.0.1:{port}")).get("/").await, "hello");
    assert_eq!(edge.addresses("web").len(), 2);
}

#[tokio::test]
async fn a_unix_socket_is_gone_after_the_end() {
    let mut edge =
        edge(&format!("listeners: {{web: {{address: \"unix:web.sock\"}}}}\n{HELLO}")).start().await;
    assert_eq!(edge.get("/").await, "hello");
    let socket = edge.file("web.sock");
    assert!(socket.exists(), "it is beside the document");

    edge.signal(Signal::SIGTERM);
    assert_eq!(edge.wait_exit().await, 0);
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_unix_socket_that_a_dead_process_left_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("web.sock");
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists(), "a dropped listener leaves its file");

    let document = format!("listeners: {{web: {{address: \"unix:$socket\"}}}}\n{HELLO}");
    let mut first = edge(&document).with("socket", socket.display()).start().await;
    assert_eq!(first.get("/").await, "hello");
    first.signal(Signal::SIGKILL);
    first.wait_exit().await;
    assert!(socket.exists(), "a killed edge leaves its file");

    let second = edge(&document).with("socket", socket.display()).start().await;
    assert_eq!(second.get("/").await, "hello");
}

#[tokio::test]
async fn a_unix_socket_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("web.sock");
    let living = UnixListener::bind(&socket).unwrap();

    let document = format!("listeners: {{web: {{address: \"unix:$socket\"}}}}\n{HELLO}");
    let (code, stderr) = edge(&document).with("socket", socket.display()).fails_with().await;
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("falconer.yaml:1:"), "{stderr}");
    UnixStream::connect(&socket).expect("the other process still listens");
    drop(living);
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "precious").unwrap();

    let document = format!("listeners: {{web: {{address: \"unix:$file\"}}}}\n{HELLO}");
    let (code, stderr) = edge(&document).with("file", file.display()).fails_with().await;
    assert_eq!(code, 1, "{stderr}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[tokio::test]
async fn a_connection_made_before_the_edge_is_ready_is_served() {
    let port = Port::free();
    let document = format!("listeners: {{web: {{address: \"127.0.0.1:$port\"}}}}\n{HELLO}");
    let starting = edge(&document).with("port", &port).start();
    let client = Client::new(format!("127.0.0.1:{port}"));
    let early =
        eventually("the first answer", async || client.request("GET", "/").try_send().await.ok());
    let (_edge, response) = tokio::join!(starting, early);
    assert_eq!(response, "hello");
}
