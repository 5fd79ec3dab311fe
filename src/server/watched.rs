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
    /// How certificates were when the document was last read, which may come to nothing.
    tried: Looks,
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
        watched.follow(document, false);
        watched
    }

    /// Watches the files of a document that runs as they were read, and no others; one that came
    /// from elsewhere is beside those of the document, which are still watched.
    pub(super) fn follow(&self, document: &Document, is_beside: bool) {
        let mut files = self.0.lock();
        if !is_beside {
            files.document.follow(document.files());
        }
        files.certificates.read =
            files.certificates.read.clone().and(&std::mem::take(&mut files.tried));
        files.certificates.follow(&document.certificate_files());
    }

    /// Watches the files of a document too.
    pub(super) fn add(&self, document: &Document) {
        let mut files = self.0.lock();
        files.document.add(document.files());
        files.certificates.add(&document.certificate_files());
    }

    /// All files are about to be read as they are now. Those of certificates count as read only
    /// once they are followed: a document that is rejected takes none of them.
    pub(super) fn reading(&self) {
        self.0.lock().document.reading();
        self.reading_certificates();
    }

    /// The same of a document that comes from elsewhere than its files.
    pub(super) fn reading_certificates(&self) {
        let mut files = self.0.lock();
        files.tried = files.certificates.read.again();
    }

    /// Looks at the files of certificates, and at those of the document if that is wanted.
    pub(super) fn look(&self, at_document: bool) -> News {
        let mut files = self.0.lock();
        let document = at_document && files.document.look();
        let news = News { document, certificates: files.certificates.look() };
        if news.certificates {
            files.tried = Looks::default();
        }
        news
    }
}

impl Seen {
    fn follow(&mut self, paths: &[PathBuf]) {
        self.read = self.read.going_on_with(looks(paths));
        self.last = self.read.clone();
    }

    fn add(&mut self, paths: &[PathBuf]) {
        let new = looks(paths);
        self.read = new.clone().and(&self.read);
        self.last = new.and(&self.last);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read_text;
    use std::fs;

    #[test]
    fn what_a_rejected_document_read_is_still_news() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("site.pem"), "1").unwrap();
        let text = "certificates: {site: {chain: site.pem, key: site.key}}";
        let document = read_text(&path("falconer.yaml"), text).document;
        let watched = Watched::of(&document);
        assert!(!watched.look(true).certificates);
        fs::write(path("site.pem"), "22").unwrap();
        assert!(!watched.look(true).certificates, "it may still be written to");
        for _ in 0..2 {
            // Whoever reloads in the meantime must not keep it from coming to rest.
            watched.reading();
            watched.add(&document);
        }
        assert!(watched.look(true).certificates);
        assert!(!watched.look(true).certificates, "it was told");

        fs::write(path("site.pem"), "333").unwrap();
        watched.reading();
        watched.follow(&document, false);
        assert!(
            !watched.look(true).certificates && !watched.look(true).certificates,
            "it was read"
        );
    }
}
