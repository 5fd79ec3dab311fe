//! What systemd, or whoever else started the process, is told of it: the protocol of `sd_notify`.

use crate::config::env;
use crate::runtime::Outcome;
use futures::future::BoxFuture;
use nix::time::{ClockId, clock_gettime};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How long a supervisor that does not read may hold the edge up.
const PATIENCE: Duration = Duration::from_secs(1);

/// What ending takes beside the drain.
const MARGIN: Duration = Duration::from_secs(5);

/// Who started the process and wants to hear of it, if anybody.
#[derive(Clone, Debug, Default)]
pub(super) struct Supervisor(Option<Arc<Listening>>);

#[derive(Debug)]
struct Listening {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How often it must hear that the process lives, or it ends it.
    watchdog: Option<Duration>,
    /// Whether another process speaks for the edge.
    is_silent: AtomicBool,
}

impl Supervisor {
    /// Who the environment names.
    pub(super) fn of_environment() -> Self {
        let Some(name) = env::variable("NOTIFY_SOCKET") else { return Self::default() };
        Self::at(&name, watchdog(env::variable)).unwrap_or_else(|error| {
            tracing::warn!(socket = name, %error, "NOTIFY_SOCKET cannot be used");
            Self::default()
        })
    }

    fn at(name: &str, watchdog: Option<Duration>) -> io::Result<Self> {
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let is_silent = AtomicBool::new(false);
        Ok(Self(Some(Arc::new(Listening { socket, address, watchdog, is_silent }))))
    }

    /// The edge serves.
    pub(super) fn ready(&self, generation: u64) {
        self.tell(&format!("READY=1\nSTATUS=serving, generation {generation}"));
    }

    /// A reload begins.
    pub(super) fn reloading(&self) {
        let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return };
        let now = Duration::from(now).as_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reloading"));
    }

    /// A reload is over, whatever came of it.
    pub(super) fn reloaded(&self, generation: u64, outcome: &Outcome) {
        let outcome = outcome.name();
        let status = format!("serving, generation {generation}, last reload: {outcome}");
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// The edge ends, at the latest after so long.
    pub(super) fn stopping(&self, longest: Duration) {
        let time = (longest + MARGIN).as_micros();
        self.tell(&format!("STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC={time}"));
    }

    /// Another process is the edge from now on, and speaks for it.
    pub(super) fn hand_over(&self, process: u32) {
        self.tell(&format!("MAINPID={process}"));
        if let Some(listening) = &self.0 {
            listening.is_silent.store(true, Ordering::Relaxed);
        }
    }

    /// Says that the edge lives, as often as is wanted, as long as it shows that it does.
    pub(super) async fn keep_telling(self, is_alive: impl Fn() -> BoxFuture<'static, bool>) {
        let watchdog = self.0.as_ref().and_then(|listening| listening.watchdog);
        let Some(longest) = watchdog else { return };
        let mut pace = tokio::time::interval(longest / 2);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            if is_alive().await {
                self.tell("WATCHDOG=1");
            }
        }
    }

    fn tell(&self, what: &str) {
        let Some(listening) = &self.0 else { return };
        if listening.is_silent.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = listening.socket.send_to_addr(what.as_bytes(), &listening.address) {
            let what = what.lines().next().unwrap_or_default();
            tracing::warn!(what, %error, "the supervisor of this process cannot be told");
        }
    }
}

/// The watchdog's time, if it is this process that is watched.
fn watchdog(variable: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let is_ours = |id: String| id.parse() == Ok(std::process::id());
    let time = variable("WATCHDOG_USEC")?.parse().ok().filter(|time| *time > 1)?;
    let is_watched = variable("WATCHDOG_PID").is_none_or(is_ours);
    is_watched.then_some(Duration::from_micros(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut room = [0; 1024];
        let length = socket.recv(&mut room).unwrap();
        String::from_utf8(room[..length].to_vec()).unwrap()
    }

    #[test]
    fn an_abstract_socket_is_told_too_and_the_last_word_is_who_goes_on() {
        let name = format!("falconer-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let supervisor = Supervisor::at(&format!("@{name}"), None).unwrap();
        supervisor.hand_over(4711);
        supervisor.stopping(Duration::ZERO);
        assert_eq!(heard(&socket), "MAINPID=4711");
        assert!(socket.recv(&mut [0; 8]).is_err(), "it has said its last word");
    }

    #[test]
    fn the_watchdog_watches_this_process_or_none() {
        let own = std::process::id().to_string();
        let of = |time: Option<&str>, process: Option<&str>| {
            watchdog(|name| match name {
                "WATCHDOG_USEC" => time.map(str::to_owned),
                "WATCHDOG_PID" => process.map(str::to_owned),
                _ => None,
            })
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(of(Some("1000000"), None), second);
        assert_eq!(of(Some("1000000"), Some(&own)), second);
        for (time, process) in [(None, None), (Some("1000000"), Some("1")), (Some("0"), None)] {
            assert_eq!(of(time, process), None);
        }
    }
}
