//! From `l ASOF JOIN r …` to `(l ASOF JOIN r …)`.
//!
//! The engine's planner refuses an ASOF JOIN that it meets among other joins, but offers every
//! parenthesised join to relation planners first. So each ASOF JOIN, together with all that stands
//! before it in the same FROM item, becomes a parenthesised join of exactly one ASOF JOIN.
//!
//! Never: changes what a statement means; rewriting twice equals rewriting once.

use std::mem;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Join, JoinOperator, Select, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

/// Rewrites every ASOF JOIN of a statement or query, at any depth, to the form that
/// [`AsOfRelationPlanner`](super::AsOfRelationPlanner) plans.
pub fn rewrite_as_of<T: VisitMut>(ast: &mut T) {
    let _: ControlFlow<()> = ast.visit(&mut Rewriter);
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();

    // After the parts, so that what is wrapped here is not visited again.
    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        select.from.iter_mut().for_each(wrap);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor
            && lone_as_of(table_with_joins).is_none()
        {
            wrap(table_with_joins);
        }
        ControlFlow::Continue(())
    }
}

/// The join, if the relation is joined exactly once, by ASOF JOIN.
pub(super) fn lone_as_of(item: &TableWithJoins) -> Option<&Join> {
    match item.joins.as_slice() {
        [join] if is_as_of(join) => Some(join),
        _ => None,
    }
}

fn is_as_of(join: &Join) -> bool {
    matches!(join.join_operator, JoinOperator::AsOf { .. })
}

/// Wraps each ASOF JOIN of a FROM item with everything before it, from left to right.
fn wrap(item: &mut TableWithJoins) {
    if !item.joins.iter().any(is_as_of) {
        return;
    }
    for join in mem::take(&mut item.joins) {
        let wraps = is_as_of(&join);
        if wraps && !item.joins.is_empty() {
            nest(item);
        }
        item.joins.push(join);
        if wraps {
            nest(item);
        }
    }
}

/// Makes a FROM item one parenthesised relation.
fn nest(item: &mut TableWithJoins) {
    let inner =
        TableWithJoins { relation: item.relation.clone(), joins: mem::take(&mut item.joins) };
    item.relation = TableFactor::NestedJoin { table_with_joins: Box::new(inner), alias: None };
}
