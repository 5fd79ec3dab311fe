//! The documents that ran, kept in the state folder as they were read.

use crate::config::Texts;
use crate::observe::Rfc3339;
use crate::runtime::{By, Fate, Kept};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How many documents of a main file are kept that ran, and of how many is known that they did not.
const MOST: usize = 10;

/// How a file is named while it is written.
const UNFINISHED: &str = "new";

/// The documents of one main file: each once, at the time when it last began to run.
#[derive(Debug)]
pub(super) struct History {
    folder: PathBuf,
    /// The main file, wherever the process runs.
    main: PathBuf,
    /// The oldest first.
    known: Vec<Known>,
}

/// What is known of a file.
#[derive(Debug)]
struct Known {
    number: u64,
    kept: Kept,
    digest: String,
}

/// What a file holds.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    kept: Kept,
    main: PathBuf,
    /// The folder that its paths are relative to.
    folder: PathBuf,
    /// Of the texts.
    digest: String,
    /// Nothing, if it did not run.
    texts: Texts,
}

impl History {
    /// What was kept of a main file in a state folder.
    pub(super) fn open(state_dir: &Path, main: &Path) -> Self {
        let folder = state_dir.join("documents");
        let main = std::path::absolute(main).unwrap_or_else(|_| main.into());
        let mut history = Self { folder, main, known: Vec::new() };
        history.tidy();
        let mut numbers: Vec<_> = history.files().collect();
        numbers.sort_unstable();
        for number in numbers {
            match history.read(number) {
                Ok(Record { kept, main, digest, .. }) if main == history.main => {
                    history.known.push(Known { number, kept, digest });
                }
                Ok(_) => {}
                Err(error) => {
                    let file = history.path(number);
                    tracing::warn!(file = %file.display(), %error, "a kept document is passed over");
                }
            }
        }
        history
    }

    /// Keeps a document that began to run, or that another one was rejected.
    pub(super) fn keep(&mut self, texts: &Texts, by: By, fate: Fate) -> io::Result<()> {
        let time = Rfc3339(SystemTime::now()).to_string();
        let kept = Kept { time, by, fate, steps: None };
        let is_applied = kept.fate.is_applied();
        let texts = if is_applied { texts.clone() } else { Texts::default() };
        let digest = digest(&texts)?;
        let (main, folder) = (self.main.clone(), std::env::current_dir()?);
        let record = Record { kept: kept.clone(), main, folder, digest: digest.clone(), texts };
        // A process that came to nothing in the place of this one may have kept some too.
        let number = self.files().max().map_or(1, |last| last + 1);
        self.write(number, &serde_json::to_vec(&record)?)?;
        if is_applied {
            self.forget(|known| known.digest == digest);
        }
        self.known.push(Known { number, kept, digest });
        for is_applied in [true, false] {
            let mut all: Vec<_> = self.numbers(is_applied).collect();
            let old = all.len().saturating_sub(MOST);
            all.truncate(old);
            self.forget(|known| all.contains(&known.number));
        }
        Ok(())
    }

    /// Keeps a document in the place of one that says the same in other words.
    pub(super) fn reword(
        &mut self,
        before: &Texts,
        texts: &Texts,
        by: By,
        generation: u64,
    ) -> io::Result<()> {
        if before == texts {
            return Ok(());
        }
        self.keep(texts, by, Fate::Applied { generation })?;
        let before = digest(before)?;
        self.forget(|known| known.digest == before);
        Ok(())
    }

    /// The document so many steps before the one that runs.
    pub(super) fn earlier(&self, running: &Texts, steps: usize) -> io::Result<Option<Texts>> {
        let running = digest(running)?;
        let earlier = self.known.iter().rev();
        let mut earlier =
            earlier.filter(|known| known.kept.fate.is_applied() && known.digest != running);
        let Some(known) = steps.checked_sub(1).and_then(|skipped| earlier.nth(skipped)) else {
            return Ok(None);
        };
        let record = self.read(known.number)?;
        let here = std::env::current_dir()?;
        Ok(Some(record.texts.seen_from(&here, &record.folder)))
    }

    /// All of them, the newest first.
    pub(super) fn list(&self, running: &Texts) -> Vec<Kept> {
        let running = digest(running).unwrap_or_default();
        let mut steps = 0;
        let mut number = |known: &Known| match known.kept.fate {
            Fate::Applied { .. } if known.digest == running => Some(0),
            Fate::Applied { .. } => {
                steps += 1;
                Some(steps)
            }
            _ => None,
        };
        let all = self.known.iter().rev();
        all.map(|known| Kept { steps: number(known), ..known.kept.clone() }).collect()
    }

    fn numbers(&self, is_applied: bool) -> impl Iterator<Item = u64> {
        let all = self.known.iter().filter(move |k| k.kept.fate.is_applied() == is_applied);
        all.map(|known| known.number)
    }

    /// Removes files; one that cannot be removed is found again by the next process.
    fn forget(&mut self, is_old: impl Fn(&Known) -> bool) {
        for known in self.known.extract_if(.., |known| is_old(known)) {
            let _ = fs::remove_file(path(&self.folder, known.number));
        }
    }

    /// The numbers of the files that are there.
    fn files(&self) -> impl Iterator<Item = u64> {
        let number =
            |path: PathBuf| path.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok();
        entries(&self.folder).filter_map(number)
    }

    /// Removes what a process left unfinished.
    fn tidy(&self) {
        let is_unfinished = |path: &PathBuf| path.extension().is_some_and(|e| e == UNFINISHED);
        for path in entries(&self.folder).filter(is_unfinished) {
            let _ = fs::remove_file(path);
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        path(&self.folder, number)
    }

    fn read(&self, number: u64) -> io::Result<Record> {
        Ok(serde_json::from_slice(&fs::read(self.path(number))?)?)
    }

    /// Either all of it is there afterwards, also when the power fails, or nothing.
    fn write(&self, number: u64, content: &[u8]) -> io::Result<()> {
        // Documents may hold secrets that are written out.
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let path = self.path(number);
        let unfinished = path.with_extension(UNFINISHED);
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)
            .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&unfinished, &path));
        if written.is_err() {
            // What is left may be in the way of room that others need.
            let _ = fs::remove_file(&unfinished);
        }
        written.and_then(|()| File::open(&self.folder)?.sync_all())
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:06}.json"))
}

/// By which two documents are known to say the same to the letter, in files of the same places.
fn digest(texts: &Texts) -> io::Result<String> {
    let texts = texts.clone().seen_from(Path::new(""), &std::env::current_dir()?);
    let digest = Sha256::digest(serde_json::to_vec(&texts)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read_text;
    use std::os::unix::fs::PermissionsExt;

    const MAIN: &str = "falconer.yaml";

    fn texts(text: &str) -> Texts {
        (**read_text(Path::new(MAIN), text).document.source()).clone()
    }

    fn open(state: &Path) -> History {
        History::open(state, Path::new(MAIN))
    }

    fn apply(history: &mut History, text: &str, generation: u64) {
        history.keep(&texts(text), By::Command, Fate::Applied { generation }).unwrap();
    }

    fn earlier(history: &History, running: &str, steps: usize) -> Option<String> {
        let texts = history.earlier(&texts(running), steps).unwrap()?;
        Some(texts.main().1.to_owned())
    }

    /// The steps and first generations of those that ran, `None` for one that did not.
    fn listed(history: &History, running: &str) -> Vec<(Option<usize>, Option<u64>)> {
        let generation = |fate: &Fate| match fate {
            Fate::Applied { generation } => Some(*generation),
            _ => None,
        };
        let all = history.list(&texts(running));
        all.iter().map(|kept| (kept.steps, generation(&kept.fate))).collect()
    }

    #[test]
    fn each_document_is_there_once_and_counted_back_from_the_one_that_runs() {
        let state = tempfile::tempdir().unwrap();
        let mut history = open(state.path());
        for (generation, text) in ["a: 1", "a: 2", "a: 3", "a: 2"].into_iter().enumerate() {
            apply(&mut history, text, generation as u64);
        }
        let rejected = Fate::Rejected { problems: vec!["p".into()] };
        history.keep(&texts("a: 4"), By::Watch, rejected).unwrap();
        let expected = [(None, None), (Some(0), Some(3)), (Some(1), Some(2)), (Some(2), Some(0))];
        for history in [&history, &open(state.path())] {
            assert_eq!(listed(history, "a: 2"), expected);
            let back = [1, 2, 3].map(|steps| earlier(history, "a: 2", steps));
            assert_eq!(back, [Some("a: 3".to_owned()), Some("a: 1".to_owned()), None]);
        }
        assert_eq!(earlier(&history, "another that was not kept", 1).as_deref(), Some("a: 2"));
        let other = History::open(state.path(), Path::new("other.yaml"));
        assert_eq!(other.list(&texts("a: 2")), []);
    }

    #[test]
    fn other_words_for_the_same_take_the_place_of_those_before() {
        let state = tempfile::tempdir().unwrap();
        let mut history = open(state.path());
        apply(&mut history, "a: 1", 1);
        apply(&mut history, "a: 2", 2);
        for text in ["a: 2", "# the same\na: 2"] {
            history.reword(&texts("a: 2"), &texts(text), By::Sighup, 2).unwrap();
        }
        let expected = [(Some(0), Some(2)), (Some(1), Some(1))];
        assert_eq!(listed(&history, "# the same\na: 2"), expected);
    }

    #[test]
    fn only_the_last_ones_are_kept_and_only_for_their_user() {
        let state = tempfile::tempdir().unwrap();
        let mut history = open(state.path());
        for n in 0..12 {
            apply(&mut history, &format!("a: {n}"), n);
            let fields = vec![n.to_string()];
            history.keep(&texts("x"), By::Sighup, Fate::NeedsUpgrade { fields }).unwrap();
        }
        assert_eq!(history.list(&texts("a: 11")).len(), 2 * MOST);
        assert_eq!(earlier(&history, "a: 11", 9).as_deref(), Some("a: 2"));
        let folder = state.path().join("documents");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(files.len(), 2 * MOST);
        assert!(files.iter().all(|file| mode(file) == 0o600));
    }

    #[test]
    fn what_is_no_document_is_passed_over_and_what_is_unfinished_goes() {
        let state = tempfile::tempdir().unwrap();
        apply(&mut open(state.path()), "a: 1", 1);
        let file = |name: &str| state.path().join("documents").join(name);
        fs::write(file("000007.json"), "{").unwrap();
        fs::write(file("000008.new"), "{").unwrap();
        let mut history = open(state.path());
        assert!(!file("000008.new").exists());
        assert_eq!(listed(&history, "a: 1"), [(Some(0), Some(1))]);
        apply(&mut history, "a: 2", 2);
        assert!(file("000008.json").exists() && file("000007.json").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_told_and_forgets_nothing() {
        let state = tempfile::tempdir().unwrap();
        let mut history = open(state.path());
        apply(&mut history, "a: 1", 1);
        let folder = state.path().join("documents");
        fs::rename(&folder, state.path().join("aside")).unwrap();
        fs::write(&folder, "in the way").unwrap();
        let kept = history.keep(&texts("a: 2"), By::Api, Fate::Applied { generation: 2 });
        assert!(kept.is_err());
        fs::remove_file(&folder).unwrap();
        fs::rename(state.path().join("aside"), &folder).unwrap();
        assert_eq!(earlier(&history, "a: 2", 1).as_deref(), Some("a: 1"));
    }
}
