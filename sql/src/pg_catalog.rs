//! `pg_catalog` and `information_schema`: what clients of PostgreSQL ask about a server.
//!
//! ```text
//! statement ── rewrite ──> the same, in a form that the planner knows
//!     names in it ── system_table ──> a table over the statement's snapshot
//!     calls in it ── function ──────> a function over the same snapshot
//! plan ── shown ──> OIDs of regclass and the like by name, where the client sees them
//! ```
//!
//! Tables are computed when they are scanned, from the [`SystemContext`] of one statement, so
//! that they tell the truth of that statement's snapshot; nothing is computed for tables that no
//! statement names. Table metadata is read from storage only where a column of the answer needs it.
//!
//! Never: a row of something that the server does not have. Never: an unknown table or function
//! that is quietly empty; [`tables::EMPTY`] says which are empty, and why.

mod array_text;
pub(crate) mod context;
mod correlated;
mod existence;
pub(crate) mod functions;
pub(crate) mod names;
mod of_session;
mod output;
mod planner;
pub(crate) mod provider;
pub(crate) mod relations;
mod rewrite;
pub(crate) mod rows;
pub(crate) mod tables;

pub(crate) use array_text::elements as array_elements;
pub(crate) use context::SystemContext;
pub(crate) use correlated::join_subqueries;
pub(crate) use functions::{function, is_function, reads_relations};
pub(crate) use of_session::of_session;
pub(crate) use output::shown;
pub(crate) use planner::expr_planner;
pub(crate) use provider::{is_system_relation, system_table};
pub(crate) use rewrite::{rewrite, shown_by_name};

#[cfg(test)]
mod tests;
