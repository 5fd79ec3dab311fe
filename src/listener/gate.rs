//! How many connections may be open: on a listener, in the process, from one client.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const SHARDS: usize = 32;

/// Lets connections in while there is room.
#[derive(Debug)]
pub(super) struct Gate {
    most: Option<u64>,
    listener: Option<Arc<Semaphore>>,
    process: Option<Arc<Semaphore>>,
    per_client: Option<u64>,
    clients: Arc<Clients>,
}

/// Room for one connection, given back when dropped.
#[derive(Debug)]
pub(super) struct Room {
    _listener: Option<OwnedSemaphorePermit>,
    _process: Option<OwnedSemaphorePermit>,
}

/// One connection of a client, counted until dropped.
#[derive(Debug)]
pub(super) struct Visit {
    clients: Arc<Clients>,
    ip: IpAddr,
}

#[derive(Debug, Default)]
struct Clients {
    shards: [Mutex<HashMap<IpAddr, u64, foldhash::fast::RandomState>>; SHARDS],
}

impl Gate {
    /// A gate with a cap for the listener and for one client; `process` is shared by all. Who came
    /// in by the gate before counts, but for a cap of the listener that is another now.
    pub(super) fn new(
        most: Option<u64>,
        per_client: Option<u64>,
        process: Option<Arc<Semaphore>>,
        before: Option<&Self>,
    ) -> Self {
        let all = Semaphore::MAX_PERMITS;
        let permits = |n: u64| usize::try_from(n).unwrap_or(all).min(all);
        let fresh = || most.map(|n| Arc::new(Semaphore::new(permits(n))));
        let same = before.filter(|before| before.most == most);
        // Without a cap, nobody was counted.
        let known = before.filter(|before| before.per_client.is_some());
        Self {
            most,
            listener: same.map_or_else(fresh, |before| before.listener.clone()),
            process,
            per_client,
            clients: known.map(|before| before.clients.clone()).unwrap_or_default(),
        }
    }

    /// Room for a connection if there is some now.
    pub(super) fn try_enter(&self) -> Option<Room> {
        let now = |s: &Option<Arc<Semaphore>>| match s {
            Some(semaphore) => semaphore.clone().try_acquire_owned().ok().map(Some),
            None => Some(None),
        };
        Some(Room { _listener: now(&self.listener)?, _process: now(&self.process)? })
    }

    /// Room for a connection, waited for.
    pub(super) async fn enter(&self) -> Room {
        // The semaphores are never closed, so the errors cannot come.
        let wait = async |s: &Option<Arc<Semaphore>>| match s {
            Some(semaphore) => semaphore.clone().acquire_owned().await.ok(),
            None => None,
        };
        Room { _listener: wait(&self.listener).await, _process: wait(&self.process).await }
    }

    /// Counts a connection of a client; `None` if it has too many.
    pub(super) fn visit(&self, ip: IpAddr) -> Option<Option<Visit>> {
        let Some(most) = self.per_client else { return Some(None) };
        let shard = self.clients.shard(ip)?;
        let mut shard = shard.lock();
        let count = shard.entry(ip).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Some(Visit { clients: self.clients.clone(), ip }))
    }
}

impl Clients {
    fn shard(
        &self,
        ip: IpAddr,
    ) -> Option<&Mutex<HashMap<IpAddr, u64, foldhash::fast::RandomState>>> {
        let last = match ip {
            IpAddr::V4(ip) => ip.octets().last().copied(),
            // Clients of one site differ in the first half of the address.
            IpAddr::V6(ip) => ip.octets().get(7).copied(),
        };
        self.shards.get(usize::from(last.unwrap_or_default()) % SHARDS)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Some(shard) = self.clients.shard(self.ip) else { return };
        let mut shard = shard.lock();
        if let Some(count) = shard.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 33));

    #[test]
    fn a_client_has_its_own_share() {
        let gate = Gate::new(None, Some(2), None, None);
        let first = gate.visit(A).unwrap();
        let _second = gate.visit(A).unwrap();
        assert!(gate.visit(A).is_none());
        assert!(gate.visit(B).is_some(), "another client in the same shard");
        drop(first);
        assert!(gate.visit(A).is_some());
    }

    #[test]
    fn nothing_is_kept_of_a_client_that_left() {
        let gate = Gate::new(None, Some(2), None, None);
        drop(gate.visit(A));
        assert!(gate.clients.shards.iter().all(|s| s.lock().is_empty()));
    }

    #[test]
    fn both_caps_hold() {
        let process = Some(Arc::new(Semaphore::new(2)));
        let gate = Gate::new(Some(1), None, process.clone(), None);
        let other = Gate::new(None, None, process, None);
        let room = gate.try_enter().unwrap();
        assert!(gate.try_enter().is_none());
        let _other = other.try_enter().unwrap();
        assert!(other.try_enter().is_none());
        drop(room);
        assert!(other.try_enter().is_some());
    }
}
