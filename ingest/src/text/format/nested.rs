//! Arrays and composite values: `{1,NULL,"a b"}` and `(1,"a b")`.
//!
//! Never: a value whose quotes a reader of Postgres arrays or records would take for structure.

use std::ops::Range;

use arrow::array::{Array, AsArray, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;

use super::{Column, Formatter};
use crate::error::{Error, Result};
use crate::text::Zone;

/// A column of lists, and the formatter of their elements.
#[derive(Debug)]
pub(super) struct List {
    extents: Extents,
    elements: Box<Formatter>,
}

/// Where the elements of each row lie.
#[derive(Debug)]
enum Extents {
    Offsets(OffsetBuffer<i32>),
    LargeOffsets(OffsetBuffer<i64>),
    Fixed(usize),
    Views(ScalarBuffer<i32>, ScalarBuffer<i32>),
    LargeViews(ScalarBuffer<i64>, ScalarBuffer<i64>),
}

impl Extents {
    fn of(&self, row: usize) -> Range<usize> {
        match self {
            Self::Offsets(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Self::LargeOffsets(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Self::Fixed(length) => row * length..(row + 1) * length,
            Self::Views(offsets, sizes) => {
                let start = offsets[row] as usize;
                start..start + sizes[row] as usize
            }
            Self::LargeViews(offsets, sizes) => {
                let start = offsets[row] as usize;
                start..start + sizes[row] as usize
            }
        }
    }
}

impl List {
    pub(super) fn new(array: &dyn Array, zone: &Zone) -> Result<Self> {
        let (extents, elements) = match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                (Extents::Offsets(list.offsets().clone()), list.values())
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                (Extents::LargeOffsets(list.offsets().clone()), list.values())
            }
            DataType::FixedSizeList(_, length) => {
                (Extents::Fixed(*length as usize), array.as_fixed_size_list().values())
            }
            DataType::ListView(_) => {
                let list = array.as_list_view::<i32>();
                (Extents::Views(list.offsets().clone(), list.sizes().clone()), list.values())
            }
            DataType::LargeListView(_) => {
                let list = array.as_list_view::<i64>();
                (Extents::LargeViews(list.offsets().clone(), list.sizes().clone()), list.values())
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let entries = Formatter::new(map.entries(), zone)?;
                let extents = Extents::Offsets(map.offsets().clone());
                return Ok(Self { extents, elements: Box::new(entries) });
            }
            other => return Err(Error::UnsupportedType(other.clone())),
        };
        Ok(Self { extents, elements: Box::new(Formatter::new(elements, zone)?) })
    }

    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) {
        // An inner array is not quoted: it is a further dimension.
        let inner_list = matches!(self.elements.column, Column::List(_));
        out.push(b'{');
        let elements = self.extents.of(row);
        let first = elements.start;
        for element in elements {
            if element > first {
                out.push(b',');
            }
            if self.elements.is_null(element) {
                out.extend_from_slice(b"NULL");
                continue;
            }
            let start = out.len();
            self.elements.write(element, out);
            if !inner_list && element_needs_quotes(&out[start..]) {
                quote_in_place(out, start, b'"', |byte| {
                    matches!(byte, b'"' | b'\\').then_some(b'\\')
                });
            }
        }
        out.push(b'}');
    }
}

fn element_needs_quotes(text: &[u8]) -> bool {
    text.is_empty()
        || text.eq_ignore_ascii_case(b"null")
        || text
            .iter()
            .any(|byte| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',' | b' ' | b'\t'..=b'\r'))
}

/// A column of composite values, and the formatters of their fields.
#[derive(Debug)]
pub(super) struct Record {
    fields: Vec<Formatter>,
}

impl Record {
    pub(super) fn new(array: &StructArray, zone: &Zone) -> Result<Self> {
        let fields = array.columns().iter().map(|column| Formatter::new(column, zone));
        Ok(Self { fields: fields.collect::<Result<_>>()? })
    }

    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'(');
        for (index, field) in self.fields.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            if field.is_null(row) {
                continue;
            }
            let start = out.len();
            field.write(row, out);
            if field_needs_quotes(&out[start..]) {
                quote_in_place(out, start, b'"', |byte| {
                    matches!(byte, b'"' | b'\\').then_some(byte)
                });
            }
        }
        out.push(b')');
    }
}

fn field_needs_quotes(text: &[u8]) -> bool {
    text.is_empty()
        || text
            .iter()
            .any(|byte| matches!(byte, b'"' | b'\\' | b'(' | b')' | b',' | b' ' | b'\t'..=b'\r'))
}

/// Puts quotes around the bytes from `start` on, and before each byte the one that `escape` gives.
pub(crate) fn quote_in_place(
    out: &mut Vec<u8>,
    start: usize,
    quote: u8,
    escape: impl Fn(u8) -> Option<u8>,
) {
    let end = out.len();
    let escapes = out[start..].iter().filter(|byte| escape(**byte).is_some()).count();
    out.resize(end + escapes + 2, quote);
    // From the back, so that no byte is overwritten before it has moved.
    let mut to = out.len() - 1;
    for from in (start..end).rev() {
        let byte = out[from];
        to -= 1;
        out[to] = byte;
        if let Some(escape) = escape(byte) {
            to -= 1;
            out[to] = escape;
        }
    }
    out[start] = quote;
}
