//! Many cache lines in a row.

use memmap2::{Advice, MmapMut};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A text, if it is short enough, and what it leads to; as large as a line of the processor's caches.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub(super) struct Line {
    pub(super) value: [u32; 6],
    /// Where the text is that is too long.
    pub(super) far: u32,
    /// How long the text is; [`FAR`] is too long.
    pub(super) len: u8,
    pub(super) text: [u8; NEAR],
}

/// The longest text that a line holds.
pub(super) const NEAR: usize = 35;
/// In the place of a length: the text is elsewhere.
pub(super) const FAR: u8 = u8::MAX;

const EMPTY: Line = Line { value: [0; 6], far: 0, len: 0, text: [0; NEAR] };

/// So many bytes are worth large pages.
const MANY: usize = 2 * 1024 * 1024;

/// Lines that all begin empty.
///
/// Where there are many, each of them lies on a page of memory that the processor has forgotten. So
/// they lie on large pages, if the system has some: then it knows the way to all of them.
#[derive(Debug)]
pub(super) enum Lines {
    Few(Box<[Line]>),
    Many(MmapMut),
}

impl Lines {
    pub(super) fn new(count: usize) -> Self {
        let few = || Self::Few(vec![EMPTY; count].into());
        let bytes = count * size_of::<Line>();
        if bytes < MANY {
            return few();
        }
        let Ok(map) = MmapMut::map_anon(bytes) else { return few() };
        // Without large pages it is only slower.
        let _ = map.advise(Advice::HugePage);
        Self::Many(map)
    }

    pub(super) fn all(&self) -> &[Line] {
        match self {
            Self::Few(lines) => lines,
            Self::Many(map) => FromBytes::ref_from_bytes(map).unwrap_or_default(),
        }
    }

    pub(super) fn all_mut(&mut self) -> &mut [Line] {
        match self {
            Self::Few(lines) => lines,
            Self::Many(map) => FromBytes::mut_from_bytes(map).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_alike() {
        for count in [1, 2, MANY / 64, MANY / 16] {
            let mut lines = Lines::new(count);
            assert_eq!(matches!(lines, Lines::Many(_)), count > 2);
            assert_eq!(lines.all().len(), count);
            for (line, n) in lines.all_mut().iter_mut().zip(0_u32..) {
                assert_eq!((line.len, line.value), (0, [0; 6]));
                line.far = n;
            }
            assert!(lines.all().iter().zip(0..).all(|(line, n)| line.far == n));
        }
    }
}
