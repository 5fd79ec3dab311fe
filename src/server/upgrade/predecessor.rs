//! The process whose place this one takes.

use super::channel::{Channel, FromNew, FromOld, Gift, Offer, Ready, Talk, VERSION};
use super::{HANDOVER, STDIN};
use crate::config::env;
use crate::listener::Bound;
use crate::runtime::Inherited;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long it stands by to serve again if this process dies.
const STANDS_BY: Duration = Duration::from_secs(3);
/// How long it may take to let go of everything.
const LEAVING: Duration = Duration::from_secs(1);
/// How much of what is wrong it is told.
const MOST_PROBLEMS: usize = 50;
const LONGEST_PROBLEM: usize = 1000;

/// The process whose place this one takes, and what it gave.
#[derive(Debug)]
pub struct Predecessor {
    channel: Channel,
    offer: Offer,
    gifts: Vec<(Gift, Given)>,
}

#[derive(Debug)]
enum Given {
    Socket(Arc<Bound>),
    Lock(Option<File>),
}

/// How a place was taken.
pub(in crate::server) enum Takeover {
    /// From a process that stands by.
    From(StandBy),
    /// The process that had it is gone.
    Alone,
    /// Not at all: that process goes on.
    Withdrawn,
}

/// A predecessor that accepts no more, and would again if this process died.
#[derive(Debug)]
pub(in crate::server) struct StandBy {
    talk: Arc<Talk>,
    /// Ends its standing by; closed when it has ended.
    now: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Predecessor {
    /// The process that started this one to take its place, if one did; waits for what it gives.
    pub fn of_process() -> io::Result<Option<Self>> {
        match env::variable(HANDOVER) {
            Some(way) if way == STDIN => Self::over(Channel::of_stdin()?),
            Some(way) => Err(io::Error::other(format!("`{HANDOVER}={way}` is not known here"))),
            None => Ok(None),
        }
    }

    fn over(channel: Channel) -> io::Result<Option<Self>> {
        // If it is gone, this process is the edge, like any that starts.
        let Some((first, _)) = channel.hear::<serde_json::Value>()? else { return Ok(None) };
        let version = first.get("version").and_then(serde_json::Value::as_u64);
        if version != Some(VERSION.into()) {
            let version = version.map_or("none".to_owned(), |version| version.to_string());
            let what = format!(
                "the edge that runs hands over by version {version}, and this binary by {VERSION}: \
                 stop the one and start the other"
            );
            tell(&channel, vec![what.clone()]);
            return Err(io::Error::other(what));
        }
        let FromOld::Offer(offer) = serde_json::from_value(first)? else {
            return Err(io::Error::other("the first message is no offer"));
        };
        let mut gifts = Vec::new();
        while gifts.len() < offer.gifts {
            // What is missing is bound anew: who had it is gone.
            let Some((message, descriptors)) = channel.hear()? else { break };
            let FromOld::Given { all } = message else {
                return Err(io::Error::other("a gift is missing"));
            };
            if all.len() != descriptors.len() {
                return Err(io::Error::other("there are not as many descriptors as gifts"));
            }
            for (gift, descriptor) in all.into_iter().zip(descriptors) {
                let given = Given::of(&gift, descriptor)?;
                gifts.push((gift, given));
            }
        }
        if channel.heard() == Some(FromOld::Withdrawn) {
            return Err(io::Error::other("the edge that runs did not wait so long"));
        }
        Ok(Some(Self { channel, offer, gifts }))
    }

    /// What this process goes on with.
    pub fn inherited(&self) -> &Inherited {
        &self.offer.inherited
    }

    /// Says why this process cannot take the place.
    pub fn refuse(&self, problems: Vec<String>) {
        tell(&self.channel, problems);
    }

    /// The sockets that it gave, but for that of commands: listener, address, whether it takes IPv4
    /// too, and the socket.
    pub(in crate::server) fn sockets(
        &self,
    ) -> impl Iterator<Item = (&str, &str, bool, &Arc<Bound>)> {
        self.gifts.iter().filter_map(|(gift, given)| match (gift, given) {
            (Gift::Socket { listener, address, with_ipv4, .. }, Given::Socket(bound)) => {
                Some((&**listener, &**address, *with_ipv4, bound))
            }
            _ => None,
        })
    }

    /// The lock and the socket of a state folder, if that is the one it has.
    pub(in crate::server) fn state(&mut self, folder: &Path) -> Option<(File, Arc<Bound>)> {
        let theirs = self.offer.state_dir.as_ref()?.canonicalize().ok()?;
        if folder.canonicalize().ok()? != theirs {
            return None;
        }
        let socket = self.gifts.iter().find_map(|(gift, given)| match (gift, given) {
            (Gift::Commands, Given::Socket(bound)) => Some(bound.clone()),
            _ => None,
        })?;
        let lock = self.gifts.iter_mut().find_map(|(_, given)| match given {
            Given::Lock(lock) => lock.take(),
            Given::Socket(_) => None,
        })?;
        Some((lock, socket))
    }

    /// Says that this process serves, and waits until the place is its own.
    pub(in crate::server) async fn take_over(self, generation: u64) -> Takeover {
        let kept = self.gifts.iter().enumerate().filter(|(_, (_, given))| given.is_used());
        let kept = kept.map(|(place, _)| place).collect();
        let falconer = crate::VERSION.to_owned();
        let ready = Ready { falconer, generation, kept };
        let sockets = self.gifts.into_iter().filter_map(|(_, given)| match given {
            Given::Socket(bound) => Some(bound),
            Given::Lock(_) => None,
        });
        let sockets: Vec<_> = sockets.collect();
        // From here on their files are this process's.
        let own = || sockets.iter().for_each(|bound| bound.take_back());
        let Ok(talk) = Talk::new(self.channel) else {
            own();
            return Takeover::Alone;
        };
        // If it is gone, the answer says so; it may also have withdrawn before it went.
        let _ = talk.send(&FromNew::Ready(ready), &[]).await;
        loop {
            match talk.receive().await {
                Ok(Some((FromOld::Commit, _))) => {
                    own();
                    return Takeover::From(StandBy::begin(talk, sockets));
                }
                Ok(Some((FromOld::Withdrawn, _))) => return Takeover::Withdrawn,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    own();
                    return Takeover::Alone;
                }
            }
        }
    }

    /// The number of its process.
    pub(in crate::server) fn process(&self) -> u32 {
        self.offer.process
    }
}

impl StandBy {
    fn begin(talk: Talk, sockets: Vec<Arc<Bound>>) -> Self {
        let talk = Arc::new(talk);
        let (now, told) = oneshot::channel();
        let ended = tokio::spawn({
            let talk = talk.clone();
            async move {
                let _ = timeout(STANDS_BY, told).await;
                // Before it hears of it: files of sockets that nobody uses are removed here.
                drop(sockets);
                let _ = talk.send(&FromNew::Settled, &[]).await;
                // It closes what it still has, and then the channel.
                let leaving =
                    async { while matches!(talk.receive::<FromOld>().await, Ok(Some(_))) {} };
                let _ = timeout(LEAVING, leaving).await;
            }
        });
        Self { talk, now, ended }
    }

    /// Says that this process has the place.
    pub(in crate::server) async fn taken(&self) {
        // If it is gone, it need not know.
        let _ = self.talk.send(&FromNew::Taken, &[]).await;
    }

    /// Says that it is needed no more, and waits until it has let go.
    pub(in crate::server) async fn settle(self) {
        // If it was told already, this waits for the rest of it.
        let _ = self.now.send(());
        let _ = self.ended.await;
    }
}

impl Given {
    fn of(gift: &Gift, descriptor: OwnedFd) -> io::Result<Self> {
        Ok(match gift {
            Gift::Lock => Self::Lock(Some(descriptor.into())),
            Gift::Socket { .. } | Gift::Commands => {
                let mut bound = Bound::adopt(descriptor)?;
                if matches!(gift, Gift::Socket { owns_file: false, .. }) {
                    bound.leave_file();
                }
                // Its file is the predecessor's until it leaves.
                bound.give();
                Self::Socket(Arc::new(bound))
            }
        })
    }

    /// Whether anybody but this list has it.
    fn is_used(&self) -> bool {
        match self {
            Self::Socket(bound) => Arc::strong_count(bound) > 1,
            Self::Lock(lock) => lock.is_none(),
        }
    }
}

fn tell(channel: &Channel, mut problems: Vec<String>) {
    problems.truncate(MOST_PROBLEMS);
    for problem in &mut problems {
        problem.truncate(problem.floor_char_boundary(LONGEST_PROBLEM));
    }
    // It may be gone.
    let _ = channel.tell(&FromNew::Refused { problems });
}
