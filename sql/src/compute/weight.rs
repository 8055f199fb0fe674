//! How much work a plan may be: whether it can run where its session does.
//!
//! Never: I/O. Only what the plan's sources know about themselves.

use std::sync::Arc;

use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{ExecutionPlan, placeholder_row::PlaceholderRowExec};

/// Rows, or pairs of rows, that a small plan looks at: a batch of them takes well under a
/// millisecond.
const SMALL_ROWS_MAX: usize = 8_192;

/// Whether the plan is over so soon that a change of threads would be most of its time.
pub(super) fn is_small(plan: &Arc<dyn ExecutionPlan>) -> bool {
    weight(plan).is_some_and(|rows| rows <= SMALL_ROWS_MAX)
}

/// The most rows that an operator of the plan may look at; none where nobody knows.
fn weight(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    if plan.is::<RecursiveQueryExec>() || plan.is::<UnnestExec>() {
        return None;
    }
    let children = plan.children();
    if children.is_empty() {
        return source_rows(plan);
    }
    let multiplies = plan.is::<CrossJoinExec>()
        || plan.is::<NestedLoopJoinExec>()
        || plan.is::<HashJoinExec>()
        || plan.is::<SortMergeJoinExec>();
    let (start, combine): (usize, fn(usize, usize) -> usize) =
        if multiplies { (1, usize::saturating_mul) } else { (0, usize::saturating_add) };
    children.into_iter().try_fold(start, |all, child| Some(combine(all, weight(child)?)))
}

fn source_rows(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    if plan.is::<PlaceholderRowExec>() {
        return Some(1);
    }
    let known = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok()?;
    known.num_rows.get_value().copied()
}
