//! One JSON object a line.

use super::Record;
use crate::observe::json::Object;
use crate::observe::stamp::Rfc3339;
use std::fmt;
use std::time::Duration;

/// Appends the line of an exchange; what is absent is left out.
pub(super) fn write(record: &Record<'_>, line: &mut String) -> fmt::Result {
    let mut object = Object::open(line)?;
    object.text("time", Rfc3339(record.time))?;
    object.text("request_id", record.request_id)?;
    object.text("client", record.client)?;
    object.text("listener", record.listener)?;
    text(&mut object, "route", record.route)?;
    text(&mut object, "method", record.method)?;
    text(&mut object, "host", record.host)?;
    text(&mut object, "path", record.path)?;
    text(&mut object, "query", record.query)?;
    object.text("protocol", record.protocol)?;
    object.plain("status", record.status)?;
    text(&mut object, "cause", record.cause)?;
    text(&mut object, "upstream", record.upstream)?;
    text(&mut object, "endpoint", record.endpoint)?;
    object.plain("attempts", record.attempts)?;
    if !record.earlier.is_empty() {
        object.list("earlier", record.earlier, |attempt, object| {
            object.text("endpoint", attempt.endpoint)?;
            if let Some(status) = attempt.status {
                object.plain("status", status)?;
            }
            text(object, "cause", attempt.cause)?;
            object.plain("upstream_ms", Milliseconds(attempt.took))
        })?;
    }
    object.plain("bytes_received", record.bytes_received)?;
    object.plain("bytes_sent", record.bytes_sent)?;
    object.plain("duration_ms", Milliseconds(record.duration))?;
    if let Some(time) = record.upstream_time {
        object.plain("upstream_ms", Milliseconds(time))?;
    }
    text(&mut object, "user_agent", record.user_agent.as_deref())?;
    text(&mut object, "referer", record.referer.as_deref())?;
    object.close()?;
    line.push('\n');
    Ok(())
}

fn text(object: &mut Object<'_, String>, key: &str, value: Option<&str>) -> fmt::Result {
    value.map_or(Ok(()), |value| object.text(key, value))
}

/// Milliseconds with three decimals.
pub(super) struct Milliseconds(pub(super) Duration);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0.as_millis(), self.0.subsec_micros() % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record: &Record<'_>) -> String {
        record.line(|record, line| write(record, line).unwrap())
    }

    #[test]
    fn every_field_stands_in_its_order() {
        let expected = concat!(
            r#"{"time":"2026-11-21T11:40:02.123Z","request_id":"0192-id","client":"203.0.113.7","#,
            r#""listener":"web","route":"shop","method":"GET","host":"shop.example.com","#,
            r#""path":"/cart/7","query":"a=1&b=2","protocol":"HTTP/1.1","status":502,"#,
            r#""cause":"upstream_reset","upstream":"app","endpoint":"127.0.0.1:3001","#,
            r#""attempts":2,"earlier":[{"endpoint":"127.0.0.1:3000","cause":"upstream_timeout_response","#,
            r#""upstream_ms":2.000}],"bytes_received":12,"bytes_sent":3456,"duration_ms":12.345,"#,
            r#""upstream_ms":9.000,"user_agent":"curl/8.5","referer":"https://example.com/"}"#,
            "\n"
        );
        assert_eq!(line(&Record::full()), expected);
    }

    #[test]
    fn what_is_absent_is_left_out() {
        let expected = concat!(
            r#"{"time":"2026-11-21T11:40:02.123Z","request_id":"0192-id","client":"unix:","#,
            r#""listener":"web","protocol":"HTTP/1.1","status":400,"attempts":0,"#,
            r#""bytes_received":12,"bytes_sent":3456,"duration_ms":12.345}"#,
            "\n"
        );
        assert_eq!(line(&Record::bare()), expected);
    }

    #[test]
    fn a_client_cannot_forge_a_line() {
        let agent = "x\",\"status\":200}\n{\"forged\":\"\u{1b}[31m";
        let line = line(&Record { user_agent: Some(agent.into()), ..Record::full() });
        assert_eq!(line.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["user_agent"], agent);
        assert_eq!(read["status"], 502);
    }
}
