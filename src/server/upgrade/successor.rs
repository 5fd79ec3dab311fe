//! The process that takes the place of this one, as this one sees it.

use super::channel::{BATCH, Channel, FromNew, FromOld, Gift, Offer, Ready, Talk};
use super::{HANDOVER, STDIN};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long it may take the place after it was given.
const TAKING: Duration = Duration::from_secs(10);
/// How long a process that closed its end is waited for, so that its exit code can be told.
const LEAVING: Duration = Duration::from_secs(1);

/// A process that was started to take the place of this one.
pub(in crate::server) struct Successor {
    child: Fresh,
    talk: Talk,
    /// How it serves.
    pub(super) ready: Ready,
}

/// A child that dies with the attempt, until it has the place.
struct Fresh {
    child: Child,
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
        tracing::info!(process, binary = %binary.display(), "started a process in the place of this one");
        // Its end must be the child's alone: only then is its death heard.
        drop(command);
        let mut child = Fresh { child, has_place: false };
        let talk = Talk::new(channel).map_err(cannot("no channel can be made"))?;
        let getting_ready = async {
            match offer_all(&talk, offer, gifts).await {
                // Before it went, it may have said why.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(error) => {
                    return Err(vec![format!("nothing can be given to the new process: {error}")]);
                }
                Ok(()) => {}
            }
            match talk.receive().await {
                Ok(Some((FromNew::Ready(ready), _))) => Ok(ready),
                other => Err(why(other)),
            }
        };
        let ready = match timeout(patience, getting_ready).await {
            Ok(Ok(ready)) => ready,
            Ok(Err(problems)) if problems.is_empty() => return Err(child.last_words().await),
            Ok(Err(problems)) => return Err(problems),
            Err(_) => {
                return Err(vec![format!(
                    "the new process did not serve within {patience:?} (`--timeout`)"
                )]);
            }
        };
        Ok(Self { child, talk, ready })
    }

    /// The number of its process.
    pub(in crate::server) fn process(&self) -> u32 {
        self.child.child.id().unwrap_or_default()
    }

    /// Gives it the place. After an error, nothing of it is left.
    pub(super) async fn commit(&mut self) -> Result<(), Vec<String>> {
        let taking = async {
            // If it is gone, the answer says so.
            let _ = self.talk.send(&FromOld::Commit, &[]).await;
            self.talk.receive().await
        };
        match timeout(TAKING, taking).await {
            Ok(Ok(Some((FromNew::Taken, _)))) => {
                self.child.has_place = true;
                Ok(())
            }
            Ok(other) => {
                let problems = why(other);
                Err(if problems.is_empty() { self.child.last_words().await } else { problems })
            }
            Err(_) => Err(vec![format!("the new process did not take over within {TAKING:?}")]),
        }
    }

    /// Waits until it needs this process no more; an error says how it ended before that.
    pub(in crate::server) async fn settled(mut self) -> Result<(), Vec<String>> {
        match self.talk.receive().await {
            Ok(Some((FromNew::Settled, _))) => Ok(()),
            other => {
                // Two of them would be one too many.
                self.child.has_place = false;
                let problems = why(other);
                Err(if problems.is_empty() { self.child.last_words().await } else { problems })
            }
        }
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

impl Fresh {
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

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.has_place {
            // It may be dead already.
            let _ = self.child.start_kill();
        }
    }
}
