//! A column of a typed file to the type of the table's column.
//!
//! Never: a value that changes on the way. Casts that could cut a value go through its text, which
//! the table's type reads strictly or refuses.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{DataType, Field, TimeUnit, TimestampNanosecondType};
use bytes::Bytes;

use crate::decode::{Rescued, RowError, json_string, json_value};
use crate::encode::JsonColumn;
use crate::error::Result;
use crate::text::{Formatter, Parser, TYPE_KEY, ValueError, Zone};

/// How a column gets its new type.
#[derive(Debug)]
pub(super) struct Conversion {
    to: Field,
    zone: Zone,
    way: Way,
    keep_nanoseconds: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It has the type already.
    None,
    /// A cast that is exact or fails.
    Cast,
    /// A timestamp in nanoseconds, which may be more precise than the table's.
    Nanoseconds,
    /// The 16 bytes of a UUID.
    Uuid,
    /// Each value is written as text and read again.
    Text,
}

impl Conversion {
    /// A conversion; with `truncate`, nanoseconds are cut to microseconds without an error.
    pub(super) fn new(from: &DataType, to: &Field, zone: Zone, truncate: bool) -> Result<Self> {
        // A type that text alone knows (uuid, varchar ...) is checked by its parser.
        let is_uuid = to.metadata().get(TYPE_KEY).is_some_and(|kind| kind == "uuid");
        let way = if is_uuid && *from == DataType::FixedSizeBinary(16) {
            Way::Uuid
        } else if to.metadata().contains_key(TYPE_KEY) {
            Way::Text
        } else if from == to.data_type() {
            Way::None
        } else {
            way(from, to.data_type())
        };
        if way == Way::Text {
            Parser::new(to, &zone)?;
        }
        Ok(Self { to: to.clone(), zone, way, keep_nanoseconds: !truncate })
    }

    /// The column in its new type. The first of its rows has this number in the file.
    pub(super) fn apply(&self, column: &ArrayRef, first_row: u64) -> Result<ArrayRef> {
        match self.way {
            Way::None => Ok(Arc::clone(column)),
            Way::Uuid => {
                let uuids = column.as_fixed_size_binary().iter().map(|bytes| {
                    let bytes: [u8; 16] = bytes?.try_into().ok()?;
                    Some(uuid::Uuid::from_bytes(bytes).to_string())
                });
                Ok(Arc::new(uuids.collect::<StringArray>()))
            }
            Way::Text => self.through_text(column, first_row),
            Way::Nanoseconds if self.keep_nanoseconds && has_nanoseconds(column) => {
                Err(self.too_precise(column, first_row)?)
            }
            Way::Cast | Way::Nanoseconds => {
                let options = CastOptions { safe: false, ..CastOptions::default() };
                match cast_with_options(column, self.to.data_type(), &options) {
                    Ok(column) => Ok(column),
                    // The text's parser says which value does not fit.
                    Err(_) => self.through_text(column, first_row),
                }
            }
        }
    }

    /// The same; values that the column refuses are rescued and NULL here.
    pub(super) fn apply_or_rescue(
        &self,
        column: &ArrayRef,
        first_row: u64,
        rescued: &mut Rescued,
    ) -> Result<ArrayRef> {
        if let Ok(converted) = self.apply(column, first_row) {
            return Ok(converted);
        }
        let name = json_string(self.to.name());
        let from = Field::new(self.to.name(), column.data_type().clone(), true);
        let json = JsonColumn::new(&from, column, &Zone::UTC)?;
        let values = (0..column.len()).map(|row| {
            let value = column.slice(row, 1);
            self.apply(&value, first_row).or_else(|_| {
                rescued.push(row, name.clone(), json_value(&json, row));
                Ok(new_null_array(self.to.data_type(), 1))
            })
        });
        let values = values.collect::<Result<Vec<ArrayRef>>>()?;
        let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
        Ok(concat(&values)?)
    }

    fn through_text(&self, column: &ArrayRef, first_row: u64) -> Result<ArrayRef> {
        let formatter = Formatter::new(column, &self.zone)?;
        let mut parser = Parser::new(&self.to, &self.zone)?;
        let mut bytes = Vec::new();
        for row in 0..column.len() {
            if formatter.is_null(row) {
                parser.append(None)?;
                continue;
            }
            bytes.clear();
            formatter.write(row, &mut bytes);
            let text = String::from_utf8_lossy(&bytes);
            parser
                .append(Some(&text))
                .map_err(|reason| self.row_error(first_row + row as u64, &text, reason))?;
        }
        parser.finish()
    }

    fn row_error(&self, row: u64, text: &str, reason: ValueError) -> Box<RowError> {
        Box::new(RowError::of_value(row, self.to.name(), text, Bytes::new(), reason))
    }

    #[cold]
    fn too_precise(&self, column: &ArrayRef, first_row: u64) -> Result<crate::error::Error> {
        let nanos = column.as_primitive::<TimestampNanosecondType>();
        let row =
            (0..nanos.len()).find(|row| nanos.is_valid(*row) && nanos.value(*row) % 1_000 != 0);
        let row = row.unwrap_or(0);
        let micros = nanos.value(row).div_euclid(1_000);
        let more = nanos.value(row).rem_euclid(1_000);
        let shown = arrow::array::TimestampMicrosecondArray::from(vec![micros]);
        let mut text = Vec::new();
        Formatter::new(&shown, &self.zone)?.write(0, &mut text);
        let text = format!("{} and {more} ns", String::from_utf8_lossy(&text));
        let reason = ValueError::nanoseconds(&text);
        Ok(self.row_error(first_row + row as u64, &text, reason).into())
    }
}

fn has_nanoseconds(column: &ArrayRef) -> bool {
    let nanos = column.as_primitive::<TimestampNanosecondType>();
    nanos.iter().flatten().any(|value| value % 1_000 != 0)
}

/// Casts are used where they are exact, or fail, or round as PostgreSQL rounds.
fn way(from: &DataType, to: &DataType) -> Way {
    use DataType as D;
    let is_text = |data_type: &D| matches!(data_type, D::Utf8 | D::LargeUtf8 | D::Utf8View);
    let is_binary = |data_type: &D| {
        matches!(data_type, D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_))
    };
    match (from, to) {
        (D::Dictionary(_, values), to) if is_text(values) && is_text(to) => Way::Cast,
        (from, to) if is_text(from) && is_text(to) || is_binary(from) && is_binary(to) => Way::Cast,
        (from, to) if from.is_integer() && (to.is_integer() || to.is_decimal()) => Way::Cast,
        (from, to) if from.is_decimal() && to.is_decimal() => Way::Cast,
        (D::Float16, D::Float32 | D::Float64) | (D::Float32, D::Float64) => Way::Cast,
        (D::Date64, D::Date32) => Way::Cast,
        (D::Timestamp(unit, from_zone), D::Timestamp(TimeUnit::Microsecond, to_zone))
            if from_zone.is_some() == to_zone.is_some() =>
        {
            if *unit == TimeUnit::Nanosecond {
                Way::Nanoseconds
            } else {
                Way::Cast
            }
        }
        (
            D::List(from) | D::LargeList(from) | D::FixedSizeList(from, _),
            D::List(to) | D::LargeList(to),
        ) if !to.metadata().contains_key(TYPE_KEY) => {
            let same = from.data_type() == to.data_type();
            match way(from.data_type(), to.data_type()) {
                Way::Cast => Way::Cast,
                _ if same => Way::Cast,
                _ => Way::Text,
            }
        }
        _ => Way::Text,
    }
}
