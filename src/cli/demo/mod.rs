//! `falconer demo`: a small application to try the edge with, and to stand behind it in tests.

mod app;
mod body;
mod connection;
mod echo;
mod page;
mod query;
mod scripted;
mod socket;
mod stream;
#[cfg(test)]
mod testing;
mod websocket;

use anyhow::Context;
use app::App;
use http::HeaderValue;
use socket::Socket;
use std::io::Write;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Runs a sample application to try the edge with.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen: host:port (port 0 picks a free one) or unix:/path; may be repeated.
    #[arg(long = "listen", value_name = "ADDRESS", default_value = "127.0.0.1:5001")]
    listen: Vec<String>,

    /// What every response carries as X-Instance [default: demo-PORT].
    #[arg(long, value_parser = printable)]
    name: Option<String>,
}

/// Serves until SIGTERM or SIGINT, then finishes what is in flight.
pub async fn run(args: Args) -> anyhow::Result<()> {
    // Before the first line on stdout, as whoever reads it may send a signal at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let mut sockets = Vec::new();
    for address in &args.listen {
        let bound = Socket::bind(address).await;
        sockets.push(bound.with_context(|| format!("cannot listen on `{address}`"))?);
    }
    let (stop, stopping) = watch::channel(false);
    for socket in sockets {
        announce(&socket)?;
        let name = args.name.clone().unwrap_or_else(|| socket.label());
        tokio::spawn(connection::accept(socket, App::new(&name, stopping.clone())));
    }
    drop(stopping);

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.send_replace(true);
    // The channel is closed once the last connection has let go of its app.
    let _ = tokio::time::timeout(GRACE, stop.closed()).await;
    Ok(())
}

/// Serves on a bound listener until the future is dropped.
pub async fn serve(listener: TcpListener, name: String) {
    // Dropping the sender with this future is what stops the connections.
    let (_stop, stopping) = watch::channel(false);
    connection::accept(Socket::Tcp(listener), App::new(&name, stopping)).await;
}

fn announce(socket: &Socket) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "demo listening on {}", socket.url()?)?;
    Ok(stdout.flush()?)
}

fn printable(name: &str) -> Result<String, String> {
    match HeaderValue::from_str(name) {
        Ok(_) => Ok(name.to_owned()),
        Err(_) => Err("it goes into a header; leave out control characters".into()),
    }
}

const GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::testing::Demo;
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        demo: Args,
    }

    #[test]
    fn it_listens_on_port_5001_unless_told_otherwise() {
        let args = Command::parse_from(["demo"]).demo;
        assert_eq!(args.listen, ["127.0.0.1:5001"]);
        let args = Command::parse_from(["demo", "--listen", "[::1]:0", "--listen", "unix:/x"]);
        assert_eq!(args.demo.listen, ["[::1]:0", "unix:/x"]);
    }

    #[test]
    fn a_name_that_no_header_can_carry_is_refused() {
        assert!(Command::try_parse_from(["demo", "--name", "a\nb"]).is_err());
    }

    #[tokio::test]
    async fn dropping_the_server_closes_an_idle_connection() {
        let demo = Demo::start().await;
        let mut client = demo.connect().await;
        client.send("GET /status/200 HTTP/1.1\r\nHost: demo\r\n\r\n").await;
        assert_eq!(client.reply().await.status, 200);
        drop(demo);
        assert_eq!(client.rest().await, b"");
    }

    #[tokio::test]
    async fn dropping_the_server_finishes_the_exchange_in_flight() {
        let demo = Demo::start().await;
        let mut client = demo.connect().await;
        client.send("GET /chunks/3?ms=50 HTTP/1.1\r\nHost: demo\r\n\r\n").await;
        assert_eq!(client.head().await.status, 200);
        drop(demo);
        let rest = String::from_utf8(client.rest().await).unwrap();
        assert!(rest.contains("chunk 3\n") && rest.ends_with("\r\n0\r\n\r\n"), "{rest}");
    }
}
