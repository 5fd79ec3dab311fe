//! What is at the end of the access log: a file, a pipe or a receiver of syslog.

use super::Destination;
use super::syslog::Syslog;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a file is checked for having been moved away.
const CHECK: Duration = Duration::from_secs(1);

/// How long to wait for a pipe that somebody made non-blocking.
const PAUSE: Duration = Duration::from_millis(10);

/// Where the lines end up; unbuffered, because whole batches come.
pub(super) enum Output {
    /// One line after the other.
    Stream(Stream),
    /// One message for each.
    Syslog(Syslog),
}

/// A file or a pipe.
pub(super) struct Stream {
    file: File,
    path: Option<PathBuf>,
    checked: Instant,
    /// Whether nothing was written since it was opened.
    is_new: bool,
    /// Whether the last write broke off inside a line.
    is_torn: bool,
}

/// A write that failed: the lines from the first that is not complete are lost.
#[derive(Debug)]
pub(super) struct Failure {
    /// Why.
    pub(super) error: io::Error,
    /// How many lines.
    pub(super) lost: u64,
}

impl Output {
    /// Opens a destination; `None` if it is off.
    pub(super) fn open(destination: &Destination) -> io::Result<Option<Self>> {
        Ok(Some(Self::Stream(match destination {
            Destination::Off => return Ok(None),
            Destination::Syslog(receiver) => {
                return Ok(Some(Self::Syslog(Syslog::new(receiver.clone()))));
            }
            // Not through `io::stdout`, whose lock and buffer others would wait for.
            Destination::Stdout => Stream::of(io::stdout().as_fd())?,
            Destination::Stderr => Stream::of(io::stderr().as_fd())?,
            Destination::File(path) => Stream::append(path)?,
        })))
    }

    /// Whether it is a file or a pipe in which nothing was written since it was opened.
    pub(super) fn is_new(&self) -> bool {
        matches!(self, Self::Stream(stream) if stream.is_new)
    }

    /// Writes whole lines; blocks as long as the other side of a pipe does not read.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Stream(stream) => stream.write(lines),
            Self::Syslog(syslog) => syslog.write(lines),
        }
    }

    /// Follows a file that was moved away, for log rotation.
    pub(super) fn follow(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.follow(),
            Self::Syslog(_) => Ok(()),
        }
    }

    /// Opens it anew.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.reopen(),
            Self::Syslog(syslog) => {
                syslog.reopen();
                Ok(())
            }
        }
    }
}

impl Stream {
    fn of(end: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self::new(end.try_clone_to_owned()?.into(), None))
    }

    fn append(path: &Path) -> io::Result<Self> {
        Ok(Self::new(append(path)?, Some(path.into())))
    }

    fn new(file: File, path: Option<PathBuf>) -> Self {
        Self { file, path, checked: Instant::now(), is_new: true, is_torn: false }
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), Failure> {
        write(&mut self.file, lines, &mut self.is_torn)?;
        self.is_new = false;
        Ok(())
    }

    /// Opens the file anew if something else, or nothing, has taken its name.
    fn follow(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if self.checked.elapsed() < CHECK {
            return Ok(());
        }
        self.checked = Instant::now();
        let own = self.file.metadata()?;
        let is_same =
            path.metadata().is_ok_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino()));
        if is_same { Ok(()) } else { self.reopen() }
    }

    /// Opens the file anew; if that fails, the old one goes on.
    fn reopen(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        self.file = append(path)?;
        (self.is_new, self.is_torn) = (true, false);
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// After a write that broke off, the torn line is ended first, so that it spoils no other.
fn write(out: &mut impl Write, lines: &[u8], is_torn: &mut bool) -> Result<(), Failure> {
    let lost = |rest: &[u8]| rest.iter().filter(|byte| **byte == b'\n').count() as u64;
    if *is_torn {
        write_all(out, b"\n").map_err(|(error, _)| Failure { error, lost: lost(lines) })?;
        *is_torn = false;
    }
    write_all(out, lines).map_err(|(error, rest)| {
        let written = lines.strip_suffix(rest).unwrap_or_default();
        *is_torn = written.last().is_some_and(|byte| *byte != b'\n');
        Failure { error, lost: lost(rest) }
    })
}

/// On failure with what was not written.
fn write_all<'a>(out: &mut impl Write, bytes: &'a [u8]) -> Result<(), (io::Error, &'a [u8])> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return Err((ErrorKind::WriteZero.into(), rest)),
            Ok(n) => rest = rest.get(n..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => super::writer::pause(PAUSE),
            Err(error) => return Err((error, rest)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then fails.
    struct Narrow {
        room: usize,
        taken: Vec<u8>,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.room).min(3);
            if n == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room -= n;
            self.taken.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_torn_line_spoils_no_other() {
        let mut out = Narrow { room: 7, taken: Vec::new() };
        let mut is_torn = false;
        let failure = write(&mut out, b"one\ntwo2\nthree\n", &mut is_torn).unwrap_err();
        assert_eq!((failure.lost, is_torn), (2, true));

        let failure = write(&mut out, b"four\n", &mut is_torn).unwrap_err();
        assert_eq!((failure.lost, is_torn), (1, true));

        out.room = 100;
        write(&mut out, b"five\n", &mut is_torn).unwrap();
        assert_eq!(out.taken, b"one\ntwo\nfive\n");
    }

    #[test]
    fn a_failure_between_lines_tears_nothing() {
        let mut out = Narrow { room: 4, taken: Vec::new() };
        let mut is_torn = false;
        let failure = write(&mut out, b"one\ntwo\n", &mut is_torn).unwrap_err();
        assert_eq!((failure.lost, is_torn), (1, false));
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let mut output = Stream::append(&path).unwrap();
        output.write(b"old\n").unwrap();
        std::fs::rename(&path, folder.path().join("access.log.1")).unwrap();

        output.checked -= CHECK;
        output.follow().unwrap();
        output.write(b"new\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");

        output.checked -= CHECK;
        output.follow().unwrap();
        output.write(b"more\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\nmore\n");
    }

    #[test]
    fn a_file_that_cannot_be_opened_anew_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("logs");
        std::fs::create_dir(&inner).unwrap();
        let path = inner.join("access.log");
        let mut output = Stream::append(&path).unwrap();
        let moved = folder.path().join("moved");
        std::fs::rename(&inner, &moved).unwrap();
        assert!(output.reopen().is_err());
        output.write(b"old\n").unwrap();
        assert_eq!(std::fs::read_to_string(moved.join("access.log")).unwrap(), "old\n");

        std::fs::create_dir(&inner).unwrap();
        output.reopen().unwrap();
        output.write(b"new\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
    }
}
