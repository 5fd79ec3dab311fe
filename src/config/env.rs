//! What the document takes from outside: variables of the process and files.

use crate::value::Problem;
use std::io::{self, Read};
use std::path::Path;

/// A variable of the process's environment, if it is set and is text.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The bytes of a file that the document names, which must not be larger than the limit.
pub(super) fn file(path: &Path, limit: u64) -> Result<Vec<u8>, Problem> {
    let unreadable = |error: io::Error| Problem::unreadable(path, &error);
    let mut content = Vec::new();
    // A device or a pipe has no length to ask for, so the reading itself is limited.
    let opened = std::fs::File::open(path).map_err(unreadable)?;
    opened.take(limit + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > limit {
        let what = format!("`{}` is larger than {limit} bytes", path.display());
        return Err(Problem::new(what, "name another file"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(file(&path, 5).unwrap(), b"12345");
        assert!(file(&path, 4).unwrap_err().what.ends_with("is larger than 4 bytes"));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let missing = file(&folder.path().join("none"), 5).unwrap_err();
        assert!(missing.what.ends_with("there is no such file"), "{missing}");
        assert!(file(folder.path(), 5).unwrap_err().what.ends_with("it is a folder"));
    }
}
