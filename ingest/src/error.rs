//! What can go wrong on the way from outside bytes to rows and back.
//!
//! Never: the name of the table; whoever knows the statement adds it.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::text::ValueError;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why bytes did not become rows, or rows bytes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value outside of any row, for example a parameter.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The columns' type has no text form here.
    #[error("type {0} has no text form")]
    UnsupportedType(DataType),
    /// Field metadata names a type that this version does not know.
    #[error("type \"{0}\" is not known")]
    UnknownType(String),
    /// A mistake of ours: arrays that do not fit together.
    #[error("could not build the rows")]
    Arrow(#[from] ArrowError),
}
