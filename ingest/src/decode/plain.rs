//! Records of COPY's text format: a line each, with backslash escapes and no quotes.
//!
//! Never: an unescaped line end within a field.

use memchr::{memchr, memchr_iter, memchr2};

use super::block::{Block, Span};
use super::line_end::{Boundary, LineEnd, Marker};
use super::records::{Found, Malformed, Record, Records};
use super::scan::Scan;
use crate::text::ValueError;

/// A reader of text records. `N` is 4 if line ends other than the usual byte occur, else 3.
#[derive(Debug)]
pub(super) struct Plain<'a, const N: usize> {
    bytes: &'a [u8],
    at: usize,
    scan: Scan<'a, N>,
    delimiter: u8,
    null: &'a str,
    line_end: LineEnd,
    /// The field at hand, while its escapes are resolved.
    field: Vec<u8>,
}

impl<'a> Plain<'a, 3> {
    /// A reader for an input in which [`LineEnd::other_byte`] does not occur.
    pub(super) fn simple(text: &'a str, delimiter: u8, null: &'a str, line_end: LineEnd) -> Self {
        let scan = Scan::new(text.as_bytes(), [delimiter, b'\\', line_end.last_byte()]);
        Self::new(text, scan, delimiter, null, line_end)
    }
}

impl<'a> Plain<'a, 4> {
    /// A reader for any input.
    pub(super) fn any(text: &'a str, delimiter: u8, null: &'a str, line_end: LineEnd) -> Self {
        let scan = Scan::new(text.as_bytes(), [delimiter, b'\\', b'\n', b'\r']);
        Self::new(text, scan, delimiter, null, line_end)
    }
}

impl<'a, const N: usize> Plain<'a, N> {
    fn new(
        text: &'a str,
        scan: Scan<'a, N>,
        delimiter: u8,
        null: &'a str,
        line_end: LineEnd,
    ) -> Self {
        let bytes = text.as_bytes();
        let field = Vec::new();
        Self { bytes, at: 0, scan, delimiter, null, line_end, field }
    }

    fn boundary(&mut self, at: usize) -> Result<Boundary, Malformed> {
        self.line_end.boundary(self.bytes, at, false).map_err(|reason| self.malformed(at, reason))
    }

    /// Goes to the record after this position.
    #[cold]
    fn malformed(&mut self, at: usize, reason: ValueError) -> Malformed {
        let ends = memchr_iter(self.line_end.last_byte(), &self.bytes[at..]);
        let mut ends = ends.map(|length| at + length);
        let is_escaped = |end: &usize| {
            let before = self.bytes[..*end].iter().rev();
            before.take_while(|byte| **byte == b'\\').count() % 2 == 1
        };
        self.at = ends.find(|end| !is_escaped(end)).map_or(self.bytes.len(), |end| end + 1);
        Malformed { reason, found: Found::Line { at } }
    }

    /// Whether the line at the position is `\.` alone.
    fn is_end_marker(&mut self) -> Result<bool, Malformed> {
        if self.bytes.get(self.at + 1) != Some(&b'.') {
            return Ok(false);
        }
        match self.line_end.marker(self.bytes, self.at + 2) {
            Marker::Ends => Ok(true),
            _ => Err(self.stray_marker(self.at)),
        }
    }

    /// A `\.` that does not end the data. Behind other data, PostgreSQL lets it end the
    /// data of a client but not those of a file, until version 18, which refuses both.
    #[cold]
    fn stray_marker(&mut self, at: usize) -> Malformed {
        let message = match self.line_end.marker(self.bytes, at + 2) {
            Marker::Ends => "end-of-copy marker is not alone on its line",
            Marker::Continued => "end-of-copy marker corrupt",
            Marker::OtherLineEnd { .. } => {
                "end-of-copy marker does not match previous newline style"
            }
        };
        self.malformed(at, ValueError::row_shape(message.to_owned()))
    }

    /// Reads a field whose first backslash is at `first`. Gives its text and where the delimiter
    /// or line end behind it stands.
    fn escaped(
        &mut self,
        start: usize,
        first: usize,
        block: &mut Block,
    ) -> Result<(Span, usize), Malformed> {
        self.field.clear();
        self.field.extend_from_slice(&self.bytes[start..first]);
        let mut at = first;
        // A backslash as the last byte of all is not part of the field.
        let mut content_end = None;
        // Only escapes by number can make bytes that are not text.
        let mut numeric = false;
        while let Some(byte) = self.bytes.get(at).copied() {
            if byte == self.delimiter || matches!(byte, b'\n' | b'\r') {
                break;
            }
            if byte != b'\\' {
                self.field.push(byte);
                at += 1;
                continue;
            }
            match self.bytes.get(at + 1) {
                Some(b'.') => return Err(self.stray_marker(at)),
                Some(escape) => {
                    let (byte, length) = resolve(*escape, &self.bytes[at + 2..]);
                    numeric |= byte != *escape;
                    self.field.push(byte);
                    at += 1 + length;
                }
                None => {
                    content_end = Some(at);
                    at += 1;
                }
            }
        }
        if &self.bytes[start..content_end.unwrap_or(at)] == self.null.as_bytes() {
            return Ok((Span::NULL, at));
        }
        if numeric && let Some(reason) = invalid(&self.field) {
            let found = Found::Record { end: self.line_from(at) };
            return Err(Malformed { found, ..self.malformed(at, reason) });
        }
        let text = std::str::from_utf8(&self.field).unwrap_or_default();
        let rewritten = block.rewritten.len();
        block.rewritten.push_str(text);
        Ok((Span::rewritten(rewritten, block.rewritten.len()), at))
    }

    /// Where the content of the line that holds this position ends.
    fn line_from(&self, at: usize) -> usize {
        let rest = &self.bytes[at..];
        at + memchr2(b'\n', b'\r', rest).unwrap_or(rest.len())
    }
}

/// Why bytes that escapes made are no text.
fn invalid(field: &[u8]) -> Option<ValueError> {
    let at = match std::str::from_utf8(field) {
        Ok(_) => memchr(0, field)?,
        Err(error) => error.valid_up_to(),
    };
    Some(ValueError::invalid_utf8(&field[at..]))
}

impl<const N: usize> Records for Plain<'_, N> {
    fn position(&self) -> usize {
        self.at
    }

    #[inline]
    fn read(&mut self, block: &mut Block, columns: usize) -> Result<Record, Malformed> {
        let mut field = self.at;
        let mut fields = 0;
        if self.bytes.get(field) == Some(&b'\\') && self.is_end_marker()? {
            return Ok(Record::End);
        }
        self.scan.seek(field);
        loop {
            let mut at = self.scan.next();
            let mut span = Span::plain(field, at);
            if self.bytes.get(at) == Some(&b'\\') {
                (span, at) = self.escaped(field, at, block)?;
                self.scan.seek(at + 1);
            }
            let boundary = match self.bytes.get(at) {
                Some(byte) if *byte == self.delimiter => None,
                Some(_) => Some(self.boundary(at)?),
                None => Some(Boundary { end: at, next: at }),
            };
            if fields < columns {
                block.spans.push(span);
            }
            fields += 1;
            if let Some(boundary) = boundary {
                self.at = boundary.next;
                return Ok(Record::Row { fields, end: boundary.end });
            }
            field = at + 1;
        }
    }
}

/// The byte for which an escape stands, and how many bytes it has behind the backslash. `rest` is
/// what follows the first of them.
fn resolve(escape: u8, rest: &[u8]) -> (u8, usize) {
    let digits = |radix: u32, first: Option<u32>, most: usize| {
        let digit = |byte: &u8| char::from(*byte).to_digit(radix);
        let following = rest.iter().take(most).map_while(digit);
        let count = following.clone().count();
        let value =
            first.into_iter().chain(following).fold(0, |value, digit| value * radix + digit);
        (value as u8, count)
    };
    match escape {
        b'b' => (8, 1),
        b'f' => (12, 1),
        b'n' => (b'\n', 1),
        b'r' => (b'\r', 1),
        b't' => (b'\t', 1),
        b'v' => (11, 1),
        b'0'..=b'7' => {
            let (value, count) = digits(8, Some(u32::from(escape - b'0')), 2);
            (value, 1 + count)
        }
        b'x' => match digits(16, None, 2) {
            (_, 0) => (b'x', 1),
            (value, count) => (value, 1 + count),
        },
        other => (other, 1),
    }
}
