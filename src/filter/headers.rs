//! `headers`: sets, appends, removes and renames header fields.

use crate::exchange::Exchange;
use crate::expr::{Escape, Template};
use crate::value::FieldName;
use http::{HeaderName, HeaderValue};
use indexmap::IndexMap;
use pingora::http::{RequestHeader, ResponseHeader};
use schemars::JsonSchema;
use serde::Deserialize;

/// Edits of the request that goes upstream, and of the response that goes to the client.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "headers-filter")]
pub struct Config {
    /// Edits of the request.
    pub request: Edits,
    /// Edits of the response.
    pub response: Edits,
}

/// Edits in the order they are done: remove, rename, set, append.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "header-edits")]
pub struct Edits {
    /// Fields to remove.
    pub remove: Vec<FieldName>,
    /// Fields to rename, old name to new.
    #[schemars(extend("propertyNames" = { "format": "field-name" }))]
    pub rename: IndexMap<FieldName, FieldName>,
    /// Fields to set, replacing what was there; the value is a template.
    #[schemars(extend("propertyNames" = { "format": "field-name" }))]
    pub set: IndexMap<FieldName, Template>,
    /// Fields to add beside what is there; the value is a template.
    #[schemars(extend("propertyNames" = { "format": "field-name" }))]
    pub append: IndexMap<FieldName, Template>,
}

/// The compiled filter.
#[derive(Debug)]
pub struct Headers {
    request: Compiled,
    response: Compiled,
}

#[derive(Debug)]
struct Compiled {
    remove: Vec<HeaderName>,
    rename: Vec<(HeaderName, HeaderName)>,
    set: Vec<(HeaderName, Value)>,
    append: Vec<(HeaderName, Value)>,
}

/// A value that is known at load is made once.
#[derive(Debug)]
enum Value {
    Constant(HeaderValue),
    Template(Template),
}

impl Config {
    /// The compiled filter.
    pub fn compile(&self) -> Headers {
        Headers { request: self.request.compile(), response: self.response.compile() }
    }
}

impl Edits {
    fn compile(&self) -> Compiled {
        let values = |edits: &IndexMap<FieldName, Template>| {
            edits.iter().map(|(name, template)| (name.0.clone(), Value::new(template))).collect()
        };
        Compiled {
            remove: self.remove.iter().map(|name| name.0.clone()).collect(),
            rename: self.rename.iter().map(|(old, new)| (old.0.clone(), new.0.clone())).collect(),
            set: values(&self.set),
            append: values(&self.append),
        }
    }
}

impl Value {
    fn new(template: &Template) -> Self {
        match template.constant().map(HeaderValue::from_str) {
            Some(Ok(value)) => Self::Constant(value),
            _ => Self::Template(template.clone()),
        }
    }

    fn render(&self, exchange: &Exchange<'_>) -> Option<HeaderValue> {
        match self {
            Self::Constant(value) => Some(value.clone()),
            Self::Template(template) => {
                let mut text = String::new();
                template.render(exchange, Escape::Header, &mut text);
                text.try_into().ok()
            }
        }
    }
}

/// The edits that both kinds of head can do; each keeps the case of names.
trait Head {
    fn remove(&mut self, name: &HeaderName);
    fn insert(&mut self, name: &HeaderName, value: HeaderValue);
    fn append(&mut self, name: &HeaderName, value: HeaderValue);
    fn values(&self, name: &HeaderName) -> Vec<HeaderValue>;
}

macro_rules! head {
    ($type:ty) => {
        impl Head for $type {
            fn remove(&mut self, name: &HeaderName) {
                self.remove_header(name);
            }

            fn insert(&mut self, name: &HeaderName, value: HeaderValue) {
                // Name and value are valid already, so nothing can fail.
                let _ = self.insert_header(name.clone(), value);
            }

            fn append(&mut self, name: &HeaderName, value: HeaderValue) {
                let _ = self.append_header(name.clone(), value);
            }

            fn values(&self, name: &HeaderName) -> Vec<HeaderValue> {
                self.headers.get_all(name).iter().cloned().collect()
            }
        }
    };
}

head!(RequestHeader);
head!(ResponseHeader);

impl Compiled {
    fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.rename.is_empty()
            && self.set.is_empty()
            && self.append.is_empty()
    }

    /// The rendered values of a list of edits, before the head is borrowed for changing.
    fn apply(&self, head: &mut impl Head, set: Rendered<'_>, append: Rendered<'_>) {
        for name in &self.remove {
            head.remove(name);
        }
        for (old, new) in &self.rename {
            let values = head.values(old);
            head.remove(old);
            for value in values {
                head.append(new, value);
            }
        }
        for (name, value) in set {
            head.insert(name, value);
        }
        for (name, value) in append {
            head.append(name, value);
        }
    }
}

type Rendered<'a> = Vec<(&'a HeaderName, HeaderValue)>;

fn render<'a>(edits: &'a [(HeaderName, Value)], exchange: &Exchange<'_>) -> Rendered<'a> {
    edits.iter().filter_map(|(name, value)| Some((name, value.render(exchange)?))).collect()
}

impl Headers {
    pub(super) fn request(&self, exchange: &mut Exchange<'_>) {
        if self.request.is_empty() {
            return;
        }
        let set = render(&self.request.set, exchange);
        let append = render(&self.request.append, exchange);
        self.request.apply(exchange.request, set, append);
    }

    pub(super) fn response(&self, exchange: &Exchange<'_>, response: &mut ResponseHeader) {
        if self.response.is_empty() {
            return;
        }
        let set = render(&self.response.set, exchange);
        let append = render(&self.response.append, exchange);
        self.response.apply(response, set, append);
    }
}
