//! What a partition of a point-in-time join works by, whichever way it goes.
//!
//! Never: holds rows.

use std::cmp::Ordering;

use super::columns::Side;
use super::gather::OutputColumns;

/// Right rows that are still needed are copied out of their batches when these pass this size ...
#[cfg(not(test))]
pub(super) const HELD_BYTES_MAX: usize = 32 << 20;

/// ... which in tests happens with few rows.
#[cfg(test)]
pub(super) const HELD_BYTES_MAX: usize = 512;

/// ... and hold this many times more rows than are needed.
pub(super) const HELD_ROWS_RATIO: usize = 4;

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

impl Plan {
    /// Whether a right row is too old for a left row; both times are encoded.
    #[inline]
    pub(super) fn too_old(&self, left_time: i64, right_time: i64) -> bool {
        self.age_max.is_some_and(|age_max| left_time.saturating_sub(right_time) > age_max)
    }
}

/// Whether a right time stands before a left one as the condition asks.
#[inline]
pub(super) fn reaches(right_to_left: Ordering, strict: bool) -> bool {
    match strict {
        true => right_to_left.is_lt(),
        false => right_to_left.is_le(),
    }
}
