//! Rows to outside bytes: COPY's csv and text formats and JSON lines.
//!
//! Never: a row in part. A batch is appended whole; whoever sends the bytes may cut them anywhere.

mod delimited;
mod json_lines;
#[cfg(test)]
mod tests;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use crate::dialect::Dialect;
use crate::error::{Error, Result};
use crate::text::Zone;
use delimited::Delimited;
pub(crate) use json_lines::Column as JsonColumn;
use json_lines::JsonLines;

/// How rows are to be written.
#[derive(Debug, Clone)]
pub struct Options {
    /// The format.
    pub format: Format,
    /// Whether a first line names the columns; for csv and text.
    pub header: bool,
    /// The columns whose values are quoted even where it is not needed; for csv.
    pub force_quote: ForceQuote,
    /// The zone in which instants are shown.
    pub zone: Zone,
}

/// The format of the bytes.
#[derive(Debug, Clone)]
pub enum Format {
    /// COPY's csv or text format.
    Delimited(Dialect),
    /// One JSON object a line.
    JsonLines,
}

/// `FORCE_QUOTE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForceQuote {
    /// Only what needs quotes is quoted.
    None,
    /// All values but NULL.
    All,
    /// The values of these columns but NULL.
    Columns(Vec<String>),
}

impl Options {
    /// Options without a header, in UTC.
    pub fn new(format: Format) -> Self {
        Self { format, header: false, force_quote: ForceQuote::None, zone: Zone::UTC }
    }
}

/// Writes batches of one schema.
#[derive(Debug)]
pub struct Encoder {
    writer: Writer,
    zone: Zone,
}

#[derive(Debug)]
enum Writer {
    Delimited(Box<Delimited>),
    JsonLines(JsonLines),
}

impl Encoder {
    /// An encoder for rows of a schema.
    pub fn new(schema: &Schema, options: &Options) -> Result<Self> {
        if let ForceQuote::Columns(names) = &options.force_quote
            && let Some(name) = names.iter().find(|name| schema.index_of(name).is_err())
        {
            let message = format!("FORCE_QUOTE column \"{name}\" not referenced by COPY");
            return Err(Error::Option { sqlstate: "42P10", message });
        }
        let writer = match &options.format {
            Format::Delimited(dialect) => Writer::Delimited(Box::new(Delimited::new(
                schema,
                dialect,
                options.header,
                &options.force_quote,
            ))),
            Format::JsonLines => Writer::JsonLines(JsonLines::new(schema)),
        };
        Ok(Self { writer, zone: options.zone })
    }

    /// Appends what stands before the first row.
    pub fn start(&self, out: &mut Vec<u8>) {
        if let Writer::Delimited(delimited) = &self.writer {
            delimited.header(out);
        }
    }

    /// Appends the rows of a batch.
    pub fn encode(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.append(batch, out, |_| {})
    }

    /// As [`Self::encode`]; appends, too, where in `out` each row ends.
    pub fn encode_rows(
        &self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<()> {
        ends.reserve(batch.num_rows());
        self.append(batch, out, |end| ends.push(end))
    }

    fn append(
        &self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
        row_end: impl FnMut(usize),
    ) -> Result<()> {
        match &self.writer {
            Writer::Delimited(delimited) => delimited.encode(batch, &self.zone, out, row_end),
            Writer::JsonLines(json_lines) => json_lines.encode(batch, &self.zone, out, row_end),
        }
    }
}
