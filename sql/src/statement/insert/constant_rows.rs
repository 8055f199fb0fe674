//! The rows of `INSERT ... VALUES`, where each value is computed from constants and parameters
//! alone: expressions that are ready to run, without a plan to optimize and start.
//!
//! ```text
//! Projection over ... over Values      as the planner gives it
//!   └─ one expression per value        projections put into each other, $1 becomes a column
//!        └─ analyzed, compiled         once, where the statement is prepared
//!             └─ evaluated             over one row that holds the parameters
//! ```
//!
//! Never: a function whose answer changes between runs, other than `now()`, which is a parameter here.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::concat;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, plan_datafusion_err};
use datafusion::error::Result as DfResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    EmptyRelation, Expr, ExprSchemable, LogicalPlan, Projection, Values, Volatility,
};
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::scalar::ScalarValue;

use crate::error::Result;

/// More values than this are planned as a query: here each is an expression of its own.
const VALUES_MAX: usize = 1_024;

/// The time of the statement among the parameters.
const NOW: &str = "now()";

/// Rows of constants and parameters, ready to be computed.
#[derive(Debug)]
pub(crate) struct ConstantRows {
    /// One column for each parameter, and the time of the statement where it is asked for.
    given: SchemaRef,
    columns: SchemaRef,
    /// For each row the value of each column.
    values: Vec<Vec<Arc<dyn PhysicalExpr>>>,
}

impl ConstantRows {
    /// `None` where the plan is more than rows of constants and parameters.
    pub(crate) fn of(
        state: &SessionState,
        plan: &LogicalPlan,
        parameters: &[ScalarValue],
    ) -> Result<Option<Self>> {
        let Some(source) = values_of(plan) else { return Ok(None) };
        let width = plan.schema().fields().len();
        if source.values.len() * width > VALUES_MAX {
            return Ok(None);
        }
        let mut rows = Vec::with_capacity(source.values.len());
        for row in &source.values {
            let composed = composed(plan, row)?;
            if !composed.iter().all(is_constant) {
                return Ok(None);
            }
            rows.push(composed);
        }
        let (given, rows) = with_columns_for_parameters(rows, parameters)?;
        let analyzed = analyzed(state, &given, rows)?;
        let LogicalPlan::Projection(Projection { expr, input, .. }) = analyzed else {
            return Ok(None);
        };
        let (properties, context) = (state.execution_props(), PhysicalPlanningContext::default());
        let compiled = expr
            .iter()
            .map(|expr| create_physical_expr(expr, input.schema(), properties, &context))
            .collect::<DfResult<Vec<_>>>()?;
        let columns = plan.schema().fields().iter();
        let columns = columns.map(|field| field.as_ref().clone().with_nullable(true));
        Ok(Some(Self {
            given: Arc::new(given.as_arrow().clone()),
            columns: Arc::new(Schema::new(columns.collect::<Vec<_>>())),
            values: compiled.chunks(width.max(1)).map(<[_]>::to_vec).collect(),
        }))
    }

    /// The rows with these parameters, at this time (nanoseconds since 1970 UTC).
    pub(crate) fn evaluate(
        &self,
        parameters: &[ScalarValue],
        now_nanos: i64,
    ) -> DfResult<RecordBatch> {
        let mut given =
            parameters.iter().map(ScalarValue::to_array).collect::<DfResult<Vec<ArrayRef>>>()?;
        if let Some(field) = self.given.fields().get(given.len()) {
            let now = ScalarValue::TimestampNanosecond(Some(now_nanos), None);
            given.push(now.cast_to(field.data_type())?.to_array()?);
        }
        let one_row = RecordBatchOptions::new().with_row_count(Some(1));
        let given = RecordBatch::try_new_with_options(Arc::clone(&self.given), given, &one_row)?;
        let columns = (0..self.columns.fields().len()).map(|column| {
            let values = self.values.iter().map(|row| row[column].evaluate(&given)?.into_array(1));
            let values = values.collect::<DfResult<Vec<ArrayRef>>>()?;
            match values.as_slice() {
                [one] => Ok(Arc::clone(one)),
                several => {
                    let several: Vec<_> = several.iter().map(AsRef::as_ref).collect();
                    Ok(concat(&several)?)
                }
            }
        });
        let columns = columns.collect::<DfResult<Vec<ArrayRef>>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(self.values.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.columns), columns, &rows)?)
    }
}

/// The VALUES below projections alone.
fn values_of(plan: &LogicalPlan) -> Option<&Values> {
    match plan {
        LogicalPlan::Values(values) => Some(values),
        LogicalPlan::Projection(projection) => values_of(&projection.input),
        _ => None,
    }
}

/// What the plan makes of one row of its VALUES.
fn composed(plan: &LogicalPlan, row: &[Expr]) -> DfResult<Vec<Expr>> {
    let LogicalPlan::Projection(Projection { expr, input, .. }) = plan else {
        return Ok(row.to_vec());
    };
    let below = composed(input, row)?;
    let put = |expr: Expr| match &expr {
        Expr::Column(column) => match input.schema().maybe_index_of_column(column) {
            Some(at) => Ok(Transformed::yes(below[at].clone())),
            None => Err(plan_datafusion_err!("column {column} is not below its projection")),
        },
        _ => Ok(Transformed::no(expr)),
    };
    expr.iter().map(|expr| Ok(expr.clone().unalias().transform_up(put)?.data.unalias())).collect()
}

/// Whether an expression gives the same for the same parameters, at the same time.
fn is_constant(expr: &Expr) -> bool {
    let mut constant = true;
    let looked = expr.apply(|expr| {
        constant &= match expr {
            Expr::ScalarFunction(call) => {
                is_now(expr) || call.func.signature().volatility == Volatility::Immutable
            }
            Expr::Literal(..)
            | Expr::Placeholder(_)
            | Expr::Alias(_)
            | Expr::BinaryExpr(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::InList(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotNull(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotUnknown(_)
            | Expr::IsNull(_)
            | Expr::IsTrue(_)
            | Expr::IsUnknown(_)
            | Expr::Like(_)
            | Expr::Negative(_)
            | Expr::Not(_)
            | Expr::SimilarTo(_) => true,
            _ => false,
        };
        Ok(if constant { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    looked.is_ok() && constant
}

fn is_now(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.name() == "now" && call.args.is_empty())
}

/// Puts a column of the given row in place of each parameter and of `now()`.
fn with_columns_for_parameters(
    rows: Vec<Vec<Expr>>,
    parameters: &[ScalarValue],
) -> DfResult<(DFSchemaRef, Vec<Vec<Expr>>)> {
    let mut fields: Vec<Field> = parameters
        .iter()
        .enumerate()
        .map(|(at, value)| Field::new(format!("${}", at + 1), value.data_type(), true))
        .collect();
    let mut now = None;
    let mut put = |expr: Expr| {
        if is_now(&expr) {
            now = Some(Field::new(NOW, expr.get_type(&DFSchema::empty())?, true));
            return Ok(Transformed::yes(Expr::Column(Column::new_unqualified(NOW))));
        }
        match &expr {
            Expr::Placeholder(placeholder) => {
                let column = Column::new_unqualified(placeholder.id.as_str());
                Ok(Transformed::yes(Expr::Column(column)))
            }
            _ => Ok(Transformed::no(expr)),
        }
    };
    let rows = rows
        .into_iter()
        .map(|row| row.into_iter().map(|expr| Ok(expr.transform_up(&mut put)?.data)).collect())
        .collect::<DfResult<Vec<Vec<Expr>>>>()?;
    fields.extend(now);
    Ok((Arc::new(DFSchema::try_from(Schema::new(fields))?), rows))
}

/// The values as one projection of the given row, its types coerced and its casts made PostgreSQL's.
fn analyzed(
    state: &SessionState,
    given: &DFSchemaRef,
    rows: Vec<Vec<Expr>>,
) -> DfResult<LogicalPlan> {
    let values = rows.into_iter().flatten().enumerate();
    let values = values.map(|(at, expr)| expr.alias(format!("{at}"))).collect();
    let empty = EmptyRelation { produce_one_row: true, schema: Arc::clone(given) };
    let plan = Projection::try_new(values, Arc::new(LogicalPlan::EmptyRelation(empty)))?;
    let plan = LogicalPlan::Projection(plan);
    state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})
}
