//! The yardstick: the shortest proxy on the same engine, with the same allocator and profile.
#![expect(clippy::unwrap_used, reason = "a yardstick may just stop")]

use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::prelude::*;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use std::net::SocketAddr;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Bare(SocketAddr);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        #[expect(clippy::disallowed_methods, reason = "an address, not a name")]
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

/// `bare LISTEN ENDPOINT [TLS CHAIN KEY]`, addresses as `127.0.0.1:PORT`; TLS is the one for HTTPS.
fn main() {
    let mut arguments = std::env::args().skip(1);
    let (listen, endpoint) = (arguments.next().unwrap(), arguments.next().unwrap());
    let mut server = Server::new(None).unwrap();
    server.bootstrap();
    let bare = Bare(endpoint.parse().unwrap());
    let mut service = http_proxy_service(&server.configuration, bare);
    service.add_tcp(&listen);
    if let Some(listen) = arguments.next() {
        let (chain, key) = (arguments.next().unwrap(), arguments.next().unwrap());
        let mut settings = TlsSettings::intermediate(&chain, &key).unwrap();
        settings.enable_h2();
        service.add_tls_with_settings(&listen, None, settings);
    }
    server.add_service(service);
    server.run_forever();
}
