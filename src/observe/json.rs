//! JSON written by hand into a buffer that is used again for every line.

use std::fmt::{self, Write};

/// Writes the members of one object, in the order in which they come.
pub(super) struct Object<'a, W> {
    out: &'a mut W,
    is_empty: bool,
}

impl<'a, W: Write> Object<'a, W> {
    /// Opens an object.
    pub(super) fn open(out: &'a mut W) -> Result<Self, fmt::Error> {
        out.write_char('{')?;
        Ok(Self { out, is_empty: true })
    }

    /// A member whose value is a text.
    pub(super) fn text(&mut self, key: &str, value: impl fmt::Display) -> fmt::Result {
        self.key(key)?;
        self.out.write_char('"')?;
        write!(Escaped(self.out), "{value}")?;
        self.out.write_char('"')
    }

    /// A member whose value is written as it is: a number or a boolean.
    pub(super) fn plain(&mut self, key: &str, value: impl fmt::Display) -> fmt::Result {
        self.key(key)?;
        write!(self.out, "{value}")
    }

    /// A member whose value is a list of objects.
    pub(super) fn list<T>(
        &mut self,
        key: &str,
        items: &[T],
        write: impl Fn(&T, &mut Object<'_, W>) -> fmt::Result,
    ) -> fmt::Result {
        self.key(key)?;
        self.out.write_char('[')?;
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                self.out.write_char(',')?;
            }
            let mut object = Object::open(&mut *self.out)?;
            write(item, &mut object)?;
            object.close()?;
        }
        self.out.write_char(']')
    }

    /// Closes the object.
    pub(super) fn close(self) -> fmt::Result {
        self.out.write_char('}')
    }

    fn key(&mut self, key: &str) -> fmt::Result {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.out.write_char(',')?;
        }
        self.out.write_char('"')?;
        Escaped(self.out).write_str(key)?;
        self.out.write_str("\":")
    }
}

/// Escapes whatever is written to it as the inside of a JSON string.
struct Escaped<'a, W>(&'a mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Nearly every text is plain, and a walk over bytes is much faster than one over characters.
        if !text.bytes().any(|b| b < 0x20 || matches!(b, b'"' | b'\\' | 0x7f)) {
            return self.0.write_str(text);
        }
        let must_escape = |c: char| matches!(c, '"' | '\\' | '\0'..='\x1f' | '\x7f');
        for piece in text.split_inclusive(must_escape) {
            let last = piece.chars().next_back().filter(|c| must_escape(*c));
            let plain = last.and_then(|c| piece.strip_suffix(c)).unwrap_or(piece);
            self.0.write_str(plain)?;
            match last {
                None => {}
                Some(c @ ('"' | '\\')) => write!(self.0, "\\{c}")?,
                Some('\n') => self.0.write_str("\\n")?,
                Some('\r') => self.0.write_str("\\r")?,
                Some('\t') => self.0.write_str("\\t")?,
                Some(c) => write!(self.0, "\\u{:04x}", u32::from(c))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: &str) -> String {
        let mut out = String::new();
        let mut object = Object::open(&mut out).unwrap();
        object.text("key", value).unwrap();
        object.close().unwrap();
        out
    }

    #[test]
    fn every_character_comes_back_from_a_parser() {
        let all: String =
            (0..0x250).chain([0x2028, 0xfffd, 0x1f600]).filter_map(char::from_u32).collect();
        let read: serde_json::Value = serde_json::from_str(&one(&all)).unwrap();
        assert_eq!(read["key"], all);
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(one("a\r\n\"b\"\u{1}\\"), r#"{"key":"a\r\n\"b\"\u0001\\"}"#);
    }

    #[test]
    fn members_are_separated_by_commas() {
        let mut out = String::new();
        let mut object = Object::open(&mut out).unwrap();
        object.plain("a", 1).unwrap();
        object.plain("b", true).unwrap();
        object.text("c", "").unwrap();
        object.close().unwrap();
        assert_eq!(out, r#"{"a":1,"b":true,"c":""}"#);
    }
}
