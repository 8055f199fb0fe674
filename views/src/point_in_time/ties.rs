//! Decides between right rows of equal keys and time.
//!
//! The greater row wins: columns are compared one by one in the order of the relation, ascending,
//! NULL below every value. Rows that are equal in all columns need no decision.
//!
//! Never: depends on where a row stands, so that any order of the input gives the same answer.

use std::cmp::Ordering;
use std::collections::HashMap;

use datafusion::arrow::array::{DynComparator, make_comparator};
use datafusion::arrow::compute::SortOptions;
use datafusion::error::Result;

use super::gather::{History, RowRef};

/// Comparators are dropped beyond this many pairs of batches, since they hold the batches.
const PAIRS_MAX: usize = 256;

/// Compares whole right rows, with what that needs kept per pair of batches.
pub(super) struct Ties {
    columns: Vec<usize>,
    comparators: HashMap<(u32, u32), Vec<DynComparator>>,
}

impl Ties {
    /// Rows are compared by these columns of the right input.
    pub(super) fn new(columns: Vec<usize>) -> Self {
        Self { columns, comparators: HashMap::new() }
    }

    /// Forgets the batches that were compared so far.
    pub(super) fn clear(&mut self) {
        self.comparators.clear();
    }

    pub(super) fn compare<P>(
        &mut self,
        history: &History<P>,
        a: RowRef,
        b: RowRef,
    ) -> Result<Ordering> {
        if self.columns.is_empty() {
            return Ok(Ordering::Equal);
        }
        if self.comparators.len() >= PAIRS_MAX {
            self.clear();
        }
        let pair = (a.batch, b.batch);
        if !self.comparators.contains_key(&pair) {
            self.comparators.insert(pair, self.comparators_of(history, pair)?);
        }
        let (a, b) = (a.row as usize, b.row as usize);
        let comparators = self.comparators.get(&pair).into_iter().flatten();
        let decisions = comparators.map(|compare| compare(a, b));
        Ok(decisions.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal))
    }

    fn comparators_of<P>(
        &self,
        history: &History<P>,
        pair: (u32, u32),
    ) -> Result<Vec<DynComparator>> {
        let (a, b) = (&history.held(pair.0).batch, &history.held(pair.1).batch);
        let options = SortOptions { descending: false, nulls_first: true };
        let compare = |&index: &usize| {
            make_comparator(a.column(index), b.column(index), options).map_err(Into::into)
        };
        self.columns.iter().map(compare).collect()
    }
}
