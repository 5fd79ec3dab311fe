//! Moments as logs write them, always in UTC.

use std::cell::RefCell;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};
use time::UtcDateTime;

/// `2026-11-21T11:40:02.123Z`.
pub struct Rfc3339(pub SystemTime);

/// `2026-11-21 11:40:02`, as W3C's extended log files write it.
pub(super) struct W3c(pub(super) SystemTime);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = utc(self.0);
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        let (hour, minute, second, ms) = (at.hour(), at.minute(), at.second(), at.millisecond());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

impl fmt::Display for W3c {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = utc(self.0);
        let [c, e, a, r] = year(at);
        let ([m, o], [d, y]) = (two(at.month().into()), two(at.day()));
        let [h, u, i, t, s, x] = clock(at);
        let text = [c, e, a, r, b'-', m, o, b'-', d, y, b' ', h, u, b':', i, t, b':', s, x];
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

thread_local! {
    /// The last second that was written, and how.
    static COMMON: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
}

/// Appends `21/Nov/2026:11:40:02 +0000`, as web servers have always written it.
///
/// Made once a second: this is the most expensive field of a line otherwise.
pub(super) fn common(time: SystemTime, line: &mut String) {
    let second = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    COMMON.with_borrow_mut(|(made, text)| {
        if *made != second {
            *made = second;
            text.clear();
            write_common(time, text);
        }
        line.push_str(text);
    });
}

fn write_common(time: SystemTime, line: &mut String) {
    let at = utc(time);
    let month = MONTHS.get(usize::from(u8::from(at.month()) - 1)).copied().unwrap_or(b"   ");
    let [m, o, n] = *month;
    let ([c, e, a, r], [d, y]) = (year(at), two(at.day()));
    let [h, u, i, t, s, x] = clock(at);
    let text = [
        d, y, b'/', m, o, n, b'/', c, e, a, r, b':', h, u, b':', i, t, b':', s, x, b' ', b'+',
        b'0', b'0', b'0', b'0',
    ];
    line.push_str(std::str::from_utf8(&text).unwrap_or_default());
}

/// The four digits of a year.
fn year(at: UtcDateTime) -> [u8; 4] {
    let year = at.year().unsigned_abs();
    let ([a, b], [c, d]) = (two((year / 100 % 100) as u8), two((year % 100) as u8));
    [a, b, c, d]
}

/// The digits of hour, minute and second.
fn clock(at: UtcDateTime) -> [u8; 6] {
    let ([a, b], [c, d], [e, f]) = (two(at.hour()), two(at.minute()), two(at.second()));
    [a, b, c, d, e, f]
}

/// A number below 100 in two digits.
fn two(number: u8) -> [u8; 2] {
    [b'0' + number / 10, b'0' + number % 10]
}

/// A clock that is off by centuries shows as the epoch.
fn utc(time: SystemTime) -> UtcDateTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).ok();
    let whole = seconds.and_then(|seconds| UtcDateTime::from_unix_timestamp(seconds).ok());
    whole
        .and_then(|whole| whole.replace_nanosecond(since.subsec_nanos()).ok())
        .unwrap_or(UtcDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(ms: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn common_of(time: SystemTime) -> String {
        let mut text = String::new();
        common(time, &mut text);
        text
    }

    #[test]
    fn a_moment_is_written_in_every_shape() {
        let time = at(1_795_261_202_123);
        assert_eq!(Rfc3339(time).to_string(), "2026-11-21T11:40:02.123Z");
        assert_eq!(W3c(time).to_string(), "2026-11-21 11:40:02");
        assert_eq!(common_of(time), "21/Nov/2026:11:40:02 +0000");
    }

    #[test]
    fn small_numbers_are_padded() {
        assert_eq!(Rfc3339(at(1_001)).to_string(), "1970-01-01T00:00:01.001Z");
        assert_eq!(W3c(at(1_001)).to_string(), "1970-01-01 00:00:01");
        assert_eq!(common_of(at(1_001)), "01/Jan/1970:00:00:01 +0000");
    }

    #[test]
    fn a_clock_before_the_epoch_is_no_panic() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Rfc3339(before).to_string(), "1970-01-01T00:00:00.000Z");
    }
}
