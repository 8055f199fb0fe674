//! What can go wrong on the way from outside bytes to rows and back.
//!
//! Never: the name of the table; whoever knows the statement adds it.

use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

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
    /// A NULL where the column refuses it.
    #[error(
        "null value in column \"{column}\" of relation \"{table}\" violates not-null constraint"
    )]
    NotNull {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A row for which a CHECK is false.
    #[error("new row for relation \"{table}\" violates check constraint \"{constraint}\"")]
    Check {
        /// The table.
        table: String,
        /// The constraint.
        constraint: String,
    },
    /// A mistake of ours: rows with another number of columns than the table.
    #[error("rows for table \"{table}\" have {found} columns instead of {expected}")]
    Shape {
        /// The table.
        table: String,
        /// Columns of the table.
        expected: usize,
        /// Columns of the rows.
        found: usize,
    },
    /// More rows were left out than the statement allows.
    #[error("skipped more than REJECT_LIMIT ({max}) rows due to data type incompatibility")]
    TooManySkipped {
        /// As many are allowed.
        max: u64,
    },
    /// No file has the name or matches the pattern.
    #[error("no file matches \"{pattern}\"")]
    FileMissing {
        /// The name or pattern.
        pattern: String,
    },
    /// The store did not give a file.
    #[error("could not read file \"{file}\"")]
    FileUnreachable {
        /// The file.
        file: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// The store did not take a file.
    #[error("could not write file \"{file}\"")]
    FileUnwritable {
        /// The file.
        file: String,
        /// What the store or the format said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file is not the one that was listed.
    #[error("file \"{file}\" changed while it was read")]
    FileChanged {
        /// The file.
        file: String,
    },
    /// The file's bytes are not what its format or compression asks for.
    #[error("file \"{file}\" is malformed")]
    FileMalformed {
        /// The file.
        file: String,
        /// What the format's reader said.
        reason: String,
    },
    /// A column of the file that the table does not have.
    #[error("column \"{column}\" of file \"{file}\" matches no column")]
    FileColumnUnknown {
        /// The file.
        file: String,
        /// The column.
        column: String,
    },
    /// Two columns of the table, which differ in case only, match one of the file.
    #[error("column \"{column}\" of file \"{file}\" matches more than one column")]
    FileColumnAmbiguous {
        /// The file.
        file: String,
        /// The column.
        column: String,
    },
    /// A column that does not allow NULL is not in the file.
    #[error("file \"{file}\" has no column \"{column}\", which must not be null")]
    FileColumnMissing {
        /// The file.
        file: String,
        /// The column.
        column: String,
    },
    /// An error of a row or value, and the file that it is in.
    #[error("{source}")]
    InFile {
        /// The file.
        file: String,
        /// The error.
        source: Box<Self>,
    },
    /// The rows could not be produced.
    #[error("could not read the rows")]
    Rows(#[from] DataFusionError),
    /// The table could not be written; shared by all statements of a group.
    #[error(transparent)]
    Catalog(Arc<catalog::Error>),
    /// The server stops; whether the commit landed is in the table's log.
    #[error("could not learn whether the rows were committed: the server is stopping")]
    WriterStopped,
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
            Self::NotNull { .. } => "23502",
            Self::Check { .. } => "23514",
            // What lies below has SQLSTATEs of its own.
            Self::Arrow(_) | Self::Rows(_) | Self::Catalog(_) | Self::Shape { .. } => "XX000",
            Self::TooManySkipped { .. } => "22P02",
            Self::WriterStopped => "57P01",
            Self::FileMissing { .. } => "58P01",
            Self::FileUnreachable { source, .. } if is_refusal(source) => "42501",
            Self::FileUnreachable { .. } | Self::FileUnwritable { .. } => "58030",
            Self::FileChanged { .. } => "55000",
            Self::FileMalformed { .. } => "22P04",
            Self::FileColumnUnknown { .. } => "42703",
            Self::FileColumnAmbiguous { .. } => "42702",
            Self::FileColumnMissing { .. } => "23502",
            Self::InFile { source, .. } => source.sqlstate(),
            Self::Interrupted => "57014",
        }
    }

    /// A sentence that says more.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Value(error) => error.detail().map(str::to_owned),
            Self::Row(error) => error.reason().detail().map(str::to_owned),
            Self::FileMalformed { reason, .. } => Some(reason.clone()),
            Self::FileUnreachable { source, .. } => Some(source.to_string()),
            Self::FileUnwritable { source, .. } => Some(source.to_string()),
            Self::InFile { file, source } => {
                let detail = source.detail().map(|detail| detail + " ").unwrap_or_default();
                Some(format!("{detail}The file is \"{file}\"."))
            }
            _ => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Value(error) => error.hint().map(str::to_owned),
            Self::Row(error) => error.reason().hint().map(str::to_owned),
            Self::InFile { source, .. } => source.hint(),
            _ => None,
        }
    }
}

fn is_refusal(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    matches!(error, E::PermissionDenied { .. } | E::Unauthenticated { .. })
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}
