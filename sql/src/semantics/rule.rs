//! The analyzer's rules: literals of unknown type before type coercion, conversions after it.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, TryCast};
use datafusion::optimizer::AnalyzerRule;
use ingest::text::Zone;

use super::{arithmetic, cast, interval, unknown, zoned};

/// Text literals in `IN` and `BETWEEN` are read as what they are compared with.
#[derive(Debug)]
pub(super) struct UnknownLiterals;

impl AnalyzerRule for UnknownLiterals {
    fn name(&self) -> &str {
        "unknown_literals"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        each_expression(plan, |expr, schema| {
            expr.transform_up(|expr| Ok(Transformed::yes(unknown::in_lists(expr, schema))))
        })
    }
}

/// Casts and integer arithmetic that Arrow's kernels do otherwise than PostgreSQL.
#[derive(Debug)]
pub(super) struct Conversions;

impl AnalyzerRule for Conversions {
    fn name(&self) -> &str {
        "conversions"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let zone = super::zone(config.execution.time_zone.as_deref());
        let converted = each_expression(plan, |expr, schema| {
            expr.transform_up(|expr| converted(expr, schema, zone))
        })?;
        Ok(converted.transform_up_with_subqueries(interval::sorted)?.data)
    }
}

/// The literals of one expression that is in no plan, such as a CHECK.
pub(crate) fn read_literals(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let read = expr.transform_up(|expr| Ok(Transformed::yes(unknown::in_lists(expr, schema))))?;
    Ok(read.data)
}

/// The conversions of one coerced expression that is in no plan, such as a CHECK.
pub(crate) fn convert(expr: Expr, schema: &DFSchema, config: &ConfigOptions) -> Result<Expr> {
    let zone = super::zone(config.execution.time_zone.as_deref());
    expr.transform_up(|expr| converted(expr, schema, zone)).map(|done| done.data)
}

/// Applies `change` to each expression of a plan and its subqueries. Columns keep their names.
pub(super) fn each_expression(
    plan: LogicalPlan,
    change: impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let changed = plan.transform_up_with_subqueries(|plan| {
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            schema.merge(&DFSchema::try_from_qualified_schema(
                scan.table_name.clone(),
                &scan.source.schema(),
            )?);
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(change(expr, &schema)?.update_data(|expr| name.restore(expr)))
        })?
        .map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(changed.data)
}

fn converted(expr: Expr, schema: &DFSchema, zone: Zone) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Cast(Cast { expr, field }) => {
            let (_, source) = expr.to_field(schema)?;
            match cast::Conversion::new(&source, &field, zone, false) {
                Some(conversion) => Ok(Transformed::yes(conversion.of(*expr)?)),
                None => Ok(Transformed::no(Expr::Cast(Cast { expr, field }))),
            }
        }
        Expr::TryCast(TryCast { expr, field }) => {
            let (_, source) = expr.to_field(schema)?;
            match cast::Conversion::new(&source, &field, zone, true) {
                Some(conversion) => Ok(Transformed::yes(conversion.of(*expr)?)),
                None => Ok(Transformed::no(Expr::TryCast(TryCast { expr, field }))),
            }
        }
        Expr::BinaryExpr(binary) => match arithmetic::checked(&binary, schema) {
            Some(function) => {
                let arguments = vec![*binary.left, *binary.right];
                Ok(Transformed::yes(Arc::new(function).call(arguments)))
            }
            None => Ok(Transformed::yes(interval::compared(Expr::BinaryExpr(binary), schema)?)),
        },
        Expr::ScalarFunction(call) => zoned::in_zone(call, schema, zone),
        expr @ (Expr::Between(_) | Expr::InList(_) | Expr::AggregateFunction(_)) => {
            Ok(Transformed::yes(interval::compared(expr, schema)?))
        }
        other => Ok(Transformed::no(other)),
    }
}
