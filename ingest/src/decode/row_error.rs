//! A row that could not be read: where it stood, what it was, and why.
//!
//! Never: the bytes cut short. Only messages show a beginning of them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::text::ValueError;

/// Messages show so many bytes of a value or row.
const SHOWN_BYTES_MAX: usize = 100;

/// A refused row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    line: u64,
    place: Place,
    raw: Bytes,
    reason: ValueError,
}

/// What of the row is to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A value of a column; `None` is NULL.
    Column { name: Arc<str>, value: Option<String> },
    /// The row as a whole.
    Row,
    /// The bytes do not even form a row.
    Line,
}

impl RowError {
    pub(super) fn new(line: u64, place: Place, raw: Bytes, reason: ValueError) -> Self {
        Self { line, place, raw, reason }
    }

    /// A value of a file that has rows and no lines.
    pub(crate) fn of_value(
        row: u64,
        column: &str,
        value: &str,
        raw: Bytes,
        reason: ValueError,
    ) -> Self {
        let place = Place::Column { name: column.into(), value: Some(value.to_owned()) };
        Self::new(row, place, raw, reason)
    }

    /// The line of the input at which the row ends, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The column whose value was refused.
    pub fn column(&self) -> Option<&str> {
        match &self.place {
            Place::Column { name, .. } => Some(name),
            Place::Row | Place::Line => None,
        }
    }

    /// The text of that value.
    pub fn value(&self) -> Option<&str> {
        match &self.place {
            Place::Column { value, .. } => value.as_deref(),
            Place::Row | Place::Line => None,
        }
    }

    /// The row's bytes, without the end of its line.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Why it was refused.
    pub fn reason(&self) -> &ValueError {
        &self.reason
    }

    /// Where in the statement it happened, as PostgreSQL says it:
    /// `COPY t, line 3, column amount: "x"`.
    pub fn context(&self, table: &str) -> String {
        let line = self.line;
        match &self.place {
            Place::Column { name, value: Some(value) } => {
                format!("COPY {table}, line {line}, column {name}: \"{}\"", shown(value))
            }
            Place::Column { name, value: None } => {
                format!("COPY {table}, line {line}, column {name}: null input")
            }
            Place::Row => {
                let row = String::from_utf8_lossy(&self.raw);
                format!("COPY {table}, line {line}: \"{}\"", shown(&row))
            }
            Place::Line => format!("COPY {table}, line {line}"),
        }
    }
}

fn shown(text: &str) -> String {
    if text.len() <= SHOWN_BYTES_MAX {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)])
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.message())
    }
}

impl std::error::Error for RowError {}
