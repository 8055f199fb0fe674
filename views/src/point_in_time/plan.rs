//! What a partition of a point-in-time join works by, whichever way it goes.
//!
//! Never: holds rows.

use std::cmp::Ordering;

use super::columns::Side;
use super::gather::OutputColumns;

/// The condition and the output of a join, ready to run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) left: Side,
    pub(super) right: Side,
    pub(super) strict: bool,
    pub(super) age_max: Option<i64>,
    /// Per cut, whether equal values fail it.
    pub(super) cuts_strict: Vec<bool>,
    /// Whether what a left row may see, all later ones of its key may see, too.
    pub(super) cuts_follow_time: bool,
    pub(super) tie_columns: Vec<usize>,
    pub(super) output: OutputColumns,
    pub(super) batch_rows_max: usize,
}

/// Whether a right time stands before a left one as the condition asks.
#[inline]
pub(super) fn reaches(right_to_left: Ordering, strict: bool) -> bool {
    match strict {
        true => right_to_left.is_lt(),
        false => right_to_left.is_le(),
    }
}
