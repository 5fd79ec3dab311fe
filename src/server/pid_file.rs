//! The file that says which process the edge is.

use crate::config::Document;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The name of the file where the document names none.
const NAME: &str = "falconer.pid";

/// A file that holds the id of the process that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// The file as written, else one in the state folder.
    pub(super) fn of(document: &Document, state_dir: Option<&Path>) -> Option<Self> {
        let written = document.server.pid_file.clone();
        written.or_else(|| Some(state_dir?.join(NAME))).map(Self)
    }

    /// Names this process.
    pub(super) fn write(&self) {
        if let Err(error) = self.replace() {
            let file = self.0.display();
            tracing::warn!(%file, %error, "the pid file cannot be written");
        }
    }

    /// Removes it, unless it names another process: one that took over, or one that is started with
    /// the same file.
    pub(super) fn remove_if_own(&self) {
        let named = fs::read_to_string(&self.0).unwrap_or_default();
        if named == text() {
            // Whoever removed it in the meantime did our work.
            let _ = fs::remove_file(&self.0);
        }
    }

    /// Whoever reads it finds the id of one process or of another, and never half of one.
    fn replace(&self) -> io::Result<()> {
        let mut new = self.0.clone().into_os_string();
        new.push(".new");
        // Left behind by a process that ended in between.
        let _ = fs::remove_file(&new);
        let written = File::create_new(&new)
            .and_then(|mut file| file.write_all(text().as_bytes()))
            .and_then(|()| fs::rename(&new, &self.0));
        written.inspect_err(|_| drop(fs::remove_file(&new)))
    }
}

fn text() -> String {
    format!("{}\n", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read_text;

    #[test]
    fn it_names_this_process_and_is_removed_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pid");
        let file = PidFile(path.clone());
        fs::write(&path, "1\n").unwrap();
        file.remove_if_own();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        file.write();
        assert_eq!(fs::read_to_string(&path).unwrap(), text());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing beside it");
        file.remove_if_own();
        assert!(!path.exists());
    }

    #[test]
    fn it_is_where_the_document_says_or_with_the_state() {
        let of = |text: &str| {
            let document = read_text(Path::new("conf/a.yaml"), text).document;
            PidFile::of(&document, Some(Path::new("state")))
        };
        assert_eq!(of("server: {pid_file: a.pid}"), Some(PidFile("conf/a.pid".into())));
        assert_eq!(of("server: {}"), Some(PidFile("state/falconer.pid".into())));
    }
}
