//! `250ms`, `30s`, `5m`, `2h`, `7d`.

use super::{Problem, word};
use std::fmt;
use std::str::FromStr;

/// A length of time with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

word!(Duration, "duration", "A length of time: `250ms`, `30s`, `5m`, `2h` or `7d`.");

impl Duration {
    /// A whole number of seconds, for defaults.
    pub const fn secs(secs: u64) -> Self {
        Self(std::time::Duration::from_secs(secs))
    }
}

/// In the largest unit of which it is a whole number.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        let fits = units.into_iter().find(|(per_unit, _)| ms > 0 && ms.is_multiple_of(*per_unit));
        let (per_unit, unit) = fits.unwrap_or((1, "ms"));
        write!(f, "{}{unit}", ms / per_unit)
    }
}

impl FromStr for Duration {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let bad = |remedy: String| Err(Problem::new(format!("`{text}` is not a duration"), remedy));
        if number.is_empty() {
            return bad("write a number and a unit, such as `30s`".into());
        }
        let per_unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return bad(format!("write the unit, such as `{number}s`")),
            _ if unit.starts_with('.') => {
                return bad("write a whole number of a smaller unit, such as `1500ms`".into());
            }
            _ => return bad("use one of the units ms, s, m, h, d, such as `30s`".into()),
        };
        match number.parse::<u64>().ok().and_then(|n| n.checked_mul(per_unit)) {
            // Ten years: far beyond any use, far below any overflow of a deadline.
            Some(ms) if ms <= 315_360_000_000 => Ok(Self(std::time::Duration::from_millis(ms))),
            _ => bad("use at most ten years, `3650d`".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> Option<u128> {
        text.parse::<Duration>().ok().map(|d| d.0.as_millis())
    }

    #[test]
    fn it_is_shown_as_it_would_be_written() {
        for text in ["250ms", "1500ms", "30s", "5m", "2h", "7d", "0ms"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
        assert_eq!("120s".parse::<Duration>().unwrap().to_string(), "2m");
    }

    #[test]
    fn every_unit_is_read() {
        let read = ["250ms", "30s", "5m", "2h", "7d"].map(ms);
        assert_eq!(read, [250, 30_000, 300_000, 7_200_000, 604_800_000].map(Some));
    }

    #[test]
    fn a_bare_number_shows_the_remedy() {
        let problem = "30".parse::<Duration>().unwrap_err();
        assert_eq!(problem.remedy, "write the unit, such as `30s`");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "s", "-1s", "1.5s", "30 s", "30S", "3651d", "99999999999999999999s"] {
            assert_eq!(ms(text), None, "{text}");
        }
    }
}
