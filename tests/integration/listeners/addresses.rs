//! Addresses: TCP over IPv4 and IPv6, unix sockets, several of them, and those that are taken.

use crate::support::{Client, Port, Signal, edge, eventually};
use std::net::TcpListener;
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

#[tokio::test]
async fn an_address_in_use_is_one_message_that_names_its_place() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_address = taken.local_addr().unwrap();
    let (free, folder) = (Port::free(), tempfile::tempdir().unwrap());
    let edge = edge(
        "
        listeners:
          one: {address: \"127.0.0.1:$free\"}
          two:
            address: [\"unix:$folder/two.sock\", \"$taken\"]
        admin: {address: \"unix:$folder/admin.sock\"}
        access_log: {path: $folder/access.log}
        routes: [{reply: {status: 200}}]
        ",
    )
    .with("free", &free)
    .with("taken", taken_address)
    .with("folder", folder.path().display());

    let (code, _, stderr) = edge.ends("run").await;
    assert_eq!(code, 1, "{stderr}");
    assert_eq!(stderr.trim().lines().count(), 1, "{stderr}");
    assert!(stderr.contains("falconer.yaml:4:14: "), "{stderr}");
    assert!(stderr.contains(&taken_address.to_string()), "{stderr}");

    // Nothing was started: the other addresses are free, and no file is left.
    let connected = Client::new(format!("127.0.0.1:{free}")).connect().await;
    assert!(connected.is_err(), "somebody listens");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn an_admin_address_in_use_stops_the_start_too() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (code, stderr) = edge(
        "
        listeners: {web: {address: \"unix:$folder/web.sock\"}}
        admin:
          address: $taken
        routes: [{reply: {status: 200}}]
        ",
    )
    .with("taken", taken.local_addr().unwrap())
    .with("folder", folder.path().display())
    .fails_with()
    .await;
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("falconer.yaml:3:12: "), "{stderr}");
    assert!(!folder.path().join("web.sock").exists());
}

#[tokio::test]
async fn an_address_of_another_machine_is_named_too() {
    let document = "
        listeners:
          web: {address: \"192.0.2.1:8080\"}
        routes: [{reply: {status: 200}}]
        ";
    let (code, stderr) = edge(document).fails_with().await;
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("falconer.yaml:2:18: "), "{stderr}");
    assert!(stderr.contains("192.0.2.1:8080"), "{stderr}");
}

#[tokio::test]
async fn an_access_log_that_cannot_be_written_leaves_no_socket() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stderr) = edge(
        "
        listeners: {web: {address: \"unix:$folder/web.sock\"}}
        access_log:
          path: $folder/missing/access.log
        routes: [{reply: {status: 200}}]
        ",
    )
    .with("folder", folder.path().display())
    .fails_with()
    .await;
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("falconer.yaml:3:9: "), "{stderr}");
    assert!(!folder.path().join("web.sock").exists());
}
