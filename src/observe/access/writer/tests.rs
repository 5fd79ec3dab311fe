use super::*;
use crate::observe::access::Destination;
use std::io::{BufRead, BufReader, pipe};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

const SOON: Duration = Duration::from_secs(10);

fn to(path: PathBuf) -> Config {
    Config { path: Destination::File(path), ..Config::default() }
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap().lines().count()
}

fn dropped(registry: &Registry) -> u64 {
    registry.counter("falconer_observe_access_log_dropped_total", "", &[]).handle(&[]).value()
}

fn errors(registry: &Registry) -> u64 {
    registry.counter("falconer_observe_access_log_write_errors_total", "", &[]).handle(&[]).value()
}

#[track_caller]
fn wait_until(deadline: Duration, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < deadline, "not within {deadline:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_line_is_in_the_file_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let writer = Writer::start(&to(path.clone()), &Registry::new()).unwrap();
    writer.sender().record(&Record::full());
    wait_until(Duration::from_secs(1), || lines(&path) == 1);
}

#[test]
fn closing_writes_what_is_queued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let registry = Registry::new();
    let writer = Writer::start(&to(path.clone()), &registry).unwrap();
    let sender = writer.sender();
    for _ in 0..QUEUE {
        sender.record(&Record::full());
    }
    assert!(writer.close(SOON));
    assert_eq!(lines(&path), QUEUE);
    assert_eq!(dropped(&registry), 0);

    sender.record(&Record::full());
    assert_eq!(dropped(&registry), 1);
    assert!(writer.close(SOON), "closing twice is harmless");
}

#[test]
fn a_stalled_pipe_drops_and_counts_but_blocks_nobody() {
    const SENT: usize = 3 * QUEUE;
    let (reader, end) = pipe().unwrap();
    let registry = Registry::new();
    let config = to(format!("/proc/self/fd/{}", end.as_raw_fd()).into());
    let writer = Writer::start(&config, &registry).unwrap();
    let sender = writer.sender();
    let start = Instant::now();
    for _ in 0..SENT {
        sender.record(&Record::full());
    }
    assert!(start.elapsed() < SOON);
    assert!(dropped(&registry) > 0);
    assert!(!writer.close(Duration::from_millis(50)), "nobody reads yet");

    // Once somebody reads, every line that was not dropped arrives whole.
    drop(end);
    drop(sender);
    let arrived = BufReader::new(reader).lines().map(Result::unwrap).map(|line| {
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
    });
    assert_eq!(arrived.count() as u64 + dropped(&registry), SENT as u64);
    assert!(writer.close(SOON));
    assert_eq!(errors(&registry), 0);
}

#[test]
fn a_full_disk_is_counted_and_does_not_end_the_thread() {
    let registry = Registry::new();
    let writer = Writer::start(&to("/dev/full".into()), &registry).unwrap();
    let sender = writer.sender();
    for round in 1..=3 {
        sender.record(&Record::full());
        wait_until(SOON, || errors(&registry) == round);
    }
    assert_eq!(dropped(&registry), 3);
}

#[test]
fn a_reader_that_leaves_is_counted() {
    let (reader, end) = pipe().unwrap();
    let registry = Registry::new();
    let config = to(format!("/proc/self/fd/{}", end.as_raw_fd()).into());
    let writer = Writer::start(&config, &registry).unwrap();
    drop(reader);
    writer.sender().record(&Record::full());
    wait_until(SOON, || errors(&registry) == 1);
}

#[test]
fn the_thread_ends_with_the_last_sender() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let writer = Writer::start(&to(path.clone()), &Registry::new()).unwrap();
    let sender = writer.sender();
    let Writer { sender: own, ended, .. } = writer;
    sender.record(&Record::full());
    drop((sender, own));
    let end = ended.lock().recv_timeout(SOON);
    assert_eq!(end, Err(RecvTimeoutError::Disconnected));
    assert_eq!(lines(&path), 1);
}

#[test]
fn a_file_is_opened_anew_on_demand_and_every_line_is_in_one_of_the_two() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let writer = Writer::start(&to(path.clone()), &Registry::new()).unwrap();
    let sender = writer.sender();
    for _ in 0..100 {
        sender.record(&Record::full());
    }
    std::fs::rename(&path, &moved).unwrap();
    writer.reopen();
    // Nothing more has to be logged for it.
    wait_until(SOON, || path.exists());
    for _ in 0..100 {
        sender.record(&Record::full());
    }
    assert!(writer.close(SOON));
    assert!(lines(&path) >= 100);
    assert_eq!(lines(&moved) + lines(&path), 200);
}

#[test]
fn a_w3c_file_begins_with_its_fields_each_time_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let config = Config { format: Format::W3c, ..to(path.clone()) };
    let writer = Writer::start(&config, &Registry::new()).unwrap();
    writer.sender().record(&Record::full());
    wait_until(SOON, || lines(&path) == 5);
    std::fs::rename(&path, &moved).unwrap();
    writer.reopen();
    wait_until(SOON, || path.exists());
    assert_eq!(lines(&path), 0, "it begins with the first line");
    writer.sender().record(&Record::full());
    assert!(writer.close(SOON));
    let (old, new) = [&moved, &path].map(|path| std::fs::read_to_string(path).unwrap()).into();
    assert_eq!(old.lines().count(), 5);
    assert!(new.starts_with("#Software: ") && new.lines().count() == 5, "{new}");
}

#[test]
fn what_is_off_is_never_made() {
    let config = Config { path: Destination::Off, ..Config::default() };
    let writer = Writer::start(&config, &Registry::new()).unwrap();
    assert!(!writer.sender().wants(200));
    writer.reopen();
    writer.sender().record(&Record::full());
    assert!(writer.close(SOON));
}

#[test]
fn a_destination_that_cannot_be_opened_is_an_error() {
    let missing = to("/nowhere/at/all/access.log".into());
    assert!(Writer::start(&missing, &Registry::new()).is_err());
}
