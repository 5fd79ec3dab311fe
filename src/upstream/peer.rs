//! An endpoint plus how to connect to it, as the engine wants it.

use super::clock::{Moment, millis};
use super::config::{self, Protocol, Timeouts};
use super::connect::Connector;
use super::endpoint::{Address, Endpoint, KeepAlive};
use super::tls::Security;
use super::url::Url;
use pingora::protocols::ALPN;
use pingora::protocols::l4::ext::TcpKeepalive;
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use std::sync::Arc;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Kept by an endpoint of which nothing is known yet: below the shortest time in wide use (5 s).
const CAUTIOUS: Duration = Duration::from_secs(4);
/// How much earlier than the endpoint we stop using a connection.
const MARGIN: Duration = Duration::from_secs(1);
/// In the place of versions: no connection is shared.
const NOBODY: u8 = 0;
const STREAMS: usize = 100;
/// Windows towards endpoints; the engine's own are 8 MiB for each stream.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// What follows the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// Nothing.
    Nothing,
    /// A body.
    Body,
    /// Whatever two sides say after an upgrade.
    Tunnel,
}

/// What all attempts at one endpoint have in common.
#[derive(Debug)]
pub(super) struct Template {
    peer: HttpPeer,
    keep_alive: config::KeepAlive,
    /// Of what else sets its connections apart.
    fingerprint: u64,
}

impl Template {
    /// A template for an address of a member; `None` if a unix path cannot be one.
    pub(super) fn new(
        url: &Url,
        address: &Address,
        config: &config::Config,
        security: &Security,
    ) -> Option<Self> {
        let mut peer = match address {
            Address::Tcp(address) => tcp(*address, url.is_tls(), sni(url, address.ip(), security)),
            Address::Unix(path) => HttpPeer::new_uds(path.to_str()?, false, String::new()).ok()?,
        };
        let mut fingerprint = 0;
        if url.is_tls() {
            security.apply(&mut peer);
            fingerprint = security.fingerprint();
        }
        let alpn = match (config.protocol, url.is_tls()) {
            (Protocol::H1, _) | (Protocol::Auto, false) => ALPN::H1,
            (Protocol::H2, _) => ALPN::H2,
            (Protocol::Auto, true) => ALPN::H2H1,
        };
        let options = &mut peer.options;
        options.alpn = alpn;
        options.max_h2_streams = STREAMS;
        options.h2_stream_window_size = Some(STREAM_WINDOW);
        options.h2_connection_window_size = Some(CONNECTION_WINDOW);
        options.h2_ping_interval = config.keep_alive.ping.on().map(|ping| ping.0);
        options.tcp_keepalive = Some(TcpKeepalive {
            idle: Duration::from_secs(60),
            interval: Duration::from_secs(10),
            count: 3,
            #[cfg(target_os = "linux")]
            user_timeout: Duration::ZERO,
        });
        // Hop-by-hop fields are ours (`prepare`), the same for every pair of protocols.
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy::preserve();
        Some(Self { peer, keep_alive: config.keep_alive, fingerprint })
    }

    /// The peer for one attempt.
    pub(super) fn peer(
        &self,
        endpoint: &Endpoint,
        timeouts: Timeouts,
        follows: Follows,
        now: Instant,
    ) -> Box<HttpPeer> {
        let mut peer = Box::new(self.peer.clone());
        let options = &mut peer.options;
        let is_upgrade = follows == Follows::Tunnel;
        let silence = if is_upgrade { timeouts.tunnel } else { timeouts.idle };
        options.connection_timeout = Some(timeouts.connect.0);
        options.total_connection_timeout = Some(timeouts.connect.0);
        // Reading is watched by the exchange; while writing is blocked, nothing else is polled.
        options.write_timeout = Some(silence.0);
        options.idle_timeout = Some(idle(endpoint, self.keep_alive.idle.0));
        #[cfg(target_os = "linux")]
        if let Some(keepalive) = &mut options.tcp_keepalive {
            keepalive.user_timeout = unacknowledged(silence.0);
        }
        if is_upgrade {
            options.alpn = ALPN::H1;
            options.custom_l4 = Some(Arc::new(Connector::new(Vec::new(), true)));
            // The pool knows connections by their descriptors, which this one hides from it.
            options.idle_timeout = Some(Duration::ZERO);
        }
        let protocol = options.alpn.get_max_http_version();
        if protocol == 1 && follows != Follows::Nothing {
            // When a write fails, the engine waits for a response and polls nothing else, so that
            // the watch of the exchange would never be asked.
            options.read_timeout = Some(silence.0.max(timeouts.response.0) + MARGIN);
        }
        let shared_by = if is_upgrade { NOBODY } else { versions(&options.alpn) };
        let age = age(now, self.keep_alive.max_age.0);
        let group = group(shared_by, endpoint.keep_alive(), age);
        let era = u64::from(endpoint.standing().era());
        let group = [group.to_ne_bytes(), era.to_ne_bytes()];
        peer.group_key = xxh3_64_with_seed(group.as_flattened(), self.fingerprint);
        peer
    }
}

/// How long what was sent may stay unacknowledged; zero leaves it to the system, which waits for
/// about a quarter of an hour. A peer that has no room for more acknowledges nothing either, so it
/// is never less than the silence that is allowed.
#[cfg(target_os = "linux")]
fn unacknowledged(silence: Duration) -> Duration {
    const SYSTEMS: Duration = Duration::from_secs(15 * 60);
    if silence <= SYSTEMS { silence } else { Duration::ZERO }
}

/// How long a connection may be idle in the pool. The peer of an attempt is made before its
/// response is seen, so that an unknown endpoint gets the benefit of the doubt only once it spoke.
fn idle(endpoint: &Endpoint, configured: Duration) -> Duration {
    match endpoint.keep_alive() {
        KeepAlive::Unknown => configured.min(CAUTIOUS),
        KeepAlive::Silent => configured,
        // The pool takes zero for "not at all".
        KeepAlive::Timeout(told) => configured.min(told.saturating_sub(MARGIN)),
    }
}

/// The versions that are offered, in one number.
fn versions(alpn: &ALPN) -> u8 {
    alpn.get_min_http_version() << 4 | alpn.get_max_http_version()
}

/// What the attempts that share connections have in common. A connection is pooled by what was
/// known when it was made: one that did not know yet of an announced time is not used again.
fn group(versions: u8, told: KeepAlive, age: u64) -> u64 {
    let told = match told {
        KeepAlive::Unknown | KeepAlive::Silent => 0,
        KeepAlive::Timeout(told) => told.as_secs().saturating_add(1).min(0xffff),
    };
    u64::from(versions) << 56 | told << 40 | age
}

/// The number of the period in which connections are shared: none is used in the next one, so
/// none is used for longer than a period.
fn age(now: Instant, longest: Duration) -> u64 {
    let periods = Moment::of(now).0 / millis(longest).max(1);
    periods & 0xff_ffff_ffff
}

#[expect(clippy::disallowed_methods, reason = "an address needs no look-up: it cannot fail")]
fn tcp(address: std::net::SocketAddr, is_tls: bool, sni: String) -> HttpPeer {
    HttpPeer::new(address, is_tls, sni)
}

/// An empty one would turn verification off.
fn sni(url: &Url, ip: std::net::IpAddr, security: &Security) -> String {
    match (url.is_tls(), security.sni().or(url.name())) {
        (false, _) => String::new(),
        (true, Some(name)) => name.to_owned(),
        (true, None) => ip.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new("http://a:1".into(), Address::Tcp(([127, 0, 0, 1], 1).into()))
    }

    #[test]
    fn an_unknown_endpoint_keeps_connections_for_less_than_node_does() {
        let endpoint = endpoint();
        let minute = Duration::from_secs(60);
        assert!(idle(&endpoint, minute) < Duration::from_secs(5));
        endpoint.learn(None);
        assert_eq!(idle(&endpoint, minute), minute);
        endpoint.learn(Some("timeout=5"));
        assert_eq!(idle(&endpoint, minute), Duration::from_secs(4));
        endpoint.learn(Some("timeout=1"));
        assert_eq!(idle(&endpoint, minute), Duration::ZERO);
    }

    fn peer(follows: Follows) -> Box<HttpPeer> {
        let config: config::Config = serde_json::from_value(serde_json::json!({
            "endpoints": ["http://127.0.0.1:1"], "protocol": "h2",
        }))
        .unwrap();
        let endpoint = Arc::new(endpoint());
        let url = "http://127.0.0.1:1".parse().unwrap();
        let template =
            Template::new(&url, endpoint.address(), &config, &Security::default()).unwrap();
        template.peer(&endpoint, config.timeouts, follows, Instant::now())
    }

    #[test]
    fn an_upgrade_goes_by_http_1_whatever_the_protocol() {
        let version = |follows| peer(follows).options.alpn.get_max_http_version();
        assert_eq!((version(Follows::Body), version(Follows::Tunnel)), (2, 1));
    }

    #[test]
    fn a_peer_that_is_gone_is_found_out_as_soon_as_silence_is_too_long() {
        let options = peer(Follows::Body).options;
        let keepalive = options.tcp_keepalive.unwrap();
        let minute = Duration::from_secs(60);
        assert_eq!((keepalive.idle, keepalive.user_timeout), (minute, Duration::from_secs(100)));
        assert_eq!(options.h2_ping_interval, Some(6 * minute));
        let tunnel = peer(Follows::Tunnel).options.tcp_keepalive.unwrap();
        assert_eq!(tunnel.user_timeout, Duration::ZERO, "the system is faster than an hour");
    }
}
