use super::*;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tracing::subscriber::with_default;
use tracing_subscriber::layer::SubscriberExt;

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_795_261_202_123)
}

fn logged(format: fn() -> Format, ansi: bool, act: impl FnOnce()) -> String {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Lines { format, now })
        .with_ansi(ansi)
        .with_writer(move || writer.clone());
    with_default(tracing_subscriber::registry().with(lines), act);
    let bytes = buffer.0.lock().clone();
    String::from_utf8(bytes).unwrap()
}

fn as_text(act: impl FnOnce()) -> String {
    logged(|| Format::Text, false, act)
}

fn as_json(act: impl FnOnce()) -> String {
    logged(|| Format::Json, false, act)
}

#[test]
fn a_line_of_text_is_short() {
    let line = as_text(|| {
        tracing::info!(listener = "web", address = %"127.0.0.1:8080", open = 3, ok = true, "listening");
    });
    let expected = "2026-11-21T11:40:02.123Z INFO listening listener=web address=127.0.0.1:8080 \
                    open=3 ok=true\n";
    assert_eq!(line, expected);
}

#[test]
fn what_a_client_sent_stays_in_its_line_and_field() {
    let line =
        as_text(|| tracing::warn!(agent = "a b\n\"c\"", empty = "", "odd\nmessage\u{1b}[2J"));
    let expected = r#"WARN odd\nmessage\u{1b}[2J agent="a b\n\"c\"" empty="""#;
    assert_eq!(line, format!("2026-11-21T11:40:02.123Z {expected}\n"));
}

#[test]
fn a_line_of_json_keeps_numbers_as_numbers() {
    let line = as_json(|| {
        let error = io::Error::other("no \"room\"");
        tracing::error!(%error, count = 3, share = 0.5, odd = f64::NAN, ok = false, "failed");
    });
    let mut read: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(read.as_object_mut().unwrap().remove("target").is_some());
    let expected = serde_json::json!({
        "time": "2026-11-21T11:40:02.123Z", "level": "error", "message": "failed",
        "error": "no \"room\"", "count": 3, "share": 0.5, "odd": "NaN", "ok": false,
    });
    assert_eq!(read, expected);
    assert_eq!(line.matches('\n').count(), 1);
}

#[test]
fn a_terminal_gets_a_coloured_level() {
    let line = logged(|| Format::Text, true, || tracing::error!("failed"));
    assert_eq!(line, "2026-11-21T11:40:02.123Z \u{1b}[31mERROR\u{1b}[0m failed\n");
}

#[test]
fn a_line_of_the_log_crate_carries_its_own_target_and_no_extras() {
    let write = || {
        let record = log::Record::builder()
            .args(format_args!("broken pipe"))
            .level(log::Level::Warn)
            .target("pingora_proxy")
            .file(Some("proxy.rs"))
            .line(Some(7))
            .build();
        tracing_log::format_trace(&record).unwrap();
    };
    assert_eq!(as_text(write), "2026-11-21T11:40:02.123Z WARN broken pipe\n");
    let line = as_json(write);
    assert!(line.contains(r#""target":"pingora_proxy","message":"broken pipe"}"#), "{line}");
}
