//! Column-level lineage: which stored columns the columns of a query come from, told from its plan.
//!
//! ```text
//! SELECT a + b AS c FROM t WHERE d > 0      c  <- t.a, t.b     its value
//!                                              <- t.d          whether there is a row, and where
//! ```
//!
//! Views are looked through, materialized views and tables are not. What is kept of a statement names
//! tables by id, so that a table may change its name.
//!
//! Never: a source is missing that the plan reads. Where a node says too little, each of its columns comes
//! from all that it reads.

use std::collections::{BTreeSet, HashMap};

use catalog::ColumnSource;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::logical_plan::{
    Aggregate, Distinct, Join, JoinType, RecursiveQuery, Subquery, Union,
};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};

use crate::error::Result;
use crate::resolve::Read;
use crate::statement::select::Planned;

/// The stored columns that something comes from.
type Sources = BTreeSet<(uuid::Uuid, String)>;

/// Where the columns of a query come from, the columns called as in `names`.
pub(crate) fn of<'a>(
    planned: &Planned,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<ColumnSource>> {
    let mut tracer =
        Tracer { read: &planned.read, conditions: Sources::new(), work: HashMap::new() };
    let columns = tracer.plan(&planned.plan, None)?;
    let source = |column: Option<&str>, (table, from): (uuid::Uuid, String)| ColumnSource {
        column: column.map(str::to_owned),
        table,
        from,
    };
    let mut sources: Vec<ColumnSource> = Vec::new();
    for (name, from) in names.into_iter().zip(columns) {
        sources.extend(from.into_iter().map(|from| source(Some(name), from)));
    }
    sources.extend(tracer.conditions.into_iter().map(|from| source(None, from)));
    Ok(sources)
}

/// The columns that an expression may name, and where they come from.
struct Scope<'a> {
    schema: &'a DFSchema,
    columns: &'a [Sources],
    outer: Option<&'a Self>,
}

impl Scope<'_> {
    fn find(&self, column: &Column) -> Option<&Sources> {
        let index = self.schema.maybe_index_of_column(column)?;
        self.columns.get(index)
    }

    fn find_outer(&self, column: &Column) -> Option<&Sources> {
        let outer = self.outer?;
        outer.find(column).or_else(|| outer.find_outer(column))
    }
}

struct Tracer<'a> {
    read: &'a Read,
    /// What decides which rows there are.
    conditions: Sources,
    /// The columns of the recursive queries that are being traced.
    work: HashMap<String, Vec<Sources>>,
}

impl Tracer<'_> {
    /// Where each column of a plan comes from.
    fn plan(&mut self, plan: &LogicalPlan, outer: Option<&Scope<'_>>) -> DfResult<Vec<Sources>> {
        let columns = match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan, outer)?,
            LogicalPlan::Join(join) => self.join(join, outer)?,
            LogicalPlan::Union(union) => self.union(union, outer)?,
            LogicalPlan::RecursiveQuery(query) => self.recursive(query, outer)?,
            LogicalPlan::Subquery(subquery) => self.plan(&subquery.subquery, outer)?,
            LogicalPlan::Values(values) => {
                let nothing = DFSchema::empty();
                let scope = Scope { schema: &nothing, columns: &[], outer };
                let mut columns = vec![Sources::new(); plan.schema().fields().len()];
                for row in &values.values {
                    for (column, expr) in columns.iter_mut().zip(row) {
                        column.extend(self.value(expr, &scope)?);
                    }
                }
                columns
            }
            _ => self.over_input(plan, outer)?,
        };
        if columns.len() == plan.schema().fields().len() {
            return Ok(columns);
        }
        let all: Sources = columns.into_iter().flatten().collect();
        Ok(vec![all; plan.schema().fields().len()])
    }

    /// A node whose columns are made of those of its inputs.
    fn over_input(
        &mut self,
        plan: &LogicalPlan,
        outer: Option<&Scope<'_>>,
    ) -> DfResult<Vec<Sources>> {
        let mut columns = Vec::new();
        let mut schema = DFSchema::empty();
        for input in plan.inputs() {
            columns.extend(self.plan(input, outer)?);
            schema.merge(input.schema());
        }
        // Names that two inputs share are merged away; the places must stay right.
        if let [input] = plan.inputs()[..] {
            schema = input.schema().as_ref().clone();
        } else if let [left, right] = plan.inputs()[..] {
            schema = left.schema().join(right.schema()).unwrap_or(schema);
        }
        let scope = Scope { schema: &schema, columns: &columns, outer };
        Ok(match plan {
            LogicalPlan::Projection(projection) => self.values(&projection.expr, &scope)?,
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, &scope)?,
            LogicalPlan::Window(window) => {
                let computed = self.values(&window.window_expr, &scope)?;
                columns.into_iter().chain(computed).collect()
            }
            LogicalPlan::Distinct(Distinct::On(on)) => {
                let deciding = on.on_expr.iter();
                let sorted = on.sort_expr.iter().flatten().map(|sort| &sort.expr);
                for expr in deciding.chain(sorted) {
                    self.condition(expr, &scope)?;
                }
                self.values(&on.select_expr, &scope)?
            }
            LogicalPlan::Unnest(unnest) => {
                let of = |index: &usize| columns.get(*index).cloned().unwrap_or_default();
                unnest.dependency_indices.iter().map(of).collect()
            }
            // Filters, orders, limits; and our own nodes, whose expressions are conditions.
            _ => {
                for expr in plan.expressions() {
                    self.condition(&expr, &scope)?;
                }
                columns
            }
        })
    }

    fn scan(&mut self, scan: &TableScan, outer: Option<&Scope<'_>>) -> DfResult<Vec<Sources>> {
        let names = scan.projected_schema.fields().iter().map(|field| field.name());
        if let Some(inside) = scan.source.get_logical_plan() {
            let columns = self.plan(&inside, outer)?;
            let of = |name: &String| {
                let index = inside.schema().index_of_column_by_name(None, name);
                index.and_then(|index| columns.get(index).cloned()).unwrap_or_default()
            };
            return Ok(names.map(of).collect());
        }
        let Some(table) = self.read.entry_of(&scan.source)? else {
            let work = self.work.get(scan.table_name.table()).cloned();
            return Ok(work.unwrap_or_else(|| vec![Sources::new(); names.count()]));
        };
        let columns: Vec<Sources> =
            names.map(|name| Sources::from([(table, name.clone())])).collect();
        let scope = Scope { schema: &scan.projected_schema, columns: &columns, outer };
        for filter in &scan.filters {
            self.condition(filter, &scope)?;
        }
        Ok(columns)
    }

    fn join(&mut self, join: &Join, outer: Option<&Scope<'_>>) -> DfResult<Vec<Sources>> {
        let mut columns = self.plan(&join.left, outer)?;
        let left = columns.len();
        // A LATERAL right side reads the left one.
        let before = Scope { schema: join.left.schema(), columns: &columns, outer };
        let right = self.plan(&join.right, Some(&before))?;
        columns.extend(right);
        let schema = join.left.schema().join(join.right.schema())?;
        let scope = Scope { schema: &schema, columns: &columns, outer };
        for (one, other) in &join.on {
            self.condition(one, &scope)?;
            self.condition(other, &scope)?;
        }
        if let Some(filter) = &join.filter {
            self.condition(filter, &scope)?;
        }
        match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => columns.truncate(left),
            JoinType::RightSemi | JoinType::RightAnti => {
                columns.drain(..left);
            }
            JoinType::LeftMark => {
                columns.truncate(left);
                columns.push(Sources::new());
            }
            JoinType::RightMark => {
                columns.drain(..left);
                columns.push(Sources::new());
            }
            _ => {}
        }
        Ok(columns)
    }

    fn union(&mut self, union: &Union, outer: Option<&Scope<'_>>) -> DfResult<Vec<Sources>> {
        let mut columns = vec![Sources::new(); union.schema.fields().len()];
        for input in &union.inputs {
            add(&mut columns, self.plan(input, outer)?);
        }
        Ok(columns)
    }

    /// Until nothing is added: a row may come from one before it, and that from one before.
    fn recursive(
        &mut self,
        query: &RecursiveQuery,
        outer: Option<&Scope<'_>>,
    ) -> DfResult<Vec<Sources>> {
        let mut columns = self.plan(&query.static_term, outer)?;
        loop {
            let shadowed = self.work.insert(query.name.clone(), columns.clone());
            let again = self.plan(&query.recursive_term, outer);
            match shadowed {
                Some(shadowed) => self.work.insert(query.name.clone(), shadowed),
                None => self.work.remove(&query.name),
            };
            let before: usize = columns.iter().map(BTreeSet::len).sum();
            add(&mut columns, again?);
            if columns.iter().map(BTreeSet::len).sum::<usize>() == before {
                return Ok(columns);
            }
        }
    }

    fn aggregate(&mut self, aggregate: &Aggregate, scope: &Scope<'_>) -> DfResult<Vec<Sources>> {
        let mut columns = Vec::new();
        for expr in &aggregate.group_expr {
            match expr {
                Expr::GroupingSet(sets) => {
                    for expr in sets.distinct_expr() {
                        columns.push(self.value(expr, scope)?);
                    }
                    // Which of the sets it was.
                    columns.push(Sources::new());
                }
                expr => columns.push(self.value(expr, scope)?),
            }
        }
        self.conditions.extend(columns.iter().flatten().cloned());
        columns.extend(self.values(&aggregate.aggr_expr, scope)?);
        Ok(columns)
    }

    fn values(&mut self, exprs: &[Expr], scope: &Scope<'_>) -> DfResult<Vec<Sources>> {
        exprs.iter().map(|expr| self.value(expr, scope)).collect()
    }

    fn condition(&mut self, expr: &Expr, scope: &Scope<'_>) -> DfResult<()> {
        let sources = self.value(expr, scope)?;
        self.conditions.extend(sources);
        Ok(())
    }

    /// Where the value of an expression comes from.
    fn value(&mut self, expr: &Expr, scope: &Scope<'_>) -> DfResult<Sources> {
        let mut sources = Sources::new();
        expr.apply(|expr| {
            match expr {
                Expr::Column(column) => {
                    sources.extend(scope.find(column).into_iter().flatten().cloned())
                }
                Expr::OuterReferenceColumn(_, column) => {
                    sources.extend(scope.find_outer(column).into_iter().flatten().cloned());
                }
                Expr::ScalarSubquery(subquery) => sources.extend(self.inside(subquery, scope)?),
                Expr::Exists(exists) => sources.extend(self.inside(&exists.subquery, scope)?),
                Expr::InSubquery(within) => sources.extend(self.inside(&within.subquery, scope)?),
                Expr::SetComparison(set) => sources.extend(self.inside(&set.subquery, scope)?),
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(sources)
    }

    fn inside(&mut self, subquery: &Subquery, scope: &Scope<'_>) -> DfResult<Sources> {
        let columns = self.plan(&subquery.subquery, Some(scope))?;
        Ok(columns.into_iter().flatten().collect())
    }
}

/// Adds sources column by column.
fn add(columns: &mut [Sources], more: Vec<Sources>) {
    for (column, more) in columns.iter_mut().zip(more) {
        column.extend(more);
    }
}
