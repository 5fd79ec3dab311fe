//! A line of the access log in the words of the document.

use super::Record;
use super::json::Milliseconds;
use crate::expr::{Escape, Facts, Template, Variable};
use crate::observe::stamp::Rfc3339;
use crate::value::{Problem, word};
use http::header::{REFERER, USER_AGENT};
use std::fmt;
use std::str::FromStr;

/// A template that knows, besides what every template does, how the exchange ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(Template);

word!(
    Line,
    "access-log-template",
    "A template that also takes `{time}`, `{protocol}`, `{cause}`, `{upstream}`, `{endpoint}`, `{attempts}`, `{bytes_received}`, `{bytes_sent}`, `{duration_ms}` and `{upstream_ms}`. Quotes, backslashes, control characters and bytes beyond ASCII in values become `\\xHH`."
);

impl Line {
    /// The variables in the order written.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.variables()
    }

    /// What a record must bring with it, once each: a record itself does not know it.
    pub(super) fn further(&self) -> Vec<Variable> {
        let mut further = Vec::new();
        for variable in self.variables() {
            if !is_of_record(variable) && !further.contains(variable) {
                further.push(variable.clone());
            }
        }
        further
    }

    /// Appends the line of an exchange; what is absent is empty.
    pub(super) fn write(
        &self,
        record: &Record<'_>,
        further: &[Variable],
        line: &mut String,
    ) -> fmt::Result {
        self.0.render(&Known { record, further }, Escape::Line, line);
        line.push('\n');
        Ok(())
    }
}

impl FromStr for Line {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            let remedy = "write what it says, such as `{client.ip} {request.path}`";
            return Err(Problem::new("the line of the access log is empty", remedy));
        }
        if text.contains(['\n', '\r']) {
            let what = "a line of the access log cannot hold a line break";
            return Err(Problem::new(what, "write it on one line, or after `>-`"));
        }
        Template::of_log(text).map(Self)
    }
}

/// Facts of an exchange that is over.
struct Known<'a> {
    record: &'a Record<'a>,
    further: &'a [Variable],
}

impl Facts for Known<'_> {
    fn write(&self, variable: &Variable, out: &mut String) {
        let record = self.record;
        match variable {
            Variable::ClientIp => show(out, record.client),
            Variable::RequestMethod => text(out, record.method),
            Variable::RequestHost => text(out, record.host),
            Variable::RequestPath => text(out, record.path),
            Variable::RequestQuery => text(out, record.query),
            Variable::RequestId => show(out, record.request_id),
            Variable::RequestHeader(name) if *name == USER_AGENT => {
                text(out, record.user_agent.as_deref());
            }
            Variable::RequestHeader(name) if *name == REFERER => {
                text(out, record.referer.as_deref());
            }
            Variable::RouteName => text(out, record.route),
            Variable::ListenerName => out.push_str(record.listener),
            Variable::ResponseStatus => show(out, record.status),
            Variable::Time => show(out, Rfc3339(record.time)),
            Variable::Protocol => out.push_str(record.protocol),
            Variable::Cause => text(out, record.cause),
            Variable::Upstream => text(out, record.upstream),
            Variable::Endpoint => text(out, record.endpoint),
            Variable::Attempts => show(out, record.attempts),
            Variable::BytesReceived => show(out, record.bytes_received),
            Variable::BytesSent => show(out, record.bytes_sent),
            Variable::Duration => show(out, Milliseconds(record.duration)),
            Variable::UpstreamTime => {
                record.upstream_time.into_iter().for_each(|time| show(out, Milliseconds(time)));
            }
            other => {
                let place = self.further.iter().position(|known| known == other);
                text(out, place.and_then(|place| record.further.get(place)).map(|value| &**value));
            }
        }
    }
}

/// Whether [`Known`] finds it in a record's own fields.
fn is_of_record(variable: &Variable) -> bool {
    match variable {
        Variable::RequestHeader(name) => [USER_AGENT, REFERER].contains(name),
        Variable::ClientPort
        | Variable::RequestScheme
        | Variable::RequestCookie(_)
        | Variable::PathCapture(_)
        | Variable::TlsSni
        | Variable::TlsClientSubject => false,
        _ => true,
    }
}

fn show(out: &mut String, value: impl fmt::Display) {
    use fmt::Write;
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

fn text(out: &mut String, value: Option<&str>) {
    out.push_str(value.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(template: &str, record: &Record<'_>) -> String {
        let line: Line = template.parse().unwrap();
        let mut out = String::new();
        line.write(record, &line.further(), &mut out).unwrap();
        out
    }

    #[test]
    fn a_line_says_what_its_template_wants() {
        let template = "{time} {client.ip} \"{request.method} {request.host}{request.path}?\
                        {request.query} {protocol}\" {response.status} {cause} {upstream} \
                        {endpoint} {attempts} {bytes_received} {bytes_sent} {duration_ms} \
                        {upstream_ms} {request.id} {route.name} {listener.name} \
                        {request.header.user-agent} {request.header.Referer}";
        assert_eq!(
            line(template, &Record::full()),
            "2026-11-21T11:40:02.123Z 203.0.113.7 \"GET shop.example.com/cart/7?a=1&b=2 HTTP/1.1\" \
             502 upstream_reset app 127.0.0.1:3001 2 12 3456 12.345 9.000 0192-id shop web \
             curl/8.5 https://example.com/\n"
        );
        let bare = "2026-11-21T11:40:02.123Z unix: \" ? HTTP/1.1\" 400    0 12 3456 12.345  0192-id  web  \n";
        assert_eq!(line(template, &Record::bare()), bare, "what is absent is empty");
    }

    #[test]
    fn what_a_record_does_not_know_it_brings_with_it_once() {
        let template = "{request.header.x-a}|{tls.sni}|{request.header.x-a}|{client.ip}|{path.id}";
        let further = template.parse::<Line>().unwrap().further();
        let names: Vec<_> = further.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["request.header.x-a", "tls.sni", "path.id"]);
        let values = ["a", "", "7"].map(Box::from);
        let record = Record { further: &values, ..Record::full() };
        assert_eq!(line(template, &record), "a||a|203.0.113.7|7\n");
        assert_eq!(line(template, &Record::full()), "|||203.0.113.7|\n", "a refused request");
    }

    #[test]
    fn a_client_cannot_forge_a_line() {
        let value = "x\" 200\r\nforged \\ \u{1b}\u{fc}";
        let record = Record { path: Some(value), further: &[value.into()], ..Record::full() };
        let escaped = r"x\x22 200\x0D\x0Aforged \x5C \x1B\xC3\xBC";
        let line = line("\"{request.path}\" {{\u{fc}}} {request.header.x-a}", &record);
        assert_eq!(line, format!("\"{escaped}\" {{\u{fc}}} {escaped}\n"));
    }

    #[test]
    fn a_template_of_several_lines_or_none_is_refused() {
        let problem = |text: &str| text.parse::<Line>().unwrap_err().what;
        assert_eq!(problem(""), "the line of the access log is empty");
        for text in ["a\nb", "{client.ip}\n", "a\r"] {
            assert_eq!(problem(text), "a line of the access log cannot hold a line break");
        }
        assert_eq!(problem("{durations}"), "`{durations}` is not known in a template");
    }
}
