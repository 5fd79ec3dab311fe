//! Large bodies pass in bounded memory, and nobody's slowness makes the edge buffer.

use super::{By, To, before, ways};
use crate::support::{Download, Edge, Feed, Gate, Reply, Seen, Upload, eventually};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinHandle;

const MIB: u64 = 1024 * 1024;
/// What a body of any length may cost the process.
pub(super) const BOUND: u64 = 64 * MIB;
const PIECE: usize = 64 * 1024;

/// A body of so many bytes: its pieces, and its hash.
pub(super) fn body(length: u64) -> (Vec<Bytes>, String) {
    // A prime, so that a lost or doubled piece changes the hash.
    let pattern: Bytes = (0..PIECE + 251).map(|n| (n % 251) as u8).collect();
    let mut hash = Sha256::new();
    let pieces = (0..length / PIECE as u64).map(|n| {
        let start = (n as usize * PIECE) % 251;
        let piece = pattern.slice(start..start + PIECE);
        hash.update(&piece);
        piece
    });
    let pieces = pieces.collect();
    (pieces, format!("{:x}", hash.finalize()))
}

fn fed(pieces: &[Bytes]) -> Feed {
    let feed = Feed::new();
    pieces.iter().for_each(|piece| feed.send(piece.clone()));
    feed.end();
    feed
}

/// An edge that takes bodies of any size, after its first request.
async fn warm(to: To, origin: &crate::support::Origin) -> Edge {
    let protocol = if to == To::H2 { "protocol: h2" } else { "" };
    let edge = before(origin).listener("limits: {body_size: off}").upstream(protocol);
    let edge = edge.start().await;
    for by in By::ALL {
        assert_eq!(by.client(&edge).get("/warm").await.status, 200);
    }
    edge
}

async fn download(by: By, to: To, length: u64) {
    let (pieces, expected) = body(length);
    let reply = Reply::new(200).header("content-length", length).fed_by(&fed(&pieces));
    let origin = to.origin().status("/warm", 200).answer("/", reply).start().await;
    let edge = warm(to, &origin).await;
    let before = edge.process().resident();

    let mut flow = by.client(&edge).request("GET", "/").open().await;
    assert_eq!(flow.head().await.status, 200);
    let mut hash = Sha256::new();
    flow.rest(|piece| hash.update(piece)).await.unwrap();
    assert_eq!(format!("{:x}", hash.finalize()), expected, "{by:?} {to:?}");
    let grown = edge.process().peak().saturating_sub(before);
    assert!(grown < BOUND, "{by:?} {to:?}: grew by {} MiB", grown / MIB);
    let line = edge.logged("the download", |line| line["path"] == "/").await;
    assert_eq!(line["bytes_sent"], length);
}

async fn upload(by: By, to: To, length: u64) {
    let (pieces, expected) = body(length);
    let origin = to.origin().status("/warm", 200).reply("/", "thanks").start().await;
    let edge = warm(to, &origin).await;
    let before = edge.process().resident();

    let request = by.client(&edge).request("POST", "/").header("content-length", length);
    let mut flow = request.open().await;
    for piece in pieces {
        flow.write(piece).await;
    }
    flow.finish().await;
    assert_eq!(flow.head().await.status, 200);
    assert_eq!(flow.bytes(6).await, b"thanks");
    let request = origin.requests().pop().unwrap();
    assert_eq!((request.length, request.sha256()), (length, expected), "{by:?} {to:?}");
    let grown = edge.process().peak().saturating_sub(before);
    assert!(grown < BOUND, "{by:?} {to:?}: grew by {} MiB", grown / MIB);
    let line = edge.logged("the upload", |line| line["path"] == "/").await;
    assert_eq!(line["bytes_received"], length);
}

#[tokio::test]
async fn large_downloads_arrive_whole_in_bounded_memory() {
    for (by, to) in ways() {
        download(by, to, 100 * MIB).await;
    }
}

#[tokio::test]
async fn large_uploads_arrive_whole_in_bounded_memory() {
    for (by, to) in ways() {
        upload(by, to, 100 * MIB).await;
    }
}

#[tokio::test]
async fn a_gibibyte_goes_down_and_up_in_bounded_memory() {
    download(By::H1, To::H1, 1024 * MIB).await;
    upload(By::H1, To::H1, 1024 * MIB).await;
}

/// The value of a counter when it has stopped for a while.
pub(super) async fn settled(what: &str, look: impl Fn() -> u64) -> u64 {
    let (mut last, mut same) = (0, 0);
    eventually(what, async || {
        let now = look();
        same = if now > 0 && now == last { same + 1 } else { 0 };
        last = now;
        (same >= 25).then_some(now)
    })
    .await
}

/// Buffers of the system between three processes, and ours.
const ON_ITS_WAY: u64 = 48 * MIB;
pub(super) const TOTAL: u64 = 96 * MIB;

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_endpoint_back() {
    for (by, to) in ways() {
        let (pieces, expected) = body(TOTAL);
        let feed = fed(&pieces);
        let reply = Reply::new(200).fed_by(&feed);
        let origin = to.origin().status("/warm", 200).answer("/", reply).start().await;
        let edge = warm(to, &origin).await;
        let before = edge.process().resident();

        let mut flow = by.client(&edge).request("GET", "/").open().await;
        assert_eq!(flow.head().await.status, 200);
        let sent = || feed.sent() as u64 * PIECE as u64;
        let held = settled("the endpoint to be held back", sent).await;
        assert!(held < ON_ITS_WAY, "{by:?} {to:?}: {} MiB were sent", held / MIB);
        let grown = edge.process().peak().saturating_sub(before);
        assert!(grown < BOUND, "{by:?} {to:?}: grew by {} MiB", grown / MIB);

        let mut hash = Sha256::new();
        flow.rest(|piece| hash.update(piece)).await.unwrap();
        assert_eq!(format!("{:x}", hash.finalize()), expected, "{by:?} {to:?}");
    }
}

/// Writes a body beside the test, and counts.
fn writing(mut up: Upload, pieces: Vec<Bytes>) -> (JoinHandle<Upload>, Arc<AtomicU64>) {
    let written = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&written);
    let task = tokio::spawn(async move {
        for piece in pieces {
            up.write(piece).await;
            counter.fetch_add(PIECE as u64, Ordering::Relaxed);
        }
        up.finish().await;
        up
    });
    (task, written)
}

/// An upload that is begun and held back, because something after the client does not read.
async fn held_back(
    by: By,
    to: To,
    edge: &Edge,
    pieces: Vec<Bytes>,
) -> (JoinHandle<Upload>, Download) {
    let flow = by.client(edge).request("POST", "/").chunked().open().await;
    let (up, down) = flow.split();
    let (writing, written) = writing(up, pieces);
    let held = settled("the client to be held back", || written.load(Ordering::Relaxed)).await;
    assert!(held < ON_ITS_WAY, "{by:?} {to:?}: {} MiB were sent", held / MIB);
    (writing, down)
}

#[tokio::test]
async fn bodies_flow_both_ways_at_once_though_the_client_begins_late_to_read() {
    for (by, to) in ways() {
        let (pieces, expected) = body(TOTAL);
        let origin = to.origin().before_body().answer("/", Reply::echo());
        let origin = origin.status("/warm", 200).start().await;
        let edge = warm(to, &origin).await;
        let before = edge.process().resident();

        let (writing, mut down) = held_back(by, to, &edge, pieces).await;

        assert_eq!(down.head().await.status, 200);
        let mut hash = Sha256::new();
        down.rest(|piece| hash.update(piece)).await.unwrap();
        assert_eq!(format!("{:x}", hash.finalize()), expected, "{by:?} {to:?}");
        writing.await.unwrap();
        let grown = edge.process().peak().saturating_sub(before);
        assert!(grown < BOUND, "{by:?} {to:?}: grew by {} MiB", grown / MIB);
    }
}

#[tokio::test]
async fn a_response_in_small_pieces_and_a_request_do_not_wait_for_each_other() {
    let length = 8 * MIB;
    for (by, to) in ways() {
        let (pieces, _) = body(length);
        let origin = to.origin().before_body().answer("/", Reply::echo_in(1000));
        let origin = origin.status("/warm", 200).start().await;
        let edge = warm(to, &origin).await;
        let flow = by.client(&edge).request("POST", "/").chunked().open().await;
        let (up, mut down) = flow.split();
        let (writing, _) = writing(up, pieces);
        assert_eq!(down.head().await.status, 200);
        let mut came = 0;
        down.rest(|piece| came += piece.len() as u64).await.unwrap();
        assert_eq!(came, length, "{by:?} {to:?}");
        writing.await.unwrap();
    }
}

#[tokio::test]
async fn an_endpoint_that_does_not_read_holds_the_client_back() {
    for (by, to) in ways() {
        let (pieces, expected) = body(TOTAL);
        let gate = Gate::new();
        let origin = to.origin().reads_body_after(&gate).reply("/", "thanks").start().await;
        let edge = before(&origin).listener("limits: {body_size: off}");
        let edge = edge.upstream(if to == To::H2 { "protocol: h2" } else { "" }).start().await;
        let before = edge.process().resident();

        let (writing, mut down) = held_back(by, to, &edge, pieces).await;
        let grown = edge.process().peak().saturating_sub(before);
        assert!(grown < BOUND, "{by:?} {to:?}: grew by {} MiB", grown / MIB);

        gate.open();
        let whole = |seen: &Seen| seen.requests.first().is_some_and(|r| r.complete);
        origin.until("a whole body", whole).await;
        writing.await.unwrap();
        assert_eq!(down.head().await.status, 200);
        let request = origin.request().await;
        assert_eq!((request.length, request.sha256()), (TOTAL, expected), "{by:?} {to:?}");
    }
}
