//! The sockets on which the edge shows itself and takes commands.

use super::ADMIN;
use super::bind::{Place, tell};
use super::state::State;
use crate::admin::Admin;
use crate::exchange::{ClientAddress, Entrance, Limits};
use crate::listener::{self, Accepting, Bound, Listener, Opener, Shared};
use crate::net::CidrSet;
use crate::observe::access;
use std::sync::Arc;

/// Who serves on the admin's sockets.
pub(super) struct AdminDoors {
    opener: Opener<Admin>,
    /// What the admin address shows.
    shows: Arc<Listener<Admin>>,
    /// What takes commands.
    obeys: Arc<Listener<Admin>>,
    /// What says how it is, after another process has taken the place of this one.
    tells: Arc<Listener<Admin>>,
    doors: Vec<Door>,
    commands: Option<Accepting>,
}

struct Door {
    place: Place,
    /// `None` while another process accepts.
    accepting: Option<Accepting>,
}

impl AdminDoors {
    /// Accepts on the admin's own sockets; commands come later.
    pub(super) fn open(
        opener: Opener<Admin>,
        [shows, obeys]: [Admin; 2],
        places: Vec<Place>,
        shared: &Shared,
    ) -> Self {
        let shows = listener(shows, shared, &opener);
        let tells = listener(obeys.clone(), shared, &opener);
        let obeys = listener(obeys, shared, &opener);
        let doors = places.into_iter().map(|place| {
            tell(&place);
            Door { place, accepting: None }
        });
        let mut all = Self { opener, shows, obeys, tells, doors: doors.collect(), commands: None };
        all.accept();
        all
    }

    /// The sockets.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.doors.iter().map(|door| &door.place)
    }

    fn accept(&mut self) {
        for Door { place, accepting } in self.doors.iter_mut().filter(|d| d.accepting.is_none()) {
            *accepting = accept(&self.opener, &self.shows, &place.bound);
        }
    }

    /// Takes commands on a socket.
    pub(super) fn obey(&mut self, socket: &Bound) {
        self.commands = accept(&self.opener, &self.obeys, socket);
    }

    /// Accepts no more on sockets that another process uses.
    pub(super) async fn hand_over(&mut self, used: &[Arc<Bound>]) {
        let is_used =
            |door: &&mut Door| used.iter().any(|bound| Arc::ptr_eq(bound, &door.place.bound));
        for door in self.doors.iter_mut().filter(is_used) {
            if let Some(accepting) = door.accepting.take() {
                accepting.hand_over().await;
                door.place.bound.give();
            }
        }
    }

    /// Takes no more commands on a socket that another process uses.
    pub(super) async fn hand_over_commands(&mut self, state: &State) {
        if let Some(accepting) = self.commands.take() {
            accepting.hand_over().await;
            state.socket.give();
        }
    }

    /// Says on a socket how the process is.
    pub(super) fn tell(&mut self, socket: &Bound) {
        self.commands = accept(&self.opener, &self.tells, socket);
    }

    /// Accepts nothing more, and tells connections to go: they would see a process that is not the
    /// edge any more.
    pub(super) fn close(&mut self) {
        self.doors.clear();
        self.commands = None;
        self.shows.retire();
        self.obeys.retire();
    }

    /// Accepts again, because the other process is gone.
    pub(super) fn resume(&mut self, state: Option<&State>) {
        self.doors.iter().for_each(|door| door.place.bound.take_back());
        self.accept();
        if let Some(state) = state.filter(|_| self.commands.is_none()) {
            state.socket.take_back();
            self.obey(&state.socket);
        }
    }
}

fn accept(
    opener: &Opener<Admin>,
    listener: &Arc<Listener<Admin>>,
    socket: &Bound,
) -> Option<Accepting> {
    match socket.doorway() {
        Ok(doorway) => Some(opener.accept(listener, doorway)),
        Err(error) => {
            tracing::error!(%error, "a socket of the admin cannot be accepted on");
            None
        }
    }
}

/// The admin's listener has no part in the drain: probes are answered to the end.
fn listener(app: Admin, shared: &Shared, opener: &Opener<Admin>) -> Arc<Listener<Admin>> {
    let config = listener::Config::plain();
    let entrance = Arc::new(Entrance {
        name: ADMIN.into(),
        index: u16::MAX,
        trusted_proxies: CidrSet::default(),
        client_address: ClientAddress::default(),
        via: None,
        limits: Limits { body_size: Some(0), ..config.limits.of_request() },
    });
    let shared = Shared {
        drain: Arc::default(),
        connections: None,
        access: access::Sender::off(),
        ..shared.clone()
    };
    let listener = Listener::new(&config, entrance, None, Arc::new(app), &shared, None);
    let listener = Arc::new(listener);
    opener.open(&listener);
    listener
}
