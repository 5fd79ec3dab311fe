//! What was found last, kept fresh beside the requests.

use super::{Answer, Failure};
use arc_swap::{ArcSwap, Guard};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What can be found: addresses of a name, targets of a service, endpoints in a file.
pub(super) trait Find: PartialEq + fmt::Display + Send + Sync + 'static {}

impl<T: PartialEq + fmt::Display + Send + Sync + 'static> Find for T {}

/// What one name, service or file stands for, kept fresh until this is dropped.
pub(super) struct Found<T> {
    known: Arc<Known<T>>,
    refresh: AbortHandle,
}

/// How often something was looked for, by what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Something else was found than before.
    pub changed: u64,
    /// The same was found.
    pub unchanged: u64,
    /// Nothing was found; what was found before holds.
    pub failed: u64,
}

impl Tally {
    /// Whether it was looked for at all.
    pub(super) fn has_begun(self) -> bool {
        self != Self::default()
    }
}

impl<T: Find> Found<T> {
    /// Has a task keep it fresh; it is called inside a tokio runtime.
    pub(super) fn start<F>(name: &str, keep: impl FnOnce(Arc<Known<T>>) -> F) -> Arc<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let known = Arc::new(Known {
            name: name.into(),
            found: ArcSwap::default(),
            tally: watch::Sender::default(),
            is_failing: AtomicBool::new(false),
        });
        let refresh = tokio::spawn(keep(known.clone())).abort_handle();
        Arc::new(Self { known, refresh })
    }

    /// What was found last; nothing as long as nothing was.
    pub(super) fn now(&self) -> Guard<Arc<Vec<T>>> {
        self.known.found.load()
    }

    /// Grows whenever it was looked for; subscribe before reading what was found.
    pub(super) fn tally(&self) -> watch::Receiver<Tally> {
        self.known.tally.subscribe()
    }
}

impl<T> Drop for Found<T> {
    fn drop(&mut self) {
        self.refresh.abort();
    }
}

/// What the task and those who read share.
pub(super) struct Known<T> {
    name: Box<str>,
    found: ArcSwap<Vec<T>>,
    tally: watch::Sender<Tally>,
    is_failing: AtomicBool,
}

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3600);
const WITHOUT_TTL: Duration = Duration::from_secs(30);

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// Asks at once and then again by the TTL of the answers; an empty answer is a failure.
pub(super) async fn keep_fresh<T: Find + Ord, F>(known: Arc<Known<T>>, ask: impl Fn() -> F)
where
    F: Future<Output = Result<Answer<T>, Failure>>,
{
    let mut retry = FIRST_RETRY;
    loop {
        let answer = ask().await.and_then(|answer| match answer.found.is_empty() {
            true => Err(Failure("the answer is empty".into())),
            false => Ok(answer),
        });
        let wait = match answer {
            Ok(Answer { mut found, ttl }) => {
                retry = FIRST_RETRY;
                // Servers rotate their answers, which is no change.
                found.sort_unstable();
                found.dedup();
                known.learn(found);
                ttl.unwrap_or(WITHOUT_TTL).clamp(SHORTEST, LONGEST)
            }
            Err(failure) => {
                known.fail(&failure, false);
                let wait = retry;
                retry = (retry * 2).min(LAST_RETRY);
                wait
            }
        };
        tokio::time::sleep(wait).await;
    }
}

impl<T: Find> Known<T> {
    pub(super) fn learn(&self, found: Vec<T>) {
        let name = &*self.name;
        if self.is_failing.swap(false, Ordering::Relaxed) {
            tracing::info!(name, "endpoints are discovered again");
        }
        let is_news = **self.found.load() != found;
        if is_news {
            tracing::info!(name, found = listed(&found), "other endpoints were discovered");
            self.found.store(Arc::new(found));
        }
        self.tally.send_modify(|tally| match is_news {
            true => tally.changed += 1,
            false => tally.unchanged += 1,
        });
    }

    /// Keeps what was found; it is logged if it is the first failure, or about something new.
    pub(super) fn fail(&self, error: &Failure, is_news: bool) {
        let name = &*self.name;
        let kept = self.found.load().len();
        let was_failing = self.is_failing.swap(true, Ordering::Relaxed);
        if was_failing && !is_news {
            tracing::debug!(name, %error, "endpoints still cannot be discovered");
        } else if kept > 0 {
            tracing::warn!(name, %error, kept, "cannot discover endpoints; those found are kept");
        } else {
            tracing::warn!(name, %error, "cannot discover endpoints; none was found yet");
        }
        self.tally.send_modify(|tally| tally.failed += 1);
    }
}

/// As many as a line of the log takes.
const MOST_LISTED: usize = 20;

fn listed<T: fmt::Display>(found: &[T]) -> String {
    let mut shown: Vec<String> = found.iter().take(MOST_LISTED).map(T::to_string).collect();
    if found.len() > MOST_LISTED {
        shown.push(format!("and {} more", found.len() - MOST_LISTED));
    }
    shown.join(", ")
}
