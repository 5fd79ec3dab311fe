//! `20%`: a part of the whole.

use super::{Problem, word};
use std::str::FromStr;

/// A share from nothing to all, in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

word!(Share, "share", "A part of the whole: `20%`, `0.5%`.");

const WHOLE: u32 = 10_000;

impl Share {
    /// So many percent, at most 100.
    pub const fn percent(percent: u32) -> Self {
        Self(if percent < 100 { percent * 100 } else { WHOLE })
    }

    /// This part of a number, rounded down.
    pub fn of(self, whole: u64) -> u64 {
        let part = u128::from(whole) * u128::from(self.0) / u128::from(WHOLE);
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    /// Whether a part of a number is at least this share of it.
    pub fn is_reached_by(self, part: u64, whole: u64) -> bool {
        u128::from(part) * u128::from(WHOLE) >= u128::from(whole) * u128::from(self.0)
    }
}

impl FromStr for Share {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = |remedy| Problem::new(format!("`{text}` is not a share"), remedy);
        let Some(number) = text.strip_suffix('%') else {
            return Err(bad("write it in percent, such as `20%`"));
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |text: &str| {
            (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(whole) || !is_number(part) || part.len() > 2 {
            return Err(bad("write a number with at most two decimals, such as `20%` or `0.25%`"));
        }
        let whole: u32 = whole.parse().unwrap_or(u32::MAX);
        let hundredths: u32 = format!("{part:0<2}").parse().unwrap_or_default();
        match whole.saturating_mul(100).saturating_add(hundredths) {
            share @ ..=WHOLE => Ok(Self(share)),
            _ => Err(bad("write at most `100%`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_are_read() {
        for (text, share) in
            [("0%", 0), ("20%", 2000), ("0.25%", 25), ("0.5%", 50), ("100%", 10_000)]
        {
            assert_eq!(text.parse(), Ok(Share(share)), "{text}");
        }
        assert_eq!(Share::percent(20), Share(2000));
    }

    #[test]
    fn what_is_no_share_is_told() {
        for (text, remedy) in [
            ("20", "write it in percent, such as `20%`"),
            ("101%", "write at most `100%`"),
            ("100.01%", "write at most `100%`"),
            ("-1%", "write a number with at most two decimals, such as `20%` or `0.25%`"),
            ("%", "write a number with at most two decimals, such as `20%` or `0.25%`"),
            ("1.%", "write a number with at most two decimals, such as `20%` or `0.25%`"),
            ("0.125%", "write a number with at most two decimals, such as `20%` or `0.25%`"),
        ] {
            assert_eq!(text.parse::<Share>().unwrap_err().remedy, remedy, "{text}");
        }
    }

    #[test]
    fn parts_are_counted_without_loss() {
        let share = Share::percent(50);
        assert_eq!((share.of(3), share.of(u64::MAX)), (1, u64::MAX / 2));
        assert!(share.is_reached_by(2, 4) && !share.is_reached_by(1, 3));
    }
}
