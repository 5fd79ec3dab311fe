//! The extended log file format of W3C, with the fields that IIS writes unless told otherwise.

use super::{Client, Record};
use crate::observe::stamp::W3c;
use std::fmt::{self, Write};
use std::time::SystemTime;

/// What [`self::write()`] writes, in its order.
const FIELDS: &str = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip \
                      cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken";

/// What Windows says of a client that left (`ERROR_NETNAME_DELETED`).
const CLIENT_LEFT: u8 = 64;

/// Appends the lines that begin a file.
pub(super) fn begin(now: SystemTime, lines: &mut String) -> fmt::Result {
    let (version, date) = (crate::VERSION, W3c(now));
    write!(
        lines,
        "#Software: falconer {version}\n#Version: 1.0\n#Date: {date}\n#Fields: {FIELDS}\n"
    )
}

/// Appends the line of an exchange; what is absent is `-`.
pub(super) fn write(record: &Record<'_>, line: &mut String) -> fmt::Result {
    // The date is that of the end.
    let end = record.time.checked_add(record.duration).unwrap_or(record.time);
    write!(line, "{} ", W3c(end))?;
    shown(record.local.map(|local| local.ip().to_canonical()), line)?;
    text(record.method, line);
    text(record.path, line);
    text(record.query, line);
    shown(record.local.map(|local| local.port()), line)?;
    // No user is known to us.
    line.push_str("- ");
    shown(ip(record.client), line)?;
    text(record.user_agent.as_deref(), line);
    text(record.referer.as_deref(), line);
    let win32 = if record.cause == Some("client_closed") { CLIENT_LEFT } else { 0 };
    writeln!(line, "{} 0 {win32} {}", record.status, record.duration.as_millis())
}

fn ip(client: Client) -> Option<std::net::IpAddr> {
    match client {
        Client::Ip(ip) => Some(ip),
        Client::Unix => None,
    }
}

fn shown(value: Option<impl fmt::Display>, line: &mut String) -> fmt::Result {
    match value {
        Some(value) => write!(line, "{value} "),
        None => line.write_str("- "),
    }
}

/// `+` for blanks, which separate the fields, and for control characters, which could end a line.
fn text(value: Option<&str>, line: &mut String) {
    let is_replaced = |c: char| c.is_whitespace() || c.is_control();
    match value.unwrap_or_default() {
        "" => line.push('-'),
        plain if plain.bytes().all(|b| b.is_ascii_graphic()) => line.push_str(plain),
        other => line.extend(other.chars().map(|c| if is_replaced(c) { '+' } else { c })),
    }
    line.push(' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record: &Record<'_>) -> String {
        record.line(|record, line| write(record, line).unwrap())
    }

    #[test]
    fn an_exchange_is_one_line_as_iis_writes_it() {
        assert_eq!(
            line(&Record::full()),
            "2026-11-21 11:40:02 192.0.2.1 GET /cart/7 a=1&b=2 8080 - 203.0.113.7 curl/8.5 \
             https://example.com/ 502 0 0 12\n"
        );
    }

    #[test]
    fn what_is_absent_or_empty_is_a_dash() {
        let bare = "2026-11-21 11:40:02 - - - - - - - - - 400 0 0 12\n";
        assert_eq!(line(&Record::bare()), bare);
        let empty = Record { query: Some(""), ..Record::bare() };
        assert_eq!(line(&empty), bare);
    }

    #[test]
    fn every_line_has_a_value_for_every_field() {
        let names = FIELDS.split(' ').count();
        for record in [Record::full(), Record::bare()] {
            assert_eq!(line(&record).trim_end().split(' ').count(), names);
        }
    }

    #[test]
    fn a_file_begins_with_what_it_holds() {
        let mut lines = String::new();
        begin(Record::full().time, &mut lines).unwrap();
        let expected = format!(
            "#Software: falconer {}\n#Version: 1.0\n#Date: 2026-11-21 11:40:02\n#Fields: {FIELDS}\n",
            crate::VERSION
        );
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_client_cannot_forge_a_field_or_a_line() {
        let forged = "a b\tc\r\n2026-11-21\u{a0}\u{85}\u{2028}\u{1b}[31m\u{fc}+";
        let record = Record { user_agent: Some(forged.into()), ..Record::full() };
        let line = line(&record);
        assert!(line.contains(" a+b+c++2026-11-21++++[31m\u{fc}+ https://"), "{line}");
        assert_eq!(line.trim_end().split(char::is_whitespace).count(), 15);
    }

    #[test]
    fn the_date_is_that_of_the_end_and_a_client_that_left_is_told() {
        let duration = std::time::Duration::from_millis(61_900);
        let record =
            Record { duration, status: 499, cause: Some("client_closed"), ..Record::full() };
        let line = line(&record);
        assert!(line.starts_with("2026-11-21 11:41:04 "), "{line}");
        assert!(line.ends_with(" 499 0 64 61900\n"), "{line}");
    }

    #[test]
    fn an_ipv4_address_of_a_socket_for_both_is_shown_as_such() {
        let local = Some("[::ffff:192.0.2.1]:80".parse().unwrap());
        let line = line(&Record { local, ..Record::full() });
        assert!(line.starts_with("2026-11-21 11:40:02 192.0.2.1 GET "), "{line}");
    }
}
