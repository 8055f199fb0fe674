//! Rows in COPY's csv and text formats.
//!
//! Never: a quote or backslash that PostgreSQL would not write, so that files compare equal.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::ForceQuote;
use crate::dialect::{Dialect, Quoting};
use crate::error::Result;
use crate::text::{Formatter, Zone, quote_in_place};

/// A writer of such rows.
#[derive(Debug)]
pub(super) struct Delimited {
    dialect: Dialect,
    names: Vec<String>,
    header: bool,
    /// Per column: quote every value.
    forced: Vec<bool>,
    /// Per byte: a value that has it must be quoted, or the byte escaped.
    special: [bool; 256],
}

/// How the values of a column reach the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Treatment {
    /// No value of its type can have a special byte or equal the NULL marker.
    Plain,
    /// Each value is looked at.
    Checked,
    Quoted,
}

impl Delimited {
    pub(super) fn new(
        schema: &Schema,
        dialect: &Dialect,
        header: bool,
        force_quote: &ForceQuote,
    ) -> Self {
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let forced = names.iter().map(|name| match force_quote {
            ForceQuote::None => false,
            ForceQuote::All => true,
            ForceQuote::Columns(columns) => columns.contains(name),
        });
        let forced = forced.collect();
        let mut special = [false; 256];
        let bytes: &[u8] = match dialect.quoting {
            Some(Quoting { quote, .. }) => &[dialect.delimiter, quote, b'\n', b'\r'],
            None => &[dialect.delimiter, b'\\', 8, 9, 10, 11, 12, 13],
        };
        bytes.iter().for_each(|byte| special[usize::from(*byte)] = true);
        Self { dialect: dialect.clone(), names, header, forced, special }
    }

    pub(super) fn header(&self, out: &mut Vec<u8>) {
        if !self.header {
            return;
        }
        for (index, name) in self.names.iter().enumerate() {
            if index > 0 {
                out.push(self.dialect.delimiter);
            }
            let start = out.len();
            out.extend_from_slice(name.as_bytes());
            self.protect(start, Treatment::Checked, out);
        }
        out.push(b'\n');
    }

    pub(super) fn encode(
        &self,
        batch: &RecordBatch,
        zone: &Zone,
        out: &mut Vec<u8>,
        mut row_end: impl FnMut(usize),
    ) -> Result<()> {
        let columns = batch.columns().iter().zip(&self.forced).map(|(array, forced)| {
            let formatter = Formatter::new(array, zone)?;
            let treatment = self.treatment(&formatter, *forced);
            Ok((formatter, treatment))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            for (index, (formatter, treatment)) in columns.iter().enumerate() {
                if index > 0 {
                    out.push(self.dialect.delimiter);
                }
                if formatter.is_null(row) {
                    out.extend_from_slice(self.dialect.null.as_bytes());
                    continue;
                }
                let start = out.len();
                formatter.write(row, out);
                if *treatment != Treatment::Plain {
                    self.protect(start, *treatment, out);
                }
            }
            out.push(b'\n');
            row_end(out.len());
        }
        Ok(())
    }

    fn treatment(&self, formatter: &Formatter, forced: bool) -> Treatment {
        if forced {
            return Treatment::Quoted;
        }
        let Some(alphabet) = formatter.alphabet() else {
            return Treatment::Checked;
        };
        let harmless = alphabet.iter().all(|byte| !self.special[usize::from(*byte)]);
        let null = self.dialect.null.as_bytes();
        // The text format's marker is told from a value by its backslash, or not at all.
        let distinct = self.dialect.quoting.is_none()
            || null.is_empty()
            || null.iter().any(|byte| !alphabet.contains(byte));
        if harmless && distinct { Treatment::Plain } else { Treatment::Checked }
    }

    /// Quotes or escapes the value that was written from `start` on, if it needs it.
    #[inline]
    fn protect(&self, start: usize, treatment: Treatment, out: &mut Vec<u8>) {
        let value = &out[start..];
        let special = value.iter().any(|byte| self.special[usize::from(*byte)]);
        let Some(quoting) = self.dialect.quoting else {
            if special {
                self.escape(start, out);
            }
            return;
        };
        let quoted = special
            || treatment == Treatment::Quoted
            || value == self.dialect.null.as_bytes()
            || self.names.len() == 1 && value == b"\\.";
        if quoted {
            let Quoting { quote, escape } = quoting;
            quote_in_place(out, start, quote, |byte| {
                (byte == quote || byte == escape).then_some(escape)
            });
        }
    }

    /// Escapes the special bytes of a value in the text format.
    fn escape(&self, start: usize, out: &mut Vec<u8>) {
        let value = out.split_off(start);
        for byte in value {
            if self.special[usize::from(byte)] {
                out.push(b'\\');
            }
            out.push(match byte {
                8 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                11 => b'v',
                12 => b'f',
                b'\r' => b'r',
                other => other,
            });
        }
    }
}
