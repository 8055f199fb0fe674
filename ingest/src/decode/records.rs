//! What the formats have in common: they read one record after the other into a block.

use super::block::Block;
use crate::text::ValueError;

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    /// A row of so many fields, whose content ends here.
    Row { fields: usize, end: usize },
    /// Nothing, such as an empty line between JSON objects.
    Blank,
    /// The end of the data, whatever follows.
    End,
}

/// A reader of records.
pub(super) trait Records {
    /// Where the next record starts.
    fn position(&self) -> usize;

    /// Reads one record. Of its fields, at most `columns` are put into the block. After an error
    /// the position is behind the line of the error.
    fn read(&mut self, block: &mut Block, columns: usize) -> Result<Record, Malformed>;
}

/// Bytes that form no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) reason: ValueError,
    pub(super) found: Found,
}

/// How far a record could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// To its end, which is here; only its fields were not found. Messages show the record.
    Record { end: usize },
    /// To here, which is on the line to blame.
    Line { at: usize },
}
