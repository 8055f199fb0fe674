//! Record batches as `DataRow` messages, each cell straight into the buffer that goes to the socket.
//!
//! A column is downcast once a batch; then each row costs one `match` a cell.
//! Never: an allocation per cell or per row.

use arrow::array::RecordBatch;
use sql::text::{Formatter, Zone};

use super::binary::BinaryColumn;
use super::message::Format;
use super::reply::{Column, set_length};

/// The rows of one batch, ready to be written in any number of portions.
#[derive(Debug)]
pub(crate) struct RowEncoder {
    columns: Vec<Cells>,
    rows: usize,
}

/// One column of the batch in the format that the client asked for.
#[derive(Debug)]
enum Cells {
    Text(Formatter),
    Binary(BinaryColumn),
}

impl RowEncoder {
    /// An encoder for a batch; instants in text are shown in `zone`.
    pub(crate) fn new(batch: &RecordBatch, columns: &[Column], zone: &Zone) -> sql::Result<Self> {
        let columns = batch
            .columns()
            .iter()
            .zip(columns)
            .map(|(array, column)| match column.format {
                Format::Text => Ok(Cells::Text(Formatter::new(array, zone)?)),
                // The type that was announced: a batch's own fields may have lost their metadata.
                Format::Binary => BinaryColumn::new(array, &column.pg_type).map(Cells::Binary),
            })
            .collect::<sql::Result<_>>()?;
        Ok(Self { columns, rows: batch.num_rows() })
    }

    /// How many rows the batch has.
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// Appends the message of one row.
    pub(crate) fn encode(&self, row: usize, out: &mut Vec<u8>) {
        self.encode_as(b'D', &[], row, out);
    }

    /// Appends a row as data of a binary COPY, which differs by the message's type and by what may
    /// stand before the row.
    pub(crate) fn encode_for_copy(&self, before: &[u8], row: usize, out: &mut Vec<u8>) {
        self.encode_as(b'd', before, row, out);
    }

    fn encode_as(&self, tag: u8, before: &[u8], row: usize, out: &mut Vec<u8>) {
        out.push(tag);
        let start = out.len();
        out.extend([0; 4]);
        out.extend_from_slice(before);
        out.extend((self.columns.len() as u16).to_be_bytes());
        for column in &self.columns {
            match column {
                Cells::Text(formatter) if formatter.is_null(row) => out.extend(NULL),
                Cells::Text(formatter) => sized(out, |out| formatter.write(row, out)),
                Cells::Binary(column) => column.write(row, out),
            }
        }
        set_length(out, start);
    }
}

/// The length that stands for NULL.
pub(super) const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// Appends a value after its length, which does not count itself.
pub(super) fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    write(out);
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}
