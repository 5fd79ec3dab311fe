//! The shape of a path pattern, and paths cut so that they can be read in every shape.

use crate::route::path::{End, MAX_SEGMENTS, Segment, Segments};
use std::cmp::Reverse;
use std::hash::{BuildHasher, Hasher};

/// What patterns have in common that can share a hash index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    kind: Kind,
    /// How many segments are read.
    depth: u8,
    /// The captured ones among them; the first segment is the highest bit.
    captures: u32,
}

/// How a shape reads a path, in the order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    /// As one text.
    Whole,
    /// As so many segments, some of them captured.
    Fixed,
    /// As so many segments, and then anything.
    Open,
}

impl Shape {
    /// The shape of what matches every path.
    pub(super) const ROOT: Self = Self { kind: Kind::Open, depth: 0, captures: 0 };

    /// The shape of a pattern, and its literals as a path with nothing in captured segments.
    pub(super) fn of(pattern: &Segments) -> (Self, String) {
        let mut captures = 0;
        let mut text = String::new();
        for (at, segment) in pattern.segments.iter().enumerate() {
            text.push('/');
            match segment {
                Segment::Literal(literal) => text.push_str(literal),
                Segment::Capture(_) => captures |= bit(at),
            }
        }
        let kind = match pattern.end {
            End::Closed if captures == 0 => Kind::Whole,
            End::Closed => Kind::Fixed,
            End::Open | End::Captured(_) => Kind::Open,
        };
        let depth = if kind == Kind::Whole { 0 } else { pattern.segments.len() };
        (Self { kind, depth: u8::try_from(depth).unwrap_or(u8::MAX), captures }, text)
    }

    /// Orders shapes that match the same path, the most specific first.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        (self.kind, Reverse(self.depth), self.captures)
    }

    /// Whether a regex is less specific.
    pub(super) fn precedes_regex(&self) -> bool {
        self.kind < Kind::Open
    }

    /// How many segments a path must be cut into.
    pub(super) fn depth(&self) -> usize {
        usize::from(self.depth)
    }

    fn is_captured(&self, segment: usize) -> bool {
        self.captures & bit(segment) != 0
    }

    fn captured(self) -> impl Iterator<Item = usize> {
        (0..self.depth()).filter(move |segment| self.is_captured(*segment))
    }
}

/// A path and where its first segments end.
#[derive(Debug)]
pub(super) struct Cut<'a> {
    path: &'a str,
    /// The end of the first `n` segments at `n`.
    ends: [u32; MAX_SEGMENTS + 1],
    segments: usize,
}

impl<'a> Cut<'a> {
    /// Cuts the path into its first segments, at most so many.
    pub(super) fn new(path: &'a str, depth: usize) -> Self {
        let mut cut = Self { path, ends: [0; MAX_SEGMENTS + 1], segments: 0 };
        // What begins without a slash, as `*` does, has no segments.
        if depth == 0 || !path.starts_with('/') {
            return cut;
        }
        let slashes = path.bytes().enumerate().skip(1).filter(|(_, byte)| *byte == b'/');
        let ends = slashes.map(|(at, _)| at).chain([path.len()]).take(depth);
        for (slot, end) in cut.ends.iter_mut().skip(1).zip(ends) {
            *slot = u32::try_from(end).unwrap_or(u32::MAX);
            cut.segments += 1;
        }
        cut
    }

    /// A hash of the literals that a shape reads, within a scope; `None` if it cannot match.
    pub(super) fn hash(&self, scope: u32, shape: Shape) -> Option<u64> {
        if !self.fits(shape) {
            return None;
        }
        Some(self.hash_literals(scope, shape))
    }

    /// The same for the text that [`Shape::of`] made, whose captures are empty.
    pub(super) fn hash_literals(&self, scope: u32, shape: Shape) -> u64 {
        let mut hasher = foldhash::fast::FixedState::default().build_hasher();
        let reading = u32::from(shape.depth) << 8 | shape.kind as u32;
        hasher.write_u64(u64::from(reading) << 32 | u64::from(shape.captures));
        hasher.write_u32(scope);
        self.literals(shape).for_each(|literal| hasher.write(literal.as_bytes()));
        hasher.finish()
    }

    /// Whether the literals that a shape reads are those of the text that [`Shape::of`] made.
    pub(super) fn reads(&self, shape: Shape, mut text: &[u8]) -> bool {
        for literal in self.literals(shape) {
            match text.strip_prefix(literal.as_bytes()) {
                Some(rest) => text = rest,
                None => return false,
            }
        }
        text.is_empty()
    }

    /// What a shape captures, as places in the path; last the rest, if the shape is open.
    pub(super) fn captured(&self, shape: Shape) -> impl Iterator<Item = (usize, usize)> {
        let segments = shape.captured().map(|at| (self.end(at) + 1, self.end(at + 1)));
        let rest = (self.end(shape.depth()) + 1).min(self.path.len());
        segments.chain((shape.kind == Kind::Open).then_some((rest, self.path.len())))
    }

    fn fits(&self, shape: Shape) -> bool {
        let depth = shape.depth();
        let is_long_enough = match shape.kind {
            Kind::Whole => true,
            Kind::Fixed => self.segments == depth && self.end(depth) == self.path.len(),
            Kind::Open => self.segments >= depth,
        };
        let captures_nothing = |at| self.end(at) + 1 >= self.end(at + 1);
        is_long_enough && !(shape.captures != 0 && shape.captured().any(captures_nothing))
    }

    /// The literals with their slashes; a slash alone for a captured segment.
    fn literals(&self, shape: Shape) -> impl Iterator<Item = &'a str> {
        let end = if shape.kind == Kind::Whole { self.path.len() } else { self.end(shape.depth()) };
        let (one, many) = match shape.captures {
            0 => (self.path.get(..end), 0..0),
            _ => (None, 0..shape.depth()),
        };
        one.into_iter().chain(many.map(move |at| match shape.is_captured(at) {
            true => "/",
            false => self.path.get(self.end(at)..self.end(at + 1)).unwrap_or_default(),
        }))
    }

    fn end(&self, segments: usize) -> usize {
        self.ends.get(segments).map_or(0, |end| *end as usize)
    }
}

fn bit(segment: usize) -> u32 {
    u32::try_from(segment).ok().and_then(|segment| (1_u32 << 31).checked_shr(segment)).unwrap_or(0)
}
