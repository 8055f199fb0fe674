//! A block of records cut into fields, and the texts of one of its columns.
//!
//! Never: a copy of a field that stands in the input as it is meant; only those with escapes are
//! written anew.

use std::ops::Range;

/// Where the text of a field lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

/// In `start`: the field was quoted, so it is not NULL even if it looks like the marker.
const QUOTED: u32 = 1 << 31;
/// In `end`: the text lies in the block's own buffer, not in the input.
const REWRITTEN: u32 = 1 << 31;

/// Up to this length, a buffer's places fit into a span.
pub(super) const ADDRESSABLE_BYTES: usize = (1 << 31) - 2;

impl Span {
    pub(super) const NULL: Self = Self { start: u32::MAX, end: 0 };

    #[inline]
    pub(super) fn plain(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    #[inline]
    pub(super) fn quoted(start: usize, end: usize) -> Self {
        Self { start: start as u32 | QUOTED, end: end as u32 }
    }

    pub(super) fn rewritten(start: usize, end: usize) -> Self {
        Self { start: start as u32 | QUOTED, end: end as u32 | REWRITTEN }
    }
}

/// Whole records as fields, row by row.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) spans: Vec<Span>,
    /// The texts of fields that had escapes.
    pub(super) rewritten: String,
    /// Where each row comes from.
    pub(super) extents: Vec<Extent>,
    /// Fields that no column has the name of, where they are kept: of which row of the block, and where
    /// their names and values lie in the input.
    pub(super) unknown: Vec<(usize, Range<usize>, Range<usize>)>,
}

/// Where a row's record starts and ends in the input, and its number there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) row: u64,
}

/// What stands for NULL in a column.
#[derive(Debug, Clone, Copy)]
pub(super) struct NullRule<'a> {
    pub(super) marker: &'a str,
    /// A quoted marker is NULL, too.
    pub(super) quoted: bool,
    /// An unquoted marker is an ordinary text.
    pub(super) never: bool,
}

impl Block {
    pub(super) fn clear(&mut self) {
        self.spans.clear();
        self.rewritten.clear();
        self.extents.clear();
        self.unknown.clear();
    }

    pub(super) fn rows(&self) -> usize {
        self.extents.len()
    }

    /// The length to which [`Block::undo`] returns.
    pub(super) fn mark(&self) -> (usize, usize, usize) {
        (self.spans.len(), self.rewritten.len(), self.unknown.len())
    }

    pub(super) fn undo(&mut self, (spans, rewritten, unknown): (usize, usize, usize)) {
        self.spans.truncate(spans);
        self.rewritten.truncate(rewritten);
        self.unknown.truncate(unknown);
    }

    /// The texts of the block, with those of the input that they refer to.
    pub(super) fn texts<'a>(&'a self, input: &'a str) -> Texts<'a> {
        Texts { input, rewritten: &self.rewritten }
    }
}

/// The texts that spans refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts<'a> {
    input: &'a str,
    rewritten: &'a str,
}

impl<'a> Texts<'a> {
    #[inline]
    pub(super) fn get(&self, span: Span, null: NullRule<'_>) -> Option<&'a str> {
        if span == Span::NULL {
            return None;
        }
        let extent = (span.start & !QUOTED) as usize..(span.end & !REWRITTEN) as usize;
        let source = if span.end & REWRITTEN == 0 { self.input } else { self.rewritten };
        let text = source.get(extent).unwrap_or_default();
        let null =
            text == null.marker && if span.start & QUOTED == 0 { !null.never } else { null.quoted };
        (!null).then_some(text)
    }
}
