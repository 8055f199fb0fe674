//! A chunk while it is read: records into blocks, blocks into columns, columns into batches.
//!
//! Never: two bad rows in another order than PostgreSQL would meet them.

use std::collections::HashSet;
use std::ops::Range;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;

use super::block::{Block, Extent, NullRule, Span};
use super::chunk::{Chunk, Decoded, Layout, Rejected};
use super::clean::Clean;
use super::options::{Format, Header, OnError};
use super::records::{Found, Malformed, Record, Records};
use super::rescue::{self, Rescued, json_string};
use super::row_error::{Place, RowError};
use super::split::lines;
use crate::error::{Error, Result};
use crate::text::{Parser, ValueError};

/// So many rows are cut into fields before the columns are read: few enough that the fields'
/// places stay in the cache.
const BLOCK_ROWS: usize = 2_048;

/// A chunk that is being read.
pub(super) struct Reading<'a> {
    chunk: &'a Chunk,
    layout: &'a Layout,
    clean: &'a Clean<'a>,
    parsers: Vec<Parser>,
    decoded: Decoded,
    /// Rows of the batch at hand that were refused after they were appended.
    bad_rows: HashSet<usize>,
    /// What no column of the batch at hand takes.
    rescued: Rescued,
}

impl<'a> Reading<'a> {
    pub(super) fn new(chunk: &'a Chunk, clean: &'a Clean<'a>) -> Result<Self> {
        let layout = chunk.layout();
        let parsers = layout.parsers()?;
        let decoded = Decoded::default();
        let (bad_rows, rescued) = (HashSet::new(), Rescued::default());
        Ok(Self { chunk, layout, clean, parsers, decoded, bad_rows, rescued })
    }

    pub(super) fn run(mut self, mut records: impl Records) -> Result<Decoded> {
        let mut block = Block::default();
        if self.chunk.is_first() && self.layout.options().header != Header::Absent {
            self.header(&mut records, &mut block)?;
        }
        let mut batch_rows = 0;
        while records.position() < self.clean.text.len() && !self.decoded.ended {
            let room = self.layout.options().batch_rows_max - batch_rows;
            let fault = self.cut(&mut records, &mut block, room.min(BLOCK_ROWS));
            self.append(&block, batch_rows)?;
            if let Some(fault) = fault {
                return Err(fault.into());
            }
            batch_rows += block.rows();
            if batch_rows == self.layout.options().batch_rows_max {
                self.finish_batch(batch_rows)?;
                batch_rows = 0;
            }
        }
        self.finish_batch(batch_rows)?;
        self.decoded.rejected.sort_by_key(|rejected| rejected.row);
        Ok(self.decoded)
    }

    /// The fields of the first record, as names.
    pub(super) fn names(self, mut records: impl Records) -> Result<Vec<String>> {
        let mut block = Block::default();
        let start = records.position();
        let (fields, end) = match records.read(&mut block, usize::MAX) {
            Ok(Record::Row { fields, end }) => (fields, end),
            Ok(Record::Blank | Record::End) => return Ok(Vec::new()),
            Err(malformed) => {
                return Err(Box::new(self.malformed(start, records.position(), malformed)).into());
            }
        };
        if let Some(error) = self.clean.error_within(start, end) {
            return Err(Box::new(self.row_error(start, end, Place::Line, error.clone())).into());
        }
        let null = NullRule { marker: "", quoted: false, never: true };
        let texts = block.texts(&self.clean.text);
        let names = block.spans.iter().take(fields).map(|span| texts.get(*span, null));
        let names: Vec<&str> = names.map(Option::unwrap_or_default).collect();
        let mut seen = HashSet::new();
        let wrong = names.iter().find(|name| name.is_empty() || !seen.insert(**name));
        if let Some(name) = wrong {
            let message = match name.is_empty() {
                true => "a column in the header line has no name".to_owned(),
                false => format!("column \"{name}\" appears twice in the header line"),
            };
            let reason = ValueError::row_shape(message);
            return Err(Box::new(self.row_error(start, end, Place::Row, reason)).into());
        }
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    /// Cuts records into fields until the block is full. Gives the error that ends the reading,
    /// once the rows before it were appended without one.
    fn cut(
        &mut self,
        records: &mut impl Records,
        block: &mut Block,
        rows: usize,
    ) -> Option<Box<RowError>> {
        block.clear();
        while block.rows() < rows && records.position() < self.clean.text.len() {
            let start = records.position();
            let mark = block.mark();
            let read = records.read(block, self.layout.columns().len());
            let fault = match read {
                Ok(Record::Row { fields, end }) => {
                    self.decoded.rows += 1;
                    match self.row_fault(block, mark.0, start, fields, end) {
                        None => {
                            let row = self.decoded.rows;
                            block.extents.push(Extent { start, end, row });
                            continue;
                        }
                        Some(fault) => fault,
                    }
                }
                Ok(Record::Blank) => continue,
                Ok(Record::End) => {
                    self.decoded.ended = true;
                    return None;
                }
                Err(malformed) => {
                    self.decoded.rows += 1;
                    self.malformed(start, records.position(), malformed)
                }
            };
            block.undo(mark);
            match self.layout.options().on_error {
                OnError::Stop => return Some(Box::new(fault)),
                OnError::Collect => {
                    let row = self.decoded.rows;
                    self.decoded.rejected.push(Rejected { row, error: fault });
                }
            }
        }
        None
    }

    /// What is wrong with a row apart from its values.
    #[inline]
    fn row_fault(
        &mut self,
        block: &Block,
        first_span: usize,
        start: usize,
        fields: usize,
        end: usize,
    ) -> Option<RowError> {
        let columns = self.layout.columns().len();
        let too_long = end - start > self.layout.options().row_bytes_max;
        // A table without columns has rows without fields, which are empty lines.
        let complete = fields == columns || columns == 0 && start == end;
        if complete && !too_long && self.clean.is_valid() {
            return None;
        }
        let (place, reason) = if let Some(error) = self.clean.error_within(start, end) {
            (Place::Line, error.clone())
        } else if too_long {
            (Place::Line, ValueError::row_length(self.layout.options().row_bytes_max))
        } else if fields > columns && !complete {
            let message = "extra data after last expected column";
            (Place::Row, ValueError::row_shape(message.to_owned()))
        } else if fields < columns {
            // PostgreSQL reads the fields that are there before it misses the next.
            self.refused_value(block, first_span, fields).unwrap_or_else(|| {
                let name = &self.layout.columns()[fields].name;
                let message = format!("missing data for column \"{name}\"");
                (Place::Row, ValueError::row_shape(message))
            })
        } else {
            return None;
        };
        Some(self.row_error(start, end, place, reason))
    }

    /// The first of some fields whose value is refused.
    fn refused_value(
        &mut self,
        block: &Block,
        first_span: usize,
        fields: usize,
    ) -> Option<(Place, ValueError)> {
        let texts = block.texts(&self.clean.text);
        for (index, column) in self.layout.columns().iter().enumerate().take(fields) {
            let text = texts.get(block.spans[first_span + index], self.layout.null_rule(column));
            let length = self.parsers[index].len();
            match self.parsers[index].append(text) {
                Ok(()) => self.parsers[index].truncate(length),
                Err(reason) => return Some((column.place(text), reason)),
            }
        }
        None
    }

    #[cold]
    fn malformed(&self, start: usize, next: usize, malformed: Malformed) -> RowError {
        let line = &self.chunk.bytes()[start..next];
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (at, end, place) = match malformed.found {
            Found::Record { end } => (end, end, Place::Row),
            Found::Line { at } => (at, start + line.len(), Place::Line),
        };
        // An invalid byte is met before anything else on its line.
        let (place, reason) = match self.clean.error_within(start, end) {
            Some(error) => (Place::Line, error.clone()),
            None => (place, malformed.reason),
        };
        RowError::new(self.line_of(at), place, self.chunk.bytes().slice(start..end), reason)
    }

    #[cold]
    fn row_error(&self, start: usize, end: usize, place: Place, reason: ValueError) -> RowError {
        RowError::new(self.line_of(end), place, self.chunk.bytes().slice(start..end), reason)
    }

    /// The number of the line on which this position is.
    fn line_of(&self, at: usize) -> u64 {
        let backslashes = matches!(
            &self.layout.options().format,
            Format::Delimited(dialect) if dialect.quoting.is_none()
        );
        self.chunk.first_line()
            + lines(&self.chunk.bytes()[..at], self.chunk.line_end(), backslashes)
    }

    /// Reads the values of a block, column by column.
    fn append(&mut self, block: &Block, batch_rows: usize) -> Result<()> {
        let texts = block.texts(&self.clean.text);
        let columns = self.layout.columns().len();
        let mut column_texts = Vec::with_capacity(block.rows());
        // Rows from here on need not be looked at: an earlier one was refused.
        let mut limit = block.rows();
        let mut first_refused = None;
        for (index, column) in self.layout.columns().iter().enumerate() {
            let null = self.layout.null_rule(column);
            column_texts.clear();
            // Chunks rather than steps: the compiler knows where each ends.
            let rows = block.spans.chunks_exact(columns).take(limit);
            column_texts.extend(rows.map(|spans| texts.get(spans[index], null)));
            let mut from = 0;
            while let Err(refused) = self.parsers[index].extend(&column_texts[from..]) {
                let row = from + refused.index;
                if self.layout.rescued().is_some() {
                    let text = column_texts[row].unwrap_or_default();
                    let value = self.value_of(&block.extents[row], &column.name, text);
                    self.rescued.push(batch_rows + row, json_string(&column.name), value);
                    self.parsers[index].append(None).map_err(Error::Value)?;
                    from = row + 1;
                    continue;
                }
                let place = column.place(column_texts[row]);
                let Extent { start, end, row: number } = block.extents[row];
                let error = self.row_error(start, end, place, refused.error);
                if self.layout.options().on_error == OnError::Stop {
                    limit = row;
                    first_refused = Some(error);
                    break;
                }
                self.parsers[index].append(None).map_err(Error::Value)?;
                // A row that was refused before is kept aside already.
                if self.bad_rows.insert(batch_rows + row) {
                    self.decoded.rejected.push(Rejected { row: number, error });
                }
                from = row + 1;
            }
        }
        for (row, name, value) in &block.unknown {
            let part = |of: &Range<usize>| self.clean.text[of.clone()].to_owned();
            self.rescued.push(batch_rows + row, part(name), part(value));
        }
        first_refused.map_or(Ok(()), |error| Err(Box::new(error).into()))
    }

    /// A value that its column refuses, as JSON.
    fn value_of(&self, row: &Extent, column: &str, text: &str) -> String {
        let member = match self.layout.options().format {
            Format::JsonLines(_) => rescue::member(&self.clean.text[row.start..row.end], column),
            Format::Delimited(_) => None,
        };
        member.map_or_else(|| json_string(text), str::to_owned)
    }

    /// Puts the rows read so far into a batch, without the refused ones.
    fn finish_batch(&mut self, rows: usize) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        let mut arrays: Vec<ArrayRef> =
            self.parsers.iter_mut().map(Parser::finish).collect::<Result<_>>()?;
        if let Some(at) = self.layout.rescued() {
            let schema = self.layout.schema();
            arrays.insert(at, self.rescued.finish(schema.field(at), rows)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let mut batch = RecordBatch::try_new_with_options(self.layout.schema(), arrays, &options)?;
        if !self.bad_rows.is_empty() {
            let mut keep = vec![true; rows];
            self.bad_rows.drain().for_each(|row| keep[row] = false);
            batch = filter_record_batch(&batch, &BooleanArray::from(keep))?;
        }
        if batch.num_rows() > 0 {
            self.decoded.batches.push(batch);
        }
        Ok(())
    }

    /// Passes over the first record, after comparing its names with the columns if asked.
    fn header(&mut self, records: &mut impl Records, block: &mut Block) -> Result<()> {
        let start = records.position();
        let (fields, end) = match records.read(block, usize::MAX) {
            Ok(Record::Row { fields, end }) => (fields, end),
            Ok(Record::Blank) => return Ok(()),
            Ok(Record::End) => {
                // No line is to PostgreSQL a line with one empty field.
                self.decoded.ended = true;
                block.spans.push(Span::plain(start, start));
                (1, start)
            }
            Err(malformed) => {
                return Err(Box::new(self.malformed(start, records.position(), malformed)).into());
            }
        };
        if let Some(error) = self.clean.error_within(start, end) {
            return Err(Box::new(self.row_error(start, end, Place::Line, error.clone())).into());
        }
        if self.layout.options().header == Header::Match {
            self.match_names(block, fields).map_err(|message| {
                let reason = ValueError::row_shape(message);
                Box::new(self.row_error(start, end, Place::Row, reason))
            })?;
        }
        Ok(())
    }

    fn match_names(&self, block: &Block, fields: usize) -> std::result::Result<(), String> {
        let columns = &self.layout.columns();
        if fields != columns.len() {
            let expected = columns.len();
            return Err(format!(
                "wrong number of fields in header line: got {fields}, expected {expected}"
            ));
        }
        let texts = block.texts(&self.clean.text);
        for (index, column) in columns.iter().enumerate() {
            let null = NullRule { quoted: false, never: false, ..self.layout.null_rule(column) };
            let number = index + 1;
            let name = &column.name;
            match texts.get(block.spans[index], null) {
                Some(found) if *found == **name => {}
                Some(found) => {
                    return Err(format!(
                        "column name mismatch in header line field {number}: \
                         got \"{found}\", expected \"{name}\""
                    ));
                }
                None => {
                    return Err(format!(
                        "column name mismatch in header line field {number}: \
                         got null value (\"{}\"), expected \"{name}\"",
                        null.marker
                    ));
                }
            }
        }
        Ok(())
    }
}
