//! Takes lines off the way of the requests.

use super::output::Output;
use super::syslog::Head;
use super::{Class, Config, Destination, Format, Record, combined, json, w3c};
use crate::expr::Variable;
use crate::observe::log::Throttle;
use crate::observe::{Counter, Registry};
use parking_lot::Mutex;
use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, SystemTime};
use std::{fmt, io};

/// Lines that wait at most; further ones are dropped and counted.
const QUEUE: usize = 8_192;

/// Bytes after which a batch is written even though more lines wait.
const BATCH: usize = 64 * 1024;

/// How long lines are gathered; it saves the requests from waking the thread one by one.
const GATHER: Duration = Duration::from_millis(10);

/// How often a failing write may be logged.
const COMPLAIN: Duration = Duration::from_secs(60);

/// Writes the access log until the last [`Sender`] is gone or it is closed.
///
/// It has a thread of its own, because a pipe that nobody reads may block it for ever: on a
/// runtime's thread it would hold up exchanges, or the shutdown. It must therefore be started
/// after the process has become a daemon.
#[derive(Debug)]
pub struct Writer {
    sender: Sender,
    wishes: Arc<Wishes>,
    /// Ends with the thread; nothing is ever sent.
    ended: Mutex<Receiver<Infallible>>,
}

/// What the thread shall do besides writing.
#[derive(Debug, Default)]
struct Wishes {
    close: AtomicBool,
    reopen: AtomicBool,
}

/// Makes the lines of exchanges and hands them to the writer; cheap to clone.
#[derive(Clone, Debug)]
pub struct Sender(To);

#[derive(Clone, Debug)]
enum To {
    Nowhere,
    Writer(Queue),
    Keeper(SyncSender<Outcome>),
}

#[derive(Clone, Debug)]
struct Queue {
    /// `None` only wakes the thread up.
    lines: SyncSender<Option<Box<str>>>,
    shape: Arc<Shape>,
    dropped: Counter,
}

/// Which lines are written, and how.
#[derive(Debug)]
struct Shape {
    /// The classes that are written; none means all.
    only: Vec<Class>,
    format: Format,
    /// What the line wants besides the record.
    further: Vec<Variable>,
    /// What stands before the line of an exchange.
    head: Option<Head>,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The status the client got, or would have got.
    pub status: u16,
    /// Why the exchange failed.
    pub cause: Option<&'static str>,
}

thread_local! {
    /// The line that is being made; what is queued is a copy that fits it.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Writer {
    /// Opens the destination and starts the thread; there is none if the access log is off.
    pub fn start(config: &Config, registry: &Registry) -> io::Result<Self> {
        let dropped = registry.counter(
            "falconer_observe_access_log_dropped_total",
            "Lines of the access log that were lost.",
            &[],
        );
        let errors = registry.counter(
            "falconer_observe_access_log_write_errors_total",
            "Writes of the access log that failed.",
            &[],
        );
        let (dropped, errors) = (dropped.handle(&[]), errors.handle(&[]));
        let wishes = Arc::<Wishes>::default();
        let (alive, ended) = mpsc::sync_channel(0);
        let ended = Mutex::new(ended);
        let Some(output) = Output::open(&config.path)? else {
            return Ok(Self { sender: Sender::off(), wishes, ended });
        };
        let (lines, queue) = mpsc::sync_channel(QUEUE);
        let shape = Arc::new(Shape::new(config));
        let sender = Sender(To::Writer(Queue { lines, shape, dropped: dropped.clone() }));
        let task = Task {
            queue,
            wishes: Arc::clone(&wishes),
            is_w3c: config.format == Format::W3c,
            lines: String::with_capacity(BATCH),
            output,
            dropped,
            errors,
            complaints: Throttle::new(COMPLAIN),
            _alive: alive,
        };
        spawn(task)?;
        Ok(Self { sender, wishes, ended })
    }

    /// A handle for the exchanges of a snapshot.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Has the file opened anew, as after it was moved away; no line is lost.
    pub fn reopen(&self) {
        self.wishes.reopen.store(true, Ordering::Release);
        self.wake();
    }

    /// Writes what is queued and ends the thread; `false` if that took longer than `timeout`.
    ///
    /// It blocks, and is meant for the end of the process.
    pub fn close(&self, timeout: Duration) -> bool {
        self.wishes.close.store(true, Ordering::Release);
        self.wake();
        self.ended.lock().recv_timeout(timeout) == Err(RecvTimeoutError::Disconnected)
    }

    fn wake(&self) {
        if let Sender(To::Writer(queue)) = &self.sender {
            // If the queue is full the thread is awake anyway.
            let _ = queue.lines.try_send(None);
        }
    }
}

impl Sender {
    /// A sender whose records go nowhere.
    pub fn off() -> Self {
        Self(To::Nowhere)
    }

    /// A sender of which no line is made: its maker gets to know how exchanges end.
    pub fn kept() -> (Self, Kept) {
        let (outcomes, kept) = mpsc::sync_channel(QUEUE);
        (Self(To::Keeper(outcomes)), Kept(kept))
    }

    /// Whether the record of an exchange with this status is written, so that none is made in vain.
    pub fn wants(&self, status: u16) -> bool {
        match &self.0 {
            To::Nowhere => false,
            To::Writer(queue) => Class::are_met(&queue.shape.only, status),
            To::Keeper(_) => true,
        }
    }

    /// What a record must bring besides its own fields, for the line that the document wants.
    pub fn further(&self) -> &[Variable] {
        match &self.0 {
            To::Writer(queue) => &queue.shape.further,
            To::Nowhere | To::Keeper(_) => &[],
        }
    }

    /// Queues the line of an exchange; never blocks, but drops it if too many wait.
    pub fn record(&self, record: &Record<'_>) {
        match &self.0 {
            To::Nowhere => {}
            To::Writer(queue) => queue.record(record),
            To::Keeper(outcomes) => {
                // Whoever asks for one exchange gets the first.
                let _ = outcomes.try_send(Outcome { status: record.status, cause: record.cause });
            }
        }
    }
}

impl Queue {
    fn record(&self, record: &Record<'_>) {
        let line = LINE.with_borrow_mut(|line| {
            line.clear();
            let written = self.shape.write(record, line);
            debug_assert!(written.is_ok(), "a string takes every text");
            Box::from(line.as_str())
        });
        if self.lines.try_send(Some(line)).is_err() {
            self.dropped.inc();
        }
    }
}

impl Shape {
    fn new(config: &Config) -> Self {
        Self {
            only: config.only.clone(),
            format: config.format.clone(),
            further: match &config.format {
                Format::Template(line) => line.further(),
                _ => Vec::new(),
            },
            head: matches!(config.path, Destination::Syslog(_)).then(Head::new),
        }
    }

    fn write(&self, record: &Record<'_>, line: &mut String) -> fmt::Result {
        if let Some(head) = &self.head {
            head.write(record, line)?;
        }
        match &self.format {
            Format::Common => combined::write_common(record, line),
            Format::Combined => combined::write(record, line),
            Format::Json => json::write(record, line)?,
            Format::W3c => w3c::write(record, line)?,
            Format::Template(template) => template.write(record, &self.further, line)?,
        }
        Ok(())
    }
}

/// How exchanges ended of which no line was made.
#[derive(Debug)]
pub struct Kept(Receiver<Outcome>);

impl Kept {
    /// The next one, if there is one.
    pub fn take(&self) -> Option<Outcome> {
        self.0.try_recv().ok()
    }
}

/// What the thread owns.
struct Task {
    queue: Receiver<Option<Box<str>>>,
    wishes: Arc<Wishes>,
    is_w3c: bool,
    lines: String,
    output: Output,
    dropped: Counter,
    errors: Counter,
    complaints: Throttle,
    _alive: SyncSender<Infallible>,
}

impl Task {
    fn run(mut self) {
        while let Ok(first) = self.queue.recv() {
            if !self.is_closing() {
                pause(GATHER);
            }
            self.append(first);
            self.drain();
            if self.is_closing() {
                // What came before the closing, but behind the drain.
                self.drain();
                return;
            }
        }
    }

    /// Writes what is queued.
    fn drain(&mut self) {
        while let Ok(next) = self.queue.try_recv() {
            self.append(next);
        }
        self.write();
    }

    fn is_closing(&self) -> bool {
        self.wishes.close.load(Ordering::Acquire)
    }

    fn append(&mut self, line: Option<Box<str>>) {
        let Some(line) = line else { return };
        self.lines.push_str(&line);
        if self.lines.len() >= BATCH {
            self.write();
        }
    }

    fn write(&mut self) {
        let opened = match self.wishes.reopen.swap(false, Ordering::AcqRel) {
            true => self.output.reopen(),
            false => self.output.follow(),
        };
        if let Err(error) = opened {
            self.complain(&error);
        }
        if self.lines.is_empty() {
            return;
        }
        if self.is_w3c && self.output.is_new() {
            self.begin();
        }
        if let Err(failure) = self.output.write(self.lines.as_bytes()) {
            self.dropped.add(failure.lost);
            self.complain(&failure.error);
        }
        self.lines.clear();
    }

    /// Writes the lines that begin a file; they are no exchange's, so none of them is counted.
    fn begin(&mut self) {
        let mut lines = String::new();
        let written = w3c::begin(SystemTime::now(), &mut lines);
        debug_assert!(written.is_ok(), "a string takes every text");
        if let Err(failure) = self.output.write(lines.as_bytes()) {
            self.complain(&failure.error);
        }
    }

    fn complain(&self, error: &io::Error) {
        self.errors.inc();
        if let Some(suppressed) = self.complaints.allow() {
            tracing::error!(%error, suppressed, "the access log cannot be written");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "may block for ever, see `Writer`")]
fn spawn(task: Task) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("access-log".into());
    thread.spawn(move || task.run()).map(drop)
}

/// Lets the writer's thread wait.
#[expect(clippy::disallowed_methods, reason = "the thread is the writer's own")]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests;
