//! Functions on the parts of a time, which in PostgreSQL are those that the session's clocks show.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable};
use ingest::text::Zone;

use super::cast::Conversion;

/// `date_part` and `date_trunc` of an instant, computed on the time in the zone.
pub(super) fn in_zone(
    mut call: ScalarFunction,
    schema: &DFSchema,
    zone: Zone,
) -> Result<Transformed<Expr>> {
    let name = call.func.name();
    let truncates = name == "date_trunc";
    if zone == Zone::UTC || !(truncates || name == "date_part") {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    }
    // The seconds since 1970 are the same everywhere.
    let epoch = matches!(call.args.first(), Some(Expr::Literal(part, _))
        if part.try_as_str().flatten().is_some_and(|part| part.eq_ignore_ascii_case("epoch")));
    let Some(time) = call.args.get_mut(1).filter(|_| !epoch) else {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    };
    let (_, source) = time.to_field(schema)?;
    let DataType::Timestamp(unit, Some(_)) = source.data_type() else {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    };
    let of_type = |data_type: DataType| -> FieldRef { Arc::new(Field::new("", data_type, true)) };
    let local = of_type(DataType::Timestamp(*unit, None));
    let instant = of_type(source.data_type().clone());
    let Some(to_local) = Conversion::new(&source, &local, zone, false) else {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    };
    *time = to_local.of(std::mem::take(time))?;
    let call = Expr::ScalarFunction(call);
    let back = truncates.then(|| Conversion::new(&local, &instant, zone, false));
    match back.flatten() {
        Some(back) => Ok(Transformed::yes(back.of(call)?)),
        None => Ok(Transformed::yes(call)),
    }
}
