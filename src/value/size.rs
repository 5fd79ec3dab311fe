//! `512`, `64KiB`, `30MB`, `2GiB`.

use super::{Problem, word};
use std::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

word!(Size, "size", "A number of bytes: `512`, `64KiB`, `30MB` or `2GiB`.");

impl Size {
    /// A number of KiB, for defaults.
    pub const fn kib(kib: u64) -> Self {
        Self(kib * 1024)
    }
}

impl FromStr for Size {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let bad = || {
            Problem::new(
                format!("`{text}` is not a size"),
                "write bytes, or a number with one of the units KiB, MiB, GiB, TiB, kB, MB, GB, \
                 TB, such as `64KiB`",
            )
        };
        let per_unit: u64 = match unit {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(bad()),
        };
        let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(per_unit));
        bytes.map(Self).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_and_binary_units_are_read() {
        let read = ["512", "64KiB", "30MB", "2GiB"].map(|t| t.parse::<Size>().map(|s| s.0));
        assert_eq!(read, [512, 65_536, 30_000_000, 2_147_483_648].map(Ok));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "KiB", "-1", "1.5MB", "64kib", "99999999999TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
