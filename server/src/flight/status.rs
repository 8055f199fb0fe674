//! Errors as gRPC says them: a code that programs act on, the message, and the SQLSTATE in both the
//! text and the metadata.
//!
//! Never: an error without its SQLSTATE.

use arrow_flight::error::FlightError;
use datafusion::error::DataFusionError;
use sql::state;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::error::Report;

/// The metadata keys of the SQLSTATE; the short one is what other servers' clients look for.
const SQLSTATE_KEYS: [&str; 2] = ["x-sqlstate", "sqlstate"];

impl From<Report> for Status {
    fn from(report: Report) -> Self {
        let mut text = format!("{} (SQLSTATE {})", report.message, report.sqlstate);
        for (title, sentences) in [("DETAIL", &report.detail), ("HINT", &report.hint)] {
            if let Some(sentences) = sentences {
                text.push_str(&format!("\n{title}: {sentences}"));
            }
        }
        let mut metadata = MetadataMap::new();
        for key in SQLSTATE_KEYS {
            metadata.insert(key, MetadataValue::from_static(report.sqlstate));
        }
        Self::with_metadata(code(report.sqlstate), text, metadata)
    }
}

/// The status of a statement that could not be carried out.
pub(super) fn failed(error: sql::Error) -> Status {
    Report::from(error).into()
}

/// The status of an error in the middle of a stream of rows.
pub(super) fn broken(error: DataFusionError) -> Status {
    failed(sql::Error::from(error))
}

/// The status of a message that the client should not have sent.
pub(super) fn refused(sqlstate: &'static str, message: impl Into<String>) -> Status {
    Report::new(sqlstate, message).into()
}

/// The status of what the server does not offer.
pub(super) fn unsupported(message: impl Into<String>) -> Status {
    refused(state::FEATURE_NOT_SUPPORTED, message)
}

/// The statement was stopped because somebody asked for it.
pub(super) fn cancelled() -> Status {
    refused(state::QUERY_CANCELED, "canceling statement due to user request")
}

/// The server goes down.
pub(super) fn stopping() -> Status {
    refused("57P01", "terminating connection due to administrator command")
}

/// Batches that do not read as Arrow, or a client that went away while it sent them.
pub(super) fn unreadable(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        FlightError::Arrow(error) => failed(sql::Error::from(error)),
        other => refused("08P01", format!("cannot read the batches that came: {other}")),
    }
}

fn code(sqlstate: &str) -> Code {
    match sqlstate {
        state::FEATURE_NOT_SUPPORTED => Code::Unimplemented,
        state::QUERY_CANCELED => Code::Cancelled,
        state::FAILED_TRANSACTION => Code::Aborted,
        state::INSUFFICIENT_PRIVILEGE => Code::PermissionDenied,
        state::DATA_CORRUPTED => Code::DataLoss,
        state::IO_ERROR | "57P01" => Code::Unavailable,
        state::UNDEFINED_TABLE
        | state::UNDEFINED_OBJECT
        | state::UNDEFINED_FILE
        | state::INVALID_SCHEMA_NAME
        | state::INVALID_STATEMENT_NAME => Code::NotFound,
        state::DUPLICATE_TABLE
        | state::DUPLICATE_SCHEMA
        | state::DUPLICATE_OBJECT
        | state::DUPLICATE_STATEMENT
        | state::DUPLICATE_CURSOR => Code::AlreadyExists,
        other => match other.get(..2) {
            Some("40") => Code::Aborted,
            Some("53" | "54") => Code::ResourceExhausted,
            Some("28") => Code::Unauthenticated,
            Some("25" | "2B" | "55") => Code::FailedPrecondition,
            Some("XX") => Code::Internal,
            _ => Code::InvalidArgument,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_what_a_program_can_do() {
        let cases = [
            (state::SYNTAX_ERROR, Code::InvalidArgument),
            (state::UNDEFINED_COLUMN, Code::InvalidArgument),
            (state::CHECK_VIOLATION, Code::InvalidArgument),
            (state::UNDEFINED_TABLE, Code::NotFound),
            (state::DUPLICATE_TABLE, Code::AlreadyExists),
            (state::SERIALIZATION_FAILURE, Code::Aborted),
            (state::OUT_OF_MEMORY, Code::ResourceExhausted),
            (state::INTERNAL_ERROR, Code::Internal),
        ];
        for (sqlstate, expected) in cases {
            assert_eq!(code(sqlstate), expected, "{sqlstate}");
        }
    }

    #[test]
    fn the_sqlstate_is_in_text_and_metadata() {
        let report = Report::new(state::UNDEFINED_TABLE, "relation \"a\" does not exist");
        let status = Status::from(report.with_hint("Create it."));
        let text = "relation \"a\" does not exist (SQLSTATE 42P01)\nHINT: Create it.";
        assert_eq!(status.message(), text);
        for key in SQLSTATE_KEYS {
            let value = status.metadata().get(key).and_then(|value| value.to_str().ok());
            assert_eq!(value, Some("42P01"), "{key}");
        }
    }
}
