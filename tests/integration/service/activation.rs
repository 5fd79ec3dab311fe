//! Sockets that systemd binds, as `systemd-socket-activate` does it.

use crate::support::{Builder, Client, Edge, Port, Signal, edge, eventually};

const HELLO: &str = "routes: [{reply: {status: 200, body: hello}}]";

/// Starts an edge with the first connection to one of these addresses, as a socket unit does.
async fn activated(builder: Builder, addresses: &[String]) -> (Edge, Client) {
    let first = Client::new(&addresses[0]);
    let sockets = addresses.iter().flat_map(|address| ["-l", address.trim_start_matches("unix:")]);
    let command: Vec<_> = ["systemd-socket-activate"].into_iter().chain(sockets).collect();
    let builder = builder.under(&command);
    let knock = eventually("systemd to listen", async || first.connect().await.ok());
    // Whoever knocks is in the queue of the socket when the edge takes it.
    let (edge, _knocking) = tokio::join!(builder.start(), knock);
    (edge, first)
}

#[tokio::test]
async fn sockets_are_taken_by_the_listeners_of_their_address() {
    let (port, admin) = (Port::free(), Port::free());
    let builder = edge(&format!(
        "
        listeners:
          web: {{address: [\"127.0.0.1:$port\", \"unix:web.sock\", \"127.0.0.1:0\"]}}
        admin: {{address: \"127.0.0.1:$admin\"}}
        {HELLO}
        "
    ))
    .with("port", &port)
    .with("admin", &admin);
    let path = builder.folder().join("web.sock");
    let addresses = [
        format!("127.0.0.1:{port}"),
        format!("unix:{}", path.display()),
        format!("127.0.0.1:{admin}"),
    ];
    let (mut edge, client) = activated(builder, &addresses).await;

    assert_eq!(edge.addresses("web").len(), 3);
    for address in edge.addresses("web") {
        assert_eq!(Client::new(address).get("/").await, "hello", "{address}");
    }
    assert_eq!(edge.client("admin").get("/healthz").await.status, 200);
    assert_eq!(client.get("/").await, "hello");
    assert!(!edge.stderr().text().contains("WARN"), "{}", edge.stderr().text());

    // The file is systemd's, whichever process leaves.
    let process = edge.upgrade().await;
    assert_eq!(edge.wait_exit().await, 0);
    assert_eq!(Client::new(&addresses[1]).get("/").await, "hello");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), Signal::SIGTERM).unwrap();
    edge.gone(process).await;
    assert!(path.exists());
}

#[tokio::test]
async fn an_ipv6_socket_is_taken_too() {
    let port = Port::free();
    let document = format!("listeners: {{web: {{address: [\"[::1]:$port\"]}}}}\n{HELLO}");
    let builder = edge(&document).with("port", &port);
    let (_edge, client) = activated(builder, &[format!("[::1]:{port}")]).await;
    assert_eq!(client.get("/").await, "hello");
}

#[tokio::test]
async fn a_socket_at_no_listeners_address_is_named_and_goes_to_nobody() {
    let (port, other) = (Port::free(), Port::free());
    let document = format!("listeners: {{web: {{address: \"127.0.0.1:$port\"}}}}\n{HELLO}");
    let builder = edge(&document).with("port", &port);
    let addresses = [format!("127.0.0.1:{port}"), format!("127.0.0.1:{other}")];
    let (edge, client) = activated(builder, &addresses).await;

    let warning = edge.stderr().line("a socket of systemd's is at no listener's address").await;
    assert!(warning.contains(&format!("address=127.0.0.1:{other}")), "{warning}");
    assert_eq!(client.get("/").await, "hello");
}

#[tokio::test]
async fn sockets_for_another_process_are_not_touched() {
    // What a service passes on to all its children.
    let edge = edge(HELLO).env("LISTEN_PID", "1").env("LISTEN_FDS", "3").start().await;
    assert!(!edge.stderr().text().contains("WARN"), "{}", edge.stderr().text());
}
