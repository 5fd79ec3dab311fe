//! The keys of session tickets (RFC 5077, RFC 8446 4.6.1): a client that comes back resumes its
//! session with this process, or with the one that takes its place.

use arc_swap::{ArcSwapOption, Guard};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use parking_lot::Mutex;
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a key makes tickets; for as long again it opens them.
const TURN: Duration = Duration::from_hours(6);
const NAME: usize = 16;
const SECRET: usize = 32;

/// The ticket keys of a process.
#[derive(Debug, Default)]
pub struct Tickets {
    /// Empty until the first ticket is made.
    ring: ArcSwapOption<Ring>,
    /// Held while the ring turns.
    turning: Mutex<()>,
}

/// The key that makes tickets now, and the one before it.
#[derive(Debug)]
struct Ring {
    current: Key,
    before: Option<Key>,
}

struct Key {
    name: [u8; NAME],
    secret: [u8; SECRET],
    /// When the next takes its place.
    until: SystemTime,
    cipher: LessSafeKey,
}

/// A key on its way to the process that takes the place of this one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketKey {
    name: [u8; NAME],
    secret: [u8; SECRET],
    /// Seconds of Unix time.
    until: u64,
}

/// Makes and opens the tickets of one listener; those of another are not opened.
#[derive(Debug)]
struct Ticketer {
    tickets: Arc<Tickets>,
    listener: Box<str>,
}

impl Tickets {
    /// The keys of the process before, newest first.
    pub fn adopt(keys: &[TicketKey]) -> Self {
        let mut keys = keys.iter().filter_map(|key| Key::adopt(key).ok());
        let ring = keys.next().map(|current| Arc::new(Ring { current, before: keys.next() }));
        Self { ring: ArcSwapOption::new(ring), ..Self::default() }
    }

    /// The keys, newest first, for the process that takes the place of this one.
    pub fn keys(&self) -> Vec<TicketKey> {
        let ring = self.ring.load();
        ring.iter().flat_map(|ring| ring.keys()).map(Key::send).collect()
    }

    /// What makes and opens the tickets of a listener.
    pub(super) fn of(self: &Arc<Self>, listener: &str) -> Arc<dyn ProducesTickets> {
        Arc::new(Ticketer { tickets: self.clone(), listener: listener.into() })
    }

    /// The ring, turned if it is time; empty without randomness.
    fn ring(&self, now: SystemTime) -> Guard<Option<Arc<Ring>>> {
        let is_due =
            |ring: &Option<Arc<Ring>>| ring.as_ref().is_none_or(|r| now >= r.current.until);
        let ring = self.ring.load();
        if !is_due(&ring) {
            return ring;
        }
        let _turning = self.turning.lock();
        let ring = self.ring.load();
        if is_due(&ring)
            && let Ok(current) = Key::fresh(now)
        {
            let before = ring.as_ref().and_then(|ring| Key::adopt(&ring.current.send()).ok());
            self.ring.store(Some(Arc::new(Ring { current, before })));
        }
        self.ring.load()
    }

    fn seal(&self, listener: &str, plain: &[u8], now: SystemTime) -> Option<Vec<u8>> {
        let ring = self.ring(now);
        let key = &ring.as_ref()?.current;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let aad = Aad::from(listener.as_bytes());
        let unique = Nonce::assume_unique_for_key(nonce);
        key.cipher.seal_in_place_append_tag(unique, aad, &mut sealed).ok()?;
        Some([&key.name[..], &nonce, &sealed].concat())
    }

    fn open(&self, listener: &str, ticket: &[u8], now: SystemTime) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let ring = self.ring.load();
        let mut keys = ring.as_ref()?.keys();
        let key = keys.find(|key| key.name == *name && now < key.until + TURN)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let aad = Aad::from(listener.as_bytes());
        let length = key.cipher.open_in_place(nonce, aad, &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

impl Ring {
    fn keys(&self) -> impl Iterator<Item = &Key> {
        [Some(&self.current), self.before.as_ref()].into_iter().flatten()
    }
}

impl Key {
    fn fresh(now: SystemTime) -> Result<Self, Unspecified> {
        let (mut name, mut secret) = ([0; NAME], [0; SECRET]);
        rand::fill(&mut name)?;
        rand::fill(&mut secret)?;
        Self::new(name, secret, now + TURN)
    }

    fn adopt(sent: &TicketKey) -> Result<Self, Unspecified> {
        // A time that no clock reaches is no reason to keep a key for ever.
        let until = UNIX_EPOCH.checked_add(Duration::from_secs(sent.until)).ok_or(Unspecified)?;
        Self::new(sent.name, sent.secret, until.min(SystemTime::now() + TURN))
    }

    fn new(name: [u8; NAME], secret: [u8; SECRET], until: SystemTime) -> Result<Self, Unspecified> {
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &secret)?);
        Ok(Self { name, secret, until, cipher })
    }

    fn send(&self) -> TicketKey {
        let until = self.until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        TicketKey { name: self.name, secret: self.secret, until }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey")
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // A ticket of the last moment is opened for one more turn.
        u32::try_from(TURN.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.tickets.seal(&self.listener, plain, SystemTime::now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.tickets.open(&self.listener, cipher, SystemTime::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_opened_by_its_listener_alone() {
        let (tickets, now) = (Tickets::default(), SystemTime::now());
        let ticket = tickets.seal("web", b"session", now).unwrap();
        assert_eq!(tickets.open("web", &ticket, now).unwrap(), b"session");
        assert_eq!(tickets.open("other", &ticket, now), None);
        assert_eq!(Tickets::default().open("web", &ticket, now), None);
    }

    #[test]
    fn what_was_tampered_with_is_not_opened() {
        let (tickets, now) = (Tickets::default(), SystemTime::now());
        let ticket = tickets.seal("web", b"session", now).unwrap();
        for place in 0..ticket.len() {
            let mut other = ticket.clone();
            other[place] ^= 1;
            assert_eq!(tickets.open("web", &other, now), None, "byte {place}");
            assert_eq!(tickets.open("web", &ticket[..place], now), None, "{place} bytes");
        }
    }

    #[test]
    fn keys_take_turns_and_end() {
        let (tickets, now) = (Tickets::default(), SystemTime::now());
        let ticket = tickets.seal("web", b"session", now).unwrap();
        let later = now + TURN + Duration::from_secs(1);
        let newer = tickets.seal("web", b"session", later).unwrap();
        assert_ne!(ticket[..NAME], newer[..NAME]);
        assert!(tickets.open("web", &ticket, later).is_some());
        assert!(tickets.open("web", &newer, later).is_some());
        let last = later + TURN;
        assert_eq!(tickets.open("web", &ticket, last), None);
        assert!(tickets.open("web", &newer, last).is_some());
    }

    #[test]
    fn the_next_process_opens_what_this_one_made() {
        let (tickets, now) = (Tickets::default(), SystemTime::now());
        let ticket = tickets.seal("web", b"session", now).unwrap();
        let keys = serde_json::to_string(&tickets.keys()).unwrap();
        let keys: Vec<TicketKey> = serde_json::from_str(&keys).unwrap();
        let next = Tickets::adopt(&keys);
        assert_eq!(next.open("web", &ticket, now).unwrap(), b"session");
        let ticket = next.seal("web", b"session", now).unwrap();
        assert!(tickets.open("web", &ticket, now).is_some(), "nor is the old one left out");
        assert_eq!(format!("{keys:?}{next:?}").matches(|c: char| c.is_ascii_digit()).count(), 0);
    }
}
