//! Records of the csv format, by the rules of PostgreSQL's COPY: quotes may open and close
//! anywhere in a field, and a quoted field may hold line ends.
//!
//! Never: a table's types; a field is a text or NULL.

use memchr::memchr2;

use super::block::{Block, Span};
use super::line_end::{Boundary, LineEnd, Marker};
use super::records::{Found, Malformed, Record, Records};
use super::scan::Scan;
use crate::dialect::Quoting;
use crate::text::ValueError;

/// A reader of csv records. `N` is 4 if line ends other than the usual byte occur, else 3.
#[derive(Debug)]
pub(super) struct Csv<'a, const N: usize> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    scan: Scan<'a, N>,
    delimiter: u8,
    quoting: Quoting,
    line_end: LineEnd,
}

impl<'a> Csv<'a, 3> {
    /// A reader for an input in which [`LineEnd::other_byte`] does not occur.
    pub(super) fn simple(
        text: &'a str,
        delimiter: u8,
        quoting: Quoting,
        line_end: LineEnd,
    ) -> Self {
        let scan = Scan::new(text.as_bytes(), [delimiter, quoting.quote, line_end.last_byte()]);
        Self { text, bytes: text.as_bytes(), at: 0, scan, delimiter, quoting, line_end }
    }
}

impl<'a> Csv<'a, 4> {
    /// A reader for any input.
    pub(super) fn any(text: &'a str, delimiter: u8, quoting: Quoting, line_end: LineEnd) -> Self {
        let wanted = [delimiter, quoting.quote, b'\n', b'\r'];
        let scan = Scan::new(text.as_bytes(), wanted);
        Self { text, bytes: text.as_bytes(), at: 0, scan, delimiter, quoting, line_end }
    }
}

impl<const N: usize> Records for Csv<'_, N> {
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
            if self.bytes.get(at) == Some(&self.quoting.quote) {
                (span, at) = self.quoted(field, at, block)?;
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

impl<const N: usize> Csv<'_, N> {
    /// Whether the line at the position is `\.` alone.
    fn is_end_marker(&mut self) -> Result<bool, Malformed> {
        if self.bytes.get(self.at + 1) != Some(&b'.') {
            return Ok(false);
        }
        match self.line_end.marker(self.bytes, self.at + 2) {
            Marker::Ends => Ok(true),
            Marker::Continued | Marker::OtherLineEnd { csv_is_data: true } => Ok(false),
            Marker::OtherLineEnd { csv_is_data: false } => {
                let message = "end-of-copy marker does not match previous newline style";
                Err(self.malformed(self.at, ValueError::row_shape(message.to_owned())))
            }
        }
    }

    fn boundary(&mut self, at: usize) -> Result<Boundary, Malformed> {
        self.line_end.boundary(self.bytes, at, true).map_err(|reason| self.malformed(at, reason))
    }

    /// Goes to the record after this position, which is outside of quotes.
    #[cold]
    fn malformed(&mut self, at: usize, reason: ValueError) -> Malformed {
        let Quoting { quote, escape } = self.quoting;
        let mut inside = false;
        let mut next = at;
        while let Some(byte) = self.bytes.get(next) {
            let following = self.bytes.get(next + 1);
            next += 1;
            if inside && *byte == escape && following.is_some_and(|f| [quote, escape].contains(f)) {
                next += 1;
            } else if *byte == quote {
                inside = !inside;
            } else if !inside && *byte == self.line_end.last_byte() {
                break;
            }
        }
        self.at = next;
        Malformed { reason, found: Found::Line { at } }
    }

    /// Reads a field that starts at `field` and whose first quote is at `quote_at`. Gives its
    /// text and where the delimiter or line end behind it stands.
    #[inline]
    fn quoted(
        &mut self,
        field: usize,
        quote_at: usize,
        block: &mut Block,
    ) -> Result<(Span, usize), Malformed> {
        let Quoting { quote, escape } = self.quoting;
        let inside = quote_at + 1;
        if quote_at == field
            && let Some(length) = memchr2(quote, escape, &self.bytes[inside..])
        {
            let close = inside + length;
            let after = self.bytes.get(close + 1);
            let closed = match after {
                None => true,
                Some(byte) => *byte == self.delimiter || matches!(byte, b'\n' | b'\r'),
            };
            if closed && self.bytes[close] == quote {
                return Ok((Span::quoted(inside, close), close + 1));
            }
        }
        self.rewrite(field, block)
    }

    /// Reads a field that is quoted in parts or has escapes, and writes its text anew.
    fn rewrite(&mut self, field: usize, block: &mut Block) -> Result<(Span, usize), Malformed> {
        let Quoting { quote, escape } = self.quoting;
        let start = block.rewritten.len();
        let mut from = field;
        let mut at = field;
        loop {
            // Outside of quotes, up to one or to the end of the field.
            let is_special =
                |byte: &u8| [self.delimiter, quote].contains(byte) || matches!(byte, b'\n' | b'\r');
            let rest = &self.bytes[at..];
            at += rest.iter().position(is_special).unwrap_or(rest.len());
            block.rewritten.push_str(&self.text[from..at]);
            if self.bytes.get(at) != Some(&quote) {
                return Ok((Span::rewritten(start, block.rewritten.len()), at));
            }
            at += 1;
            from = at;
            // Within quotes, up to the closing one.
            loop {
                let Some(length) = memchr2(quote, escape, &self.bytes[at..]) else {
                    self.at = self.bytes.len();
                    let message = "unterminated CSV quoted field";
                    return Err(Malformed {
                        reason: ValueError::row_shape(message.to_owned()),
                        found: Found::Record { end: self.bytes.len() },
                    });
                };
                at += length;
                let next = self.bytes.get(at + 1);
                if self.bytes[at] == escape
                    && next.is_some_and(|next| [quote, escape].contains(next))
                {
                    block.rewritten.push_str(&self.text[from..at]);
                    from = at + 1;
                    at += 2;
                } else if self.bytes[at] == quote {
                    block.rewritten.push_str(&self.text[from..at]);
                    at += 1;
                    from = at;
                    break;
                } else {
                    at += 1;
                }
            }
        }
    }
}
