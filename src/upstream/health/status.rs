//! `200`, `300-399`.

use crate::value::{Problem, word};
use std::str::FromStr;

/// Statuses of responses, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange(u16, u16);

word!(StatusRange, "status-range", "A status such as `200`, or several such as `300-399`.");

impl StatusRange {
    /// Whatever is no failure.
    pub(super) const GOOD: Self = Self(200, 399);

    /// Whatever ends an exchange.
    pub(super) const ANY: Self = Self(200, 599);

    pub(super) fn holds(self, status: u16) -> bool {
        (self.0..=self.1).contains(&status)
    }
}

impl FromStr for StatusRange {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad =
            |remedy: String| Problem::new(format!("`{text}` is no range of statuses"), remedy);
        if let Some(class) = text.strip_suffix("xx").filter(|class| class.len() == 1) {
            return Err(bad(format!("write `{class}00-{class}99`")));
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (status(first), status(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self(first, last)),
            (Some(first), Some(last)) => Err(bad(format!("write `{last}-{first}`"))),
            _ => Err(bad("write statuses from 200 to 599, such as `200` or `300-399`".into())),
        }
    }
}

/// A status that ends an exchange.
fn status(text: &str) -> Option<u16> {
    let is_plain = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|status| is_plain && (200..=599).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_range_of_one() {
        let read = |text: &str| text.parse::<StatusRange>().unwrap();
        assert_eq!(read("200"), StatusRange(200, 200));
        assert_eq!(read("300-399"), StatusRange(300, 399));
        let held = |text: &str| [299, 300, 350, 399, 400].map(|status| read(text).holds(status));
        assert_eq!(held("300-399"), [false, true, true, true, false]);
        assert_eq!(held("350"), [false, false, true, false, false]);
    }

    #[test]
    fn nonsense_shows_its_remedy() {
        let remedy = |text: &str| text.parse::<StatusRange>().unwrap_err().remedy;
        assert_eq!(remedy("2xx"), "write `200-299`");
        assert_eq!(remedy("399-300"), "write `300-399`");
        for text in ["", "-", "199", "600", "+20", "20", "0200", "200-", "200 - 299", "200-300-400"]
        {
            assert!(remedy(text).starts_with("write statuses from 200 to 599"), "{text}");
        }
    }
}
