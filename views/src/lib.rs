//! Derived tables: joined point-in-time, kept fresh, served online.
//!
//! ```text
//! ASOF JOIN text -> rewrite_as_of -> AsOfRelationPlanner -> AsOfJoinNode
//!                                 -> AsOfExtensionPlanner -> PointInTimeJoinExec -> batches
//! ```
//!
//! Never: parses SQL or plans a statement by itself; `sql` hands in statements and plans.

mod definition;
mod error;
pub mod point_in_time;

pub use definition::{RefreshMode, ViewDefinition};
pub use error::{Error, Result};
