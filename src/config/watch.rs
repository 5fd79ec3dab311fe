//! Whether files are what they were.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What files looked like at one moment: enough to see that one was written or replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looks(BTreeMap<PathBuf, Option<Look>>);

/// A file, behind all links; mounted secrets and checkouts change by their links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    device: u64,
    number: u64,
    size: u64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

impl Looks {
    /// Looks at files now.
    pub fn at<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let look = |path: &Path| (path.to_owned(), std::fs::metadata(path).ok().map(Look::of));
        Self(paths.into_iter().map(look).collect())
    }

    /// Looks at the same files again.
    #[must_use]
    pub fn again(&self) -> Self {
        Self::at(self.0.keys().map(PathBuf::as_path))
    }

    /// These files and others; what both have looks as it did to the others.
    #[must_use]
    pub fn and(mut self, others: &Self) -> Self {
        self.0.extend(others.0.iter().map(|(path, look)| (path.clone(), *look)));
        self
    }

    /// Takes other files, of which those that are here too look as they did here.
    #[must_use]
    pub fn going_on_with(&self, mut others: Self) -> Self {
        for (path, look) in &mut others.0 {
            if let Some(known) = self.0.get(path) {
                *look = *known;
            }
        }
        others
    }
}

impl Look {
    #[expect(clippy::needless_pass_by_value, reason = "it maps over what is owned")]
    fn of(file: Metadata) -> Self {
        Self {
            device: file.dev(),
            number: file.ino(),
            size: file.size(),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_that_is_written_replaced_linked_anew_or_gone_looks_different() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("one"), "1").unwrap();
        fs::write(path("two"), "2").unwrap();
        symlink("one", path("link")).unwrap();
        let watched = [path("link"), path("none")];
        let first = Looks::at(watched.iter().map(PathBuf::as_path));
        assert_eq!(first.again(), first);
        fs::write(path("one"), "longer").unwrap();
        let written = first.again();
        assert_ne!(written, first);
        fs::remove_file(path("link")).unwrap();
        symlink("two", path("link")).unwrap();
        let linked = written.again();
        assert_ne!(linked, written);
        fs::write(path("none"), "").unwrap();
        let appeared = linked.again();
        assert_ne!(appeared, linked);
        fs::remove_file(path("two")).unwrap();
        assert_ne!(appeared.again(), appeared);
    }

    #[test]
    fn what_was_seen_before_stays_as_it_was_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let before = Looks::at([&*path]);
        fs::write(&path, "since then").unwrap();
        let after = Looks::at([&*path, folder.path()]);
        assert_ne!(before.going_on_with(after.clone()), after);
        assert_eq!(before.going_on_with(after.clone()), after.clone().and(&before));
        assert_eq!(after.going_on_with(after.clone()), after);
    }
}
