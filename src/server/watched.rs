//! The files behind what runs.

use crate::config::{Document, Looks};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;

/// The files behind what runs, as they were when they were read; shared by all who hold it.
#[derive(Clone, Default)]
pub(super) struct Watched(Arc<Mutex<Files>>);

#[derive(Default)]
struct Files {
    document: Seen,
    certificates: Seen,
}

/// Files as they were when they were read, and at the last look.
#[derive(Default)]
struct Seen {
    read: Looks,
    last: Looks,
}

/// What has changed since it was read.
pub(super) struct News {
    pub(super) document: bool,
    pub(super) certificates: bool,
}

impl Watched {
    pub(super) fn of(document: &Document) -> Self {
        let watched = Self::default();
        watched.follow(document);
        watched
    }

    /// Watches the files of a document, and no others.
    pub(super) fn follow(&self, document: &Document) {
        let mut files = self.0.lock();
        files.document.follow(document.files());
        files.certificates.follow(&document.certificate_files());
    }

    /// Watches the files of a document too.
    pub(super) fn add(&self, document: &Document) {
        let mut files = self.0.lock();
        files.document.add(document.files());
        files.certificates.add(&document.certificate_files());
    }

    /// All files are about to be read as they are now.
    pub(super) fn reading(&self) {
        let mut files = self.0.lock();
        files.document.reading();
        files.certificates.reading();
    }

    /// Looks at all files.
    pub(super) fn look(&self) -> News {
        let mut files = self.0.lock();
        News { document: files.document.look(), certificates: files.certificates.look() }
    }
}

impl Seen {
    fn follow(&mut self, paths: &[PathBuf]) {
        self.read = self.read.going_on_with(looks(paths));
        self.last = self.read.clone();
    }

    fn add(&mut self, paths: &[PathBuf]) {
        self.read = looks(paths).and(&self.read);
        self.last = self.read.clone();
    }

    fn reading(&mut self) {
        self.read = self.read.again();
        self.last = self.read.clone();
    }

    /// Whether they have changed, and are at rest again.
    fn look(&mut self) -> bool {
        let now = self.read.again();
        let is_news = now != self.read && now == self.last;
        if is_news {
            self.read = now.clone();
        }
        self.last = now;
        is_news
    }
}

fn looks(paths: &[PathBuf]) -> Looks {
    Looks::at(paths.iter().map(PathBuf::as_path))
}
