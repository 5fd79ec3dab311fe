//! What passes through, exactly: the request as the endpoint gets it, the response as the client
//! gets it, whatever versions of HTTP the two speak.

mod bodies;
mod breaks;
mod clients;
mod forwarded;
mod headers;
mod large;
mod leaving;
mod messages;
mod targets;
mod upgrades;
mod via;

use crate::support::{Client, Edge, Origin, edge, origin};

/// How a client speaks to the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    H1,
    H2,
    Tls,
    TlsH2,
}

impl By {
    const ALL: [Self; 4] = [Self::H1, Self::H2, Self::Tls, Self::TlsH2];
    /// One for each version.
    const CLEAR: [Self; 2] = [Self::H1, Self::H2];

    fn client(self, edge: &Edge) -> Client {
        match self {
            Self::H1 => edge.client("web"),
            Self::H2 => edge.client("web").h2(),
            Self::Tls => edge.client("secure").tls(),
            Self::TlsH2 => edge.client("secure").tls().h2(),
        }
    }

    fn is_h2(self) -> bool {
        matches!(self, Self::H2 | Self::TlsH2)
    }
}

/// How the edge speaks to its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    H1,
    H2,
}

impl To {
    const ALL: [Self; 2] = [Self::H1, Self::H2];

    /// An origin that speaks so.
    fn origin(self) -> crate::support::OriginBuilder {
        match self {
            Self::H1 => origin(),
            Self::H2 => origin().h2c(),
        }
    }

    /// An edge that speaks so to this origin.
    async fn edge(self, origin: &Origin) -> Edge {
        match self {
            Self::H1 => before(origin).start().await,
            Self::H2 => before(origin).upstream("protocol: h2").start().await,
        }
    }
}

/// Every version of the client with every version of the endpoint, in clear text.
fn pairs() -> impl Iterator<Item = (By, To)> {
    By::CLEAR.into_iter().flat_map(|by| To::ALL.map(|to| (by, to)))
}

/// Every way of the client with every version of the endpoint.
fn ways() -> impl Iterator<Item = (By, To)> {
    By::ALL.into_iter().flat_map(|by| To::ALL.map(|to| (by, to)))
}

/// An edge before an origin, with a listener `web` in clear text and `secure` over TLS, both of
/// which speak both versions.
fn before(origin: &Origin) -> Before<'_> {
    Before { origin, listener: "", upstream: "", rest: "" }
}

struct Before<'a> {
    origin: &'a Origin,
    listener: &'a str,
    upstream: &'a str,
    rest: &'a str,
}

impl<'a> Before<'a> {
    /// Further keys of both listeners, on one line.
    fn listener(self, keys: &'a str) -> Self {
        Self { listener: keys, ..self }
    }

    /// Further keys of the upstream `app`, on one line.
    fn upstream(self, keys: &'a str) -> Self {
        Self { upstream: keys, ..self }
    }

    /// Further keys of the document, on one line each.
    fn rest(self, keys: &'a str) -> Self {
        Self { rest: keys, ..self }
    }

    async fn start(self) -> Edge {
        let document = "
            listeners:
              web: {address: '127.0.0.1:0', protocols: [h1, h2], $listener}
              secure: {address: '127.0.0.1:0', tls: {certificates: [site]}, $listener}
            certificates: {site: {self_signed: [localhost]}}
            upstreams: {app: {endpoints: [$app], $upstream}}
            $rest
        ";
        let edge = edge(document).with("listener", self.listener).with("upstream", self.upstream);
        edge.with("rest", self.rest).with("app", self.origin).start().await
    }
}
