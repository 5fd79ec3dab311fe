//! Which candidates an exchange has no use for any more.

/// The indices of candidates already tried; the first 128 need no allocation.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// The set that the indices belong to.
    set: u64,
    first: u128,
    more: Vec<u128>,
}

impl Tried {
    /// Nothing tried yet.
    pub const fn new() -> Self {
        Self { set: 0, first: 0, more: Vec::new() }
    }

    /// Begins with this set of candidates. In another one the same index is another endpoint, and
    /// what is ruled out so far says nothing.
    pub fn begin(&mut self, set: u64) {
        if self.set != set {
            *self = Self { set, ..Self::new() };
        }
    }

    /// Rules a candidate out; one that must not be picked for another reason may be added too.
    pub fn insert(&mut self, index: usize) {
        let (word, bit) = place(index);
        match word.checked_sub(1) {
            None => self.first |= bit,
            Some(word) => {
                if self.more.len() <= word {
                    self.more.resize(word + 1, 0);
                }
                if let Some(bits) = self.more.get_mut(word) {
                    *bits |= bit;
                }
            }
        }
    }

    /// Rules nothing out any more.
    pub fn clear(&mut self) {
        *self = Self { set: self.set, ..Self::new() };
    }

    /// Whether a candidate is ruled out.
    pub fn contains(&self, index: usize) -> bool {
        let (word, bit) = place(index);
        let bits = match word.checked_sub(1) {
            None => self.first,
            Some(word) => self.more.get(word).copied().unwrap_or(0),
        };
        bits & bit != 0
    }

    /// Whether nothing is ruled out.
    pub fn is_empty(&self) -> bool {
        self.first == 0 && self.more.iter().all(|bits| *bits == 0)
    }
}

fn place(index: usize) -> (usize, u128) {
    (index / 128, 1 << (index % 128))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inserted_is_contained_and_nothing_else() {
        let mut tried = Tried::new();
        assert!(tried.is_empty());
        for index in [0, 63, 127, 128, 1000] {
            assert!(!tried.contains(index));
            tried.insert(index);
            assert!(tried.contains(index));
        }
        let all: Vec<_> = (0..2000).filter(|index| tried.contains(*index)).collect();
        assert_eq!(all, [0, 63, 127, 128, 1000]);
        assert!(!tried.is_empty());
    }

    #[test]
    fn a_late_index_alone_counts() {
        let mut tried = Tried::new();
        tried.insert(500);
        assert!(!tried.is_empty());
        assert!(!tried.contains(500 % 128));
    }
}
