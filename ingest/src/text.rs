//! Postgres' text forms of values: one implementation for COPY, the wire's text format and text
//! parameters.
//!
//! ```text
//!            Parser (one a column)                Formatter (one a column of a batch)
//! "1,5" ... ----------------------> Arrow array ------------------------------------> bytes
//! ```
//!
//! Both are built once for a column and then called for each row, so that the type is looked at
//! once. Both follow PostgreSQL 15 with `DateStyle = 'ISO, mdy'`, `IntervalStyle = 'postgres'`,
//! `bytea_output = 'hex'` and `extra_float_digits = 1`; only the time zone varies.
//!
//! Never: a look at the clock (`now`, `today` are refused), a locale, or a value that is cut or
//! replaced without an error.

mod calendar;
mod error;
mod format;
mod parse;
#[cfg(test)]
mod tests;
mod zone;

use arrow::datatypes::Field;

pub use error::ValueError;
pub use format::Formatter;
pub use parse::{Parser, Refused};
pub use zone::Zone;

pub(crate) use format::quote_in_place;
pub(crate) use parse::json;

pub(crate) use catalog::TYPE_KEY;

/// The element of a list column. Tables keep the Postgres type of the elements with the column, as
/// `varchar(3)[]`.
pub(crate) fn element_field(list: &Field, element: &Field) -> Field {
    match list.metadata().get(TYPE_KEY) {
        Some(text) => {
            let text = text.strip_suffix("[]").unwrap_or(text).to_owned();
            element.clone().with_metadata([(TYPE_KEY.to_owned(), text)].into())
        }
        None => element.clone(),
    }
}
