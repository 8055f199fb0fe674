//! `time AT TIME ZONE zone`: an instant as a zone's clocks show it, or the instant when they show a
//! time.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use ingest::text::Zone;

use super::cast::Conversion;
use crate::error::{Error, state};

/// `timezone(zone, time)`.
pub(crate) fn function() -> ScalarUDF {
    ScalarUDF::from(TimeZone { signature: Signature::any(2, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeZone {
    signature: Signature,
}

impl ScalarUDFImpl for TimeZone {
    fn name(&self) -> &str {
        "timezone"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.get(1) {
            Some(DataType::Timestamp(_, Some(_))) => Ok(micros(None)),
            // As in PostgreSQL, a date is midnight in the session's zone; which needs a cast first.
            Some(DataType::Timestamp(_, None)) => Ok(micros(Some("UTC"))),
            other => Err(Error::new(
                state::UNDEFINED_FUNCTION,
                format!(
                    "function timezone(text, {}) does not exist",
                    other.map_or_else(String::new, type_name)
                ),
            )
            .with_hint("Cast the time to timestamp or timestamptz.")
            .into()),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ScalarFunctionArgs { args, arg_fields, return_field, .. } = arguments;
        let [ColumnarValue::Scalar(name), time] = args.as_slice() else {
            return Err(Error::unsupported("AT TIME ZONE needs the same zone for all rows").into());
        };
        let Some(Some(name)) = name.try_as_str() else {
            let null = ScalarValue::try_from(return_field.data_type())?;
            return Ok(ColumnarValue::Scalar(null));
        };
        let zone = Zone::named(name).or_else(|| super::fixed(name)).ok_or_else(|| {
            Error::new(
                state::INVALID_PARAMETER_VALUE,
                format!("time zone \"{name}\" not recognized"),
            )
        })?;
        let target = Arc::new(Field::new("", return_field.data_type().clone(), true));
        let Some(conversion) = Conversion::new(&arg_fields[1], &target, zone, false) else {
            return time.cast_to(return_field.data_type(), None);
        };
        Ok(match time {
            ColumnarValue::Array(times) => ColumnarValue::Array(conversion.convert(times)?),
            ColumnarValue::Scalar(value) => {
                let converted = conversion.convert(&value.to_array()?)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&converted, 0)?)
            }
        })
    }
}

fn micros(zone: Option<&str>) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, zone.map(Arc::from))
}

fn type_name(data_type: &DataType) -> String {
    crate::types::type_name(&Field::new("", data_type.clone(), true))
}
