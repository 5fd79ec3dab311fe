//! How one process takes the place of another: the old one starts the new one and gives it its
//! sockets; when the new one serves, the old one accepts no more, and drains.

mod channel;
mod place;
mod predecessor;
mod successor;

use super::control::{Control, Standing};
use super::pid_file::PidFile;
use crate::runtime::{Requested, Upgrade};
use channel::{Gift, Offer, VERSION};
pub use predecessor::Predecessor;
pub(super) use predecessor::{StandBy, Takeover};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
pub(super) use successor::Successor;

/// Tells a process how it is handed over to.
const HANDOVER: &str = "FALCONER_HANDOVER";
/// By its standard input.
const STDIN: &str = "stdin";

const STOPPING: &str = "this edge was told to stop";

impl Control {
    /// Starts another process that takes the place of this one. When it has it, nothing is accepted
    /// here any more; otherwise nothing has changed.
    pub(super) async fn upgrade(
        &mut self,
        binary: Option<PathBuf>,
        patience: Duration,
    ) -> (Upgrade, Option<Successor>) {
        match self.succeed(binary, patience).await {
            Ok(successor) => {
                let ready = &successor.ready;
                let upgrade = Upgrade::Done {
                    process: successor.process(),
                    falconer: ready.falconer.clone(),
                    generation: ready.generation,
                    before: std::process::id(),
                    connections: self.drain.open(),
                };
                tracing::info!(process = successor.process(), "another process serves now");
                (upgrade, Some(successor))
            }
            Err(problems) => {
                for problem in &problems {
                    tracing::error!("no upgrade: {problem}");
                }
                self.retained.reloads.upgrade_failed();
                (Upgrade::Failed { problems }, None)
            }
        }
    }

    async fn succeed(
        &mut self,
        binary: Option<PathBuf>,
        patience: Duration,
    ) -> Result<Successor, Vec<String>> {
        if *self.stopping.borrow() {
            return Err(vec![STOPPING.to_owned()]);
        }
        if let Some(why) = place::ends_with_this_process() {
            return Err(vec![why]);
        }
        let binary = binary.unwrap_or_else(|| self.binary.clone());
        let (offer, gifts) = self.offer().map_err(|error| {
            vec![format!(
                "the sockets cannot be given away: {error}; raise the limit on descriptors"
            )]
        })?;
        let starting = Successor::start(&binary, offer, gifts, patience);
        tokio::pin!(starting);
        let mut stopping = self.stopping.clone();
        let mut successor = loop {
            tokio::select! {
                started = &mut starting => break started?,
                _ = stopping.wait_for(|stopping| *stopping) => {
                    return Err(vec![STOPPING.to_owned()]);
                }
                Some(requested) = self.requests.recv() => match requested {
                    Requested::Status(answer) => drop(answer.send(self.status(false))),
                    Requested::Upgrade { answer, .. } => {
                        let problems = vec!["another upgrade is under way".to_owned()];
                        drop(answer.send(Upgrade::Failed { problems }));
                    }
                    other => self.deferred.push_back(other),
                },
            }
        };
        self.hand_over(&successor.ready.kept).await;
        if let Err(problems) = successor.commit().await {
            drop(successor);
            self.resume();
            return Err(problems);
        }
        self.standing.send_replace(Standing::Lent);
        // Who asked for something meanwhile asks the other process.
        self.deferred.clear();
        Ok(successor)
    }

    /// What there is to give, in the order in which it is counted.
    fn offer(&self) -> std::io::Result<(Offer, Vec<(Gift, OwnedFd)>)> {
        let mut gifts = Vec::new();
        if let Some(state) = &self.state {
            gifts.push((Gift::Commands, state.socket.as_fd().try_clone_to_owned()?));
            gifts.push((Gift::Lock, state.lock.as_fd().try_clone_to_owned()?));
        }
        for place in self.listeners.places().chain(self.admin.places()) {
            let gift = Gift::Socket {
                listener: place.listener.to_string(),
                address: place.address.to_string(),
                with_ipv4: place.with_ipv4,
                owns_file: place.bound.owns_file(),
            };
            gifts.push((gift, place.bound.as_fd().try_clone_to_owned()?));
        }
        let offer = Offer {
            version: VERSION,
            process: std::process::id(),
            state_dir: self.state_dir.clone(),
            gifts: gifts.len(),
            inherited: self.retained.bequeath(self.runtime.load().generation),
        };
        Ok((offer, gifts))
    }

    /// Accepts no more on the sockets that the next process uses, by their places in the offer.
    async fn hand_over(&mut self, kept: &[usize]) {
        let first = if self.state.is_some() { 2 } else { 0 };
        let places = self.listeners.places().chain(self.admin.places()).enumerate();
        let used = places.filter(|(place, _)| kept.contains(&(first + place)));
        let used: Vec<_> = used.map(|(_, place)| place.bound.clone()).collect();
        self.listeners.hand_over(&used).await;
        self.admin.hand_over(&used).await;
        if let Some(state) = self.state.as_ref().filter(|_| kept.contains(&0)) {
            self.admin.hand_over_commands(state).await;
        }
    }

    /// Accepts again: the next process is gone.
    fn resume(&mut self) {
        self.standing.send_replace(Standing::Edge);
        self.listeners.resume();
        self.admin.resume(self.state.as_ref());
        // It may name the other one by now.
        self.pid_file.iter().for_each(PidFile::write);
    }

    /// Holds what it has for as long as the next process may need it. `None` if that died, and this
    /// process serves again.
    pub(super) async fn wait_beside(&mut self, mut successor: Successor) -> Option<Successor> {
        let process = successor.process();
        let problems = {
            let settled = successor.settled();
            tokio::pin!(settled);
            loop {
                tokio::select! {
                    settled = &mut settled => match settled {
                        Ok(()) => break Vec::new(),
                        Err(problems) => break problems,
                    },
                    Some(requested) = self.requests.recv() => self.tell(requested),
                }
            }
        };
        if problems.is_empty() {
            return Some(successor);
        }
        drop(successor);
        self.resume();
        self.retained.reloads.taken_back();
        for problem in problems {
            tracing::error!(
                process,
                "the process that took over is gone, so this one serves again: {problem}"
            );
        }
        None
    }
}

/// The binary that this process was started with, by the name that was typed: what lies there when
/// it is started again may be newer.
pub(super) fn binary() -> PathBuf {
    let typed = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let found = if typed.components().count() > 1 {
        std::path::absolute(&typed).ok()
    } else {
        let path = crate::config::env::variable("PATH").unwrap_or_default();
        let places: Vec<_> = std::env::split_paths(&path).map(|place| place.join(&typed)).collect();
        places.into_iter().find(|place| place.is_file())
    };
    let own = || std::env::current_exe().ok();
    found
        .filter(|place: &PathBuf| place.exists())
        .or_else(own)
        .unwrap_or_else(|| Path::new("falconer").into())
}
