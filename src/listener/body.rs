//! Where a request's body ends, so that what follows it is left for the next request.

/// How the body of an HTTP/1 request is framed, and how much of it is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are to come.
    Length(u64),
    /// Chunks are to come.
    Chunked(Chunks),
    /// Everything belongs to the exchange: it was upgraded, or is HTTP/2.
    Endless,
}

/// Walks over chunked framing without keeping any of it (RFC 9112, 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Before the size of a chunk.
    Start,
    /// In the size.
    Size(u64),
    /// After the size, before the end of its line.
    Extension(u64),
    /// In the line end after a size.
    SizeEnd(u64),
    /// In the data and the line end after it.
    Data(u64),
    /// At the start of a line after the last chunk.
    TrailerStart,
    /// In a trailer field.
    Trailer,
    /// In the line end after a trailer field.
    TrailerEnd,
    /// In the line end of the last line.
    LastLine,
    /// After the last line.
    End,
    /// After what two servers could read in two ways.
    Malformed,
}

impl Framing {
    /// How many of the bytes belong to the body; they count as delivered.
    pub(super) fn admit(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Endless => bytes.len(),
            Self::Length(left) => {
                let taken = (*left).min(bytes.len() as u64);
                *left -= taken;
                taken as usize
            }
            Self::Chunked(chunks) => chunks.walk(bytes, |at| at == Chunks::End),
        }
    }

    /// Whether the framing is broken, so that nobody can say where the body ends.
    pub(super) fn is_malformed(&self) -> bool {
        *self == Self::Chunked(Chunks::Malformed)
    }

    /// Whether nothing more of the body is to come.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunks::End))
    }
}

impl Chunks {
    /// Passes one chunk at most; returns how many bytes that were.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut has_begun = false;
        self.walk(bytes, |at| {
            at == Self::End || std::mem::replace(&mut has_begun, true) && at == Self::Start
        })
    }

    /// Walks on until it is somewhere, or to the end of the bytes; returns how many it passed.
    fn walk(&mut self, bytes: &[u8], mut is_there: impl FnMut(Self) -> bool) -> usize {
        let mut at = 0;
        while !is_there(*self) {
            if *self == Self::Malformed {
                return bytes.len();
            }
            let Some(&byte) = bytes.get(at) else { break };
            if let Self::Data(left) = self {
                let taken = (*left).min((bytes.len() - at) as u64);
                *left -= taken;
                at += taken as usize;
                if *left == 0 {
                    *self = Self::Start;
                }
                continue;
            }
            *self = self.step(byte);
            at += 1;
        }
        at
    }

    /// One byte of framing. The engine's parser takes an empty size and bare line feeds; we do not.
    fn step(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Start, _) => Self::digit(0, byte).unwrap_or(Self::Malformed),
            (Self::Size(n) | Self::Extension(n), b'\r') => Self::SizeEnd(n),
            (Self::Size(n), b';' | b' ' | b'\t') => Self::Extension(n),
            (Self::Size(n), _) => Self::digit(n, byte).unwrap_or(Self::Malformed),
            (Self::SizeEnd(0), b'\n') => Self::TrailerStart,
            // Two more than the size: the line end after the data.
            (Self::SizeEnd(n), b'\n') => Self::Data(n.saturating_add(2)),
            (Self::TrailerStart, b'\r') => Self::LastLine,
            (Self::Trailer, b'\r') => Self::TrailerEnd,
            (Self::TrailerEnd, b'\n') => Self::TrailerStart,
            (Self::LastLine, b'\n') => Self::End,
            (Self::Extension(_) | Self::TrailerStart | Self::Trailer, b'\n') => Self::Malformed,
            (Self::Extension(n), _) => Self::Extension(n),
            (Self::TrailerStart | Self::Trailer, _) => Self::Trailer,
            _ => Self::Malformed,
        }
    }

    fn digit(size: u64, byte: u8) -> Option<Self> {
        let digit = char::from(byte).to_digit(16)?;
        size.checked_mul(16)?.checked_add(u64::from(digit)).map(Self::Size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left over after a chunked body, fed in pieces of a size.
    fn left_over(text: &str, piece: usize) -> String {
        let mut framing = Framing::Chunked(Chunks::Start);
        let mut rest = Vec::new();
        for bytes in text.as_bytes().chunks(piece) {
            let taken = framing.admit(bytes);
            rest.extend_from_slice(&bytes[taken..]);
        }
        assert!(framing.is_done());
        String::from_utf8(rest).unwrap()
    }

    #[test]
    fn a_chunked_body_ends_where_it_ends_however_it_is_split() {
        let body = "5\r\nhello\r\nA;x=1\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n";
        for piece in 1..body.len() {
            assert_eq!(left_over(&format!("{body}GET / HTTP/1.1"), piece), "GET / HTTP/1.1");
        }
        assert_eq!(left_over("0\r\n\r\nNEXT", 100), "NEXT");
    }

    #[test]
    fn what_two_servers_could_read_in_two_ways_is_malformed() {
        for text in [
            "\r\n3\r\nabc\r\n0\r\n\r\n",
            ";x\r\nabc\r\n",
            "3\nabc\r\n0\r\n\r\n",
            "3;x\nabc\r\n0\r\n\r\n",
            "3\rabc\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            "10000000000000000\r\n",
            "0\r\n\n",
            "0\r\nX: 1\n\r\n",
            "0\r\nX: 1\r2\r\n\r\n",
            "0\r\n\r3",
        ] {
            let mut framing = Framing::Chunked(Chunks::Start);
            assert_eq!(framing.admit(text.as_bytes()), text.len(), "{text:?}");
            assert!(framing.is_malformed() && !framing.is_done(), "{text:?}");
        }
    }

    #[test]
    fn a_length_is_counted_down() {
        let mut framing = Framing::Length(5);
        assert_eq!(framing.admit(b"abc"), 3);
        assert!(!framing.is_done());
        assert_eq!(framing.admit(b"deNEXT"), 2);
        assert!(framing.is_done());
    }
}
