//! The listeners of the running edge, and what becomes of them when the document changes.

use super::bind::{Place, Spare, tell};
use crate::config::Document;
use crate::listener::{Accepting, Bound, Connections, Doorway, Listener, Opener, Shared};
use crate::proxy::Proxy;
use crate::runtime::{Entry, Listening};
use crate::value::{Diagnostic, Problem};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use indexmap::IndexMap;
use pingora::proxy::HttpProxy;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The listeners that are open.
pub(super) struct Listeners {
    opener: Opener<HttpProxy<Proxy>>,
    app: Arc<HttpProxy<Proxy>>,
    shared: Shared,
    /// How long one that is gone lets exchanges finish.
    longest: Duration,
    all: IndexMap<String, Open>,
    /// Those that were replaced or removed, as long as something holds them.
    ending: Vec<Weak<Listener<HttpProxy<Proxy>>>>,
}

struct Open {
    entry: Entry,
    listener: Arc<Listener<HttpProxy<Proxy>>>,
    doors: Vec<Door>,
    /// Those whose place it took, as long as something is open on them.
    before: Vec<Weak<Listener<HttpProxy<Proxy>>>>,
}

/// A socket on which connections are accepted.
struct Door {
    place: Place,
    /// `None` while another process accepts.
    accepting: Option<Accepting>,
}

/// Listeners with all their sockets, ready to take the place of those that are open.
pub(super) struct Ready(Vec<Next>);

struct Next {
    name: String,
    entry: Entry,
    places: Vec<(Place, Doorway)>,
}

impl Listeners {
    pub(super) fn new(
        opener: Opener<HttpProxy<Proxy>>,
        app: Arc<HttpProxy<Proxy>>,
        shared: Shared,
        longest: Duration,
    ) -> Self {
        Self { opener, app, shared, longest, all: IndexMap::new(), ending: Vec::new() }
    }

    /// Binds what is not bound yet: every address, or none.
    pub(super) fn bind(
        &self,
        document: &Document,
        entries: IndexMap<String, Entry>,
    ) -> Result<Ready, Diagnostic> {
        Ready::bind(document, entries, &mut Spare::open(self.places()))
    }

    /// The sockets.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.all.values().flat_map(|open| &open.doors).map(|door| &door.place)
    }

    /// Accepts no more on sockets that another process uses.
    pub(super) async fn hand_over(&mut self, used: &[Arc<Bound>]) {
        let is_used =
            |door: &&mut Door| used.iter().any(|bound| Arc::ptr_eq(bound, &door.place.bound));
        let doors = self.all.values_mut().flat_map(|open| &mut open.doors).filter(is_used);
        join_all(doors.map(Door::hand_over)).await;
    }

    /// Accepts again, because the other process is gone.
    pub(super) fn resume(&mut self) {
        for Open { listener, doors, .. } in self.all.values_mut() {
            for door in doors.iter_mut().filter(|door| door.accepting.is_none()) {
                door.place.bound.take_back();
                match door.place.bound.doorway() {
                    Ok(doorway) => door.accepting = Some(self.opener.accept(listener, doorway)),
                    Err(error) => {
                        let listener = &*door.place.listener;
                        tracing::error!(listener, %error, "a socket cannot be accepted on again");
                    }
                }
            }
        }
    }

    /// Ends all of it, because another process took over: what is still open after so long is cut.
    pub(super) async fn end(&mut self, longest: Duration) {
        let all: Vec<_> = self.all.values().map(|open| open.listener.clone()).collect();
        self.close().await;
        all.iter().for_each(|listener| listener.remove(longest));
        self.ending.iter().filter_map(Weak::upgrade).for_each(|listener| listener.remove(longest));
    }

    /// What shows that the threads that serve are alive.
    pub(super) fn pulse(&self) -> impl Fn() -> BoxFuture<'static, bool> + use<> {
        let opener = self.opener.clone();
        move || {
            let opener = opener.clone();
            async move { opener.answers().await }.boxed()
        }
    }

    /// Closes every socket, because the process drains.
    pub(super) async fn close(&mut self) {
        let mut doors = Vec::new();
        for (_, open) in self.all.drain(..) {
            self.ending.push(Arc::downgrade(&open.listener));
            doors.extend(open.doors);
        }
        join_all(doors.into_iter().map(Door::close)).await;
    }

    /// How they are.
    pub(super) fn status(&self) -> Vec<Listening> {
        let open = self.all.values().map(|open| {
            let addresses = open.doors.iter().filter_map(|door| door.place.bound.address().ok());
            listening(&open.listener, addresses.map(|address| address.to_string()).collect())
        });
        let ending = self.ending.iter().filter_map(Weak::upgrade);
        let ending = ending.map(|listener| listening(&listener, Vec::new()));
        open.chain(ending.filter(|listener| listener.connections > 0)).collect()
    }

    /// Opens what is new, and ends what is not there any more; what stays is not touched. Where
    /// nobody shall listen any more, nobody does when it returns.
    pub(super) async fn apply(&mut self, ready: Ready) {
        join_all(self.replace(ready)).await;
    }

    /// Opens the first ones.
    pub(super) fn open(&mut self, ready: Ready) {
        // Nothing is there yet that could end.
        let _ = self.replace(ready);
    }

    /// What is to be waited for is how things end.
    fn replace(&mut self, ready: Ready) -> Vec<BoxFuture<'static, ()>> {
        let places = ready.0.iter().flat_map(|next| &next.places);
        let needed: Vec<_> = places.map(|(place, _)| place.bound.clone()).collect();
        let mut old = std::mem::take(&mut self.all);
        let mut ends = Vec::new();
        for Next { name, entry, places } in ready.0 {
            let (open, changed) = match old.swap_remove(&name) {
                Some(open) if open.entry.treats_like(&entry) => (open.follow(entry), None),
                changed => (self.listener(entry, changed.as_ref()), changed),
            };
            let Open { entry, listener, doors, mut before } = open;
            let (mut kept, mut gone) = (Vec::new(), doors);
            for (place, doorway) in places {
                let is_here = |door: &Door| Arc::ptr_eq(&door.place.bound, &place.bound);
                match gone.iter().position(is_here) {
                    Some(found) => kept.push(gone.swap_remove(found)),
                    None => kept.push(self.accept(&listener, place, doorway)),
                }
            }
            ends.push(leave(gone, &needed).boxed());
            if let Some(Open { listener, doors, before: earlier, .. }) = changed {
                self.ending.push(Arc::downgrade(&listener));
                before = earlier;
                before.retain(|listener| listener.strong_count() > 0);
                before.push(Arc::downgrade(&listener));
                let left = leave(doors, &needed);
                ends.push(left.map(move |()| listener.retire()).boxed());
            }
            self.all.insert(name, Open { entry, listener, doors: kept, before });
        }
        self.ending.retain(|listener| listener.strong_count() > 0);
        let longest = self.longest;
        for (_, Open { listener, doors, before, .. }) in old {
            self.ending.push(Arc::downgrade(&listener));
            let left = leave(doors, &needed);
            let remove = move |()| {
                listener.remove(longest);
                before.iter().filter_map(Weak::upgrade).for_each(|l| l.remove(longest));
            };
            ends.push(left.map(remove).boxed());
        }
        ends
    }

    fn listener(&self, entry: Entry, before: Option<&Open>) -> Open {
        let tls = entry.tls.as_ref().map(|tls| tls.config.clone());
        let before = before.map(|before| &*before.listener);
        let (entrance, app) = (entry.entrance.clone(), self.app.clone());
        let listener =
            Arc::new(Listener::new(&entry.config, entrance, tls, app, &self.shared, before));
        self.opener.open(&listener);
        Open { entry, listener, doors: Vec::new(), before: Vec::new() }
    }

    fn accept(
        &self,
        listener: &Arc<Listener<HttpProxy<Proxy>>>,
        place: Place,
        doorway: Doorway,
    ) -> Door {
        let accepting = self.opener.accept(listener, doorway);
        tell(&place);
        Door { place, accepting: Some(accepting) }
    }
}

fn listening(listener: &Listener<HttpProxy<Proxy>>, addresses: Vec<String>) -> Listening {
    let Connections { open, busy, oldest } = listener.connections();
    Listening {
        name: listener.name().to_owned(),
        draining: addresses.is_empty(),
        addresses,
        connections: open,
        busy,
        oldest,
    }
}

fn leave(doors: Vec<Door>, needed: &[Arc<Bound>]) -> impl Future<Output = ()> + use<> {
    let leave = doors.into_iter().map(|door| {
        let is_needed = needed.iter().any(|bound| Arc::ptr_eq(bound, &door.place.bound));
        door.leave(is_needed)
    });
    join_all(leave.collect::<Vec<_>>()).map(drop)
}

impl Ready {
    /// One socket for each address: a spare one, or else a new one.
    pub(super) fn bind(
        document: &Document,
        entries: IndexMap<String, Entry>,
        spare: &mut Spare,
    ) -> Result<Self, Diagnostic> {
        let bind = |(name, entry): (String, Entry)| {
            let places = spare.bind(document, &name, &entry.config.address, &entry.steps)?;
            let open = |place: Place| match place.bound.doorway() {
                Ok(doorway) => Ok((place, doorway)),
                Err(error) => {
                    let what = format!("the socket of listener `{name}` cannot be used: {error}");
                    let remedy = "raise the limit on descriptors (LimitNOFILE, ulimit -n)";
                    Err(document.error(&entry.steps, Problem::new(what, remedy)))
                }
            };
            let places = places.into_iter().map(open).collect::<Result<_, _>>()?;
            Ok(Next { name, entry, places })
        };
        entries.into_iter().map(bind).collect::<Result<_, _>>().map(Self)
    }
}

impl Door {
    /// Accepts no more: another process does.
    async fn hand_over(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.hand_over().await;
            self.place.bound.give();
        }
    }

    /// Stops accepting; a socket that is still needed goes on under another listener.
    async fn leave(mut self, is_needed: bool) {
        if is_needed {
            if let Some(accepting) = self.accepting.take() {
                accepting.hand_over().await;
            }
            return;
        }
        let address = self.place.bound.address().map(|a| a.to_string()).unwrap_or_default();
        let listener = self.place.listener.clone();
        self.close().await;
        tracing::info!(listener = &*listener, %address, "no longer listening");
    }

    async fn close(self) {
        if let Some(accepting) = self.accepting {
            accepting.close().await;
        }
        // Only now: those who waited in its queue were let in.
        drop(self.place);
    }
}

impl Open {
    /// Goes on with the certificates and in the place of an entry that treats connections alike.
    fn follow(self, entry: Entry) -> Self {
        let tls = match (self.entry.tls, &entry.tls) {
            (Some(serving), Some(newer)) => {
                serving.follow(newer);
                Some(serving)
            }
            (serving, _) => serving,
        };
        Self { entry: Entry { tls, ..entry }, ..self }
    }
}
