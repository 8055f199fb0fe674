//! How far a table's columns follow its input by themselves, and which changes of them are refused.
//!
//! Both are properties of the table, so they hold for every server. What `schema_evolution` allows is
//! done in the commit that brings the rows; what `compatibility` refuses is refused whoever asks.
//! Never: a column changed by an `INSERT`, whose names a person types.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use catalog::{COMMENT_KEY, DEFAULT_KEY, TYPE_KEY, TableSnapshot};
use ingest::decode::{FoundColumn, RESCUED};

use crate::dml;
use crate::error::{Error, Result, nearest, state};
use crate::types;

/// The table property of [`Mode`].
const MODE_KEY: &str = "tarn.schemaEvolution";
/// The table property of [`Compatibility`].
const COMPATIBILITY_KEY: &str = "tarn.compatibility";

/// The options of a table by which it is set.
pub(crate) const OPTIONS: [&str; 2] = ["schema_evolution", "compatibility"];

/// What becomes of input that the columns do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mode {
    /// It is refused.
    #[default]
    Strict,
    /// Columns that the table lacks are added.
    AddColumns,
    /// That, and types become wider.
    Widen,
    /// The columns stay, and what they do not take is kept in the column [`RESCUED`].
    Rescue,
}

/// Which readers go on when columns change, in the words of schema registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Compatibility {
    /// None has to.
    #[default]
    None,
    /// Who reads by the new columns can read the rows from before.
    Backward,
    /// Who reads by the old columns can read the rows from now on.
    Forward,
    /// Both.
    Full,
}

impl Mode {
    const NAMED: [(&str, Self); 4] = [
        ("strict", Self::Strict),
        ("add_columns", Self::AddColumns),
        ("widen", Self::Widen),
        ("rescue", Self::Rescue),
    ];

    /// Whether the columns of the table follow those of the input.
    pub(crate) const fn follows(self) -> bool {
        matches!(self, Self::AddColumns | Self::Widen)
    }

    /// The mode of a table with these properties.
    pub(crate) fn of(configuration: &BTreeMap<String, String>) -> Self {
        named(&Self::NAMED, configuration.get(MODE_KEY)).unwrap_or_default()
    }
}

impl Compatibility {
    const NAMED: [(&str, Self); 4] = [
        ("none", Self::None),
        ("backward", Self::Backward),
        ("forward", Self::Forward),
        ("full", Self::Full),
    ];

    /// The compatibility that a table with these properties keeps.
    pub(crate) fn of(configuration: &BTreeMap<String, String>) -> Self {
        named(&Self::NAMED, configuration.get(COMPATIBILITY_KEY)).unwrap_or_default()
    }

    /// Refuses columns by which some reader of the others would not go on.
    pub(crate) fn check(self, table: &str, before: &Schema, after: &Schema) -> Result<()> {
        let broken = match self {
            Self::None => None,
            Self::Backward => unreadable_before(before, after),
            Self::Forward => unreadable_after(before, after),
            Self::Full => {
                unreadable_before(before, after).or_else(|| unreadable_after(before, after))
            }
        };
        let Some(reason) = broken else { return Ok(()) };
        Err(Error::new(
            state::OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("columns of table \"{table}\" must stay {self} compatible"),
        )
        .with_detail(reason)
        .with_hint(format!(
            "ALTER TABLE {table} SET (compatibility = 'none') allows every change."
        )))
    }
}

impl fmt::Display for Compatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&Self::NAMED, *self))
    }
}

fn named<T: Copy>(names: &[(&str, T)], value: Option<&String>) -> Option<T> {
    let value = value?;
    names.iter().find(|(name, _)| *name == value).map(|(_, named)| *named)
}

fn name_of<T: PartialEq + Copy>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, named)| *named == value).map_or("", |(name, _)| name)
}

/// Puts an option of `WITH (...)` or `SET (...)` into a table's properties. False: it is none of ours.
pub(crate) fn set(
    configuration: &mut BTreeMap<String, String>,
    option: &str,
    value: &str,
) -> Result<bool> {
    let value = value.to_lowercase();
    let (key, names, default) = match option {
        "schema_evolution" => (MODE_KEY, Mode::NAMED.map(|(name, _)| name).to_vec(), "strict"),
        "compatibility" => {
            (COMPATIBILITY_KEY, Compatibility::NAMED.map(|(name, _)| name).to_vec(), "none")
        }
        _ => return Ok(false),
    };
    if !names.contains(&value.as_str()) {
        let message = format!("invalid value for option \"{option}\": \"{value}\"");
        let hint = match nearest(&value, names.iter().copied()) {
            Some(near) => format!("Perhaps you meant \"{near}\"."),
            None => format!("It is one of {}.", names.join(", ")),
        };
        return Err(Error::new(state::INVALID_PARAMETER_VALUE, message).with_hint(hint));
    }
    if value == default {
        configuration.remove(key);
    } else {
        configuration.insert(key.to_owned(), value);
    }
    Ok(true)
}

/// The options that a table was given, as `pg_class.reloptions` shows them.
pub(crate) fn shown(configuration: &BTreeMap<String, String>) -> Vec<String> {
    let keys = [("schema_evolution", MODE_KEY), ("compatibility", COMPATIBILITY_KEY)];
    let given = keys.iter().filter_map(|(option, key)| Some((option, configuration.get(*key)?)));
    given.map(|(option, value)| format!("{option}={value}")).collect()
}

/// The column of what no other takes.
pub(crate) fn rescued_column() -> Field {
    let metadata = [(TYPE_KEY, "jsonb"), (COMMENT_KEY, "What the other columns do not take")];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Field::new(RESCUED, DataType::Utf8, true).with_metadata(metadata.into())
}

/// The columns that a loader brings: those that clients supply, but for what it rescues itself.
pub(crate) fn loaded_schema(table: &TableSnapshot) -> SchemaRef {
    let schema = dml::user_schema(&table.schema);
    if Mode::of(&table.configuration) != Mode::Rescue {
        return schema;
    }
    let fields = schema.fields().iter().filter(|field| field.name() != RESCUED).map(Arc::clone);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// What of the rows from before cannot be read by the new columns.
fn unreadable_before(before: &Schema, after: &Schema) -> Option<String> {
    after.fields().iter().find_map(|field| {
        let name = field.name();
        let Ok(old) = before.field_with_name(name) else {
            let absent = field.is_nullable() || field.metadata().contains_key(DEFAULT_KEY);
            return (!absent).then(|| {
                format!("Rows from before have no column \"{name}\", which is NOT NULL without a default.")
            });
        };
        if old.is_nullable() && !field.is_nullable() {
            return Some(format!("Rows from before may have NULL in column \"{name}\"."));
        }
        (!is_read_as(old, field)).then(|| {
            format!(
                "Values of column \"{name}\" from before have type {}, which is not read as {}.",
                types::type_name(old),
                types::type_name(field)
            )
        })
    })
}

/// What of the rows from now on cannot be read by the old columns.
fn unreadable_after(before: &Schema, after: &Schema) -> Option<String> {
    before.fields().iter().find_map(|old| {
        let name = old.name();
        let Ok(field) = after.field_with_name(name) else {
            return Some(format!(
                "Rows from now on have no column \"{name}\", which readers name."
            ));
        };
        if field.is_nullable() && !old.is_nullable() {
            return Some(format!("Rows from now on may have NULL in column \"{name}\"."));
        }
        (!is_read_as(field, old)).then(|| {
            format!(
                "Values of column \"{name}\" from now on have type {}, which is not read as {}.",
                types::type_name(field),
                types::type_name(old)
            )
        })
    })
}

/// Whether every value of one column is one of the other.
fn is_read_as(from: &Field, to: &Field) -> bool {
    let kind = |field: &Field| field.metadata().get(TYPE_KEY).cloned();
    if from.data_type() == to.data_type() && kind(from) == kind(to) {
        return true;
    }
    let plain_text = *to.data_type() == DataType::Utf8 && kind(to).is_none();
    if *from.data_type() == DataType::Utf8 && plain_text {
        return true;
    }
    kind(from).is_none()
        && kind(to).is_none()
        && wider(from.data_type(), to.data_type(), None).as_ref() == Some(to.data_type())
}

/// The column with a type that holds what was found as well. None: it holds that already, or no type
/// holds both, and the values are read as ever.
pub(crate) fn widened(known: &Field, found: &FoundColumn) -> Option<Field> {
    if known.metadata().contains_key(TYPE_KEY) || found.field.metadata().contains_key(TYPE_KEY) {
        return None;
    }
    let data_type = wider(known.data_type(), &found.least, found.whole_digits)?;
    Some(known.clone().with_data_type(data_type))
}

/// The least type that holds all values of both, where it is not the first.
fn wider(known: &DataType, found: &DataType, whole_digits: Option<u8>) -> Option<DataType> {
    use DataType as T;
    let wide = match (known, found) {
        (T::Int16, T::Int32) | (T::Int16 | T::Int32, T::UInt16 | T::Int32) => T::Int32,
        (T::Int16 | T::Int32, T::Int64 | T::UInt32) => T::Int64,
        // Every whole number of 32 bits is a double, and of 16 bits a real.
        (T::Int16, T::Float32) => T::Float32,
        (T::Int16 | T::Int32 | T::Float32, T::Float64) | (T::Int32, T::Float32) => T::Float64,
        (T::Int16 | T::Int32 | T::Int64, T::Decimal128(precision, scale)) => {
            let whole = digits(known).max(i16::from(*precision) - i16::from(*scale));
            decimal(whole, i16::from(*scale))?
        }
        (T::Decimal128(precision, scale), found) => {
            let (precision, scale) = (i16::from(*precision), i16::from(*scale));
            let (whole, fraction) = match (found, whole_digits) {
                (_, Some(whole)) => (i16::from(whole), 0),
                (T::Decimal128(precision, scale), None) => {
                    (i16::from(*precision) - i16::from(*scale), i16::from(*scale))
                }
                (T::Int8 | T::Int16 | T::Int32 | T::Int64, None) => (digits(found), 0),
                _ => return None,
            };
            decimal(whole.max(precision - scale), fraction.max(scale))?
        }
        (T::Date32, T::Timestamp(_, None)) => T::Timestamp(TimeUnit::Microsecond, None),
        _ => return None,
    };
    (wide != *known).then_some(wide)
}

/// The digits of the longest whole number of a type.
const fn digits(whole: &DataType) -> i16 {
    match whole {
        DataType::Int8 => 3,
        DataType::Int16 => 5,
        DataType::Int32 => 10,
        _ => 19,
    }
}

/// A decimal of so many digits before and after the point, where there is one.
fn decimal(whole: i16, fraction: i16) -> Option<DataType> {
    let precision = u8::try_from(whole + fraction).ok().filter(|precision| *precision <= 38)?;
    Some(DataType::Decimal128(precision, i8::try_from(fraction).ok()?))
}

#[cfg(test)]
mod tests;
