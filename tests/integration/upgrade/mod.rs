//! Upgrade: another process takes the place of the edge, and nobody notices.

mod failing;
mod killed;
mod place;
mod streams;
mod under_load;

use crate::support::{Edge, eventually};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A program that an edge is told to start instead of itself.
fn program(edge: &Edge, text: &str) -> String {
    let path = edge.file("program");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A falconer that begins only when there is a file `go`.
fn late(edge: &Edge) -> String {
    let (go, binary) = (edge.file("go"), env!("CARGO_BIN_EXE_falconer"));
    let wait = format!("while [ ! -e {go:?} ]; do sleep 0.02; done");
    program(edge, &format!("#!/bin/sh\n{wait}\nexec {binary:?} \"$@\"\n"))
}

/// The process that was started first in the place of the edge.
async fn started(edge: &Edge) -> i32 {
    eventually("a process", async || edge.started().first().copied()).await
}
