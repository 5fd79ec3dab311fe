//! A hash index that never changes, laid out for tables larger than the processor's caches.

use super::lines::{FAR, Line, Lines};
use std::marker::PhantomData;

/// Values by a text and whatever else of them counts as key.
///
/// What costs in a large index is not the hash but each distant cache line. So one byte per line
/// says whether a look at it is worth while, these bytes lie together and stay in a near cache,
/// and one line holds the value and the text, unless the text is long.
#[derive(Debug)]
pub(super) struct Index<T> {
    tags: Box<[u8]>,
    lines: Lines,
    /// The texts that are too long for their lines.
    far: Vec<Box<[u8]>>,
    mask: usize,
    values: PhantomData<T>,
}

/// A value that fits a line beside its text.
pub(super) trait Packed {
    /// The value in few numbers.
    fn pack(&self) -> [u32; 6];
    /// The value that was packed so.
    fn unpack(numbers: [u32; 6]) -> Self;
}

/// The tag of a free line; all others have the upper bit.
const FREE: u8 = 0;

impl<T: Packed> Index<T> {
    /// Builds the index of different keys, each with its hash.
    pub(super) fn build(entries: Vec<(u64, String, T)>) -> Self {
        let size = (entries.len() + entries.len() / 4 + 1).next_power_of_two();
        let (mut lines, mut far) = (Lines::new(size), Vec::new());
        let mut tags = vec![FREE; size].into_boxed_slice();
        let mask = size - 1;
        let all = lines.all_mut();
        for (hash, text, value) in entries {
            let mut at = start(hash) & mask;
            while tags.get(at).is_some_and(|tag| *tag != FREE) {
                at = (at + 1) & mask;
            }
            if let (Some(line), Some(free)) = (all.get_mut(at), tags.get_mut(at)) {
                line.value = value.pack();
                write(line, text.as_bytes(), &mut far);
                *free = tag(hash);
            }
        }
        Self { tags, lines, far, mask, values: PhantomData }
    }

    /// The value with this hash that is the one sought.
    pub(super) fn find(&self, hash: u64, is_sought: impl Fn(&T, &[u8]) -> bool) -> Option<T> {
        let (mut at, lines) = (start(hash) & self.mask, self.lines.all());
        loop {
            let found = *self.tags.get(at)?;
            if found == FREE {
                return None;
            }
            if found == tag(hash)
                && let Some(line) = lines.get(at)
            {
                let value = T::unpack(line.value);
                if is_sought(&value, self.text(line)) {
                    return Some(value);
                }
            }
            at = (at + 1) & self.mask;
        }
    }

    fn text<'a>(&'a self, line: &'a Line) -> &'a [u8] {
        match line.len {
            FAR => self.far.get(line.far as usize).map_or(&[], |text| text),
            len => line.text.get(..usize::from(len)).unwrap_or_default(),
        }
    }
}

/// Writes a text into its line, or to those that are too long for one.
fn write(line: &mut Line, text: &[u8], far: &mut Vec<Box<[u8]>>) {
    match (line.text.get_mut(..text.len()), u8::try_from(text.len())) {
        (Some(near), Ok(len)) => {
            near.copy_from_slice(text);
            line.len = len;
        }
        _ => {
            line.len = FAR;
            line.far = u32::try_from(far.len()).unwrap_or(u32::MAX);
            far.push(text.into());
        }
    }
}

/// The upper half of the hash says where to begin, the lower half makes the tag.
fn start(hash: u64) -> usize {
    (hash >> 32) as usize
}

fn tag(hash: u64) -> u8 {
    hash as u8 | 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Packed for u32 {
        fn pack(&self) -> [u32; 6] {
            [*self; 6]
        }

        fn unpack(numbers: [u32; 6]) -> Self {
            numbers[0]
        }
    }

    #[test]
    fn every_text_is_found_and_no_other() {
        let mut random = fastrand::Rng::with_seed(1);
        for len in [0, 1, 2, 3, 100, 5000, 40_000] {
            let entries: Vec<_> = (0..len)
                .map(|n: u32| (random.u64(..), "x".repeat(n as usize % 60) + &n.to_string(), n))
                .collect();
            let index = Index::build(entries.clone());
            for (hash, text, n) in entries {
                assert_eq!(index.find(hash, |_, found| found == text.as_bytes()), Some(n));
                assert_eq!(index.find(hash, |_, found| found == b"y"), None);
            }
            assert_eq!(index.find(random.u64(..), |_, found| found == b"y"), None);
        }
    }

    #[test]
    fn keys_with_equal_hashes_are_told_apart() {
        let index = Index::build((0..3).map(|n| (7, String::new(), n)).collect());
        for n in 0..3 {
            assert_eq!(index.find(7, |value, _| *value == n), Some(n));
        }
    }
}
