//! How plans share the compute threads, and how they are stopped.
//!
//! DataFusion's operators give way when their sources do. A join can make millions of rows of one
//! batch of a source, or look at as many pairs without making one, and an expression can take long
//! over a single batch. So each operator's rows pass a [`Turn`], which gives way by the clock, and
//! each condition of a join a [`Watched`] expression, which looks whether the statement has ended
//! and hands the thread's other tasks over when it has computed for long.
//!
//! Never: a change of what a plan yields.

mod turn;
mod watched;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};

use self::turn::Turn;
use self::watched::Watched;

/// How long a plan computes before it gives way to others.
const TURN: Duration = Duration::from_millis(5);

/// Tells a plan that its statement has ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The same plan, giving way to others and ending when it is told to.
pub(super) fn fairly(plan: Arc<dyn ExecutionPlan>, stop: &Stop) -> Result<Arc<dyn ExecutionPlan>> {
    let shared = plan.transform_up(|node| {
        let node = watched(node, stop)?;
        // What it wraps has its turns already.
        if node.is::<CooperativeExec>() {
            return Ok(Transformed::yes(node));
        }
        let turn: Arc<dyn ExecutionPlan> = Arc::new(Turn::new(node));
        Ok(Transformed::yes(turn))
    })?;
    Ok(shared.data)
}

/// The text of a plan without its turns: an operator a line, indented below the one it feeds.
pub(super) fn without_turns(text: &str) -> Vec<String> {
    const STEP: usize = 2;
    let mut turns: Vec<usize> = Vec::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        turns.retain(|turn| *turn < indent);
        if line.trim_start().split(',').next() == Some(turn::NAME) {
            turns.push(indent);
        } else {
            lines.push(line[STEP * turns.len()..].to_owned());
        }
    }
    lines
}

/// The node with its join condition watched, if it is a join that has one.
fn watched(node: Arc<dyn ExecutionPlan>, stop: &Stop) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        let filter = Some(watched_filter(filter, stop));
        let join = NestedLoopJoinExecBuilder::from(join).with_filter(filter).build()?;
        return Ok(Arc::new(join));
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        let filter = Some(watched_filter(filter, stop));
        let join = HashJoinExecBuilder::from(join).with_filter(filter).build()?;
        return Ok(Arc::new(join));
    }
    Ok(node)
}

fn watched_filter(filter: &JoinFilter, stop: &Stop) -> JoinFilter {
    let expression = Arc::new(Watched::new(Arc::clone(filter.expression()), stop.clone()));
    let columns = filter.column_indices().to_vec();
    JoinFilter::new(expression, columns, Arc::clone(filter.schema()))
}
