//! What can go wrong in this crate, one variant per cause that a caller can act on.
//!
//! Never: logs, or carries a whole cause chain in its text. The texts are written for the author
//! of the statement; `sql` maps each variant to a SQLSTATE.

use datafusion::error::DataFusionError;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that this crate refuses or fails at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An ASOF JOIN has a form that cannot be run. The statement's author acts (0A000).
    #[error("cannot use {part} in ASOF JOIN: {reason}")]
    AsOfForm {
        /// The clause or expression, as the statement has it.
        part: String,
        /// Why not.
        reason: &'static str,
        /// What to write instead.
        hint: &'static str,
    },
    /// The two sides of a comparison in an ASOF JOIN have types that do not compare (42804).
    #[error("cannot compare {left} ({left_type}) with {right} ({right_type}) in ASOF JOIN")]
    AsOfTypes {
        /// The expression over the left side.
        left: String,
        /// Its type, in SQL words.
        left_type: String,
        /// The expression over the right side.
        right: String,
        /// Its type, in SQL words.
        right_type: String,
        /// What to write instead.
        hint: &'static str,
    },
    /// A column named in USING is missing on one side, or stands there more than once (42703, 42702).
    #[error(
        "cannot join by column \"{column}\" in USING: the {side} side has {count} columns of that name"
    )]
    AsOfUsing {
        /// The column.
        column: String,
        /// `left` or `right`.
        side: &'static str,
        /// How many columns of that name the side has.
        count: usize,
    },
    /// The longest age that an ASOF JOIN allows does not fit the type of its times (22023).
    #[error("cannot use {limit} as the longest age in ASOF JOIN: {reason}")]
    AsOfTolerance {
        /// The value.
        limit: String,
        /// Why not.
        reason: &'static str,
    },
    /// WITH names an option that does not exist (22023).
    #[error("unknown option \"{option}\" of a materialized view")]
    UnknownOption {
        /// The option, as written.
        option: String,
        /// The known option whose name is nearest.
        nearest: &'static str,
    },
    /// An option has a value that it cannot have (22023).
    #[error("cannot set option \"{option}\" to \"{value}\": {reason}")]
    OptionValue {
        /// The option.
        option: &'static str,
        /// The value, as written.
        value: String,
        /// Why not.
        reason: String,
    },
    /// An option has a value that is planned, but that this version cannot honour (0A000).
    #[error("cannot set option \"{option}\" to \"{value}\" yet: {reason}")]
    OptionNotSupported {
        /// The option.
        option: &'static str,
        /// The value, as written.
        value: String,
        /// Why not.
        reason: &'static str,
        /// What to write instead.
        hint: &'static str,
    },
}

impl Error {
    /// What the statement's author can write instead, as a sentence.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::AsOfForm { hint, .. } | Self::AsOfTypes { hint, .. } if hint.is_empty() => None,
            Self::AsOfForm { hint, .. }
            | Self::AsOfTypes { hint, .. }
            | Self::OptionNotSupported { hint, .. } => Some((*hint).to_owned()),
            Self::AsOfUsing { .. } => {
                Some("Write ON with the columns of both sides in full.".to_owned())
            }
            Self::UnknownOption { nearest, .. } => Some(format!("Did you mean \"{nearest}\"?")),
            Self::AsOfTolerance { .. } | Self::OptionValue { .. } => None,
        }
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}
