//! Endpoints that stand in a file, read again when it changes.

use super::found::Known;
use super::{Failure, ReadList};
use crate::upstream::config::Member;
use crate::value::Diagnostic;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often the file is looked at. A change counts when a second look finds nothing new: who
/// writes it is given the time.
const LOOK: Duration = Duration::from_millis(250);

/// Enough to see that a file was written or replaced; `None` if it is not there.
type Look = Option<(u64, u64, u64, i64, i64)>;

/// Reads the file now, and again when it has changed and is at rest.
pub(super) async fn keep_fresh(known: Arc<Known<Member>>, path: PathBuf, read: ReadList) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut of_read, mut last) = (None, None);
    loop {
        looks.tick().await;
        let path = path.clone();
        // A file system may be far away, and slow.
        let done = tokio::task::spawn_blocking(move || {
            let now = look(&path);
            let is_first = of_read.is_none();
            let is_news = is_first || (of_read != Some(now) && last == Some(now));
            (now, is_news.then(|| read(&path)))
        });
        let Ok((now, list)) = done.await else { continue };
        last = Some(now);
        let Some(list) = list else { continue };
        of_read = Some(now);
        match list {
            Ok(list) => known.learn(list),
            // Whoever mends one mistake wants to hear of the next.
            Err(problems) => known.fail(&Failure(told(&problems)), true),
        }
    }
}

fn look(path: &Path) -> Look {
    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
}

/// The first problem, and how many there are besides.
fn told(problems: &[Diagnostic]) -> String {
    let first = problems.first().map(Diagnostic::line).unwrap_or_default();
    match problems.len() {
        0 | 1 => first,
        many => format!("{first} (and {} more)", many - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::discover::found::Found;
    use crate::value::Problem;
    use std::fs;

    /// One URL on each line.
    fn lines(path: &Path) -> Result<Vec<Member>, Vec<Diagnostic>> {
        let text = fs::read_to_string(path);
        let text = text.map_err(|e| vec![Diagnostic::unplaced(Problem::unreadable(path, &e))])?;
        let member = |line: &str| {
            let url = line.parse().map_err(|problem| vec![Diagnostic::unplaced(problem)])?;
            Ok(Member { url, weight: 1, priority: 0 })
        };
        text.lines().map(member).collect()
    }

    #[tokio::test]
    async fn a_list_is_followed_and_mistakes_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        let found = {
            let path = path.clone();
            Found::start("list", |known| keep_fresh(known, path, lines))
        };
        let mut tally = found.tally();
        let mut step = async |text: Option<&str>| {
            let before = *tally.borrow();
            match text {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap_or_default(),
            }
            let changes = tally.wait_for(|tally| *tally != before);
            let patience = Duration::from_secs(20);
            let now = *tokio::time::timeout(patience, changes).await.expect("a look").unwrap();
            let list: Vec<_> = found.now().iter().map(ToString::to_string).collect();
            (list.join(" "), now.changed, now.failed)
        };
        assert_eq!(step(None).await, (String::new(), 0, 1));
        assert_eq!(
            step(Some("http://a\nhttp://b")).await,
            ("http://a:80 http://b:80".into(), 1, 1)
        );
        assert_eq!(step(Some("a")).await, ("http://a:80 http://b:80".into(), 1, 2));
        assert_eq!(step(None).await, ("http://a:80 http://b:80".into(), 1, 3));
        assert_eq!(
            step(Some("http://b\nhttp://a")).await,
            ("http://b:80 http://a:80".into(), 2, 3)
        );
        assert_eq!(step(Some("")).await, (String::new(), 3, 3), "a list of nothing is one");
    }

    #[test]
    fn of_many_problems_the_first_is_told() {
        let problem = |what: &str| Diagnostic::unplaced(Problem::new(what, "mend it"));
        assert_eq!(told(&[problem("one")]), "one; mend it");
        assert_eq!(
            told(&[problem("one"), problem("two"), problem("three")]),
            "one; mend it (and 2 more)"
        );
    }
}
