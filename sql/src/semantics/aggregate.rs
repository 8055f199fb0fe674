//! `sum` and `avg` of integers, which are exact in PostgreSQL: `numeric` where `bigint` could overflow.
//!
//! Never: a sum that wrapped around.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, WindowFunctionDefinition};

/// The decimal that every `bigint` fits.
const BIGINT: DataType = DataType::Decimal128(19, 0);
/// What an average is computed from: four more digits come behind the point.
const AVERAGED_INTEGER: DataType = DataType::Decimal128(22, 12);
/// As above, of `bigint`: as many digits as can be added up in 128 bits over a billion rows.
const AVERAGED_BIGINT: DataType = DataType::Decimal128(25, 6);

/// The aggregate over decimals, where its argument is an integer.
pub(super) fn exact(mut expr: Expr, schema: &DFSchema) -> Expr {
    let (name, arguments) = match &mut expr {
        Expr::AggregateFunction(AggregateFunction { func, params }) => {
            (func.name().to_owned(), &mut params.args)
        }
        Expr::WindowFunction(window) => match &window.fun {
            WindowFunctionDefinition::AggregateUDF(func) => {
                (func.name().to_owned(), &mut window.params.args)
            }
            WindowFunctionDefinition::WindowUDF(_) => return expr,
        },
        _ => return expr,
    };
    if let [argument] = arguments.as_mut_slice()
        && let Ok(data_type) = argument.get_type(schema)
        && let Some(wide) = widened(&name, &data_type)
    {
        let narrow = std::mem::take(argument);
        *argument = Expr::Cast(Cast::new(Box::new(narrow), wide));
    }
    expr
}

/// The decimal that an integer is made before it is aggregated.
fn widened(function: &str, data_type: &DataType) -> Option<DataType> {
    match (function, data_type) {
        ("avg", DataType::Int64) => Some(AVERAGED_BIGINT),
        ("avg", DataType::Int16 | DataType::Int32) => Some(AVERAGED_INTEGER),
        ("sum", DataType::Int64) => Some(BIGINT),
        _ => None,
    }
}
