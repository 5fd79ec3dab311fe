//! Where one message of a stream ends and the next begins. Only their heads are looked at.

use super::body::Chunks;

/// The opcode of a Close frame.
const CLOSE: u8 = 8;
/// The bytes of an empty line after another line.
const EMPTY_LINE: &[u8; 4] = b"\r\n\r\n";

/// What a stream is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Frames of a WebSocket (RFC 6455, 5.2), after the head of a response.
    Frames,
    /// Chunks of HTTP/1, after the head of a response.
    Chunks,
    /// Messages of gRPC.
    Calls,
}

/// Follows a stream of messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Messages {
    kind: Kind,
    /// Bytes of [`EMPTY_LINE`] that were just seen; all of them after the response's head.
    line: usize,
    chunks: Chunks,
    /// The head of a message, as far as it was seen.
    head: [u8; 14],
    seen: usize,
    /// Bytes of the message that are to come after its head.
    left: u64,
    is_last: bool,
}

impl Messages {
    /// Before the first message.
    pub(super) fn new(kind: Kind) -> Self {
        let line = if kind == Kind::Calls { EMPTY_LINE.len() } else { 0 };
        let (chunks, head) = (Chunks::Start, [0; 14]);
        Self { kind, line, chunks, head, seen: 0, left: 0, is_last: false }
    }

    /// Whether one message has ended and the next has not begun.
    pub(super) fn is_between(&self) -> bool {
        let is_whole = match self.kind {
            Kind::Chunks => matches!(self.chunks, Chunks::Start | Chunks::End),
            Kind::Frames | Kind::Calls => self.seen == 0 && self.left == 0,
        };
        is_whole && self.line == EMPTY_LINE.len()
    }

    /// Whether the sender said itself that no message follows.
    pub(super) fn has_ended(&self) -> bool {
        self.is_last || self.chunks == Chunks::End
    }

    /// Goes on over bytes that were sent.
    pub(super) fn follow(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let passed = self.pass(rest);
            rest = rest.get(passed..).unwrap_or_default();
        }
    }

    /// Goes on to the end of a message, at most; returns how many bytes that were.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            at += self.step(rest);
            if self.is_between() {
                break;
            }
        }
        at
    }

    /// Passes at least one byte, and no end of a message but as the last.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let first = bytes.first().copied().unwrap_or_default();
        if self.line < EMPTY_LINE.len() {
            let is_next = EMPTY_LINE.get(self.line) == Some(&first);
            self.line = if is_next { self.line + 1 } else { usize::from(first == b'\r') };
        } else if self.kind == Kind::Chunks {
            return self.chunks.pass(bytes).max(1);
        } else if self.left > 0 {
            let passed = self.left.min(bytes.len() as u64);
            self.left -= passed;
            return passed as usize;
        } else {
            self.begin(first);
        }
        1
    }

    /// One byte of a message's head.
    fn begin(&mut self, byte: u8) {
        if let Some(place) = self.head.get_mut(self.seen) {
            *place = byte;
        }
        self.seen += 1;
        let [first, second, rest @ ..] = self.head;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let (length, left) = match (self.kind, second & 0x7f) {
            (Kind::Calls, _) => (5, number(&self.head[1..5])),
            (_, 126) => (4, number(&rest[..2])),
            (_, 127) => (10, number(&rest[..8])),
            (_, short) => (2, short.into()),
        };
        let mask = if self.kind == Kind::Frames && second & 0x80 != 0 { 4 } else { 0 };
        if self.seen >= 2 && self.seen == length + mask {
            self.is_last |= self.kind == Kind::Frames && first & 0x0f == CLOSE;
            self.left = left;
            self.seen = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\r\n\r\n";

    fn frame(first: u8, length: &[u8], payload: usize) -> Vec<u8> {
        let mut frame = vec![first];
        frame.extend_from_slice(length);
        frame.resize(frame.len() + payload, 0x88);
        frame
    }

    /// Where messages end when they come in pieces of a size.
    fn ends(kind: Kind, bytes: &[u8], piece: usize) -> Vec<usize> {
        let (mut messages, mut ends, mut at) = (Messages::new(kind), Vec::new(), 0);
        for mut piece in bytes.chunks(piece) {
            while !piece.is_empty() {
                let passed = messages.pass(piece);
                piece = &piece[passed..];
                at += passed;
                if messages.is_between() {
                    ends.push(at);
                }
            }
        }
        ends
    }

    fn end_where_they_end(kind: Kind, head: &[u8], all: &[Vec<u8>]) {
        let mut bytes = head.to_vec();
        let mut expected = if head.is_empty() { Vec::new() } else { vec![bytes.len()] };
        for message in all {
            bytes.extend_from_slice(message);
            expected.push(bytes.len());
        }
        for piece in 1..20 {
            assert_eq!(ends(kind, &bytes, piece), expected, "in pieces of {piece}");
        }
        assert_eq!(ends(kind, &bytes, bytes.len()), expected);
    }

    #[test]
    fn frames_end_where_they_end_however_they_are_split() {
        let all = [
            frame(0x81, &[5], 5),
            frame(0x89, &[0], 0),
            // A message in three fragments, with a ping between them.
            frame(0x01, &[3], 3),
            frame(0x89, &[4], 4),
            frame(0x00, &[0], 0),
            frame(0x80, &[125], 125),
            frame(0x82, &[126, 0, 126], 126),
            frame(0x82, &[126, 0x01, 0x00], 256),
            frame(0x82, &[127, 0, 0, 0, 0, 0, 1, 0, 0], 65536),
            // No server may mask, but one that does is followed.
            frame(0x81, &[0x80 | 3, 1, 2, 3, 4], 3),
            frame(0x81, &[0x80 | 126, 0, 200, 1, 2, 3, 4], 200),
            frame(0x81, &[0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4], 9),
        ];
        end_where_they_end(Kind::Frames, SWITCHED, &all);
    }

    #[test]
    fn a_huge_frame_costs_its_head_only() {
        let mut messages = Messages::new(Kind::Frames);
        messages.follow(SWITCHED);
        messages.follow(&frame(0x82, &[127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 0));
        for _ in 0..100 {
            messages.follow(&vec![0x88; 1 << 20]);
        }
        assert!(!messages.is_between() && !messages.has_ended());
    }

    #[test]
    fn a_close_frame_is_the_last_and_a_payload_is_none() {
        let mut messages = Messages::new(Kind::Frames);
        messages.follow(SWITCHED);
        messages.follow(&frame(0x82, &[100], 100));
        assert!(!messages.has_ended());
        messages.follow(&frame(0x88, &[2], 2));
        assert!(messages.has_ended() && messages.is_between());
    }

    #[test]
    fn chunks_end_where_they_end() {
        let head = b"HTTP/1.1 200 OK\r\n\r\n";
        let all = ["5\r\nhello\r\n", "1a;x=y\r\n\r\n3\r\nabc\r\n0123456789abcdef\r\n"];
        end_where_they_end(Kind::Chunks, head, &all.map(|chunk| chunk.as_bytes().to_vec()));

        let mut messages = Messages::new(Kind::Chunks);
        messages.follow(head);
        assert!(!messages.has_ended());
        messages.follow(b"1\r\na\r\n0\r\n\r\n");
        assert!(messages.has_ended() && messages.is_between());
    }

    #[test]
    fn calls_end_where_they_end() {
        let call = |length: u16| {
            let [high, low] = length.to_be_bytes();
            frame(0, &[0, 0, high, low], length.into())
        };
        end_where_they_end(Kind::Calls, b"", &[call(0), call(5), call(700)]);
    }
}
