//! COPY's binary format: a signature, rows whose fields look as in a binary result, and an end mark.
//!
//! Never: a row that is guessed at. Any byte that does not fit ends the COPY, and nothing is kept.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::{Buf, Bytes, BytesMut};
use datafusion::scalar::ScalarValue;
use sql::text::Zone;

use crate::pg::message::Format;
use crate::pg::parameter::Parameter;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// The signature, the flags, and the length of an extension that has never been used.
const HEADER_BYTES: usize = SIGNATURE.len() + 8;
/// Flags that a reader must understand.
const CRITICAL_FLAGS: u32 = 0xffff_0000;
/// Instead of the number of fields of a row: no more rows come.
const END: i16 = -1;
/// A longer row is refused, so that no client can use up the memory.
const ROW_BYTES_MAX: usize = 64 << 20;
/// Rows are handed on in batches of so many, or of so many bytes.
const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: usize = 4 << 20;

/// What stands before the first row.
pub(super) fn header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..SIGNATURE.len()].copy_from_slice(SIGNATURE);
    header
}

/// What stands after the last row.
pub(super) const TRAILER: [u8; 2] = END.to_be_bytes();

/// Reads the client's bytes, cut anywhere.
pub(super) struct BinaryReader {
    schema: SchemaRef,
    columns: Vec<Parameter>,
    zone: Zone,
    buffer: BytesMut,
    state: State,
    rows: Vec<Vec<ScalarValue>>,
    batch_bytes: usize,
    row: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Rows,
    Ended,
}

impl BinaryReader {
    /// A reader of rows with these columns.
    pub(super) fn new(schema: &SchemaRef, zone: Zone) -> sql::Result<Self> {
        let columns = schema.fields().iter().map(|field| Parameter::new(field, 0));
        let nullable = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        Ok(Self {
            columns: columns.collect::<sql::Result<_>>()?,
            schema: Arc::new(Schema::new(nullable.collect::<Vec<_>>())),
            zone,
            buffer: BytesMut::new(),
            state: State::Header,
            rows: Vec::new(),
            batch_bytes: 0,
            row: 0,
        })
    }

    /// Takes more bytes; gives the batches that are full.
    pub(super) fn feed(&mut self, bytes: &Bytes) -> sql::Result<Vec<RecordBatch>> {
        self.buffer.extend_from_slice(bytes);
        if self.state == State::Header && !self.read_header()? {
            return Ok(Vec::new());
        }
        let mut batches = Vec::new();
        while self.state == State::Rows && self.read_row()? {
            if self.rows.len() == BATCH_ROWS || self.batch_bytes >= BATCH_BYTES {
                batches.push(self.take_batch()?);
            }
        }
        if self.state == State::Ended && !self.buffer.is_empty() {
            return Err(malformed("received copy data after EOF marker"));
        }
        Ok(batches)
    }

    /// No more bytes come; gives the last batch. Clients may leave the end mark out.
    pub(super) fn finish(&mut self) -> sql::Result<Option<RecordBatch>> {
        if self.state == State::Header {
            return Err(malformed("COPY file signature not recognized"));
        }
        if !self.buffer.is_empty() {
            return Err(malformed("unexpected EOF in COPY data"));
        }
        if self.rows.is_empty() { Ok(None) } else { self.take_batch().map(Some) }
    }

    /// Whether the header was there.
    fn read_header(&mut self) -> sql::Result<bool> {
        let there = self.buffer.len().min(SIGNATURE.len());
        if self.buffer[..there] != SIGNATURE[..there] {
            return Err(malformed("COPY file signature not recognized"));
        }
        let Some(mut rest) = self.buffer.get(SIGNATURE.len()..HEADER_BYTES) else {
            return Ok(false);
        };
        if rest.get_u32() & CRITICAL_FLAGS != 0 {
            return Err(malformed("unrecognized critical flags in COPY file header"));
        }
        let extension_bytes = rest.get_u32() as usize;
        if extension_bytes > ROW_BYTES_MAX {
            return Err(malformed("invalid COPY file header (wrong length)"));
        }
        if self.buffer.len() < HEADER_BYTES + extension_bytes {
            return Ok(false);
        }
        self.buffer.advance(HEADER_BYTES + extension_bytes);
        self.state = State::Rows;
        Ok(true)
    }

    /// Whether a row, or the end mark, was there.
    fn read_row(&mut self) -> sql::Result<bool> {
        let Some(mut count) = self.buffer.get(..2) else { return Ok(false) };
        let count = count.get_i16();
        if count == END {
            self.buffer.advance(2);
            self.state = State::Ended;
            return Ok(true);
        }
        if usize::try_from(count) != Ok(self.columns.len()) {
            let expected = self.columns.len();
            return Err(malformed(&format!("row field count is {count}, expected {expected}")));
        }
        let Some(row_bytes) = self.row_bytes()? else { return Ok(false) };
        let mut row = self.buffer.split_to(row_bytes).freeze();
        row.advance(2);
        self.row += 1;
        let values = self.columns.iter().map(|column| {
            let length = row.get_i32();
            let bytes = usize::try_from(length).ok().map(|length| row.split_to(length));
            column.decode(bytes.as_ref(), Format::Binary, &self.zone)
        });
        let values = values.collect::<sql::Result<Vec<_>>>();
        let values = values.map_err(|error| {
            let detail = format!("{}It is row {}.", spaced(error.detail()), self.row);
            error.with_detail(detail)
        })?;
        self.rows.push(values);
        self.batch_bytes += row_bytes;
        Ok(true)
    }

    /// The length of the row at the start of the buffer, if all of it is there.
    fn row_bytes(&self) -> sql::Result<Option<usize>> {
        let mut end = 2;
        for _ in &self.columns {
            let Some(mut length) = self.buffer.get(end..end + 4) else { return Ok(None) };
            let length = length.get_i32();
            if length < END.into() {
                return Err(malformed("invalid field size"));
            }
            end += 4 + usize::try_from(length).unwrap_or(0);
            if end > ROW_BYTES_MAX {
                let message = format!("a row of COPY is longer than {ROW_BYTES_MAX} bytes");
                return Err(sql::Error::new("54000", message));
            }
        }
        Ok((self.buffer.len() >= end).then_some(end))
    }

    fn take_batch(&mut self) -> sql::Result<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        self.batch_bytes = 0;
        let mut columns: Vec<Vec<ScalarValue>> =
            self.columns.iter().map(|_| Vec::with_capacity(rows.len())).collect();
        for row in rows {
            columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
        }
        let arrays = columns.into_iter().zip(self.schema.fields()).map(|(column, field)| {
            let array: ArrayRef = ScalarValue::iter_to_array(column)?;
            let same = array.data_type() == field.data_type();
            if same { Ok(array) } else { Ok(cast(&array, field.data_type())?) }
        });
        let arrays = arrays.collect::<sql::Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }
}

fn spaced(detail: Option<String>) -> String {
    detail.map(|detail| detail + " ").unwrap_or_default()
}

fn malformed(message: &str) -> sql::Error {
    sql::Error::new("22P04", message)
}
