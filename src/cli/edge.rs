//! How commands speak to a running edge: over the socket in its state folder.

use crate::config;
use crate::server;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Asks the edge of a document for something, and gives its answer; an error says why there is none.
pub(super) fn ask<T: DeserializeOwned>(file: &Path, request: &str) -> Result<T, String> {
    let socket = &server::state_dir_of(file).join(server::SOCKET);
    let ask = || exchange(socket, request, None);
    // Another process may just have taken the place of the one that was asked: once more, then.
    let is_news = |answer: &String| !answer.starts_with("HTTP/1.1 503");
    let answer = match ask() {
        Ok(answer) if !is_news(&answer) => ask().or(Ok(answer)),
        done => done,
    };
    let answer = answer.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            let socket = socket.display();
            let remedy = if config::read(file).is_sound() {
                "start one, name its document with `-c FILE`, or set STATE_DIRECTORY as its service \
                 does; one that runs with another `state_dir` than the document names now is upgraded \
                 by SIGUSR2"
            } else {
                "the document has mistakes, and may not say where; try `falconer check`"
            };
            format!("no edge answers at `{socket}`: {remedy}")
        }
        io::ErrorKind::PermissionDenied => {
            let socket = socket.display();
            format!("the edge cannot be spoken to at `{socket}`: be the user that it runs as")
        }
        _ => format!("the edge does not answer: {error}"),
    })?;
    understand(&answer)
}

/// Asks the processes that drain because another one took their place; one that ends meanwhile
/// has nothing to say.
pub(super) fn ask_draining<T: DeserializeOwned>(file: &Path, request: &str) -> Vec<T> {
    let sockets = server::draining(&server::state_dir_of(file));
    let patience = Some(Duration::from_secs(2));
    let answers = sockets.iter().filter_map(|socket| exchange(socket, request, patience).ok());
    answers.filter_map(|answer| understand(&answer).ok()).collect()
}

fn understand<T: DeserializeOwned>(answer: &str) -> Result<T, String> {
    match answer.split_once("\r\n\r\n") {
        // What is no answer to the question is a sentence.
        Some((_, body)) if !body.is_empty() => {
            serde_json::from_str(body).map_err(|_| body.trim_end().to_owned())
        }
        _ => Err("the edge ended before it had answered".to_owned()),
    }
}

/// Sends a request whose answer ends with the connection.
fn exchange(socket: &Path, request: &str, patience: Option<Duration>) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    let head = format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    stream.write_all(format!("{head}Content-Length: 0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
