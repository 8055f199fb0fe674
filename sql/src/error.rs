//! The one error that leaves this crate: a SQLSTATE, a message, and what to do about it.
//!
//! Every lower error (catalog, ingest, views, udfs, DataFusion, Arrow, object stores) is turned
//! into it here, in one place, so that the same cause always has the same SQLSTATE.
//! Never: a Rust type or a debug form in a message.

mod planning;

use std::fmt;

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

use crate::types::TypeError;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// SQLSTATE codes, named as in the PostgreSQL documentation, appendix A.
pub mod state {
    /// A feature that the grammar knows and the server does not offer.
    pub const FEATURE_NOT_SUPPORTED: &str = "0A000";
    /// A subquery in place of a value that has several rows.
    pub const CARDINALITY_VIOLATION: &str = "21000";
    /// A string that is longer than its `varchar(n)`.
    pub const STRING_TOO_LONG: &str = "22001";
    /// A number outside its type's range.
    pub const NUMERIC_OUT_OF_RANGE: &str = "22003";
    /// Text that is not a date or time.
    pub const INVALID_DATETIME: &str = "22007";
    /// Division by zero.
    pub const DIVISION_BY_ZERO: &str = "22012";
    /// An argument that the function refuses.
    pub const INVALID_PARAMETER_VALUE: &str = "22023";
    /// Text that does not read as the asked type.
    pub const INVALID_TEXT: &str = "22P02";
    /// A NULL where the column refuses it.
    pub const NOT_NULL_VIOLATION: &str = "23502";
    /// A row that fails a CHECK constraint.
    pub const CHECK_VIOLATION: &str = "23514";
    /// A cursor that is not open.
    pub const INVALID_CURSOR_NAME: &str = "34000";
    /// `BEGIN` inside a transaction.
    pub const ACTIVE_TRANSACTION: &str = "25001";
    /// A write in a read-only transaction.
    pub const READ_ONLY_TRANSACTION: &str = "25006";
    /// A statement that needs an open transaction.
    pub const NO_ACTIVE_TRANSACTION: &str = "25P01";
    /// A statement after an error, before ROLLBACK.
    pub const FAILED_TRANSACTION: &str = "25P02";
    /// A prepared statement of that name does not exist.
    pub const INVALID_STATEMENT_NAME: &str = "26000";
    /// Dependent objects still exist.
    pub const DEPENDENT_OBJECTS: &str = "2BP01";
    /// A savepoint that does not exist.
    pub const INVALID_SAVEPOINT: &str = "3B001";
    /// A schema that does not exist.
    pub const INVALID_SCHEMA_NAME: &str = "3F000";
    /// Two transactions met.
    pub const SERIALIZATION_FAILURE: &str = "40001";
    /// The statement does not parse.
    pub const SYNTAX_ERROR: &str = "42601";
    /// The user may not do that.
    pub const INSUFFICIENT_PRIVILEGE: &str = "42501";
    /// Two columns of one name.
    pub const DUPLICATE_COLUMN: &str = "42701";
    /// A column name that fits several columns.
    pub const AMBIGUOUS_COLUMN: &str = "42702";
    /// No such column.
    pub const UNDEFINED_COLUMN: &str = "42703";
    /// No such object of another kind (setting, type, constraint, model).
    pub const UNDEFINED_OBJECT: &str = "42704";
    /// An object of that name exists.
    pub const DUPLICATE_OBJECT: &str = "42710";
    /// A cursor of that name is open.
    pub const DUPLICATE_CURSOR: &str = "42P03";
    /// A prepared statement of that name exists.
    pub const DUPLICATE_STATEMENT: &str = "42P05";
    /// A schema of that name exists.
    pub const DUPLICATE_SCHEMA: &str = "42P06";
    /// A relation of that name exists.
    pub const DUPLICATE_TABLE: &str = "42P07";
    /// GROUP BY is missing a column.
    pub const GROUPING_ERROR: &str = "42803";
    /// Types that do not go together.
    pub const DATATYPE_MISMATCH: &str = "42804";
    /// The object is of another kind than the statement needs.
    pub const WRONG_OBJECT_TYPE: &str = "42809";
    /// No such function.
    pub const UNDEFINED_FUNCTION: &str = "42883";
    /// A table definition that contradicts itself.
    pub const INVALID_TABLE_DEFINITION: &str = "42P16";
    /// No such table.
    pub const UNDEFINED_TABLE: &str = "42P01";
    /// A parameter whose type cannot be told.
    pub const INDETERMINATE_TYPE: &str = "42P18";
    /// A memory, disk or size limit was reached.
    pub const OUT_OF_MEMORY: &str = "53200";
    /// No room on the disk.
    pub const DISK_FULL: &str = "53100";
    /// A statement longer than allowed.
    pub const PROGRAM_LIMIT_EXCEEDED: &str = "54000";
    /// An expression nested too deeply.
    pub const STATEMENT_TOO_COMPLEX: &str = "54001";
    /// The statement was stopped on request or by its time limit.
    pub const QUERY_CANCELED: &str = "57014";
    /// The store could not be read or written.
    pub const IO_ERROR: &str = "58030";
    /// The object is not in the state that the statement needs.
    pub const OBJECT_NOT_IN_PREREQUISITE_STATE: &str = "55000";
    /// A file that is there already.
    pub const DUPLICATE_FILE: &str = "58P02";
    /// A file that does not exist.
    pub const UNDEFINED_FILE: &str = "58P01";
    /// Stored data that cannot be read.
    pub const DATA_CORRUPTED: &str = "XX001";
    /// A fault of the server itself.
    pub const INTERNAL_ERROR: &str = "XX000";
}

/// A statement that could not be carried out.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    sqlstate: &'static str,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    position: Option<usize>,
}

impl Error {
    /// An error with its SQLSTATE and a message in lower case without a full stop.
    pub fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            sqlstate,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
        }))
    }

    /// What the server does not offer, as `0A000`.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(state::FEATURE_NOT_SUPPORTED, message)
    }

    /// A statement that does not parse.
    pub fn syntax(message: impl Into<String>) -> Self {
        Self::new(state::SYNTAX_ERROR, message)
    }

    /// Whether it says that a name leads nowhere.
    pub(crate) fn is_of_unknown_name(&self) -> bool {
        [
            state::UNDEFINED_TABLE,
            state::INVALID_SCHEMA_NAME,
            state::UNDEFINED_OBJECT,
            state::UNDEFINED_FUNCTION,
        ]
        .contains(&self.sqlstate())
    }

    /// A fault of the server itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(state::INTERNAL_ERROR, message)
    }

    /// Adds full sentences that explain.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds something to type.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds where in the statement, in characters, counted from 1.
    #[must_use]
    pub fn with_position(mut self, position: usize) -> Self {
        self.0.position = Some(position);
        self
    }

    /// The five-character code by which clients tell errors apart.
    pub fn sqlstate(&self) -> &'static str {
        self.0.sqlstate
    }

    /// What was attempted, and what is wrong.
    pub fn message(&self) -> String {
        self.0.message.clone()
    }

    /// Full sentences that explain.
    pub fn detail(&self) -> Option<String> {
        self.0.detail.clone()
    }

    /// Something to type.
    pub fn hint(&self) -> Option<String> {
        self.0.hint.clone()
    }

    /// Where in the statement, in characters, counted from 1.
    pub fn position(&self) -> Option<usize> {
        self.0.position
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.sqlstate, self.0.message)
    }
}

impl std::error::Error for Error {}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        from_datafusion(&error)
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        from_arrow(&error)
    }
}

/// One of ours inside another library's error, whatever crate it comes from.
fn from_ours(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    if let Some(ours) = error.downcast_ref::<Error>() {
        return Some(ours.clone());
    }
    if let Some(theirs) = error.downcast_ref::<catalog::Error>() {
        return Some(theirs.into());
    }
    if let Some(theirs) = error.downcast_ref::<ingest::Error>() {
        return Some(theirs.into());
    }
    if let Some(theirs) = error.downcast_ref::<views::Error>() {
        return Some(theirs.into());
    }
    if let Some(theirs) = error.downcast_ref::<udfs::Error>() {
        return Some(theirs.into());
    }
    if let Some(theirs) = error.downcast_ref::<DataFusionError>() {
        return Some(from_datafusion(theirs));
    }
    error.downcast_ref::<ArrowError>().map(from_arrow)
}

fn from_datafusion(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => from_ours(inner.as_ref())
            .unwrap_or_else(|| Error::internal(one_line(&inner.to_string()))),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            from_datafusion(inner)
        }
        DataFusionError::Shared(inner) => from_datafusion(inner),
        DataFusionError::Collection(all) => all.first().map_or_else(
            || Error::internal("could not run the statement: an empty list of errors"),
            from_datafusion,
        ),
        DataFusionError::ArrowError(inner, _) => from_arrow(inner),
        DataFusionError::SchemaError(inner, _) => from_schema(inner),
        DataFusionError::SQL(inner, _) => Error::syntax(parser_message(&inner.to_string())),
        DataFusionError::NotImplemented(message) => not_implemented(message),
        DataFusionError::ResourcesExhausted(message) => {
            Error::new(state::OUT_OF_MEMORY, format!("out of memory: {}", first_line(message)))
                .with_hint("Make the query smaller, or raise memory_limit_mib.")
        }
        DataFusionError::ObjectStore(inner) => from_object_store(inner),
        DataFusionError::IoError(inner) => {
            let code = if inner.kind() == std::io::ErrorKind::StorageFull {
                state::DISK_FULL
            } else {
                state::IO_ERROR
            };
            Error::new(code, format!("could not read or write: {inner}"))
        }
        DataFusionError::ParquetError(inner) => Error::new(
            state::DATA_CORRUPTED,
            format!("could not read a Parquet file: {}", one_line(&inner.to_string())),
        ),
        DataFusionError::Plan(message) => from_plan(message),
        DataFusionError::Execution(message) => from_execution(message),
        DataFusionError::Configuration(message) => {
            Error::new(state::INVALID_PARAMETER_VALUE, one_line(message))
        }
        DataFusionError::ExecutionJoin(inner) if inner.is_panic() => {
            Error::internal("the statement ended in a panic, which is a fault of the server")
        }
        other => Error::internal(one_line(&other.strip_backtrace())),
    }
}

fn from_schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let column = field.flat_name().replace('"', "");
            let error =
                Error::new(state::UNDEFINED_COLUMN, format!("column \"{column}\" does not exist"));
            match nearest(field.name(), valid_fields.iter().map(|f| f.name())) {
                Some(near) => error.with_hint(format!("Perhaps you meant the column \"{near}\".")),
                None => error,
            }
        }
        SchemaError::AmbiguousReference { field } => Error::new(
            state::AMBIGUOUS_COLUMN,
            format!("column reference \"{}\" is ambiguous", field.name()),
        ),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => Error::new(
            state::DUPLICATE_COLUMN,
            format!("column \"{name}\" specified more than once"),
        ),
    }
}

/// What the planner cannot do; of a subquery that it could not make a join, in words that name it.
fn not_implemented(message: &str) -> Error {
    const LEFT: [&str; 5] =
        ["OuterReferenceColumn(", "ScalarSubquery(", "Exists(", "InSubquery(", "SetComparison("];
    let left_over = message
        .strip_prefix("Physical plan does not support logical expression ")
        .is_some_and(|expr| LEFT.iter().any(|kind| expr.starts_with(kind)));
    if left_over {
        return Error::unsupported(
            "this subquery reads the outer row in a way that is not supported",
        )
        .with_hint("Write it as a join, with GROUP BY where it counts or sums.");
    }
    Error::unsupported(one_line(message))
}

fn from_object_store(error: &object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { path, .. } => {
            Error::new(state::UNDEFINED_FILE, format!("file \"{path}\" does not exist"))
        }
        other => Error::new(
            state::IO_ERROR,
            format!("could not use the object store: {}", one_line(&other.to_string())),
        ),
    }
}

fn from_arrow(error: &ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => from_ours(inner.as_ref())
            .unwrap_or_else(|| Error::internal(one_line(&inner.to_string()))),
        ArrowError::DivideByZero => Error::new(state::DIVISION_BY_ZERO, "division by zero"),
        ArrowError::ArithmeticOverflow(_) => {
            Error::new(state::NUMERIC_OUT_OF_RANGE, "value out of range")
        }
        ArrowError::ComputeError(message) if message.contains("overflow") => {
            Error::new(state::NUMERIC_OUT_OF_RANGE, "value out of range")
        }
        ArrowError::CastError(message) | ArrowError::ParseError(message) => from_cast(message),
        ArrowError::InvalidArgumentError(message) if message.contains("too large to store") => {
            Error::new(state::NUMERIC_OUT_OF_RANGE, "numeric field overflow")
                .with_detail(sentence(message))
        }
        other => Error::internal(one_line(&other.to_string())),
    }
}

/// Arrow says in words what a cast met; the words are stable enough to tell the two causes apart.
fn from_cast(message: &str) -> Error {
    if let Some((value, kind)) = quoted_cast(message) {
        return Error::new(
            state::INVALID_TEXT,
            format!("invalid input syntax for type {kind}: \"{value}\""),
        );
    }
    if message.contains("Can't cast value") || message.contains("too large") {
        return Error::new(state::NUMERIC_OUT_OF_RANGE, "value out of range")
            .with_detail(sentence(message));
    }
    if message.contains("timestamp") || message.contains("date") {
        return Error::new(state::INVALID_DATETIME, one_line(message));
    }
    Error::new(state::INVALID_TEXT, one_line(message))
}

/// `Cannot cast string 'x' to value of Int64 type` gives (`x`, `bigint`).
fn quoted_cast(message: &str) -> Option<(String, String)> {
    let rest = message.split_once("Cannot cast string '")?.1;
    let (value, rest) = rest.split_once("' to value of ")?;
    let kind = rest.split_once(" type")?.0.trim_matches('\'');
    let kind = match kind {
        "Int8" | "Int16" | "UInt8" => "smallint",
        "Int32" | "UInt16" => "integer",
        "Int64" | "UInt32" | "UInt64" => "bigint",
        "Float32" => "real",
        "Float64" => "double precision",
        "Boolean" => "boolean",
        "Date32" => "date",
        other if other.starts_with("Decimal") => "numeric",
        other if other.starts_with("Timestamp") => "timestamp",
        other => other,
    };
    Some((value.to_owned(), kind.to_owned()))
}

fn from_plan(message: &str) -> Error {
    let message = one_line(message);
    if let Some(error) = planning::reworded(&message) {
        return error;
    }
    if let Some(said) = said_of_arguments(&message) {
        return Error::new(state::UNDEFINED_FUNCTION, said);
    }
    if let Some(name) = between(&message, "Invalid function '", "'") {
        let error =
            Error::new(state::UNDEFINED_FUNCTION, format!("function {name} does not exist"));
        return match between(&message, "Did you mean '", "'") {
            Some(near) => error.with_hint(format!("Perhaps you meant the function {near}.")),
            None => error,
        };
    }
    if let Some(name) = between(&message, "table '", "' not found") {
        return Error::new(state::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"));
    }
    let code = if message.contains("must appear in the GROUP BY")
        || message.contains("must be part of GROUP BY")
        || message.contains("could not be resolved from available columns")
    {
        state::GROUPING_ERROR
    } else if message.contains("coerc")
        || message.contains("signature")
        || message.contains("No function matches")
    {
        state::UNDEFINED_FUNCTION
    } else if message.contains("type") {
        state::DATATYPE_MISMATCH
    } else {
        state::SYNTAX_ERROR
    };
    Error::new(code, message)
}

/// What a function says about the types of its arguments, without the text that DataFusion puts around it.
fn said_of_arguments(message: &str) -> Option<&str> {
    const KINDS: [&str; 3] = ["External error: ", "Error during planning: ", "Execution error: "];
    let (_, said) = message.split_once("user-defined coercion failed with: ")?;
    let said = said.split_once(" No function matches").map_or(said, |(said, _)| said);
    let said = KINDS.iter().find_map(|kind| said.strip_prefix(kind)).unwrap_or(said);
    Some(said.trim_end_matches('.'))
}

fn from_execution(message: &str) -> Error {
    let message = one_line(message);
    if message.contains("subquery returned more than one row") {
        return Error::new(
            state::CARDINALITY_VIOLATION,
            "more than one row returned by a subquery used as an expression",
        );
    }
    let lower = message.to_ascii_lowercase();
    let code = if lower.contains("divide by zero") {
        state::DIVISION_BY_ZERO
    } else if lower.contains("overflow") {
        state::NUMERIC_OUT_OF_RANGE
    } else {
        state::INVALID_PARAMETER_VALUE
    };
    Error::new(code, message)
}

impl From<&catalog::Error> for Error {
    fn from(error: &catalog::Error) -> Self {
        use catalog::{Error as C, Kind};
        let code = match error {
            C::Duplicate { kind: Kind::Schema, .. } => state::DUPLICATE_SCHEMA,
            C::Duplicate {
                kind: Kind::Model | Kind::Location | Kind::Secret | Kind::Snapshot,
                ..
            } => state::DUPLICATE_OBJECT,
            C::Duplicate { .. } => state::DUPLICATE_TABLE,
            C::NotFound { kind: Kind::Schema, .. } => state::INVALID_SCHEMA_NAME,
            C::NotFound {
                kind: Kind::Model | Kind::Location | Kind::Secret | Kind::Snapshot,
                ..
            } => state::UNDEFINED_OBJECT,
            C::NotFound { .. } => state::UNDEFINED_TABLE,
            C::Conflict { .. } | C::MetadataChanged { .. } => state::SERIALIZATION_FAILURE,
            C::VersionNotFound { .. } | C::TimeNotFound { .. } => state::INVALID_PARAMETER_VALUE,
            C::Corrupt { .. } => state::DATA_CORRUPTED,
            C::LocationRefused { .. } | C::LocationUndeclarable { .. } => {
                state::INSUFFICIENT_PRIVILEGE
            }
            C::SecretKey { .. } | C::Blocked { .. } => state::OBJECT_NOT_IN_PREREQUISITE_STATE,
            C::LocationMalformed { .. } | C::StoreOption { .. } => state::INVALID_PARAMETER_VALUE,
            C::Cache { .. } => state::IO_ERROR,
            C::Unsupported { .. } => state::FEATURE_NOT_SUPPORTED,
            C::OutcomeUnknown { .. } => "08007",
            C::Rows { source, .. } => return from_datafusion(source),
            C::Store { source, path, .. } => {
                let found = from_object_store(source);
                return Self::new(found.sqlstate(), format!("{error}"))
                    .with_detail(format!("The store said of \"{path}\": {}.", found.message()));
            }
            _ => state::INTERNAL_ERROR,
        };
        let new = Self::new(code, error.to_string());
        match error {
            C::Conflict { .. } | C::MetadataChanged { .. } => {
                new.with_hint("Run the statement or the transaction again.")
            }
            C::Blocked { version, .. } => new.with_hint(format!(
                "Undo that change with the program that made it: the transaction goes on from the \
                 rows and columns of version {version}.",
            )),
            C::LocationRefused { .. } => {
                new.with_hint(
                    "CREATE LOCATION declares it where the operator allows that, and tarn serve \
                     --location URL in any case.",
                )
            }
            C::LocationUndeclarable { .. } => new.with_hint(
                "The operator allows it: tarn serve --location-root URL, a bucket or a folder above \
                 the location, outside the warehouse.",
            ),
            C::SecretKey { reason } if reason.ends_with("no secret key") => new.with_hint(
                "Make one with \"openssl rand -hex 32 > FILE\", keep it, and start every server of \
                 the warehouse with --secret-key-file FILE.",
            ),
            _ => new,
        }
    }
}

impl From<&ingest::Error> for Error {
    fn from(error: &ingest::Error) -> Self {
        use ingest::Error as I;
        match error {
            I::Rows(source) => return from_datafusion(source),
            I::Arrow(source) => return from_arrow(source),
            I::Catalog(source) => return source.as_ref().into(),
            _ => {}
        }
        let mut new = Self::new(error.sqlstate(), error.to_string());
        new.0.detail = error.detail();
        new.0.hint = error.hint();
        new
    }
}

impl From<&views::Error> for Error {
    fn from(error: &views::Error) -> Self {
        use views::Error as V;
        let code = match error {
            V::AsOfTypes { .. } => state::DATATYPE_MISMATCH,
            V::UnknownOption { .. } | V::OptionValue { .. } => state::INVALID_PARAMETER_VALUE,
            _ => state::FEATURE_NOT_SUPPORTED,
        };
        let new = Self::new(code, error.to_string());
        match error.hint() {
            Some(hint) => new.with_hint(hint),
            None => new,
        }
    }
}

impl From<&udfs::Error> for Error {
    fn from(error: &udfs::Error) -> Self {
        use udfs::Error as U;
        let code = match error {
            U::TooLarge { .. } => state::PROGRAM_LIMIT_EXCEEDED,
            U::UnsupportedOperators { .. }
            | U::UnsupportedNode { .. }
            | U::ExternalData { .. }
            | U::SparseTensor { .. } => state::FEATURE_NOT_SUPPORTED,
            U::InputMismatch { .. } | U::OutputMismatch { .. } => state::DATATYPE_MISMATCH,
            U::ArgumentCount { .. } | U::ArgumentType { .. } => state::UNDEFINED_FUNCTION,
            _ => state::INVALID_PARAMETER_VALUE,
        };
        let new = Self::new(code, error.to_string());
        match error.hint() {
            Some(hint) => new.with_hint(hint),
            None => new,
        }
    }
}

impl From<TypeError> for Error {
    fn from(error: TypeError) -> Self {
        let new = Self::new(error.sqlstate(), error.to_string());
        match error.hint() {
            Some(hint) => new.with_hint(hint),
            None => new,
        }
    }
}

/// By value, as `?` takes them.
macro_rules! from_owned {
    ($($error:ty),*) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                (&error).into()
            }
        }
    )*};
}

from_owned!(catalog::Error, ingest::Error, views::Error, udfs::Error);

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        from_object_store(&error)
    }
}

/// The candidate that a typing error most likely meant: at most a third of its letters away.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(far, candidate)| *far <= candidate.len().max(3) / 3)
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance over bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replace = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn one_line(text: &str) -> String {
    let text = text.split("\n\nbacktrace:").next().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn sentence(text: &str) -> String {
    format!("{}.", one_line(text).trim_end_matches('.'))
}

fn parser_message(text: &str) -> String {
    let text = text.trim_start_matches("sql parser error: ");
    format!("syntax error: {}", one_line(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cast_of_bad_text_names_the_value_and_the_type() {
        let error: Error =
            ArrowError::CastError("Cannot cast string 'x' to value of Int64 type".into()).into();
        assert_eq!(error.sqlstate(), "22P02");
        assert_eq!(error.message(), "invalid input syntax for type bigint: \"x\"");
    }

    #[test]
    fn our_errors_survive_the_way_through_datafusion_and_arrow() {
        let ours = Error::new(state::CHECK_VIOLATION, "row fails");
        let wrapped = DataFusionError::ArrowError(
            Box::new(ArrowError::ExternalError(Box::new(DataFusionError::from(ours)))),
            None,
        );
        assert_eq!(Error::from(wrapped).sqlstate(), "23514");
    }

    #[test]
    fn the_nearest_name_is_found_only_when_it_is_near() {
        assert_eq!(nearest("carier", ["origin", "carrier"]), Some("carrier"));
        assert_eq!(nearest("zzz", ["origin", "carrier"]), None);
    }
}
