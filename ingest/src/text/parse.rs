//! Postgres text to Arrow values: a [`Parser`] is built once for a column and appends the values
//! of one text after the other.
//!
//! Never: a value that was only partly understood. A refused text leaves the column as it was.

mod bytea;
mod datetime;
mod decimal;
mod interval;
pub(crate) mod json;
mod nested;
mod number;
mod primitive;
mod strings;
mod uuid;

use std::fmt;

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalUnit, TimeUnit, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::{TYPE_KEY, ValueError, Zone, element_field};
use crate::error::{Error, Result};
use datetime::{Dates, Precision, Times, Timestamps};
use decimal::Decimal;
use interval::Intervals;
use nested::{Lists, Records};
use number::{Float, Integer};
use primitive::{Booleans, Primitives};
use strings::{Rule, Strings};

/// Reads texts into an Arrow array.
pub struct Parser {
    column: Box<dyn Column>,
}

/// The first text of several that was refused. Those before it were appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its position among the texts given.
    pub index: usize,
    /// Why.
    pub error: ValueError,
}

/// A column under construction.
trait Column: Send {
    fn extend(&mut self, texts: &[Option<&str>]) -> std::result::Result<(), Refused>;
    fn len(&self) -> usize;
    fn truncate(&mut self, length: usize);
    /// Takes the values; the column is empty again.
    fn finish(&mut self) -> Result<ArrayRef>;
}

impl fmt::Debug for Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parser").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Parser {
    /// A parser for a column: its Arrow type, and the Postgres type that its metadata may name.
    /// A time without an offset is one in `zone`.
    pub fn new(field: &Field, zone: &Zone) -> Result<Self> {
        Ok(Self { column: column(field, zone)? })
    }

    /// Appends the value of a text, or NULL.
    pub fn append(&mut self, text: Option<&str>) -> std::result::Result<(), ValueError> {
        self.column.extend(&[text]).map_err(|refused| refused.error)
    }

    /// Appends the values of many texts, up to the first that is refused.
    pub fn extend(&mut self, texts: &[Option<&str>]) -> std::result::Result<(), Refused> {
        self.column.extend(texts)
    }

    /// The number of values appended since the last [`Parser::finish`].
    pub fn len(&self) -> usize {
        self.column.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the values from this length on.
    pub fn truncate(&mut self, length: usize) {
        self.column.truncate(length);
    }

    /// Takes the values as an array of the field's type; the parser is then ready for more.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        self.column.finish()
    }
}

fn column(field: &Field, zone: &Zone) -> Result<Box<dyn Column>> {
    use DataType as D;
    let data_type = field.data_type().clone();
    Ok(match field.data_type() {
        D::Boolean => Box::new(Booleans::new()),
        D::Int8 => Box::new(Primitives::new(Integer::<Int8Type>::new("smallint"), data_type)),
        D::Int16 => Box::new(Primitives::new(Integer::<Int16Type>::new("smallint"), data_type)),
        D::Int32 => Box::new(Primitives::new(Integer::<Int32Type>::new("integer"), data_type)),
        D::Int64 => Box::new(Primitives::new(Integer::<Int64Type>::new("bigint"), data_type)),
        D::UInt8 => Box::new(Primitives::new(Integer::<UInt8Type>::new("smallint"), data_type)),
        D::UInt16 => Box::new(Primitives::new(Integer::<UInt16Type>::new("integer"), data_type)),
        D::UInt32 => Box::new(Primitives::new(Integer::<UInt32Type>::new("oid"), data_type)),
        D::UInt64 => Box::new(Primitives::new(Integer::<UInt64Type>::new("numeric"), data_type)),
        D::Float32 => Box::new(Primitives::new(Float::<Float32Type>::new("real"), data_type)),
        D::Float64 => {
            Box::new(Primitives::new(Float::<Float64Type>::new("double precision"), data_type))
        }
        D::Decimal128(precision, scale) => {
            Box::new(Primitives::new(Decimal::new(*precision, *scale), data_type))
        }
        D::Date32 => Box::new(Primitives::new(Dates, data_type)),
        D::Time64(TimeUnit::Microsecond) => {
            Box::new(Primitives::new(Times(Precision::of(field)), data_type))
        }
        D::Timestamp(TimeUnit::Microsecond, None) => {
            let unit = Precision::of(field);
            Box::new(Primitives::new(Timestamps::without_zone(unit), data_type))
        }
        D::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let unit = Precision::of(field);
            Box::new(Primitives::new(Timestamps::in_zone(*zone, unit), data_type))
        }
        D::Timestamp(_, named) => {
            let micros = D::Timestamp(TimeUnit::Microsecond, named.clone());
            converted(field, micros, zone)?
        }
        D::Interval(IntervalUnit::MonthDayNano) => Box::new(Primitives::new(Intervals, data_type)),
        D::Utf8 => Box::new(Strings::new(text_rule(field)?)),
        D::LargeUtf8 | D::Utf8View => converted(field, D::Utf8, zone)?,
        D::Binary => Box::new(Strings::new(Rule::Bytea)),
        D::LargeBinary | D::BinaryView => converted(field, D::Binary, zone)?,
        D::List(element) => {
            let elements = column(&element_field(field, element), zone)?;
            Box::new(Lists::new(element, elements))
        }
        D::Struct(fields) => Box::new(Records::new(fields, zone)?),
        other => return Err(Error::UnsupportedType(other.clone())),
    })
}

fn text_rule(field: &Field) -> Result<Rule> {
    match field.metadata().get(TYPE_KEY) {
        None => Ok(Rule::Text),
        Some(name) => Rule::named(name).ok_or_else(|| Error::UnknownType(name.clone())),
    }
}

/// A column that is read as one type and handed over as another.
struct Converted {
    column: Box<dyn Column>,
    data_type: DataType,
}

fn converted(field: &Field, read_as: DataType, zone: &Zone) -> Result<Box<dyn Column>> {
    let read = field.clone().with_data_type(read_as);
    Ok(Box::new(Converted { column: column(&read, zone)?, data_type: field.data_type().clone() }))
}

impl Column for Converted {
    fn extend(&mut self, texts: &[Option<&str>]) -> std::result::Result<(), Refused> {
        self.column.extend(texts)
    }

    fn len(&self) -> usize {
        self.column.len()
    }

    fn truncate(&mut self, length: usize) {
        self.column.truncate(length);
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(cast(&self.column.finish()?, &self.data_type)?)
    }
}
