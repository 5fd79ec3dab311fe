//! Writes a document's texts to the operator's files.

use crate::config::Texts;
use crate::value::Problem;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Files that wait beside those whose place they are to take.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<Waiting>);

/// A file beside its target; dropped, it is removed.
#[derive(Debug)]
struct Waiting {
    file: PathBuf,
    target: PathBuf,
}

impl Files {
    /// Writes the files that say something else beside them: all of them, or none.
    pub(super) fn prepare(texts: &Texts) -> Result<Self, Problem> {
        let (differing, main) = (texts.differing(), texts.main().0);
        let wanted = texts.files().filter(|(path, _)| differing.iter().any(|other| other == path));
        let prepared = wanted.map(|(path, text)| {
            Waiting::prepare(path, main, text).map_err(|error| unwritable(path, &error))
        });
        prepared.collect::<Result<_, _>>().map(Self)
    }

    /// Has them take their places, each at once: all of them, or none.
    pub(super) fn put(self) -> Result<(), Problem> {
        let mut done = Vec::new();
        for Waiting { file, target } in &self.0 {
            let placed = Earlier::keep(target).and_then(|earlier| {
                done.push(earlier);
                fs::rename(file, target)?;
                File::open(folder(target))?.sync_all()
            });
            if let Err(error) = placed {
                done.into_iter().rev().for_each(Earlier::put_back);
                return Err(unwritable(target, &error));
            }
        }
        Ok(())
    }
}

/// What a file was before another one took its place; dropped, it is forgotten.
#[derive(Debug)]
struct Earlier {
    /// Its second name; `None` if there was no file.
    kept: Option<PathBuf>,
    target: PathBuf,
}

impl Earlier {
    fn keep(target: &Path) -> io::Result<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let kept = target.with_file_name(format!(".{name}.old"));
        // Left behind by a process that is gone.
        let _ = fs::remove_file(&kept);
        let kept = match fs::hard_link(target, &kept) {
            Ok(()) => Some(kept),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { kept, target: target.into() })
    }

    fn put_back(mut self) {
        let back = match self.kept.take() {
            Some(kept) => {
                let back = fs::rename(&kept, &self.target);
                // Two names of one file stay two names.
                let _ = fs::remove_file(kept);
                back
            }
            None => fs::remove_file(&self.target),
        };
        // One whose place was not taken yet has nothing to put back.
        if let Err(error) = back.or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        }) {
            let file = self.target.display();
            tracing::error!(%file, %error, "a file cannot be put back, and says the new text");
        }
    }
}

impl Drop for Earlier {
    fn drop(&mut self) {
        if let Some(kept) = &self.kept {
            let _ = fs::remove_file(kept);
        }
    }
}

impl Waiting {
    /// A new file looks to others like the one whose place it takes, or else like the main one.
    fn prepare(path: &Path, main: &Path, text: &str) -> io::Result<Self> {
        // A link stays one: what it leads to is replaced.
        let target = path.canonicalize().unwrap_or_else(|_| path.into());
        fs::create_dir_all(folder(&target))?;
        let like = fs::metadata(&target).or_else(|_| fs::metadata(main)).ok();
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let file = target.with_file_name(format!(".{name}.new"));
        // Left behind by a process that is gone, or by somebody else: it is not written to.
        let _ = fs::remove_file(&file);
        let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
        let waiting = Self { file, target };
        fill(open, text, like.as_ref())?;
        Ok(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Once it has taken its place, nothing is there.
        let _ = fs::remove_file(&self.file);
    }
}

fn fill(mut file: File, text: &str, like: Option<&Metadata>) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    if let Some(like) = like {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(like.mode() & 0o7777))?;
    }
    file.sync_all()
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Problem {
    let what = format!("`{}` cannot be written: {error}", path.display());
    let remedy = "let the edge's user replace it, or have the document run without writing it";
    Problem::new(what, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{read, read_text, read_texts};
    use std::os::unix::fs::symlink;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_keeps_its_mode_and_a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("real.yaml"), "routes: []").unwrap();
        fs::set_permissions(path("real.yaml"), Permissions::from_mode(0o640)).unwrap();
        symlink("real.yaml", path("falconer.yaml")).unwrap();
        let newer = read_text(&path("falconer.yaml"), "routes: [{reply: {}}]").document;
        Files::prepare(newer.source()).unwrap().put().unwrap();
        assert_eq!(fs::read_to_string(path("real.yaml")).unwrap(), "routes: [{reply: {}}]");
        assert_eq!(fs::metadata(path("real.yaml")).unwrap().mode() & 0o777, 0o640);
        assert!(path("falconer.yaml").is_symlink());
        assert_eq!(names(folder.path()), ["falconer.yaml", "real.yaml"]);
        assert!(newer.source().differing().is_empty());
    }

    #[test]
    fn included_files_come_back_and_what_is_not_put_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("sites")).unwrap();
        fs::write(path("falconer.yaml"), "include: sites/*.yaml").unwrap();
        fs::write(path("sites/a.yaml"), "routes: [{reply: {}}]").unwrap();
        let first = read(&path("falconer.yaml")).document;
        fs::remove_dir_all(path("sites")).unwrap();
        fs::write(path("falconer.yaml"), "routes: []").unwrap();

        drop(Files::prepare(first.source()).unwrap());
        assert_eq!(names(&path("sites")), [""; 0]);
        assert_eq!(fs::read_to_string(path("falconer.yaml")).unwrap(), "routes: []");
        Files::prepare(first.source()).unwrap().put().unwrap();
        assert_eq!(read(&path("falconer.yaml")).document.source(), first.source());
        assert!(read_texts(first.source()).document.source().differing().is_empty());
    }

    #[test]
    fn a_folder_that_takes_no_file_is_told_before_anything_is_written() {
        let text = read_text(Path::new("/proc/none/falconer.yaml"), "routes: []").document;
        let problem = Files::prepare(text.source()).unwrap_err();
        assert!(problem.what.starts_with("`/proc/none/falconer.yaml` cannot be written"));
    }

    #[test]
    fn when_one_cannot_take_its_place_none_does() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a"), "earlier").unwrap();
        fs::create_dir(at("c")).unwrap();
        let waiting = ["a", "b", "c"].map(|name| {
            let file = at(&format!(".{name}.new"));
            fs::write(&file, "later").unwrap();
            Waiting { file, target: at(name) }
        });
        Files(waiting.into()).put().unwrap_err();
        assert_eq!(fs::read_to_string(at("a")).unwrap(), "earlier");
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        left.retain(|entry| entry.as_ref().unwrap().file_name() != "a");
        assert_eq!(left.len(), 1, "the folder alone: {left:?}");
    }
}
