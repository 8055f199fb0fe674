//! The order of intervals: by their length, with 30 days to a month and 24 hours to a day, as in
//! PostgreSQL. Arrow compares months first, then days, then the rest.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{
    Between, BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Sort, Volatility,
};

use crate::error::Error;

const NANOS_PER_DAY: i128 = 86_400_000_000_000;
const DAYS_PER_MONTH: i128 = 30;

/// Comparisons of intervals by their lengths.
pub(super) fn compared(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if is_comparison(op) && is_interval(&left, schema) && is_interval(&right, schema) =>
        {
            Expr::BinaryExpr(BinaryExpr::new(Box::new(length(*left)), op, Box::new(length(*right))))
        }
        Expr::Between(Between { expr, negated, low, high }) if is_interval(&expr, schema) => {
            let [expr, low, high] = [expr, low, high].map(|one| Box::new(length(*one)));
            Expr::Between(Between { expr, negated, low, high })
        }
        Expr::InList(InList { expr, list, negated }) if is_interval(&expr, schema) => {
            let list = list.into_iter().map(length).collect();
            Expr::InList(InList { expr: Box::new(length(*expr)), list, negated })
        }
        Expr::AggregateFunction(call)
            if matches!(call.func.name(), "min" | "max")
                && call.params.args.iter().any(|argument| is_interval(argument, schema)) =>
        {
            let name = call.func.name().to_owned();
            return Err(Error::unsupported(format!("{name}(interval) is not supported"))
                .with_hint(format!("Use {name}(extract(epoch FROM x)) * interval '1 second'."))
                .into());
        }
        other => other,
    })
}

/// Sorts of intervals by their lengths.
pub(super) fn sorted(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Sort(Sort { mut expr, input, fetch }) = plan else {
        return Ok(Transformed::no(plan));
    };
    let mut changed = false;
    for key in &mut expr {
        if is_interval(&key.expr, input.schema()) {
            key.expr = length(std::mem::take(&mut key.expr));
            changed = true;
        }
    }
    let sort = LogicalPlan::Sort(Sort { expr, input, fetch });
    Ok(if changed { Transformed::yes(sort) } else { Transformed::no(sort) })
}

fn is_comparison(op: Operator) -> bool {
    use Operator as O;
    matches!(
        op,
        O::Eq
            | O::NotEq
            | O::Lt
            | O::LtEq
            | O::Gt
            | O::GtEq
            | O::IsDistinctFrom
            | O::IsNotDistinctFrom
    )
}

fn is_interval(expr: &Expr, schema: &DFSchema) -> bool {
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    expr.get_type(schema).is_ok_and(|found| found == interval)
}

fn length(interval: Expr) -> Expr {
    let function = Length { signature: Signature::any(1, Volatility::Immutable) };
    ScalarUDF::from(function).call(vec![interval])
}

/// `interval_length(interval)`, in nanoseconds.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Length {
    signature: Signature,
}

impl ScalarUDFImpl for Length {
    fn name(&self) -> &str {
        "interval_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Decimal128(38, 0))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [intervals] = columns.as_slice() else {
            return Err(Error::internal("the length of one interval is asked for").into());
        };
        let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
        let lengths: Decimal128Array = intervals
            .iter()
            .map(|interval| {
                let interval = interval?;
                let days = i128::from(interval.months) * DAYS_PER_MONTH + i128::from(interval.days);
                Some(days * NANOS_PER_DAY + i128::from(interval.nanoseconds))
            })
            .collect();
        let lengths: ArrayRef = Arc::new(lengths.with_precision_and_scale(38, 0)?);
        Ok(ColumnarValue::Array(lengths))
    }
}
