//! Why a declared type cannot be a column's type.

use thiserror::Error;

/// A type in a statement that cannot be used as asked. Always the statement's author's to change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TypeError {
    /// No such type.
    #[error("type \"{name}\" does not exist")]
    Unknown {
        /// The name as written.
        name: String,
        /// The type that the author probably meant.
        instead: Option<&'static str>,
    },
    /// A Postgres type that is not kept here.
    #[error("type \"{name}\" is not supported for a column")]
    Unsupported {
        /// The name as written.
        name: String,
        /// What to use instead.
        instead: &'static str,
    },
    /// A precision, scale or length beyond what can be stored.
    #[error("{what} of type \"{name}\" must be between {min} and {max}")]
    OutOfRange {
        /// `length`, `precision` or `scale`.
        what: &'static str,
        /// The type's name.
        name: &'static str,
        /// Smallest value allowed.
        min: i64,
        /// Largest value allowed.
        max: i64,
    },
    /// A modifier on a type that takes none, as in `integer(11)`.
    #[error("type modifier is not allowed for type \"{name}\"")]
    Modifier {
        /// The type's name.
        name: &'static str,
    },
}

impl TypeError {
    /// The SQLSTATE of the error.
    #[must_use]
    pub const fn sqlstate(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "42704",
            Self::Unsupported { .. } => "0A000",
            Self::OutOfRange { .. } => "22023",
            Self::Modifier { .. } => "42601",
        }
    }

    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { instead: Some(instead), .. } | Self::Unsupported { instead, .. } => {
                Some(format!("Use {instead}."))
            }
            Self::Modifier { name } => Some(format!("Use {name} without parentheses.")),
            Self::Unknown { instead: None, .. } | Self::OutOfRange { .. } => None,
        }
    }
}
