//! How the rows of a point-in-time join find each other, and how that is chosen.
//!
//! Never: changes what a join answers.
//!
//! Not here yet: a short side that is given to all partitions whole, so that the long one need not
//! be distributed; a filter on the right side by the keys and the range of times of the left rows
//! that are held, before it is read.

use std::fmt;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::exec::PointInTimeJoinExec;

/// How the rows of a partition find each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    /// Both sides come sorted by keys and time, and are merged.
    Merge,
    /// The left side is held in memory, and the right one streams past.
    HoldLeft,
    /// The right side is held in memory, and the left one streams past.
    HoldRight,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Merge => "merge",
            Self::HoldLeft => "hold_left",
            Self::HoldRight => "hold_right",
        })
    }
}

/// The best way to go about a join, whatever way it has now.
///
/// The shorter side is held. If the longer one comes in order, a merge needs less: it sorts the
/// shorter one at most. If what would be held is known not to fit, a merge sorts both at once,
/// rather than after it has failed to hold one.
pub(super) fn choose(join: &PointInTimeJoinExec, memory: &dyn MemoryPool) -> Result<Strategy> {
    let (left, right) = (join.left(), join.right());
    let condition = join.condition();
    let unbounded = |side: &Arc<dyn ExecutionPlan>| side.boundedness().is_unbounded();
    if unbounded(left) || unbounded(right) || !condition.can_look_up(&left.schema())? {
        return Ok(Strategy::Merge);
    }
    let (left_size, right_size) = (size(left)?, size(right)?);
    let right_is_shorter =
        left_size.rows.zip(right_size.rows).is_some_and(|(left, right)| right < left);
    let (strategy, held, passing, ordering) = match right_is_shorter && condition.cuts.is_empty() {
        true => (Strategy::HoldRight, right_size, left, join.left_ordering()?),
        false => (Strategy::HoldLeft, left_size, right, join.right_ordering()?),
    };
    let in_order = passing.equivalence_properties().ordering_satisfy(ordering)?;
    let too_large = match (held.bytes, memory.memory_limit()) {
        (Some(bytes), MemoryLimit::Finite(limit)) => bytes > limit / 2,
        _ => false,
    };
    Ok(if in_order || too_large { Strategy::Merge } else { strategy })
}

/// How much there is of an input, as far as that is known.
struct Size {
    rows: Option<usize>,
    bytes: Option<usize>,
}

fn size(input: &Arc<dyn ExecutionPlan>) -> Result<Size> {
    let statistics = StatisticsContext::new().compute(input.as_ref(), &StatisticsArgs::new())?;
    Ok(Size {
        rows: statistics.num_rows.get_value().copied(),
        bytes: statistics.total_byte_size.get_value().copied(),
    })
}
