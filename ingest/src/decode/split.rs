//! The first step: cuts the input at ends of records into chunks that can be decoded alone.
//!
//! Never: a look at a field. It finds line ends and keeps count of quotes, as fast as memory goes.

use std::sync::Arc;

use bytes::Bytes;
use memchr::{memchr, memchr_iter, memrchr};

use super::chunk::{Chunk, Layout};
use super::line_end::LineEnd;
use super::options::Format;
use super::row_error::{Place, RowError};
use crate::dialect::Quoting;
use crate::error::Result;
use crate::text::ValueError;

/// Whatever the options say, no row and no chunk becomes so long that spans could not address it,
/// even with every byte escaped.
const ROW_BYTES_LIMIT: usize = 512 << 20;
const CHUNK_BYTES_LIMIT: usize = 256 << 20;

/// Cuts an input into chunks.
#[derive(Debug)]
pub(super) struct Splitter {
    layout: Arc<Layout>,
    rule: Rule,
    /// Bytes that no chunk has taken yet.
    pending: Vec<u8>,
    /// Up to here, `rule` has seen them.
    seen: usize,
    line_end: Option<LineEnd>,
    next_line: u64,
    first: bool,
}

/// What keeps a line end from ending a record.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Nothing.
    Lines,
    /// A backslash before it.
    Backslash,
    /// An odd number of quotes before it.
    Quotes { quote: u8, inside: bool },
    /// Quotes whose escape is another character.
    Escapes { quoting: Quoting, inside: bool, after_escape: bool, boundary: usize },
}

impl Splitter {
    pub(super) fn new(layout: Arc<Layout>) -> Self {
        let rule = match &layout.options().format {
            Format::JsonLines(_) => Rule::Lines,
            Format::Delimited(dialect) => match dialect.quoting {
                None => Rule::Backslash,
                Some(Quoting { quote, escape }) if quote == escape => {
                    Rule::Quotes { quote, inside: false }
                }
                Some(quoting) => {
                    Rule::Escapes { quoting, inside: false, after_escape: false, boundary: 0 }
                }
            },
        };
        Self {
            layout,
            rule,
            pending: Vec::new(),
            seen: 0,
            line_end: None,
            next_line: 1,
            first: true,
        }
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    fn chunk_bytes(&self) -> usize {
        self.layout.options().chunk_bytes.clamp(1, CHUNK_BYTES_LIMIT)
    }

    /// Takes bytes; gives the chunks that are full.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<Chunk>> {
        let chunk_bytes = self.chunk_bytes();
        let mut chunks = Vec::new();
        while !bytes.is_empty() {
            // Large inputs are taken in steps, so that no chunk becomes much longer than asked.
            let missing = chunk_bytes.saturating_sub(self.pending.len());
            let step = bytes.len().min(if missing == 0 { chunk_bytes } else { missing });
            let (taken, rest) = bytes.split_at(step);
            self.pending.reserve(step);
            self.pending.extend_from_slice(taken);
            bytes = rest;
            if self.pending.len() >= chunk_bytes {
                chunks.extend(self.cut()?);
            }
        }
        Ok(chunks)
    }

    /// Gives what is left.
    pub(super) fn finish(&mut self) -> Result<Option<Chunk>> {
        let last = std::mem::take(&mut self.pending);
        self.line_end = self.line_end.or_else(|| self.rule.first_line_end(&last, true));
        self.seen = 0;
        let chunk = self.chunk(last);
        Ok((!chunk.is_empty() || chunk.lacks_header()).then_some(chunk))
    }

    /// Cuts behind the last whole record, if there is one.
    fn cut(&mut self) -> Result<Option<Chunk>> {
        if self.line_end.is_none() {
            self.line_end = self.rule.first_line_end(&self.pending, false);
        }
        let Some(line_end) = self.line_end else {
            return self.check_length().map(|()| None);
        };
        let end = line_end.last_byte();
        self.rule.look_at(&self.pending, self.seen, end);
        self.seen = self.pending.len();
        let Some(boundary) = self.rule.last_boundary(&self.pending, end) else {
            return self.check_length().map(|()| None);
        };
        let mut rest = Vec::with_capacity(self.chunk_bytes());
        rest.extend_from_slice(&self.pending[boundary..]);
        let mut whole = std::mem::replace(&mut self.pending, rest);
        whole.truncate(boundary);
        self.seen -= boundary;
        self.rule.forget(boundary);
        Ok(Some(self.chunk(whole)))
    }

    fn chunk(&mut self, bytes: Vec<u8>) -> Chunk {
        let line_end = self.line_end.unwrap_or(LineEnd::Newline);
        let first_line = self.next_line;
        self.next_line += self.rule.lines(&bytes, line_end);
        let first = std::mem::take(&mut self.first);
        let bytes = Bytes::from(bytes);
        Chunk::new(bytes, first_line, first, line_end, Arc::clone(&self.layout))
    }

    /// The pending bytes are part of one record, which may not be longer than the limit.
    fn check_length(&self) -> Result<()> {
        let limit = self.layout.options().row_bytes_max.min(ROW_BYTES_LIMIT);
        if self.pending.len() <= limit {
            return Ok(());
        }
        let reason = ValueError::row_length(limit);
        let raw = Bytes::copy_from_slice(&self.pending);
        Err(Box::new(RowError::new(self.next_line, Place::Line, raw, reason)).into())
    }
}

impl Rule {
    /// How the first record ends, if it does so among these bytes. A `\r` as the last of them
    /// tells nothing yet, unless they are all.
    fn first_line_end(self, bytes: &[u8], all: bool) -> Option<LineEnd> {
        let mut inside = false;
        let mut skip = false;
        for (at, byte) in bytes.iter().enumerate() {
            if std::mem::take(&mut skip) {
                continue;
            }
            match (self, byte) {
                (Self::Backslash, b'\\') => skip = bytes.get(at + 1) != Some(&b'.'),
                (Self::Escapes { quoting, .. }, byte) if inside && *byte == quoting.escape => {
                    let next = bytes.get(at + 1);
                    skip = next.is_some_and(|next| [quoting.quote, quoting.escape].contains(next));
                }
                (Self::Quotes { quote, .. }, byte) if *byte == quote => inside = !inside,
                (Self::Escapes { quoting, .. }, byte) if *byte == quoting.quote => inside = !inside,
                (_, b'\n') if !inside => return Some(LineEnd::Newline),
                (Self::Lines, b'\r') => {}
                (_, b'\r') if !inside => {
                    return match bytes.get(at + 1) {
                        Some(b'\n') => Some(LineEnd::Both),
                        Some(_) => Some(LineEnd::Return),
                        None => all.then_some(LineEnd::Return),
                    };
                }
                _ => {}
            }
        }
        None
    }

    /// Takes note of the bytes from `from` on.
    fn look_at(&mut self, bytes: &[u8], from: usize, line_end: u8) {
        match self {
            Self::Lines | Self::Backslash => {}
            Self::Quotes { quote, inside } => {
                *inside ^= memchr_iter(*quote, &bytes[from..]).count() % 2 == 1;
            }
            Self::Escapes { quoting, inside, after_escape, boundary } => {
                for (at, byte) in bytes.iter().enumerate().skip(from) {
                    if *inside && *byte == quoting.escape {
                        *after_escape = !*after_escape;
                    }
                    if *byte == quoting.quote && !*after_escape {
                        *inside = !*inside;
                    }
                    if *byte != quoting.escape {
                        *after_escape = false;
                    }
                    if *byte == line_end && !*inside {
                        *boundary = at + 1;
                    }
                }
            }
        }
    }

    /// Where the last whole record ends.
    fn last_boundary(&self, bytes: &[u8], line_end: u8) -> Option<usize> {
        let mut end = bytes.len();
        match self {
            Self::Lines => memrchr(line_end, bytes).map(|at| at + 1),
            Self::Backslash => loop {
                end = memrchr(line_end, &bytes[..end])?;
                let escapes = bytes[..end].iter().rev().take_while(|byte| **byte == b'\\');
                if escapes.count() % 2 == 0 {
                    return Some(end + 1);
                }
            },
            Self::Quotes { quote, inside } => {
                // Backwards: each quote between here and the end turns inside into outside.
                let mut inside = *inside;
                loop {
                    let at = memrchr(line_end, &bytes[..end])?;
                    inside ^= memchr_iter(*quote, &bytes[at..end]).count() % 2 == 1;
                    if !inside {
                        return Some(at + 1);
                    }
                    end = at;
                }
            }
            Self::Escapes { boundary, .. } => (*boundary > 0).then_some(*boundary),
        }
    }

    /// The bytes before this boundary are gone.
    fn forget(&mut self, bytes: usize) {
        if let Self::Escapes { boundary, .. } = self {
            *boundary -= bytes;
        }
    }

    /// The number of lines that end among these bytes, as line numbers count them.
    pub(super) fn lines(self, bytes: &[u8], line_end: LineEnd) -> u64 {
        lines(bytes, line_end, matches!(self, Self::Backslash))
    }
}

/// The number of lines that end among these bytes. With backslashes, an escaped line end is part
/// of its line; within quotes it starts a new one, as in PostgreSQL.
pub(super) fn lines(bytes: &[u8], line_end: LineEnd, backslashes: bool) -> u64 {
    let counted = line_end.counted_byte();
    let ends = memchr_iter(counted, bytes).count() as u64;
    if !backslashes || memchr::memmem::find(bytes, &[b'\\', counted]).is_none() {
        return ends;
    }
    let escaped = memchr_iter(counted, bytes)
        .filter(|at| bytes[..*at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1);
    ends - escaped.count() as u64
}

/// Whether a byte that ends no line of this input occurs.
pub(super) fn has_other_line_ends(bytes: &[u8], line_end: LineEnd) -> bool {
    memchr(line_end.other_byte(), bytes).is_some()
}
