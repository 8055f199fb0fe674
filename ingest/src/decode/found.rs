//! What columns an input has: the names of its fields, and the least types that hold their values.
//!
//! A table whose columns follow its input asks before it reads: the rows are read when the columns
//! are known. Lines that are no objects say nothing here; reading them is what tells them wrong.
//!
//! Never: a type that a value of the input does not fit.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field};

use super::chunk::Chunk;
use super::clean::Clean;
use crate::error::{Error, Result};
use crate::text::json::{Kind, Scanner, Value, unescape};
use crate::text::{TYPE_KEY, ValueError};

/// PostgreSQL's limit for a table; no input is taken to have more.
const COLUMNS_MAX: usize = 1_600;

/// The digits that Delta's decimals have at most.
const DIGITS_MAX: u8 = 38;

/// The greatest whole number up to which a double holds all of them.
const EXACT_MAX: i64 = 1 << 53;

/// A column that an input has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundColumn {
    /// What it is as a new column of a table.
    pub field: Field,
    /// The least type that holds all of its values: a small number is a `smallint` here, and a
    /// `bigint` in `field`.
    pub least: DataType,
    /// The digits before the point of its longest number, where its numbers are written out.
    pub whole_digits: Option<u8>,
}

impl FoundColumn {
    /// A column whose type the input declares.
    pub fn declared(field: Field) -> Self {
        Self { least: field.data_type().clone(), field, whole_digits: None }
    }
}

/// The fields of JSON lines, in the order in which they first came.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    values: Vec<(String, Values)>,
    by_name: HashMap<String, usize>,
}

/// What the values of one field were.
#[derive(Debug, Clone, Copy, Default)]
struct Values {
    booleans: bool,
    strings: bool,
    nested: bool,
    numbers: Option<Numbers>,
}

/// What numbers there were.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    least: i64,
    greatest: i64,
    /// Some are beyond 64 bits.
    long: bool,
    /// The digits behind the point of the longest.
    fraction_digits: u32,
    /// Some are written with an exponent, so that their digits say nothing.
    exponents: bool,
    digits: u32,
}

impl Fields {
    /// The fields of the lines in a chunk.
    pub(crate) fn of(chunk: &Chunk) -> Result<Self> {
        let clean = Clean::new(chunk.bytes(), b"\n\"\\{}[]:,");
        let mut fields = Self::default();
        let mut line_values = Vec::new();
        for line in clean.text.split('\n') {
            line_values.clear();
            let mut scanner = Scanner::new(line);
            let read = scanner.members(|scanner, key| {
                let value = scanner.value()?;
                line_values.push((key, value));
                Ok(())
            });
            if read.and_then(|()| scanner.end()).is_ok() {
                for (key, value) in &line_values {
                    fields.see(&scanner, *key, *value)?;
                }
            }
        }
        Ok(fields)
    }

    fn see(&mut self, scanner: &Scanner<'_>, key: Value, value: Value) -> Result<()> {
        let mut unescaped = String::new();
        let name = match key.kind {
            Kind::String { escaped: true } => {
                if unescape(scanner.text(key), &mut unescaped).is_err() {
                    return Ok(());
                }
                unescaped.as_str()
            }
            _ => scanner.text(key),
        };
        let at = self.place(name)?;
        self.values[at].1.see(value.kind, scanner.text(value));
        Ok(())
    }

    fn place(&mut self, name: &str) -> Result<usize> {
        if let Some(at) = self.by_name.get(name) {
            return Ok(*at);
        }
        let at = self.values.len();
        if at == COLUMNS_MAX {
            let message = format!("the input has more than {COLUMNS_MAX} different fields");
            return Err(Error::Value(ValueError::row_shape(message)));
        }
        self.values.push((name.to_owned(), Values::default()));
        self.by_name.insert(name.to_owned(), at);
        Ok(at)
    }

    /// With those of lines that came later.
    pub(crate) fn merge(&mut self, later: &Self) -> Result<()> {
        for (name, values) in &later.values {
            let at = self.place(name)?;
            self.values[at].1.merge(values);
        }
        Ok(())
    }

    /// The columns; a field that was always null is none.
    pub(crate) fn columns(&self) -> Vec<FoundColumn> {
        self.values.iter().filter_map(|(name, values)| values.column(name)).collect()
    }
}

impl Values {
    fn see(&mut self, kind: Kind, text: &str) {
        match kind {
            Kind::Null => {}
            Kind::Boolean => self.booleans = true,
            Kind::String { .. } => self.strings = true,
            Kind::Array | Kind::Object => self.nested = true,
            Kind::Number => {
                let seen = Numbers::of(text);
                self.numbers = Some(self.numbers.map_or(seen, |numbers| numbers.merge(seen)));
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.booleans |= other.booleans;
        self.strings |= other.strings;
        self.nested |= other.nested;
        self.numbers = match (self.numbers, other.numbers) {
            (Some(numbers), Some(others)) => Some(numbers.merge(others)),
            (numbers, others) => numbers.or(others),
        };
    }

    /// The column that holds them. Values of several kinds stay what they are as JSON.
    fn column(&self, name: &str) -> Option<FoundColumn> {
        let kinds = [self.booleans, self.strings, self.nested, self.numbers.is_some()];
        let alone = match kinds.iter().filter(|kind| **kind).count() {
            0 => return None,
            count => count == 1,
        };
        let new = |data_type| Field::new(name, data_type, true);
        Some(match self.numbers {
            Some(numbers) if alone => FoundColumn {
                field: new(numbers.stored()),
                least: numbers.least_type(),
                whole_digits: numbers.whole_digits(),
            },
            _ if alone && self.booleans => FoundColumn::declared(new(DataType::Boolean)),
            _ if alone && self.strings => FoundColumn::declared(new(DataType::Utf8)),
            _ => {
                let metadata = [(TYPE_KEY.to_owned(), "jsonb".to_owned())].into();
                FoundColumn::declared(new(DataType::Utf8).with_metadata(metadata))
            }
        })
    }
}

impl Numbers {
    fn of(text: &str) -> Self {
        let exponents = text.contains(['e', 'E']);
        let whole = text.split(['.', 'e', 'E']).next().unwrap_or_default();
        let number: Option<i64> = whole.parse().ok();
        Self {
            least: number.unwrap_or(0),
            greatest: number.unwrap_or(0),
            long: number.is_none(),
            fraction_digits: text.split_once('.').map_or(0, |(_, rest)| rest.len() as u32),
            exponents,
            digits: whole.trim_start_matches('-').len() as u32,
        }
    }

    fn merge(self, other: Self) -> Self {
        Self {
            least: self.least.min(other.least),
            greatest: self.greatest.max(other.greatest),
            long: self.long || other.long,
            fraction_digits: self.fraction_digits.max(other.fraction_digits),
            exponents: self.exponents || other.exponents,
            digits: self.digits.max(other.digits),
        }
    }

    fn whole_digits(self) -> Option<u8> {
        let digits = u8::try_from(self.digits).ok()?;
        (!self.exponents).then_some(digits)
    }

    /// The type of a new column.
    fn stored(self) -> DataType {
        match self.least_type() {
            DataType::Int16 | DataType::Int32 => DataType::Int64,
            // Room for what comes later.
            DataType::Decimal128(_, scale) => DataType::Decimal128(DIGITS_MAX, scale),
            other => other,
        }
    }

    /// A decimal that holds them as they are written, if there is one.
    fn decimal(self) -> Option<DataType> {
        let precision = u8::try_from(self.digits + self.fraction_digits).ok()?;
        let scale = i8::try_from(self.fraction_digits).ok()?;
        (!self.exponents && precision <= DIGITS_MAX)
            .then_some(DataType::Decimal128(precision, scale))
    }

    fn least_type(self) -> DataType {
        if self.fraction_digits > 0 || self.exponents {
            // Beyond these, a double does not tell neighbouring whole numbers apart.
            let exact = !self.long && self.least >= -EXACT_MAX && self.greatest <= EXACT_MAX;
            let decimal = if exact { None } else { self.decimal() };
            return decimal.unwrap_or(DataType::Float64);
        }
        if self.long {
            return self.decimal().unwrap_or(DataType::Float64);
        }
        let within = |least: i64, greatest: i64| self.least >= least && self.greatest <= greatest;
        if within(i64::from(i16::MIN), i64::from(i16::MAX)) {
            DataType::Int16
        } else if within(i64::from(i32::MIN), i64::from(i32::MAX)) {
            DataType::Int32
        } else {
            DataType::Int64
        }
    }
}
