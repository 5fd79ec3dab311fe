//! A hash index that never changes, laid out for tables larger than the processor's caches.

/// Values by a text and whatever else of them counts as key.
///
/// What costs in a large index is not the hash but each distant cache line. So one byte per slot
/// says whether a look at it is worth while, these bytes lie together and stay in a near cache,
/// and a slot is one line that holds the value and the text, unless the text is long.
#[derive(Debug)]
pub(super) struct Index<T> {
    tags: Box<[u8]>,
    slots: Box<[Slot<T>]>,
    mask: usize,
}

#[derive(Debug)]
#[repr(align(64))]
struct Slot<T>(Option<(Text, T)>);

/// A text beside its value as long as both fit a line.
#[derive(Debug)]
enum Text {
    Near { len: u8, bytes: [u8; NEAR] },
    Far(Box<[u8]>),
}

const NEAR: usize = 38;

/// The tag of a free slot; all others have the upper bit.
const FREE: u8 = 0;

impl<T> Index<T> {
    /// Fails to compile where a slot would need a second line.
    const ONE_LINE: () = assert!(size_of::<Slot<T>>() == 64);

    /// Builds the index of different keys, each with its hash.
    pub(super) fn build(entries: Vec<(u64, String, T)>) -> Self {
        let () = Self::ONE_LINE;
        let size = (entries.len() + entries.len() / 4 + 1).next_power_of_two();
        let mut slots: Box<[Slot<T>]> = (0..size).map(|_| Slot(None)).collect();
        let mut tags = vec![FREE; size].into_boxed_slice();
        let mask = size - 1;
        for (hash, text, value) in entries {
            let mut at = start(hash) & mask;
            while tags.get(at).is_some_and(|tag| *tag != FREE) {
                at = (at + 1) & mask;
            }
            if let (Some(slot), Some(free)) = (slots.get_mut(at), tags.get_mut(at)) {
                *slot = Slot(Some((Text::new(&text), value)));
                *free = tag(hash);
            }
        }
        Self { tags, slots, mask }
    }

    /// The value with this hash that is the one sought.
    pub(super) fn find(&self, hash: u64, is_sought: impl Fn(&T, &[u8]) -> bool) -> Option<&T> {
        let mut at = start(hash) & self.mask;
        loop {
            let found = *self.tags.get(at)?;
            if found == FREE {
                return None;
            }
            if found == tag(hash)
                && let Some(Slot(Some((text, value)))) = self.slots.get(at)
                && is_sought(value, text.bytes())
            {
                return Some(value);
            }
            at = (at + 1) & self.mask;
        }
    }
}

impl Text {
    fn new(text: &str) -> Self {
        let mut bytes = [0; NEAR];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(near), Ok(len)) => {
                near.copy_from_slice(text.as_bytes());
                Self::Near { len, bytes }
            }
            _ => Self::Far(text.as_bytes().into()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Near { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Far(bytes) => bytes,
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

    #[test]
    fn every_text_is_found_and_no_other() {
        let mut random = fastrand::Rng::with_seed(1);
        for len in [0, 1, 2, 3, 100, 5000] {
            let entries: Vec<_> = (0..len)
                .map(|n| (random.u64(..), "x".repeat(n % 60) + &n.to_string(), n))
                .collect();
            let index = Index::build(entries.clone());
            for (hash, text, n) in entries {
                assert_eq!(index.find(hash, |_, found| found == text.as_bytes()), Some(&n));
                assert_eq!(index.find(hash, |_, found| found == b"y"), None);
            }
            assert_eq!(index.find(random.u64(..), |_, found| found == b"y"), None);
        }
    }

    #[test]
    fn keys_with_equal_hashes_are_told_apart() {
        let index = Index::build((0..3).map(|n| (7, String::new(), n)).collect());
        for n in 0..3 {
            assert_eq!(index.find(7, |value, _| *value == n), Some(&n));
        }
    }
}
