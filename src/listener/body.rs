//! Where a request's body ends, so that what follows it is left for the next request.

/// How the body of an HTTP/1 request is framed, and how much of it is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are to come.
    Length(u64),
    /// Chunks are to come.
    Chunked(Chunks),
    /// Everything belongs to the exchange: an upgrade, or HTTP/2.
    Endless,
}

/// Walks over chunked framing without keeping any of it (RFC 9112, 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the size of a chunk, or before it.
    Size(u64),
    /// After the size, before the end of its line.
    Extension(u64),
    /// In the data and the line end after it.
    Data(u64),
    /// At the start of a line after the last chunk.
    TrailerStart,
    /// In a trailer field.
    Trailer,
    /// In the line end of the last line.
    LastLine,
    /// After the last line.
    End,
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
            Self::Chunked(chunks) => chunks.walk(bytes),
        }
    }

    /// Whether nothing more of the body is to come.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunks::End))
    }
}

impl Chunks {
    /// Walks to the end of the body or of the bytes; returns how many it passed.
    fn walk(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while *self != Self::End {
            let Some(&byte) = bytes.get(at) else { break };
            if let Self::Data(left) = self {
                let taken = (*left).min((bytes.len() - at) as u64);
                *left -= taken;
                at += taken as usize;
                if *left == 0 {
                    *self = Self::Size(0);
                }
                continue;
            }
            *self = self.step(byte);
            at += 1;
        }
        at
    }

    /// One byte of framing; the engine's parser refuses what is malformed, so this is lenient.
    fn step(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Size(0) | Self::Extension(0), b'\n') => Self::TrailerStart,
            // Two more than the size: the line end after the data.
            (Self::Size(n) | Self::Extension(n), b'\n') => Self::Data(n.saturating_add(2)),
            (Self::Size(n), _) => match char::from(byte).to_digit(16) {
                Some(digit) => Self::Size(n.saturating_mul(16).saturating_add(u64::from(digit))),
                None => Self::Extension(n),
            },
            (Self::TrailerStart, b'\r') => Self::LastLine,
            (Self::TrailerStart | Self::LastLine, b'\n') => Self::End,
            (Self::Trailer, b'\n') => Self::TrailerStart,
            (Self::TrailerStart | Self::LastLine | Self::Trailer, _) => Self::Trailer,
            (state, _) => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left over after a chunked body, fed in pieces of a size.
    fn left_over(text: &str, piece: usize) -> String {
        let mut framing = Framing::Chunked(Chunks::Size(0));
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
    fn a_length_is_counted_down() {
        let mut framing = Framing::Length(5);
        assert_eq!(framing.admit(b"abc"), 3);
        assert!(!framing.is_done());
        assert_eq!(framing.admit(b"deNEXT"), 2);
        assert!(framing.is_done());
    }
}
