//! What a caller decides about reading.
//!
//! Never: a default that loses data: an unknown field or a bad row is an error unless told.

use crate::dialect::Dialect;
use crate::text::Zone;

/// The column that takes what no other does, of tables that keep it: a JSON object of fields that no
/// column has the name of, and of values that their columns refuse.
pub const RESCUED: &str = "_rescued_data";

/// How the bytes are to be read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The format.
    pub format: Format,
    /// Whether the first record names the columns; for csv and text.
    pub header: Header,
    /// Columns in which a quoted NULL marker is NULL, too; for csv.
    pub force_null: Vec<String>,
    /// Columns in which the NULL marker is an ordinary text; for csv.
    pub force_not_null: Vec<String>,
    /// What happens to a row that cannot be read.
    pub on_error: OnError,
    /// Whether a value that its column refuses is kept in the column [`RESCUED`], which the rows have
    /// and the input does not.
    pub rescues: bool,
    /// The zone of times that are written without an offset.
    pub zone: Zone,
    /// A longer row is an error, so that no input can use up the memory.
    pub row_bytes_max: usize,
    /// About so many bytes are decoded at once.
    pub chunk_bytes: usize,
    /// No batch has more rows.
    pub batch_rows_max: usize,
}

/// The format of the bytes.
#[derive(Debug, Clone)]
pub enum Format {
    /// COPY's csv or text format.
    Delimited(Dialect),
    /// One JSON object a line; its fields go to the columns of the same name, as
    /// `json_populate_record` would take them, and a field that is missing is NULL.
    JsonLines(UnknownFields),
}

/// What happens to a JSON field that no column has the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownFields {
    /// The row is refused.
    Refuse,
    /// The row is refused unless the field is null.
    RefuseValues,
    /// The field is passed over.
    Ignore,
    /// The field is kept in the column [`RESCUED`].
    Rescue,
}

/// What the first record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// A row like the others.
    Absent,
    /// Names, which are passed over.
    Skip,
    /// Names, which must be those of the columns.
    Match,
    /// Names, which say in which order the columns come; of files alone, for which [`crate::files::read`]
    /// looks at them first. One that is missing is NULL.
    ByName,
}

/// What happens to a row that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Reading ends with the error of the first.
    Stop,
    /// The row is left out and kept aside.
    Collect,
}

impl Options {
    /// Options with the usual limits, no header, and the first bad row an error.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            header: Header::Absent,
            force_null: Vec::new(),
            force_not_null: Vec::new(),
            on_error: OnError::Stop,
            rescues: false,
            zone: Zone::UTC,
            row_bytes_max: 64 << 20,
            chunk_bytes: 4 << 20,
            batch_rows_max: 65_536,
        }
    }
}
