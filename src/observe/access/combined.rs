//! The common and the combined format, byte for byte as nginx and Apache write them.

use super::Record;
use crate::expr::escape_line;
use crate::observe::stamp;

/// Appends the line of an exchange; what is absent is `-`.
pub(super) fn write(record: &Record<'_>, line: &mut String) {
    common(record, line);
    line.push_str(" \"");
    escape_line(record.referer.as_deref().unwrap_or("-"), line);
    line.push_str("\" \"");
    escape_line(record.user_agent.as_deref().unwrap_or("-"), line);
    line.push_str("\"\n");
}

/// The same without referer and user agent.
pub(super) fn write_common(record: &Record<'_>, line: &mut String) {
    common(record, line);
    line.push('\n');
}

/// Piece by piece, because the formatting of the standard library would cost as much as a filter.
fn common(record: &Record<'_>, line: &mut String) {
    record.client.write(line);
    line.push_str(" - - [");
    stamp::common(record.time, line);
    line.push_str("] \"");
    request(record, line);
    let mut digits = itoa::Buffer::new();
    line.push_str("\" ");
    line.push_str(digits.format(record.status));
    line.push(' ');
    line.push_str(digits.format(record.bytes_sent));
}

fn request(record: &Record<'_>, line: &mut String) {
    let (Some(method), Some(path)) = (record.method, record.path) else {
        line.push('-');
        return;
    };
    line.push_str(method);
    line.push(' ');
    escape_line(path, line);
    if let Some(query) = record.query {
        line.push('?');
        escape_line(query, line);
    }
    line.push(' ');
    line.push_str(record.protocol);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record: &Record<'_>) -> String {
        record.line(write)
    }

    #[test]
    fn an_exchange_is_one_line_as_nginx_writes_it() {
        assert_eq!(
            line(&Record::full()),
            "203.0.113.7 - - [21/Nov/2026:11:40:02 +0000] \"GET /cart/7?a=1&b=2 HTTP/1.1\" 502 3456 \
             \"https://example.com/\" \"curl/8.5\"\n"
        );
    }

    #[test]
    fn the_common_format_ends_with_the_size() {
        let mut line = String::new();
        write_common(&Record::full(), &mut line);
        let expected = "\"GET /cart/7?a=1&b=2 HTTP/1.1\" 502 3456\n";
        assert!(line.starts_with("203.0.113.7 - - [") && line.ends_with(expected), "{line}");
    }

    #[test]
    fn what_is_absent_is_a_dash() {
        assert_eq!(
            line(&Record::bare()),
            "unix: - - [21/Nov/2026:11:40:02 +0000] \"-\" 400 3456 \"-\" \"-\"\n"
        );
    }

    #[test]
    fn a_client_cannot_forge_a_line() {
        let record = Record {
            path: Some("/a\"b\\c"),
            query: None,
            user_agent: Some("x\" 200\r\n\t\u{7f}é".into()),
            ..Record::full()
        };
        let line = line(&record);
        assert!(line.contains(r#""GET /a\x22b\x5Cc HTTP/1.1""#), "{line}");
        assert!(line.ends_with("\"x\\x22 200\\x0D\\x0A\\x09\\x7F\\xC3\\xA9\"\n"), "{line}");
    }

    #[test]
    fn an_empty_query_keeps_its_question_mark() {
        let record = Record { query: Some(""), ..Record::full() };
        assert!(line(&record).contains("\"GET /cart/7? HTTP/1.1\""));
    }
}
