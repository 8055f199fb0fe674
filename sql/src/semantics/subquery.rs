//! Subqueries that depend on the row and stand where one value does: `(SELECT price FROM prices p WHERE
//! p.item = o.item)`.
//!
//! The planner joins such a subquery's rows to those outside, which it allows only where an aggregate
//! leaves one. So the first two values are aggregated, and looked at after the join: a second one is an
//! error for the rows that it concerns, and for no other.
//! Never: one of several values, unless `LIMIT 1` asks for it.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{ScalarValue, Spans};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::first_value;
use datafusion::logical_expr::expr::Sort as SortExpr;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Expr, Limit, LogicalPlan,
    LogicalPlanBuilder, Projection, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Sort, Subquery, Volatility,
};

use super::rule::each_expression;
use crate::error::{Error, state};

/// How many values tell that there is more than one.
const ENOUGH: usize = 2;

/// What the value is called: the planner puts columns of the subquery beside it.
const VALUE: &str = "__tarn_value";

static FIRST_TWO: LazyLock<Arc<AggregateUDF>> =
    LazyLock::new(|| Arc::new(AggregateUDF::from(FirstTwo::new())));
static ONLY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(Only::new())));

/// The plan with such subqueries in the form that the planner can join.
pub(crate) fn aggregate_subqueries(plan: LogicalPlan) -> Result<LogicalPlan> {
    // Most statements have none, and are not gone through for writing.
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| {
                Ok(matches!(expr, Expr::ScalarSubquery(subquery) if needs_aggregate(subquery)))
            })?;
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    if !found {
        return Ok(plan);
    }
    each_expression(plan, |expr, _| {
        expr.transform_up(|expr| match expr {
            Expr::ScalarSubquery(subquery) if needs_aggregate(&subquery) => {
                Ok(Transformed::yes(aggregated(&subquery)?))
            }
            other => Ok(Transformed::no(other)),
        })
    })
}

fn needs_aggregate(subquery: &Subquery) -> bool {
    let plan = subquery.subquery.as_ref();
    let correlated = !subquery.outer_ref_columns.is_empty();
    correlated
        && plan.schema().fields().len() == 1
        && (is_first(plan) || plan.max_rows().is_none_or(|most| most > 1))
}

fn aggregated(subquery: &Subquery) -> Result<Expr> {
    let plan = subquery.subquery.as_ref();
    let with = |plan: LogicalPlan| Subquery {
        subquery: Arc::new(plan),
        outer_ref_columns: subquery.outer_ref_columns.clone(),
        spans: Spans::new(),
    };
    if let LogicalPlan::Limit(limit) = plan
        && is_first(plan)
    {
        let (value, order, input) = sorted(&limit.input);
        let first = first_value(value, order).alias(VALUE);
        let plan = LogicalPlanBuilder::from(input).aggregate(Vec::<Expr>::new(), [first])?;
        return Ok(Expr::ScalarSubquery(with(plan.build()?)));
    }
    let value = Expr::Column(plan.schema().columns().swap_remove(0));
    let two = FIRST_TWO.call(vec![value]).alias(VALUE);
    let plan = LogicalPlanBuilder::from(plan.clone()).aggregate(Vec::<Expr>::new(), [two])?;
    Ok(ONLY.call(vec![Expr::ScalarSubquery(with(plan.build()?))]))
}

/// Whether it is `... LIMIT 1`.
fn is_first(plan: &LogicalPlan) -> bool {
    let number = |expr: &Option<Box<Expr>>| match expr.as_deref() {
        Some(Expr::Literal(ScalarValue::Int64(number), _)) => *number,
        _ => None,
    };
    let LogicalPlan::Limit(Limit { skip, fetch, .. }) = plan else { return false };
    number(fetch) == Some(1) && (skip.is_none() || number(skip) == Some(0))
}

/// The value and the order of sorted rows, over the rows before they were sorted.
fn sorted(plan: &LogicalPlan) -> (Expr, Vec<SortExpr>, LogicalPlan) {
    let only = |plan: &LogicalPlan| Expr::Column(plan.schema().columns().swap_remove(0));
    match plan {
        LogicalPlan::Sort(Sort { expr, input, .. }) => {
            (only(input), expr.clone(), input.as_ref().clone())
        }
        // What sorts is not all that is given.
        LogicalPlan::Projection(Projection { expr, input, .. })
            if let LogicalPlan::Sort(sort) = input.as_ref() =>
        {
            (expr[0].clone().unalias(), sort.expr.clone(), sort.input.as_ref().clone())
        }
        other => (only(other), Vec::new(), other.clone()),
    }
}

/// The first two values that come, NULLs among them, as a list.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FirstTwo {
    signature: Signature,
}

impl FirstTwo {
    fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

fn list_of(value: &FieldRef) -> DataType {
    // What the type is in PostgreSQL goes along.
    DataType::List(Arc::new(value.as_ref().clone().with_name("item").with_nullable(true)))
}

impl AggregateUDFImpl for FirstTwo {
    fn name(&self) -> &'static str {
        "first_two"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(list_of(&Arc::new(Field::new("item", arguments[0].clone(), true))))
    }

    fn return_field(&self, arguments: &[FieldRef]) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), list_of(&arguments[0]), true)))
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let list = arguments.return_field.data_type().clone();
        Ok(vec![Arc::new(Field::new("values", list, true))])
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let DataType::List(item) = arguments.return_field.data_type() else {
            return Err(Error::internal("first_two gives a list").into());
        };
        Ok(Box::new(Values { item: Arc::clone(item), values: Vec::new() }))
    }
}

#[derive(Debug)]
struct Values {
    item: FieldRef,
    values: Vec<ScalarValue>,
}

impl Values {
    fn add(&mut self, values: &ArrayRef) -> Result<()> {
        for row in 0..values.len().min(ENOUGH - self.values.len()) {
            self.values.push(ScalarValue::try_from_array(values, row)?);
        }
        Ok(())
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        lists.iter().flatten().try_for_each(|values| self.add(&values))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let item = Arc::clone(&self.item);
        let values = match self.values.is_empty() {
            true => arrow::array::new_empty_array(item.data_type()),
            false => ScalarValue::iter_to_array(self.values.clone())?,
        };
        let list = arrow::array::ListArray::try_new(
            item,
            arrow::buffer::OffsetBuffer::from_lengths([values.len()]),
            values,
            None,
        )?;
        Ok(ScalarValue::List(Arc::new(list)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + ScalarValue::size_of_vec(&self.values)
    }
}

/// The one value of a list; NULL where there is none; an error where there are more.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Only {
    signature: Signature,
}

impl Only {
    fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Only {
    fn name(&self) -> &'static str {
        "only"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match &arguments[0] {
            DataType::List(item) => Ok(item.data_type().clone()),
            _ => Err(Error::internal("only() takes a list").into()),
        }
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        match arguments.arg_fields[0].data_type() {
            DataType::List(item) => Ok(Arc::clone(item)),
            _ => Err(Error::internal("only() takes a list").into()),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let lists = arguments.args[0].to_array(arguments.number_rows)?;
        let lists = lists.as_list::<i32>();
        let places = (0..lists.len()).map(|row| match lists.value_offsets()[row..] {
            _ if lists.is_null(row) => Ok(None),
            [start, end, ..] if end - start == 1 => Ok(u32::try_from(start).ok()),
            [start, end, ..] if end > start => Err(Error::new(
                state::CARDINALITY_VIOLATION,
                "more than one row returned by a subquery used as an expression",
            )),
            _ => Ok(None),
        });
        let places = places.collect::<Result<UInt32Array, Error>>()?;
        Ok(ColumnarValue::Array(take(lists.values(), &places, None)?))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    fn values() -> Values {
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        Values { item, values: Vec::new() }
    }

    #[test]
    fn two_values_are_enough() {
        let mut all = values();
        all.update_batch(&[Arc::new(Int64Array::from(vec![None, Some(1), Some(2)]))]).unwrap();
        all.update_batch(&[Arc::new(Int64Array::from(vec![3]))]).unwrap();
        assert_eq!(all.values, [ScalarValue::Int64(None), ScalarValue::Int64(Some(1))]);
    }

    #[test]
    fn states_add_up() {
        let (mut one, mut none, mut all) = (values(), values(), values());
        one.update_batch(&[Arc::new(Int64Array::from(vec![7]))]).unwrap();
        for part in [&mut none, &mut one] {
            let state = part.state().unwrap().swap_remove(0).to_array().unwrap();
            all.merge_batch(&[state]).unwrap();
        }
        assert_eq!(all.values, [ScalarValue::Int64(Some(7))]);
        all.merge_batch(&[one.state().unwrap().swap_remove(0).to_array().unwrap()]).unwrap();
        assert_eq!(all.values.len(), 2);
    }
}
