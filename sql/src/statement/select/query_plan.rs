//! A query that was planned and optimized once, for other parameters and later versions of its tables.
//!
//! Optimizing knows the parameters' types only; their values come afterwards, and what they decide is
//! simplified then. Which rows there are is looked up at every run: each scan is put over the version
//! that its table has now.
//!
//! Never: a plan of what changes between runs: the time, random numbers, the system's catalogs.

use std::collections::HashMap;
use std::sync::Arc;

use catalog::{Entry, LakeTable, TableSnapshot};
use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::optimizer::Optimizer;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::scalar::ScalarValue;
use uuid::Uuid;

use super::Planned;
use crate::error::Result;
use crate::resolve::Tables;
use crate::results::Versions;
use crate::session::Session;

/// An optimized query with its parameters still open.
#[derive(Debug)]
pub(crate) struct QueryPlan {
    optimized: LogicalPlan,
    names: Option<Vec<String>>,
    /// The tables that it reads, at the versions that it was made over.
    tables: Tables,
    /// What its names stood for, by id.
    entries: Vec<Arc<Entry>>,
}

/// A plan over the versions of now, its parameters filled in.
pub(crate) struct Bound {
    pub(crate) plan: LogicalPlan,
    pub(crate) versions: Versions,
}

impl QueryPlan {
    /// Optimizes a query as far as it holds for any parameters. `None` where it does not.
    pub(super) fn of(state: &SessionState, planned: &mut Planned) -> Option<Self> {
        let tables = planned.tables.take()?;
        if !holds(&planned.plan) {
            return None;
        }
        let (plan, options) = (planned.plan.clone(), state.config_options());
        let analyzed = state.analyzer().execute_and_check(plan, options, |_, _| {}).ok()?;
        if !holds(&analyzed) || !tables_are_known(&analyzed, &tables) {
            return None;
        }
        let optimized = state.optimizer().optimize(analyzed, state, |_, _| {}).ok()?;
        let (names, entries) = (planned.names.clone(), planned.entries.clone());
        tables_are_known(&optimized, &tables).then_some(Self { optimized, names, tables, entries })
    }

    /// The names that the columns go out under.
    pub(super) fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// Whether both would give the same rows of the same versions of their tables.
    pub(crate) fn means_same(&self, other: &Self) -> bool {
        self.names == other.names
            && self.entries.len() == other.entries.len()
            && self.entries.iter().zip(&other.entries).all(|(one, two)| one.defines_same(two))
            && self.optimized == other.optimized
    }

    /// The plan over the versions of now, with these parameters. `None` where a table was defined
    /// anew since.
    pub(super) async fn bind(
        &self,
        session: &Session,
        state: &SessionState,
        parameters: &[ScalarValue],
    ) -> Result<Option<Bound>> {
        let (mut newer, mut versions) = (HashMap::new(), Versions::new());
        for (entry, known) in &self.tables {
            let pinned = session.pin(entry).await?;
            versions.push((Arc::clone(entry), Arc::clone(&pinned.snapshot)));
            if !Arc::ptr_eq(&pinned.snapshot, &known.snapshot) {
                newer.insert(known.id, (pinned.table, pinned.snapshot));
            }
        }
        let Some(plan) = self.over(&newer)? else { return Ok(None) };
        if parameters.is_empty() {
            return Ok(Some(Bound { plan, versions }));
        }
        let bound = super::bind(plan, parameters)?;
        let simplify = Optimizer::with_rules(vec![Arc::new(SimplifyExpressions::new())]);
        let plan = simplify.optimize(bound, state, |_, _| {})?;
        Ok(Some(Bound { plan, versions }))
    }

    /// The plan with these tables at these versions.
    fn over(
        &self,
        newer: &HashMap<Uuid, (Arc<LakeTable>, Arc<TableSnapshot>)>,
    ) -> DfResult<Option<LogicalPlan>> {
        let plan = self.optimized.clone();
        if newer.is_empty() {
            return Ok(Some(plan));
        }
        let mut holds = true;
        let moved = plan.transform_up_with_subqueries(|node| {
            let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
            let provider = source_as_provider(&scan.source)?;
            let known = self.tables.iter().find(|(_, known)| known.table.is_scanned_by(&*provider));
            let Some((table, snapshot)) = known.and_then(|(_, known)| newer.get(&known.id)) else {
                return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
            };
            match table.scan_again(&*provider, Arc::clone(snapshot)) {
                Some(again) => scan.source = provider_as_source(again),
                None => holds = false,
            }
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        })?;
        Ok(holds.then_some(moved.data))
    }
}

/// Whether a plan means the same whenever it runs, and is as good for any value of its parameters.
fn holds(plan: &LogicalPlan) -> bool {
    let mut holds = true;
    let looked = plan.apply_with_subqueries(|node| {
        holds &= match node {
            LogicalPlan::Limit(_) => !has_parameter(node),
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::TableScan(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::EmptyRelation(_) => true,
            _ => false,
        };
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr {
                    holds &= call.func.signature().volatility == Volatility::Immutable;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(if holds { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    looked.is_ok() && holds
}

fn has_parameter(node: &LogicalPlan) -> bool {
    let mut found = false;
    let looked = node.apply_expressions(|expr| {
        found |= expr.exists(|expr| Ok(matches!(expr, Expr::Placeholder(_))))?;
        Ok(TreeNodeRecursion::Continue)
    });
    looked.is_err() || found
}

/// Whether every scan is one of these tables at the version that it was planned over.
fn tables_are_known(plan: &LogicalPlan, tables: &Tables) -> bool {
    let mut known = true;
    let looked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let provider = source_as_provider(&scan.source)?;
            known &= tables.iter().any(|(_, pinned)| pinned.table.is_scanned_by(&*provider));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    looked.is_ok() && known
}
