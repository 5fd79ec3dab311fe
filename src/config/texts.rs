//! The texts of a document's files as they were read: enough to read it again without the files.

use super::env;
use super::include;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// All that a document was read from, but for what it takes from variables and secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts {
    /// Each file and its text, the main one first.
    files: Vec<(PathBuf, String)>,
    found: Vec<Found>,
}

/// What a pattern of an `include` found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    folder: PathBuf,
    pattern: String,
    paths: Vec<PathBuf>,
}

impl Texts {
    /// The files, the main one first.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.files.iter().map(|(path, text)| (&**path, &**text))
    }

    /// The main file.
    pub fn main(&self) -> (&Path, &str) {
        self.files().next().unwrap_or((Path::new(""), ""))
    }

    /// The same with paths that were relative to one folder, seen from another.
    #[must_use]
    pub fn seen_from(mut self, here: &Path, folder: &Path) -> Self {
        if here != folder {
            let files = self.files.iter_mut().map(|(path, _)| path);
            let found = self.found.iter_mut();
            let found = found.flat_map(|found| found.paths.iter_mut().chain([&mut found.folder]));
            files.chain(found).for_each(|path| *path = folder.join(&*path));
        }
        self
    }

    /// The files that say something else now, or are gone, and those that an `include` finds
    /// besides.
    pub fn differing(&self) -> Vec<PathBuf> {
        let says = |path: &Path, text: &str| {
            env::file(path, super::load::MAX_FILE).is_ok_and(|now| now == text.as_bytes())
        };
        let others = self.files().filter(|(path, text)| !says(path, text));
        let mut all: Vec<_> = others.map(|(path, _)| path.to_owned()).collect();
        for Found { folder, pattern, paths } in &self.found {
            let now = include::expand(folder, pattern).unwrap_or_default();
            all.extend(now.into_iter().filter(|path| !paths.contains(path)));
        }
        all
    }

    pub(super) fn add(&mut self, path: &Path, text: &str) {
        self.files.push((path.into(), text.into()));
    }

    pub(super) fn find(&mut self, folder: &Path, pattern: &str, paths: &[PathBuf]) {
        let (folder, pattern) = (folder.into(), pattern.into());
        self.found.push(Found { folder, pattern, paths: paths.into() });
    }

    pub(super) fn text(&self, path: &Path) -> Option<&str> {
        self.files().find(|(known, _)| *known == path).map(|(_, text)| text)
    }

    pub(super) fn found(&self, folder: &Path, pattern: &str) -> Option<&[PathBuf]> {
        let is_it = |found: &&Found| found.folder == folder && found.pattern == pattern;
        self.found.iter().find(is_it).map(|found| &*found.paths)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{read, read_texts};
    use crate::value::Diagnostic;
    use std::fs;
    use std::path::Path;

    const MAIN: &str = "
include: [sites/*.yaml, more.yaml]
listeners: {web: {address: ':0'}}
certificates: {site: {chain: site.pem, key: site.key}}
routes: [{name: main, reply: {body: '${file:secret}'}}]
";

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn site(name: &str) -> String {
        format!("routes: [{{name: {name}, match: {{path: /{name}}}, reply: {{}}}}]")
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "falconer.yaml", MAIN);
        write(folder.path(), "secret", "hunter2");
        for name in ["sites/b", "sites/a", "more"] {
            let route = name.rsplit('/').next().unwrap();
            write(folder.path(), &format!("{name}.yaml"), &site(route));
        }
        folder
    }

    #[test]
    fn a_document_is_read_again_from_its_texts_alone() {
        let folder = folder();
        let file = folder.path().join("falconer.yaml");
        let first = read(&file);
        assert_eq!(first.diagnostics(Vec::new()), []);
        let texts = first.document.source();
        assert_eq!(texts.differing(), [""; 0].map(Path::new));
        assert!(!serde_json::to_string(&**texts).unwrap().contains("hunter2"));

        write(folder.path(), "falconer.yaml", "routes: none");
        write(folder.path(), "sites/c.yaml", &site("c"));
        fs::remove_file(folder.path().join("sites/a.yaml")).unwrap();
        let differing = ["falconer.yaml", "sites/a.yaml", "sites/c.yaml"];
        assert_eq!(texts.differing(), differing.map(|name| folder.path().join(name)));

        let again = read_texts(texts);
        assert_eq!(again.diagnostics(Vec::new()), []);
        assert_eq!(again.document.source(), texts);
        assert_eq!(again.document.names, first.document.names);
        assert!(again.document.root.says(&first.document.root));
        let files = again.document.certificate_files();
        assert_eq!(files[0], folder.path().join("site.pem"), "beside the operator's file");
    }

    #[test]
    fn what_was_no_part_of_it_is_not_read_now() {
        let folder = folder();
        let first = read(&folder.path().join("falconer.yaml"));
        let mut texts = (**first.document.source()).clone();
        for (_, text) in &mut texts.files {
            *text = text.replace("more.yaml", "other.yaml").replace("sites/*", "sites/?");
        }
        write(folder.path(), "other.yaml", &site("other"));
        let problems = read_texts(&texts).diagnostics(Vec::new());
        let problems: Vec<_> = problems.iter().map(Diagnostic::line).collect();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("`sites/?.yaml` was no part of the document"));
        assert!(problems[1].contains("other.yaml` was no part of the document"), "{problems:?}");
    }

    #[test]
    fn relative_paths_are_found_from_elsewhere() {
        let folder = folder();
        let first = read(&folder.path().join("falconer.yaml"));
        let text = serde_json::to_string(&**first.document.source()).unwrap();
        let prefix = format!("{}/", folder.path().display());
        let relative: super::Texts = serde_json::from_str(&text.replace(&prefix, "")).unwrap();
        let here = Path::new("/here");
        assert_eq!(relative.clone().seen_from(here, here), relative);
        assert_eq!(relative.main().0, Path::new("falconer.yaml"));
        let seen = relative.seen_from(here, folder.path());
        assert_eq!(seen.files, first.document.source().files);
        assert_eq!(read_texts(&seen).document.names, first.document.names);
    }
}
