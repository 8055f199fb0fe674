//! What the planner says of a query, in PostgreSQL's words and with its SQLSTATE.

use super::{Error, between, state};

const LIMIT: &str = "2201W";
const OFFSET: &str = "2201X";
const COLUMN_REFERENCE: &str = "42P10";

/// Phrases of the planner, the SQLSTATE, and how PostgreSQL says it.
const PHRASES: &[(&str, &str, &str)] = &[
    ("LIMIT must be >= 0", LIMIT, "LIMIT must not be negative"),
    ("OFFSET must be >= 0", OFFSET, "OFFSET must not be negative"),
    (
        "Aggregate functions are not allowed in the WHERE clause",
        state::GROUPING_ERROR,
        "aggregate functions are not allowed in WHERE",
    ),
    (
        "Aggregate function calls cannot be nested",
        state::GROUPING_ERROR,
        "aggregate function calls cannot be nested",
    ),
    (
        "Unnest should be rewritten to LogicalPlan::Unnest",
        state::FEATURE_NOT_SUPPORTED,
        "set-returning functions are allowed in FROM and in a select list, not within aggregates",
    ),
    (
        "Inconsistent data length across values list",
        state::SYNTAX_ERROR,
        "VALUES lists must all be the same length",
    ),
    (
        "Cannot create filter with non-boolean predicate",
        state::DATATYPE_MISMATCH,
        "argument of WHERE must be type boolean",
    ),
];

/// The same error as PostgreSQL words it, where the planner's words are known.
pub(super) fn reworded(message: &str) -> Option<Error> {
    if let Some((_, code, said)) = PHRASES.iter().find(|(phrase, ..)| message.contains(phrase)) {
        return Some(Error::new(code, *said));
    }
    if message.contains("must appear in the GROUP BY")
        && let Some(column) = between(message, "column \"", "\"")
    {
        let rule = "must appear in the GROUP BY clause or be used in an aggregate function";
        return Some(Error::new(state::GROUPING_ERROR, format!("column \"{column}\" {rule}")));
    }
    if let Some(position) = between(message, "Order by column out of bounds, specified: ", ",") {
        let said = format!("ORDER BY position {position} is not in select list");
        return Some(Error::new(COLUMN_REFERENCE, said));
    }
    if let Some((kind, _)) = message.split_once(" queries have different number of columns") {
        let said = format!("each {kind} query must have the same number of columns");
        return Some(Error::new(state::SYNTAX_ERROR, said));
    }
    None
}
