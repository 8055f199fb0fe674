//! `now()` and its like: one moment for a whole transaction, an instant with a time zone.
//!
//! Never: `now()` of two statements of a transaction differ.

use std::time::SystemTime;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};

use super::timezone;
use crate::error::Error;

/// `now()`, `localtimestamp`, `clock_timestamp()`.
pub(crate) fn functions() -> [ScalarUDF; 3] {
    [Clock::Transaction, Clock::Local, Clock::Wall].map(|clock| {
        let volatility = match clock {
            Clock::Wall => Volatility::Volatile,
            Clock::Transaction | Clock::Local => Volatility::Stable,
        };
        let aliases: &[&str] = match clock {
            Clock::Transaction => {
                &["current_timestamp", "transaction_timestamp", "statement_timestamp"]
            }
            Clock::Local | Clock::Wall => &[],
        };
        let signature = Signature::nullary(volatility);
        ScalarUDF::from(Now { clock, signature }).with_aliases(aliases.iter().copied())
    })
}

/// Which moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Clock {
    /// When the transaction, or the statement outside of one, began.
    Transaction,
    /// The same, as the clocks of the session's zone show it.
    Local,
    /// When the function is called.
    Wall,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Now {
    clock: Clock,
    signature: Signature,
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        match self.clock {
            Clock::Transaction => "now",
            Clock::Local => "localtimestamp",
            Clock::Wall => "clock_timestamp",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.clock {
            Clock::Local => DataType::Timestamp(TimeUnit::Microsecond, None),
            Clock::Transaction | Clock::Wall => instant(),
        })
    }

    #[expect(clippy::disallowed_methods, reason = "the wall clock is what it tells")]
    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if self.clock != Clock::Wall {
            return Err(Error::internal("the time of a statement is put into its plan").into());
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        let now = ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
        Ok(ColumnarValue::Scalar(now))
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let (Some(start), false) = (info.query_execution_start_time(), self.clock == Clock::Wall)
        else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        let micros = Some(start.timestamp_micros());
        let now = lit(ScalarValue::TimestampMicrosecond(micros, Some("UTC".into())));
        if self.clock == Clock::Transaction {
            return Ok(ExprSimplifyResult::Simplified(now));
        }
        let zone = info.config_options().execution.time_zone.clone();
        let zone = zone.unwrap_or_else(|| "UTC".to_owned());
        Ok(ExprSimplifyResult::Simplified(timezone::function().call(vec![lit(zone), now])))
    }
}
