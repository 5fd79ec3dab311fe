//! What an exchange tells templates.

use super::{Facts, Variable};
use crate::exchange::Exchange;
use http::header::{self, HeaderMap, HeaderName};
use std::fmt::Write;

impl Facts for Exchange<'_> {
    fn write(&self, variable: &Variable, out: &mut String) {
        match variable {
            Variable::ClientIp => show(out, self.client.ip),
            Variable::ClientPort => self.client.port.into_iter().for_each(|port| show(out, port)),
            Variable::RequestMethod => out.push_str(self.request.method.as_str()),
            Variable::RequestScheme => out.push_str(self.connection.scheme()),
            Variable::RequestHost => out.push_str(self.target.host()),
            Variable::RequestPath => out.push_str(self.target.path()),
            Variable::RequestQuery => out.push_str(self.target.query()),
            Variable::RequestHeader(name) => field(&self.request.headers, name, out),
            Variable::RequestCookie(name) => cookie(&self.request.headers, name, out),
            Variable::RequestId => show(out, &*self.id),
            Variable::PathCapture(name) => out.push_str(self.captures.value(name)),
            Variable::RouteName => out.push_str(self.route),
            Variable::ListenerName => out.push_str(&self.connection.entrance.name),
            Variable::TlsSni => {
                let sni = self.connection.tls.as_ref().and_then(|tls| tls.sni.as_deref());
                out.push_str(sni.unwrap_or_default());
            }
            // No listener asks for client certificates yet.
            Variable::TlsClientSubject => {}
            Variable::ResponseStatus => {
                self.status.into_iter().for_each(|status| out.push_str(status.as_str()));
            }
            // The exchange is not over.
            Variable::Time
            | Variable::Protocol
            | Variable::Cause
            | Variable::Upstream
            | Variable::Endpoint
            | Variable::Attempts
            | Variable::BytesReceived
            | Variable::BytesSent
            | Variable::Duration
            | Variable::UpstreamTime => {}
        }
    }
}

fn show(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

fn field(headers: &HeaderMap, name: &HeaderName, out: &mut String) {
    for (index, value) in headers.get_all(name).iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        out.push_str(&String::from_utf8_lossy(value.as_bytes()));
    }
}

fn cookie(headers: &HeaderMap, name: &str, out: &mut String) {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|p| p.split_once('='));
    if let Some((_, value)) = pairs.find(|(key, _)| key.trim() == name) {
        out.push_str(value.trim());
    }
}
