//! How one line of the log is written.

use super::Format;
use crate::observe::json::Object;
use crate::observe::stamp::Rfc3339;
use std::fmt::{self, Debug, Write};
use std::time::SystemTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes events as lines.
pub(super) struct Lines {
    /// The shape of the next line.
    pub(super) format: fn() -> Format,
    /// The clock.
    pub(super) now: fn() -> SystemTime,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match (self.format)() {
            Format::Text => text(&mut out, (self.now)(), event)?,
            Format::Json => json(&mut out, (self.now)(), event)?,
        }
        out.write_char('\n')
    }
}

fn text(out: &mut Writer<'_>, time: SystemTime, event: &Event<'_>) -> fmt::Result {
    let level = *event.metadata().level();
    write!(out, "{} ", Rfc3339(time))?;
    if out.has_ansi_escapes() {
        write!(out, "\x1b[{}m{level}\x1b[0m", colour(level))?;
    } else {
        write!(out, "{level}")?;
    }
    each_field(event, |name, value| match (name, value) {
        (MESSAGE, Value::Text(message)) => write!(out, " {}", Printable(message)),
        _ => Ok(()),
    })?;
    each_field(event, |name, value| match value {
        _ if name == MESSAGE => Ok(()),
        Value::Plain(value) => write!(out, " {name}={value}"),
        Value::Text(value) if is_bare(value) => write!(out, " {name}={value}"),
        Value::Text(value) => write!(out, " {name}={value:?}"),
    })
}

fn json(out: &mut Writer<'_>, time: SystemTime, event: &Event<'_>) -> fmt::Result {
    let normalized = event.normalized_metadata();
    let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
    let mut object = Object::open(out)?;
    object.text("time", Rfc3339(time))?;
    object.text("level", metadata.level().as_str().to_ascii_lowercase())?;
    object.text("target", metadata.target())?;
    each_field(event, |name, value| match value {
        Value::Plain(value) => object.plain(name, value),
        Value::Text(value) => object.text(name, value),
    })?;
    object.close()
}

const MESSAGE: &str = "message";

fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        _ => 35,
    }
}

/// Whether a value can stand without quotes and be told from what follows.
fn is_bare(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '"')
}

/// A text of which no client can make two lines, or move the cursor.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) }
        })
    }
}

/// A field's value.
enum Value<'a> {
    /// A number or a boolean.
    Plain(&'a dyn fmt::Display),
    /// Anything else.
    Text(&'a str),
}

fn each_field(event: &Event<'_>, write: impl FnMut(&str, Value<'_>) -> fmt::Result) -> fmt::Result {
    let mut fields = Fields { write, result: Ok(()), text: String::new() };
    event.record(&mut fields);
    fields.result
}

struct Fields<F> {
    write: F,
    result: fmt::Result,
    text: String,
}

impl<F: FnMut(&str, Value<'_>) -> fmt::Result> Fields<F> {
    fn field(&mut self, field: &Field, value: Value<'_>) {
        // `log.file` and the like come with every line of the `log` crate.
        if self.result.is_ok() && !field.name().starts_with("log.") {
            self.result = (self.write)(field.name(), value);
        }
    }
}

impl<F: FnMut(&str, Value<'_>) -> fmt::Result> Visit for Fields<F> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, Value::Plain(&value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, Value::Plain(&value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.field(field, Value::Plain(&value));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, Value::Plain(&value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, Value::Text(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        if write!(text, "{value:?}").is_ok() {
            self.field(field, Value::Text(&text));
        }
        self.text = text;
    }
}

#[cfg(test)]
mod tests;
