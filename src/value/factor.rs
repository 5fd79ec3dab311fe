//! `125%`: a multiple of the usual.

use super::{Problem, word};
use std::str::FromStr;

/// How many times as much, in hundredths; at least once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Factor(u32);

word!(Factor, "factor", "How much of the usual, from `100%` on: `125%`, `200%`.");

const LARGEST: u32 = 10_000;

impl Factor {
    /// So many percent, at least 100.
    pub const fn percent(percent: u32) -> Self {
        Self(if percent < 100 { 100 } else { percent })
    }

    /// This multiple of a ratio of two numbers, rounded up; the second is not 0.
    pub fn of_ratio(self, number: u64, by: u64) -> u64 {
        let whole = u128::from(number) * u128::from(self.0);
        u64::try_from(whole.div_ceil(u128::from(by.max(1)) * 100)).unwrap_or(u64::MAX)
    }

    /// As a number.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl FromStr for Factor {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = |remedy| Problem::new(format!("`{text}` is not a multiple of the usual"), remedy);
        let Some(number) = text.strip_suffix('%') else {
            return Err(bad("write it in percent, such as `125%`"));
        };
        let is_number =
            (1..=5).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        match number.parse() {
            Ok(percent @ 100..=LARGEST) if is_number => Ok(Self(percent)),
            _ => Err(bad("write a whole number of percent from `100%` to `10000%`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_are_read() {
        for (text, percent) in [("100%", 100), ("125%", 125), ("10000%", 10_000)] {
            assert_eq!(text.parse(), Ok(Factor::percent(percent)), "{text}");
        }
        assert!((Factor::percent(125).as_f64() - 1.25).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_no_multiple_is_told() {
        for text in ["99%", "10001%", "-1%", "%", "1.5%", "+125%"] {
            let remedy = "write a whole number of percent from `100%` to `10000%`";
            assert_eq!(text.parse::<Factor>().unwrap_err().remedy, remedy, "{text}");
        }
        let remedy = "write it in percent, such as `125%`";
        assert_eq!("1.25".parse::<Factor>().unwrap_err().remedy, remedy);
    }

    #[test]
    fn ratios_are_rounded_up() {
        let factor = Factor::percent(125);
        assert_eq!(
            (factor.of_ratio(8, 10), factor.of_ratio(9, 10), factor.of_ratio(0, 10)),
            (1, 2, 0)
        );
        assert_eq!(factor.of_ratio(u64::MAX, 1), u64::MAX);
    }
}
