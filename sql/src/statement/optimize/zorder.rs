//! The Z-order of rows over several columns (Morton, *A Computer Oriented Geodetic Data Base*, 1966).
//!
//! A column's values become ranks among a sample of them, so that skew and types play no part, and the
//! bits of the ranks are interleaved. Rows near each other in that order are near in every column.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt64Array};
use arrow::datatypes::DataType;
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::error::Result as DfResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, SortExpr, Volatility, ident,
};
use futures::TryStreamExt;

use crate::error::{Error, Result};
use crate::statement::select;

/// More columns would leave each of them too few bits to matter.
pub(super) const COLUMNS_MAX: usize = 6;
/// Bits of a rank.
const BITS: usize = 10;
/// Values of a column that ranks are taken from.
const SAMPLE_MAX: usize = 16_384;

/// What orders rows.
#[derive(Debug)]
pub(super) struct ZOrder {
    columns: Vec<String>,
    ranks: Arc<ZValue>,
}

/// `zvalue(column, ...)`.
#[derive(Debug)]
struct ZValue {
    signature: Signature,
    columns: Vec<Ranks>,
}

/// The values of a column at which its rank grows, ascending, as bytes that compare as they do.
#[derive(Debug)]
struct Ranks {
    converter: RowConverter,
    bounds: Vec<OwnedRow>,
}

impl ZOrder {
    /// Looks at the rows of a plan once to learn how each column's values are spread.
    pub(super) async fn sample(
        state: &SessionState,
        plan: LogicalPlan,
        columns: &[String],
    ) -> Result<Self> {
        let wanted = columns.iter().map(ident);
        let plan = LogicalPlanBuilder::from(plan).project(wanted)?.build()?;
        let fields = plan.schema().fields().iter().map(|field| field.data_type().clone());
        let mut samples = fields.map(Sample::new).collect::<Result<Vec<_>>>()?;
        let mut rows = select::execute(state, plan).await?;
        while let Some(batch) = rows.try_next().await? {
            for (sample, column) in samples.iter_mut().zip(batch.columns()) {
                sample.add(column)?;
            }
        }
        let ranks = samples.into_iter().map(Sample::ranks).collect();
        let signature = Signature::any(columns.len(), Volatility::Immutable);
        let ranks = Arc::new(ZValue { signature, columns: ranks });
        Ok(Self { columns: columns.to_vec(), ranks })
    }

    /// What to sort by.
    pub(super) fn expression(&self) -> SortExpr {
        let function = Arc::new(ScalarUDF::new_from_shared_impl(Arc::clone(&self.ranks) as _));
        let arguments = self.columns.iter().map(ident).collect();
        Expr::ScalarFunction(ScalarFunction::new_udf(function, arguments)).sort(true, true)
    }
}

/// Some of a column's values: every `step`th.
struct Sample {
    converter: RowConverter,
    values: Vec<OwnedRow>,
    step: usize,
    /// Rows until the next value is taken.
    skip: usize,
}

impl Sample {
    fn new(data_type: DataType) -> Result<Self> {
        if !RowConverter::supports_fields(&[SortField::new(data_type.clone())]) {
            return Err(Error::unsupported(format!("ZORDER BY a column of {data_type}")));
        }
        let converter = RowConverter::new(vec![SortField::new(data_type)])?;
        Ok(Self { converter, values: Vec::new(), step: 1, skip: 0 })
    }

    fn add(&mut self, column: &ArrayRef) -> Result<()> {
        let rows = self.converter.convert_columns(&[Arc::clone(column)])?;
        let mut at = self.skip;
        while at < column.len() {
            self.values.push(rows.row(at).owned());
            if self.values.len() >= SAMPLE_MAX {
                // Every other one goes, and from here on every other is taken.
                let mut keep = false;
                self.values.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.step *= 2;
            }
            at += self.step;
        }
        self.skip = at - column.len();
        Ok(())
    }

    fn ranks(mut self) -> Ranks {
        self.values.sort_unstable();
        let count = self.values.len();
        let ranks = 1 << BITS;
        let mut bounds: Vec<OwnedRow> =
            (1..ranks).filter_map(|rank| self.values.get(rank * count / ranks).cloned()).collect();
        bounds.dedup();
        Ranks { converter: self.converter, bounds }
    }
}

impl Ranks {
    /// The rank of each value, spread over all bits.
    fn of(&self, column: &ArrayRef) -> DfResult<Vec<u64>> {
        let rows = self.converter.convert_columns(&[Arc::clone(column)])?;
        // Few different values use the high bits, as many do.
        let shift =
            BITS - self.bounds.len().checked_ilog2().map_or(0, |log| log as usize + 1).min(BITS);
        let rank = |row: arrow::row::Row<'_>| {
            let below =
                self.bounds.partition_point(|bound| bound.row().cmp(&row) != Ordering::Greater);
            (below as u64) << shift
        };
        Ok(rows.iter().map(rank).collect())
    }
}

impl PartialEq for ZValue {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for ZValue {}

impl Hash for ZValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::from_ref(self).hash(state);
    }
}

impl ScalarUDFImpl for ZValue {
    fn name(&self) -> &str {
        "zvalue"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(DataType::UInt64)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&arguments.args)?;
        let mut values = vec![0_u64; arguments.number_rows];
        for (at, (ranks, column)) in self.columns.iter().zip(&columns).enumerate() {
            for (value, rank) in values.iter_mut().zip(ranks.of(column)?) {
                *value |= spread(rank, self.columns.len()) << (self.columns.len() - 1 - at);
            }
        }
        Ok(ColumnarValue::Array(Arc::new(UInt64Array::from(values))))
    }
}

/// The bits of a rank, `stride` apart.
fn spread(rank: u64, stride: usize) -> u64 {
    (0..BITS).fold(0, |spread, bit| spread | ((rank >> bit & 1) << (bit * stride)))
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn bits_are_interleaved() {
        assert_eq!(spread(0b1011, 1), 0b1011);
        assert_eq!(spread(0b1011, 2), 0b0100_0101);
        assert_eq!(spread(0b11_1111_1111, 6), (0..10).map(|bit| 1_u64 << (bit * 6)).sum::<u64>());
    }
}
