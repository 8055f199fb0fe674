//! From the logical ASOF JOIN to its operator.
//!
//! Never: decides how rows are distributed or sorted; the operator states what it needs, and the
//! engine adds what is missing.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::make_comparator;
use datafusion::arrow::array::new_empty_array;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::condition::{Comparison, form};
use super::exec::PointInTimeJoinExec;
use super::node::AsOfJoinNode;
use super::physical::{PhysicalComparison, PhysicalCondition, age_max};
use super::strategy::{Strategy, choose};
use super::types::type_name;

/// Plans [`AsOfJoinNode`]s, and leaves other nodes to other planners.
#[derive(Debug, Default)]
pub struct AsOfExtensionPlanner;

#[async_trait]
impl ExtensionPlanner for AsOfExtensionPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        planning_ctx: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<AsOfJoinNode>() else { return Ok(None) };
        let [left, right] = physical_inputs else {
            return internal_err!("an AsOfJoin has two inputs");
        };
        let expressions = Expressions { planner, session, planning_ctx, node };
        let condition = expressions.condition(&left.schema())?;
        let tie_columns = tie_columns(node, &condition, &right.schema())?;
        let width = left.schema().fields().len();
        let visible = node.visible_right().into_iter().map(|column| width + column);
        let join = PointInTimeJoinExec::try_new(
            Arc::clone(left),
            Arc::clone(right),
            condition,
            tie_columns,
            (0..width).chain(visible).collect(),
            Strategy::Merge,
        )?;
        let strategy = choose(&join, session.runtime_env().memory_pool.as_ref())?;
        Ok(Some(Arc::new(join.with_strategy(strategy)?)))
    }
}

struct Expressions<'a> {
    planner: &'a dyn PhysicalPlanner,
    session: &'a dyn Session,
    planning_ctx: &'a PhysicalPlanningContext,
    node: &'a AsOfJoinNode,
}

impl Expressions<'_> {
    fn condition(&self, left: &Schema) -> Result<PhysicalCondition> {
        let condition = self.node.condition();
        let key = |(left, right): &(Expr, Expr)| Ok((self.left(left)?, self.right(right)?));
        let on = condition.on.iter().map(key).collect::<Result<Vec<_>>>()?;
        let time = self.comparison(&condition.time)?;
        let cuts = condition.cuts.iter().map(|cut| self.comparison(cut)).collect::<Result<_>>()?;
        let age_max = match &condition.tolerance {
            Some(tolerance) => {
                let limit = self.constant(&tolerance.limit)?;
                Some(age_max(&limit, tolerance.strict, &time.left.data_type(left)?)?)
            }
            None => None,
        };
        Ok(PhysicalCondition { on, time, age_max, cuts })
    }

    fn comparison(&self, comparison: &Comparison) -> Result<PhysicalComparison> {
        Ok(PhysicalComparison {
            left: self.left(&comparison.left)?,
            operator: comparison.operator,
            right: self.right(&comparison.right)?,
        })
    }

    fn left(&self, expression: &Expr) -> Result<PhysicalExprRef> {
        self.expression(expression, self.node.left().schema())
    }

    fn right(&self, expression: &Expr) -> Result<PhysicalExprRef> {
        self.expression(expression, self.node.right().schema())
    }

    fn expression(&self, expression: &Expr, schema: &DFSchema) -> Result<PhysicalExprRef> {
        self.planner.create_physical_expr(expression, schema, self.session, self.planning_ctx)
    }

    fn constant(&self, expression: &Expr) -> Result<ScalarValue> {
        let expression = self.expression(expression, &DFSchema::empty())?;
        let value = expression.evaluate(&RecordBatch::new_empty(Arc::new(Schema::empty())))?;
        value.into_array(1).and_then(|array| ScalarValue::try_from_array(&array, 0))
    }
}

/// The right columns that decide between rows of equal keys and time.
fn tie_columns(
    node: &AsOfJoinNode,
    condition: &PhysicalCondition,
    right: &SchemaRef,
) -> Result<Vec<usize>> {
    if node.right_is_unique() {
        return Ok(Vec::new());
    }
    let keys = condition.on.iter().map(|(_, key)| key);
    let equal = keys.chain([&condition.time.right]);
    let equal = equal.filter_map(|e| e.downcast_ref::<Column>().map(Column::index));
    let equal = equal.collect::<Vec<_>>();
    let columns = (0..right.fields().len()).filter(|index| !equal.contains(index));
    columns
        .map(|index| {
            let field = right.field(index);
            let empty = new_empty_array(field.data_type());
            match make_comparator(&empty, &empty, SortOptions::default()) {
                Ok(_) => Ok(index),
                Err(_) => {
                    let part =
                        format!("column \"{}\" ({})", field.name(), type_name(field.data_type()));
                    let reason = "its type has no order to decide between right rows of equal time";
                    Err(form(&part, reason, "Select the columns to join in a subquery."))
                }
            }
        })
        .collect()
}
