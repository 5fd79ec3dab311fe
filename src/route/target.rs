//! What a route does in the end.

use super::split::{Choice, Split};
use crate::exchange::{Exchange, Reply};
use crate::expr::{Escape, Template};
use crate::upstream::Upstream;
use crate::value::{FieldName, Problem};
use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// The target of a route.
#[derive(Debug)]
pub enum Target {
    /// Forward to an upstream.
    Upstream(Arc<Upstream>),
    /// Forward to one of several upstreams.
    Split(Split),
    /// Send the client elsewhere.
    Redirect(Redirect),
    /// Answer at once.
    Reply(Reply),
}

impl Target {
    /// The upstream that a request goes to; of a split, the one that was chosen.
    pub fn upstream(&self, choice: Option<Choice>) -> Option<&Arc<Upstream>> {
        match self {
            Self::Upstream(upstream) => Some(upstream),
            Self::Split(split) => Some(&split.parts().get(choice?.part)?.upstream),
            Self::Redirect(_) | Self::Reply(_) => None,
        }
    }

    /// All upstreams that requests may go to.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        let (one, parts) = match self {
            Self::Upstream(upstream) => (Some(upstream), &[][..]),
            Self::Split(split) => (None, split.parts()),
            Self::Redirect(_) | Self::Reply(_) => (None, &[][..]),
        };
        one.into_iter().chain(parts.iter().map(|part| &part.upstream))
    }

    /// Whether requests go upstream.
    pub fn forwards(&self) -> bool {
        matches!(self, Self::Upstream(_) | Self::Split(_))
    }

    /// Whether it depends on what a request says where that goes.
    pub fn minds_requests(&self) -> bool {
        let is_sticky = matches!(self, Self::Split(split) if split.sticky().is_some());
        is_sticky || self.upstreams().any(|upstream| upstream.key().is_some())
    }
}

/// Where the client is sent.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "redirect")]
pub struct RedirectConfig {
    /// The address, a template: `https://{request.host}{request.path}?{request.query}`. A `?` that
    /// nothing follows is left out.
    pub to: Template,
    /// 301, 302, 303, 307 or 308. Default: 308.
    #[serde(default = "permanent")]
    #[schemars(extend("enum" = [301, 302, 303, 307, 308]))]
    pub status: u16,
}

fn permanent() -> u16 {
    308
}

/// The answer of a route.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "reply")]
pub struct ReplyConfig {
    /// The status. Default: 200.
    #[serde(default = "ok")]
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// The body, as it stands. Default: none.
    #[serde(default)]
    pub body: String,
    /// The header fields; without a `content-type` it is `text/plain`.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "format": "field-name" }))]
    pub headers: IndexMap<FieldName, String>,
}

fn ok() -> u16 {
    200
}

/// A compiled redirect.
#[derive(Debug)]
pub struct Redirect {
    to: Template,
    status: StatusCode,
}

impl RedirectConfig {
    /// The compiled redirect.
    pub fn compile(&self) -> Result<Redirect, Problem> {
        let known = [301, 302, 303, 307, 308].contains(&self.status);
        let status = StatusCode::from_u16(self.status).ok().filter(|_| known).ok_or_else(|| {
            Problem::new(
                format!("{} does not redirect", self.status),
                "use 301 or 308 for good, 302 or 307 for now, 303 after a POST",
            )
        })?;
        Ok(Redirect { to: self.to.clone(), status })
    }
}

impl Redirect {
    /// The reply to an exchange.
    pub fn reply(&self, exchange: &Exchange<'_>) -> Reply {
        let mut to = String::new();
        self.to.render(exchange, Escape::UrlPath, &mut to);
        if to.ends_with('?') {
            // `...{request.path}?{request.query}` for a request without a query.
            to.pop();
        }
        let to = HeaderValue::try_from(to).unwrap_or(HeaderValue::from_static("/"));
        Reply::new(self.status).header(header::LOCATION, to)
    }
}

impl ReplyConfig {
    /// The reply, made once.
    pub fn compile(&self) -> Result<Reply, Problem> {
        let mut reply = Reply::new(StatusCode::from_u16(self.status).map_err(|_| {
            Problem::new(format!("{} is no status", self.status), "use one from 200 to 599")
        })?);
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(value).map_err(|_| {
                Problem::new(
                    format!("the value of `{}` cannot be sent", name.0),
                    "leave control characters out",
                )
            })?;
            reply = reply.header(name.0.clone(), value);
        }
        let has_type = self.headers.keys().any(|name| name.0 == header::CONTENT_TYPE);
        if !has_type && !self.body.is_empty() {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            reply = reply.header(HeaderName::from_static("content-type"), text);
        }
        reply.body = Bytes::from(self.body.clone());
        Ok(reply)
    }
}
