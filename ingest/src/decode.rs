//! Outside bytes to rows: COPY's csv and text formats and JSON lines.
//!
//! ```text
//!           Splitter                     Chunk::decode, on any thread
//! bytes --------------> whole records --------------------------------> batches, refused rows
//! ```
//!
//! The splitter looks for line ends and quotes only, several gigabytes a second on one core. A
//! chunk holds whole records and needs nothing from its neighbours, so chunks can be decoded on
//! all cores; within one, records are first cut into fields, then each column is read in a loop
//! of its own. [`Decoder`] does both in turn for callers with one thread.
//!
//! Never: a row that is dropped or changed in silence. The first bad row is an error, or, where
//! the caller collects them, every bad row is kept with its bytes and its reason.

mod block;
mod chunk;
mod clean;
mod csv;
mod found;
mod json_lines;
mod line_end;
mod options;
mod parallel;
mod plain;
mod reading;
mod records;
mod rescue;
mod row_error;
mod scan;
mod skipped;
mod split;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;

pub use chunk::{Chunk, Decoded, Rejected};
pub(crate) use found::Fields;
pub use found::FoundColumn;
pub use options::{Format, Header, OnError, Options, RESCUED, UnknownFields};
pub use parallel::decode_stream;
pub use row_error::RowError;
pub use skipped::Skipped;

use crate::error::Result;
use chunk::Layout;
pub use rescue::rescued_of;
pub(crate) use rescue::{Rescued, json_string, json_value};
use split::Splitter;

/// Turns the bytes of one input into batches, piece by piece.
#[derive(Debug)]
pub struct Decoder {
    splitter: Splitter,
    rejected: Vec<Rejected>,
    rows: u64,
    ended: bool,
}

impl Decoder {
    /// A decoder for the columns that the input has, in the input's order. The batches have
    /// exactly these columns, all of them nullable: what is NOT NULL is checked on writing.
    pub fn new(schema: &SchemaRef, options: Options) -> Result<Self> {
        Ok(Self {
            splitter: Splitter::new(Arc::new(Layout::new(schema, options)?)),
            rejected: Vec::new(),
            rows: 0,
            ended: false,
        })
    }

    /// The schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.splitter.layout().schema()
    }

    /// Takes more bytes; gives the batches that are complete.
    pub fn feed(&mut self, bytes: &Bytes) -> Result<Vec<RecordBatch>> {
        if self.ended {
            return Ok(Vec::new());
        }
        let chunks = self.split(bytes)?;
        self.decode(&chunks)
    }

    /// Says that all bytes were given; gives the last batches.
    pub fn finish(&mut self) -> Result<Vec<RecordBatch>> {
        if self.ended {
            return Ok(Vec::new());
        }
        let last = self.split_finish()?;
        self.decode(last.as_slice())
    }

    /// The rows read so far, among them the refused ones.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes the rows refused so far, if the options collect them.
    pub fn take_rejected(&mut self) -> Vec<Rejected> {
        std::mem::take(&mut self.rejected)
    }

    /// The first step alone: cuts the bytes into chunks to be decoded anywhere. Their results
    /// are to be taken in order, up to one that has [`Decoded::ended`].
    pub fn split(&mut self, bytes: &[u8]) -> Result<Vec<Chunk>> {
        self.splitter.push(bytes)
    }

    /// The first step for the end of the input.
    pub fn split_finish(&mut self) -> Result<Option<Chunk>> {
        self.splitter.finish()
    }

    fn decode(&mut self, chunks: &[Chunk]) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for chunk in chunks {
            let decoded = chunk.decode()?.after(self.rows);
            batches.extend(decoded.batches);
            self.rejected.extend(decoded.rejected);
            self.rows += decoded.rows;
            if decoded.ended {
                self.ended = true;
                break;
            }
        }
        Ok(batches)
    }
}
