//! `240B/s`, `64KiB/s`.

use super::{Problem, Size, word};
use std::str::FromStr;

/// Bytes per second; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteRate(pub u64);

word!(ByteRate, "byte-rate", "Bytes per second: `240B/s`, `64KiB/s` or `1MB/s`.");

impl FromStr for ByteRate {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = |remedy: String| Problem::new(format!("`{text}` is not a rate"), remedy);
        let (size, is_per_second) = match text.split_once('/') {
            Some((size, time)) => (size, time == "s"),
            None => (text, false),
        };
        let has_unit = size.ends_with('B');
        let Ok(Size(bytes)) = size.parse() else {
            return Err(bad("write bytes per second, such as `240B/s` or `64KiB/s`".into()));
        };
        match (bytes, is_per_second && has_unit) {
            (0, _) => Err(bad("write `off` for no minimum".into())),
            (_, true) => Ok(Self(bytes)),
            _ if has_unit => Err(bad(format!("write it per second, such as `{size}/s`"))),
            _ => Err(bad(format!("write the unit, such as `{size}B/s`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remedy(text: &str) -> String {
        text.parse::<ByteRate>().unwrap_err().remedy
    }

    #[test]
    fn the_units_of_sizes_are_read() {
        let read = ["240B/s", "64KiB/s", "1MB/s"].map(|t| t.parse::<ByteRate>().map(|r| r.0));
        assert_eq!(read, [240, 65_536, 1_000_000].map(Ok));
    }

    #[test]
    fn what_is_missing_is_shown() {
        assert_eq!(remedy("240"), "write the unit, such as `240B/s`");
        assert_eq!(remedy("240/s"), "write the unit, such as `240B/s`");
        assert_eq!(remedy("240B"), "write it per second, such as `240B/s`");
        assert_eq!(remedy("14KiB/m"), "write it per second, such as `14KiB/s`");
        assert_eq!(remedy("0B/s"), "write `off` for no minimum");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "/s", "B/s", "-1B/s", "1.5MB/s", "240B/s/s", "240b/s", "99999999TiB/s"] {
            assert!(text.parse::<ByteRate>().is_err(), "{text}");
        }
    }
}
