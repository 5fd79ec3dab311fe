//! How commands speak to a running edge: over the socket in its state folder.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Asks the edge behind a socket to do something, and gives its answer; an error says why not.
pub(super) fn post(socket: &Path, path: &str) -> Result<String, String> {
    let answer = exchange(socket, path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            let socket = socket.display();
            format!("no edge answers at `{socket}`: start one, or name its document with `-c FILE`")
        }
        io::ErrorKind::PermissionDenied => {
            let socket = socket.display();
            format!("the edge cannot be spoken to at `{socket}`: be the user that it runs as")
        }
        _ => format!("the edge does not answer: {error}"),
    })?;
    match answer.split_once("\r\n\r\n") {
        Some((_, body)) if !body.is_empty() => Ok(body.to_owned()),
        _ => Err("the edge ended before it had answered".to_owned()),
    }
}

/// Sends a request whose answer ends with the connection.
fn exchange(socket: &Path, path: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    stream.write_all(format!("{head}Content-Length: 0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
