//! The lines of the document's files, to show beside what is wrong with them.

use crate::value::{Diagnostic, Position};
use indexmap::IndexMap;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// The lines of all files, in the order of reading.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    files: IndexMap<Arc<Path>, File>,
}

/// What must not be shown although it stands in the document.
#[derive(Clone, Debug, Default)]
pub(super) struct Hidden {
    /// Lines that hold a written secret.
    pub(super) lines: HashSet<(Arc<Path>, u32)>,
    /// Where secrets stand, however they are written.
    pub(super) places: Vec<Position>,
    /// Keys whose values are secret, for files that could not be parsed.
    pub(super) keys: HashSet<String>,
}

/// Lines that are longer, in bytes, are not shown.
const LONGEST_LINE: usize = 500;

#[derive(Clone, Debug, Default)]
struct File {
    lines: Vec<Box<str>>,
    parsed: bool,
}

impl Sources {
    /// Puts diagnostics in the order of the document and adds the source lines that may be seen.
    pub(super) fn arrange(
        &self,
        mut diagnostics: Vec<Diagnostic>,
        hidden: &Hidden,
    ) -> Vec<Diagnostic> {
        for diagnostic in &mut diagnostics {
            let shown = diagnostic.position.as_ref().and_then(|place| self.line(place, hidden));
            // Nobody looks for a caret in a longer one, and each mistake on it would hold a copy.
            let shown = shown.filter(|line| line.len() <= LONGEST_LINE);
            diagnostic.source = shown.map(Into::into);
        }
        diagnostics.sort_by_cached_key(|diagnostic| {
            let place = diagnostic.position.as_ref();
            let file = place.and_then(|place| self.files.get_index_of(&place.file));
            (file, place.cloned())
        });
        // An alias repeats the mistakes of its anchor.
        diagnostics.dedup();
        diagnostics
    }

    /// Keeps the lines of a file.
    pub(super) fn add(&mut self, file: &Arc<Path>, text: &str) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().map(Into::into).collect();
        self.files.insert(file.clone(), File { lines, parsed: false });
    }

    /// Notes that a file could be parsed, so that the places of its secrets are known.
    pub(super) fn set_parsed(&mut self, file: &Arc<Path>) {
        if let Some(file) = self.files.get_mut(file) {
            file.parsed = true;
        }
    }

    fn line(&self, place: &Position, hidden: &Hidden) -> Option<&str> {
        let file = self.files.get(&place.file)?;
        let line = file.lines.get(place.line.checked_sub(1)? as usize)?;
        let seen = if file.parsed {
            !hidden.lines.contains(&(place.file.clone(), place.line))
        } else {
            !hidden.keys.iter().any(|key| gives_value(line, key))
        };
        seen.then_some(line)
    }
}

/// Whether a line that no parser understood seems to give the key a value.
fn gives_value(line: &str, key: &str) -> bool {
    line.match_indices(key).any(|(start, _)| {
        let after = line.get(start + key.len()..).unwrap_or_default();
        let after = after.trim_start_matches(['"', '\'', ' ', '\t']);
        after.strip_prefix(':').is_some_and(|value| !value.trim().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Problem;

    fn at(file: &str, line: u32, column: u32) -> Diagnostic {
        let position = Position { file: Path::new(file).into(), line, column };
        Diagnostic::error(position, Problem::new("what", "remedy"))
    }

    fn sources(parsed: bool) -> Sources {
        let mut sources = Sources::default();
        for (file, text) in [("z.yaml", "\u{feff}one\r\ntoken: hunter2\nthree"), ("a.yaml", "x\n")]
        {
            let file: Arc<Path> = Path::new(file).into();
            sources.add(&file, text);
            if parsed {
                sources.set_parsed(&file);
            }
        }
        sources
    }

    #[test]
    fn diagnostics_follow_the_document() {
        let mixed =
            vec![at("a.yaml", 1, 1), at("z.yaml", 3, 2), at("z.yaml", 3, 1), at("z.yaml", 1, 9)];
        let arranged = sources(true).arrange(mixed, &Hidden::default());
        let lines: Vec<_> = arranged.iter().map(|d| d.to_string()).collect();
        assert_eq!(
            lines,
            [
                "z.yaml:1:9: what; remedy\n    one\n            ^",
                "z.yaml:3:1: what; remedy\n    three\n    ^",
                "z.yaml:3:2: what; remedy\n    three\n     ^",
                "a.yaml:1:1: what; remedy\n    x\n    ^",
            ]
        );
    }

    #[test]
    fn the_same_mistake_is_told_once() {
        let arranged =
            sources(true).arrange(vec![at("a.yaml", 1, 1), at("a.yaml", 1, 1)], &Hidden::default());
        assert_eq!(arranged.len(), 1);
    }

    #[test]
    fn a_line_with_a_secret_is_not_shown() {
        let mut hidden = Hidden::default();
        hidden.lines.insert((Path::new("z.yaml").into(), 2));
        let arranged = sources(true).arrange(vec![at("z.yaml", 2, 1)], &hidden);
        assert_eq!(arranged[0].source, None);
    }

    #[test]
    fn a_file_that_is_no_yaml_hides_what_follows_a_secret_key() {
        let hidden = Hidden { keys: ["token".to_string()].into(), ..Hidden::default() };
        let places = vec![at("z.yaml", 1, 1), at("z.yaml", 2, 1)];
        let arranged = sources(false).arrange(places, &hidden);
        assert_eq!(arranged[0].source.as_deref(), Some("one"));
        assert_eq!(arranged[1].source, None);
        assert!(!gives_value("token:", "token"));
        assert!(gives_value("{ \"token\" : x", "token"));
    }
}
