//! The second step: one chunk of whole records to batches, with no state but its own.
//!
//! Never: a look at another chunk. Where rows stand in the whole input is added by the caller, who
//! takes the results in order.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{FieldRef, Fields, Schema, SchemaRef};
use bytes::Bytes;

use super::block::NullRule;
use super::clean::Clean;
use super::csv::Csv;
use super::json_lines::JsonLines;
use super::line_end::LineEnd;
use super::options::{Format, Header, Options, RESCUED};
use super::plain::Plain;
use super::reading::Reading;
use super::row_error::{Place, RowError};
use super::split::has_other_line_ends;
use crate::error::{Error, Result};
use crate::text::Parser;

/// What all chunks of an input share.
#[derive(Debug)]
pub(super) struct Layout {
    schema: SchemaRef,
    /// The columns that the input has.
    fields: Fields,
    columns: Vec<Column>,
    /// Where the column is that takes what no other does.
    rescued: Option<usize>,
    options: Options,
}

/// A column of the input.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: Arc<str>,
    force_null: bool,
    force_not_null: bool,
}

impl Layout {
    pub(super) fn new(schema: &SchemaRef, options: Options) -> Result<Self> {
        for forced in options.force_null.iter().chain(&options.force_not_null) {
            if schema.field_with_name(forced).is_err() {
                let message = format!("column \"{forced}\" is not one that COPY reads");
                return Err(Error::Option { sqlstate: "42P10", message });
            }
        }
        let column = |name: &String| Column {
            name: name.as_str().into(),
            force_null: options.force_null.contains(name),
            force_not_null: options.force_not_null.contains(name),
        };
        let nullable =
            schema.fields().iter().map(|f| Arc::new(f.as_ref().clone().with_nullable(true)));
        let nullable: Vec<FieldRef> = nullable.collect();
        let rescued = if options.rescues { Some(schema.index_of(RESCUED)?) } else { None };
        let read = nullable.iter().enumerate().filter(|(at, _)| Some(*at) != rescued);
        let fields: Fields = read.map(|(_, field)| Arc::clone(field)).collect();
        let columns = fields.iter().map(|field| column(field.name())).collect();
        let schema = Arc::new(Schema::new(nullable));
        let layout = Self { schema, fields, columns, rescued, options };
        // Types that cannot be read are found out before the first byte.
        layout.parsers()?;
        Ok(layout)
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn rescued(&self) -> Option<usize> {
        self.rescued
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(super) fn parsers(&self) -> Result<Vec<Parser>> {
        self.fields.iter().map(|field| Parser::new(field, &self.options.zone)).collect()
    }

    /// What is NULL in a column.
    pub(super) fn null_rule(&self, column: &Column) -> NullRule<'_> {
        match &self.options.format {
            Format::Delimited(dialect) => NullRule {
                marker: &dialect.null,
                quoted: column.force_null,
                never: column.force_not_null,
            },
            // JSON says what is NULL; no text does.
            Format::JsonLines(_) => NullRule { marker: "", quoted: false, never: true },
        }
    }
}

impl Column {
    pub(super) fn place(&self, text: Option<&str>) -> Place {
        Place::Column { name: Arc::clone(&self.name), value: text.map(str::to_owned) }
    }
}

/// Whole records of an input, ready to be decoded on any thread.
#[derive(Debug, Clone)]
pub struct Chunk {
    bytes: Bytes,
    first_line: u64,
    first: bool,
    line_end: LineEnd,
    layout: Arc<Layout>,
}

/// What a chunk held.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The rows, in the input's order.
    pub batches: Vec<RecordBatch>,
    /// The refused rows, where they are collected.
    pub rejected: Vec<Rejected>,
    /// The rows of the input before this chunk.
    pub rows_before: u64,
    /// All rows, refused ones included.
    pub rows: u64,
    /// The data ended here: what follows in the input does not count.
    pub ended: bool,
}

/// A row that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its number within the input, from 1. Until [`Decoded::after`], within the chunk.
    pub row: u64,
    /// What it was, and why it could not be read.
    pub error: RowError,
}

impl Decoded {
    /// Puts the chunk in its place, behind so many rows.
    pub fn after(mut self, rows: u64) -> Self {
        self.rejected.iter_mut().for_each(|rejected| rejected.row += rows);
        self.rows_before += rows;
        self
    }

    /// The numbers within the input, from 1, of the rows in each batch.
    pub fn row_numbers(&self) -> Vec<Int64Array> {
        let mut rejected = self.rejected.iter().map(|rejected| rejected.row).peekable();
        let rows = self.rows_before + 1..=self.rows_before + self.rows;
        let mut kept = rows.filter(|row| rejected.next_if_eq(row).is_none());
        self.batches
            .iter()
            .map(|batch| {
                let numbers = kept.by_ref().take(batch.num_rows());
                Int64Array::from_iter_values(numbers.map(|row| row as i64))
            })
            .collect()
    }
}

impl Chunk {
    pub(super) fn new(
        bytes: Bytes,
        first_line: u64,
        first: bool,
        line_end: LineEnd,
        layout: Arc<Layout>,
    ) -> Self {
        Self { bytes, first_line, first, line_end, layout }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether names were to come and none did.
    pub(super) fn lacks_header(&self) -> bool {
        self.first && self.is_empty() && self.layout.options.header == Header::Match
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(super) fn is_first(&self) -> bool {
        self.first
    }

    /// The number of the line with which it starts.
    pub(super) fn first_line(&self) -> u64 {
        self.first_line
    }

    pub(super) fn line_end(&self) -> LineEnd {
        self.line_end
    }

    /// The number of bytes that it holds.
    pub fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    /// The names in the first record of csv or text.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let end = self.line_end;
        let Format::Delimited(dialect) = &self.layout.options.format else { return Ok(Vec::new()) };
        match dialect.quoting {
            Some(quoting) => {
                let special = [dialect.delimiter, quoting.quote, quoting.escape];
                let clean = Clean::new(&self.bytes, &special);
                let records = Csv::any(&clean.text, dialect.delimiter, quoting, end);
                Reading::new(self, &clean)?.names(records)
            }
            None => {
                let clean = Clean::new(&self.bytes, &[dialect.delimiter, b'\\']);
                let records = Plain::any(&clean.text, dialect.delimiter, &dialect.null, end);
                Reading::new(self, &clean)?.names(records)
            }
        }
    }

    /// Reads the rows. Takes long enough to belong on a thread that may be kept busy.
    pub fn decode(&self) -> Result<Decoded> {
        let end = self.line_end;
        let rare = has_other_line_ends(&self.bytes, end);
        match &self.layout.options.format {
            Format::JsonLines(unknown) => {
                let clean = Clean::new(&self.bytes, b"\n\"\\{}[]:,");
                let records = JsonLines::new(&clean.text, &self.layout.fields, *unknown);
                Reading::new(self, &clean)?.run(records)
            }
            Format::Delimited(dialect) => match dialect.quoting {
                Some(quoting) => {
                    let special = [dialect.delimiter, quoting.quote, quoting.escape];
                    let clean = Clean::new(&self.bytes, &special);
                    let (text, delimiter) = (&*clean.text, dialect.delimiter);
                    let reading = Reading::new(self, &clean)?;
                    if rare {
                        reading.run(Csv::any(text, delimiter, quoting, end))
                    } else {
                        reading.run(Csv::simple(text, delimiter, quoting, end))
                    }
                }
                None => {
                    let clean = Clean::new(&self.bytes, &[dialect.delimiter, b'\\']);
                    let (text, delimiter) = (&*clean.text, dialect.delimiter);
                    let reading = Reading::new(self, &clean)?;
                    if rare {
                        reading.run(Plain::any(text, delimiter, &dialect.null, end))
                    } else {
                        reading.run(Plain::simple(text, delimiter, &dialect.null, end))
                    }
                }
            },
        }
    }
}
