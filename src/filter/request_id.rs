//! `request_id`: every request has an id, for the application and for the client.

use crate::exchange::{Exchange, RequestId};
use crate::value::FieldName;
use http::{HeaderName, HeaderValue};
use pingora::http::ResponseHeader;
use schemars::JsonSchema;
use serde::Deserialize;

/// A UUIDv7, unless a trusted proxy sent an id, in a field of the request and of the response.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "request-id-filter")]
pub struct Config {
    /// The field that carries it. Default: `x-request-id`.
    pub header: Option<FieldName>,
}

/// The compiled filter.
#[derive(Debug)]
pub struct SetRequestId {
    header: HeaderName,
}

impl Config {
    /// The compiled filter.
    pub fn compile(&self) -> SetRequestId {
        let default = HeaderName::from_static("x-request-id");
        SetRequestId { header: self.header.as_ref().map_or(default, |name| name.0.clone()) }
    }
}

impl SetRequestId {
    pub(super) fn request(&self, exchange: &mut Exchange<'_>) {
        let sent = exchange.request.headers.get(&self.header).and_then(|v| v.to_str().ok());
        if exchange.client.is_forwarded
            && let Some(given) = sent.and_then(RequestId::given)
        {
            *exchange.id = given;
        }
        if let Some(value) = self.value(exchange) {
            // The name is valid, so nothing can fail.
            let _ = exchange.request.insert_header(self.header.clone(), value);
        }
    }

    pub(super) fn response(&self, exchange: &Exchange<'_>, response: &mut ResponseHeader) {
        if let Some(value) = self.value(exchange) {
            let _ = response.insert_header(self.header.clone(), value);
        }
    }

    fn value(&self, exchange: &Exchange<'_>) -> Option<HeaderValue> {
        exchange.id.to_string().try_into().ok()
    }
}
