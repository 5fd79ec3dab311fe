//! The process that takes the place of this one, as this one sees it.

use super::channel::{BATCH, Channel, FromNew, FromOld, Gift, Offer, Ready, Talk};
use super::{HANDOVER, STDIN};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long it may take the place after it was given.
const TAKING: Duration = Duration::from_secs(10);
/// How long it may take to say that it needs this process no more; it says so in 3 s.
const SETTLING: Duration = Duration::from_secs(13);
/// How long a process that closed its end is waited for, so that its exit code can be told.
const LEAVING: Duration = Duration::from_secs(1);

/// A process that was started to take the place of this one.
pub(in crate::server) struct Successor {
    attempt: Attempt,
    /// How it serves.
    pub(super) ready: Ready,
}

/// A child that ends with the attempt, until it has the place.
struct Attempt {
    child: Child,
    talk: Talk,
    is_ready: bool,
    /// Whether it answers no more.
    is_stuck: bool,
    has_place: bool,
}

impl Successor {
    /// Starts a binary with the arguments of this process and gives it everything; it serves when
    /// this returns. An error is what went wrong; then nothing of it is left.
    pub(super) async fn start(
        binary: &Path,
        offer: Offer,
        gifts: Vec<(Gift, OwnedFd)>,
        patience: Duration,
    ) -> Result<Self, Vec<String>> {
        let (channel, other) = Channel::pair().map_err(cannot("no channel can be made"))?;
        let mut command = Command::new(binary);
        command
            .args(std::env::args_os().skip(1))
            .env(HANDOVER, STDIN)
            // It is not the one that systemd started, and finds its sockets by itself.
            .env_remove("WATCHDOG_PID")
            .env_remove("LISTEN_PID")
            .stdin(Stdio::from(other));
        let child = command
            .spawn()
            .map_err(|error| vec![format!("`{}` cannot be started: {error}", binary.display())])?;
        let process = child.id().unwrap_or_default();
        // Its end must be the child's alone: only then is its death heard.
        drop(command);
        let talk = Talk::new(channel).map_err(cannot("no channel can be made"))?;
        let mut attempt =
            Attempt { child, talk, is_ready: false, is_stuck: false, has_place: false };
        let getting_ready = async {
            let offered = offer_all(&attempt.talk, offer, gifts).await;
            let binary = binary.display();
            tracing::info!(process, %binary, "started a process in the place of this one");
            match offered {
                // Before it went, it may have said why.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(error) => {
                    return Err(vec![format!("nothing can be given to the new process: {error}")]);
                }
                Ok(()) => {}
            }
            match attempt.talk.receive().await {
                Ok(Some((FromNew::Ready(ready), _))) => Ok(ready),
                other => Err(why(other)),
            }
        };
        let ready = match timeout(patience, getting_ready).await {
            Ok(Ok(ready)) => ready,
            Ok(Err(problems)) if problems.is_empty() => return Err(attempt.last_words().await),
            Ok(Err(problems)) => return Err(problems),
            Err(_) => {
                return Err(vec![format!(
                    "the new process did not serve within {patience:?} (`--timeout`)"
                )]);
            }
        };
        attempt.is_ready = true;
        Ok(Self { attempt, ready })
    }

    /// The number of its process.
    pub(in crate::server) fn process(&self) -> u32 {
        self.attempt.child.id().unwrap_or_default()
    }

    /// Gives it the place. After an error, nothing of it is left.
    pub(super) async fn commit(&mut self) -> Result<(), Vec<String>> {
        let taking = async {
            // If it is gone, the answer says so.
            let _ = self.attempt.talk.send(&FromOld::Commit, &[]).await;
            self.attempt.talk.receive().await
        };
        match timeout(TAKING, taking).await {
            Ok(Ok(Some((FromNew::Taken, _)))) => {
                self.attempt.has_place = true;
                Ok(())
            }
            Ok(other) => {
                let problems = why(other);
                Err(if problems.is_empty() { self.attempt.last_words().await } else { problems })
            }
            Err(_) => {
                self.attempt.is_stuck = true;
                Err(vec![format!("the new process did not take over within {TAKING:?}")])
            }
        }
    }

    /// Waits until it needs this process no more; an error says how it ended before that. It hears
    /// that everything was let go when it is dropped.
    pub(in crate::server) async fn settled(&mut self) -> Result<(), Vec<String>> {
        let problems = match timeout(SETTLING, self.attempt.talk.receive()).await {
            Ok(Ok(Some((FromNew::Settled, _)))) => return Ok(()),
            Ok(other) => why(other),
            Err(_) => {
                self.attempt.is_stuck = true;
                vec![format!("the new process gave no sign within {SETTLING:?}")]
            }
        };
        // Two of them would be one too many.
        self.attempt.has_place = false;
        Err(if problems.is_empty() { self.attempt.last_words().await } else { problems })
    }
}

async fn offer_all(talk: &Talk, offer: Offer, gifts: Vec<(Gift, OwnedFd)>) -> io::Result<()> {
    talk.send(&FromOld::Offer(offer), &[]).await?;
    for batch in gifts.chunks(BATCH) {
        let all = batch.iter().map(|(gift, _)| gift.clone()).collect();
        let given: Vec<_> = batch.iter().map(|(_, descriptor)| descriptor.as_fd()).collect();
        talk.send(&FromOld::Given { all }, &given).await?;
    }
    Ok(())
}

/// What is wrong with an answer; nothing if there is none.
fn why(answer: io::Result<Option<(FromNew, Vec<OwnedFd>)>>) -> Vec<String> {
    match answer {
        Ok(None) => Vec::new(),
        Ok(Some((FromNew::Refused { problems }, _))) if !problems.is_empty() => problems,
        Ok(Some(_)) => vec!["the new process says something out of turn".to_owned()],
        Err(error) => vec![format!("what the new process says is not understood: {error}")],
    }
}

fn cannot(what: &str) -> impl Fn(io::Error) -> Vec<String> {
    move |error| vec![format!("{what}: {error}")]
}

impl Attempt {
    /// How it ended, after its end of the channel was closed.
    async fn last_words(&mut self) -> Vec<String> {
        let what = match timeout(LEAVING, self.child.wait()).await {
            Ok(Ok(status)) => ended(status),
            Ok(Err(error)) => format!("the new process ended: {error}"),
            Err(_) => "the new process takes no part in the handover: is it falconer?".to_owned(),
        };
        vec![what]
    }
}

fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => {
            format!("the new process exited with code {code}; what it wrote is in the edge's log")
        }
        (None, Some(signal)) => format!("the new process was ended by signal {signal}"),
        (None, None) => "the new process ended".to_owned(),
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.has_place {
            return;
        }
        // The kill does not reach what a child that is no falconer has started.
        let _ = self.talk.say(&FromOld::Withdrawn);
        let process = self.child.id().and_then(|id| i32::try_from(id).ok());
        match process {
            // It may have accepted connections.
            Some(process) if self.is_ready && !self.is_stuck => {
                let _ = kill(Pid::from_raw(process), Signal::SIGTERM);
            }
            // It may be dead already.
            _ => drop(self.child.start_kill()),
        }
    }
}
