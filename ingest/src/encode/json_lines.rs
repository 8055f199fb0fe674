//! Rows as JSON lines: an object a line, NULL as `null`, in the forms of PostgreSQL's `to_json`.
//!
//! Never: a number that JSON does not know; NaN and the infinities become strings.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use crate::error::Result;
use crate::text::{Formatter, TYPE_KEY, Zone, element_field};

/// A writer of such rows.
#[derive(Debug)]
pub(super) struct JsonLines {
    /// `"name":`, as each column begins.
    keys: Vec<Vec<u8>>,
}

impl JsonLines {
    pub(super) fn new(schema: &Schema) -> Self {
        Self { keys: schema.fields().iter().map(|field| key(field)).collect() }
    }

    pub(super) fn encode(
        &self,
        batch: &RecordBatch,
        zone: &Zone,
        out: &mut Vec<u8>,
        mut row_end: impl FnMut(usize),
    ) -> Result<()> {
        let schema = batch.schema_ref();
        let columns = schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, array)| Column::new(field, array, zone));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            object(&self.keys, &columns, row, out);
            out.push(b'\n');
            row_end(out.len());
        }
        Ok(())
    }
}

fn key(field: &Field) -> Vec<u8> {
    let mut key = Vec::new();
    string(field.name().as_bytes(), &mut key);
    key.push(b':');
    key
}

fn object(keys: &[Vec<u8>], columns: &[Column], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (key, column)) in keys.iter().zip(columns).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(key);
        column.write(row, out);
    }
    out.push(b'}');
}

/// A column and how its values become JSON.
#[derive(Debug)]
pub(crate) struct Column {
    formatter: Formatter,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    /// The text is JSON.
    Json,
    /// The text is JSON unless it has a letter: `NaN`, `Infinity`.
    Number,
    Boolean,
    /// `2013-01-01 05:00:00+01` becomes `"2013-01-01T05:00:00+01:00"`.
    Timestamp,
    String,
    /// The offsets and the elements.
    List(Vec<usize>, Box<Column>),
    Object(Vec<Vec<u8>>, Vec<Column>),
}

impl Column {
    /// The values of an array, which the field names the type of.
    pub(crate) fn new(field: &Field, array: &dyn Array, zone: &Zone) -> Result<Self> {
        use DataType as D;
        let formatter = Formatter::new(array, zone)?;
        let type_name = field.metadata().get(TYPE_KEY).map(String::as_str);
        let shape = match array.data_type() {
            D::Boolean => Shape::Boolean,
            data_type if data_type.is_numeric() => Shape::Number,
            D::Timestamp(..) => Shape::Timestamp,
            D::List(element) => {
                let list = array.as_list::<i32>();
                let offsets = list.value_offsets().iter().map(|offset| *offset as usize);
                let element = element_field(field, element);
                let elements = Self::new(&element, list.values(), zone)?;
                Shape::List(offsets.collect(), Box::new(elements))
            }
            D::LargeList(element) => {
                let list = array.as_list::<i64>();
                let offsets = list.value_offsets().iter().map(|offset| *offset as usize);
                let element = element_field(field, element);
                let elements = Self::new(&element, list.values(), zone)?;
                Shape::List(offsets.collect(), Box::new(elements))
            }
            D::Struct(fields) => {
                let columns = fields.iter().zip(array.as_struct().columns());
                let columns = columns.map(|(field, array)| Self::new(field, array, zone));
                let keys = fields.iter().map(|field| key(field)).collect();
                Shape::Object(keys, columns.collect::<Result<_>>()?)
            }
            _ if matches!(type_name, Some("json" | "jsonb")) => Shape::Json,
            _ => Shape::String,
        };
        Ok(Self { formatter, shape })
    }

    /// Appends a value as JSON.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.formatter.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        let start = out.len();
        match &self.shape {
            Shape::Json => self.formatter.write(row, out),
            Shape::Number => {
                self.formatter.write(row, out);
                if matches!(out.last(), Some(b'N' | b'y')) {
                    out.insert(start, b'"');
                    out.push(b'"');
                }
            }
            Shape::Boolean => {
                self.formatter.write(row, out);
                let is_true = out[start] == b't';
                out.truncate(start);
                out.extend_from_slice(if is_true { b"true" } else { b"false" });
            }
            Shape::Timestamp => {
                out.push(b'"');
                self.formatter.write(row, out);
                iso(start + 1, out);
                out.push(b'"');
            }
            Shape::String => {
                out.push(b'"');
                self.formatter.write(row, out);
                escape(start + 1, out);
                out.push(b'"');
            }
            Shape::List(offsets, elements) => {
                out.push(b'[');
                for element in offsets[row]..offsets[row + 1] {
                    if element > offsets[row] {
                        out.push(b',');
                    }
                    elements.write(element, out);
                }
                out.push(b']');
            }
            Shape::Object(keys, columns) => object(keys, columns, row, out),
        }
    }
}

/// Turns a timestamp as Postgres shows it, from `start` on, into its ISO 8601 form.
fn iso(start: usize, out: &mut Vec<u8>) {
    let Some(space) = out[start..].iter().position(|byte| *byte == b' ') else {
        return;
    };
    out[start + space] = b'T';
    let time = &out[start + space..];
    let offset = time.iter().rposition(|byte| matches!(byte, b'+' | b'-'));
    // An offset of whole hours gets its minutes.
    if offset.is_some_and(|offset| time.len() - offset == 3) {
        out.extend_from_slice(b":00");
    }
}

/// Appends a text as a JSON string.
fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.extend_from_slice(text);
    escape(start, out);
    out.push(b'"');
}

/// Escapes what is written from `start` on, as the inside of a JSON string.
fn escape(start: usize, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..=0x1f);
    let Some(first) = out[start..].iter().position(is_special) else {
        return;
    };
    let rest = out.split_off(start + first);
    for byte in rest {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            ..=0x1f => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
}
