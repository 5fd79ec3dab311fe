//! What a client of HTTP/1.0 does not understand, and so does not get: chunks and interim responses.

use async_trait::async_trait;
use http::{Version, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::modules::http::{HttpModule, HttpModuleBuilder, HttpModules, Module};
use pingora::proxy::Session;
use std::any::Any;

/// Prepares for the response if the client speaks HTTP/1.0.
pub(super) fn accept(session: &mut Session) {
    if session.req_header().version == Version::HTTP_10 {
        session.as_downstream_mut().set_ignore_info_resp(true);
        // After the hooks the engine may chunk what has no length; modules run later still.
        let mut modules = HttpModules::new();
        modules.add_module(Box::new(Unchunked));
        session.downstream_modules_ctx = modules.build_ctx();
    }
}

/// Lets the end of the connection end a body that has no length.
pub(super) fn respond(session: &mut Session, response: &ResponseHeader) {
    let is_old = session.req_header().version == Version::HTTP_10;
    if is_old && !response.headers.contains_key(header::CONTENT_LENGTH) {
        session.set_keepalive(None);
    }
}

/// Takes the chunks out of a response.
struct Unchunked;

impl HttpModuleBuilder for Unchunked {
    fn init(&self) -> Module {
        Box::new(Self)
    }
}

#[async_trait]
impl HttpModule for Unchunked {
    async fn response_header_filter(
        &mut self,
        response: &mut ResponseHeader,
        _end: bool,
    ) -> Result<()> {
        response.remove_header(&header::TRANSFER_ENCODING);
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
