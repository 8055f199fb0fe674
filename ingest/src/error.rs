//! What can go wrong on the way from outside bytes to rows and back.
//!
//! Never: the name of the table; whoever knows the statement adds it.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::decode::RowError;
use crate::text::ValueError;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why bytes did not become rows, or rows bytes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value outside of any row, for example a parameter.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A row of the input that cannot be read.
    #[error(transparent)]
    Row(#[from] Box<RowError>),
    /// An option, or two that do not go together.
    #[error("{message}")]
    Option {
        /// 22023 or 0A000.
        sqlstate: &'static str,
        /// What is wrong, in PostgreSQL's words where it has some.
        message: String,
    },
    /// The columns' type has no text form here.
    #[error("type {0} has no text form")]
    UnsupportedType(DataType),
    /// Field metadata names a type that this version does not know.
    #[error("type \"{0}\" is not known")]
    UnknownType(String),
    /// The work on the rows ended before its time: the server is stopping, or a mistake of ours.
    #[error("could not finish reading the rows")]
    Interrupted,
    /// A mistake of ours: arrays that do not fit together.
    #[error("could not build the rows")]
    Arrow(#[from] ArrowError),
}

impl Error {
    /// The SQLSTATE.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::Value(error) => error.sqlstate(),
            Self::Row(error) => error.reason().sqlstate(),
            Self::Option { sqlstate, .. } => sqlstate,
            Self::UnsupportedType(_) | Self::UnknownType(_) => "0A000",
            Self::Interrupted => "57014",
            Self::Arrow(_) => "XX000",
        }
    }

    /// A sentence that says more.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Value(error) => error.detail().map(str::to_owned),
            Self::Row(error) => error.reason().detail().map(str::to_owned),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Value(error) => error.hint().map(str::to_owned),
            Self::Row(error) => error.reason().hint().map(str::to_owned),
            _ => None,
        }
    }
}
