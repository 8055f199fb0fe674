//! `+`, `-` and `*` of integers: a result outside the type's range is an error.
//!
//! Never: a result that wrapped around, which is what DataFusion's own operators give.

use std::sync::Arc;

use arrow::array::Datum;
use arrow::compute::kernels::numeric::{add, mul, sub};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{Error, state};
use crate::types;

/// The function that takes the place of an operator, where both sides are integers of one type.
pub(super) fn checked(binary: &BinaryExpr, schema: &DFSchema) -> Option<ScalarUDF> {
    let operator = match binary.op {
        Operator::Plus => Arithmetic::Plus,
        Operator::Minus => Arithmetic::Minus,
        Operator::Multiply => Arithmetic::Multiply,
        _ => return None,
    };
    let left = binary.left.get_type(schema).ok()?;
    let both = left.is_integer() && binary.right.get_type(schema).ok()? == left;
    both.then(|| {
        ScalarUDF::from(Checked { operator, signature: Signature::any(2, Volatility::Immutable) })
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Arithmetic {
    Plus,
    Minus,
    Multiply,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operator: Arithmetic,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operator {
            Arithmetic::Plus => "plus",
            Arithmetic::Minus => "minus",
            Arithmetic::Multiply => "multiply",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ScalarFunctionArgs { args, return_field, .. } = arguments;
        let [left, right] = args.as_slice() else {
            return Err(Error::internal("an operator has two sides").into());
        };
        let scalar = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let (left, right) = (datum(left)?, datum(right)?);
        let computed = match self.operator {
            Arithmetic::Plus => add(left.as_ref(), right.as_ref()),
            Arithmetic::Minus => sub(left.as_ref(), right.as_ref()),
            Arithmetic::Multiply => mul(left.as_ref(), right.as_ref()),
        };
        let computed = computed.map_err(|error| out_of_range(error, &return_field))?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&computed, 0)?));
        }
        Ok(ColumnarValue::Array(computed))
    }
}

fn datum(value: &ColumnarValue) -> Result<Arc<dyn Datum>> {
    Ok(match value {
        ColumnarValue::Array(array) => Arc::new(Arc::clone(array)),
        ColumnarValue::Scalar(scalar) => Arc::new(scalar.to_scalar()?),
    })
}

/// As PostgreSQL: `integer out of range`.
pub(super) fn out_of_range(error: ArrowError, field: &arrow::datatypes::Field) -> DataFusionError {
    match error {
        ArrowError::ArithmeticOverflow(_) | ArrowError::CastError(_) => Error::new(
            state::NUMERIC_OUT_OF_RANGE,
            format!("{} out of range", types::pg_type_of(field).sql_name),
        )
        .into(),
        other => other.into(),
    }
}
