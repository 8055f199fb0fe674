//! The Z-order of rows over several columns (Morton, *A Computer Oriented Geodetic Data Base*, 1966).
//!
//! A column's values become ranks among a sample of them, so that skew and types play no part, and the
//! bits of the ranks are interleaved. Rows near each other in that order are near in every column.

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
const RANKS: usize = 1 << BITS;
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

/// The first value of each rank of a column, ascending, as bytes that compare as they do.
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
        let bounds = (0..RANKS).filter_map(|rank| self.values.get(rank * count / RANKS).cloned());
        Ranks { bounds: bounds.collect(), converter: self.converter }
    }
}

impl Ranks {
    /// The rank of each value: the share of the rows that are before it, in parts of `RANKS`. So each
    /// bit halves the rows, however they are spread, and a value that many rows share has one rank.
    fn of(&self, column: &ArrayRef) -> DfResult<Vec<u64>> {
        let rows = self.converter.convert_columns(&[Arc::clone(column)])?;
        let rank = |row: arrow::row::Row<'_>| {
            let before = self.bounds.partition_point(|bound| bound.row() < row);
            let begins = self.bounds.get(before).is_some_and(|bound| bound.row() == row);
            if begins { before as u64 } else { before.saturating_sub(1) as u64 }
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
        Ok(ColumnarValue::Array(Arc::new(UInt64Array::from(self.values(&columns)?))))
    }
}

impl ZValue {
    /// The place of each row in the order.
    fn values(&self, columns: &[ArrayRef]) -> DfResult<Vec<u64>> {
        let rows = columns.first().map_or(0, |column| column.len());
        let mut values = vec![0_u64; rows];
        for (at, (ranks, column)) in self.columns.iter().zip(columns).enumerate() {
            for (value, rank) in values.iter_mut().zip(ranks.of(column)?) {
                *value |= spread(rank, self.columns.len()) << (self.columns.len() - 1 - at);
            }
        }
        Ok(values)
    }
}

/// The bits of a rank, `stride` apart.
fn spread(rank: u64, stride: usize) -> u64 {
    (0..BITS).fold(0, |spread, bit| spread | ((rank >> bit & 1) << (bit * stride)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use arrow::array::{Array, ArrayRef, Int64Array, StringArray};
    use datafusion::logical_expr::{Signature, Volatility};

    use super::{Sample, ZValue, spread};

    #[test]
    fn bits_are_interleaved() {
        assert_eq!(spread(0b1011, 1), 0b1011);
        assert_eq!(spread(0b1011, 2), 0b0100_0101);
        assert_eq!(spread(0b11_1111_1111, 6), (0..10).map(|bit| 1_u64 << (bit * 6)).sum::<u64>());
    }

    /// Rows in files by that order: how many files a condition on one column opens, of `files`.
    fn opened(columns: &[ArrayRef], files: usize, matches: impl Fn(usize) -> bool) -> usize {
        let ranks = columns.iter().map(|column| {
            let mut sample = Sample::new(column.data_type().clone()).unwrap();
            sample.add(column).unwrap();
            sample.ranks()
        });
        let signature = Signature::any(columns.len(), Volatility::Immutable);
        let order = ZValue { signature, columns: ranks.collect() };
        let values = order.values(columns).unwrap();
        let mut rows: Vec<usize> = (0..values.len()).collect();
        rows.sort_by_key(|row| values[*row]);
        rows.chunks(rows.len() / files).filter(|file| file.iter().any(|row| matches(*row))).count()
    }

    /// A grid of 64 by 64, of which one column is skewed and the other is text. In 16 files a tenth of
    /// either column's values is in few of them, whichever column is asked for.
    #[test]
    fn rows_that_are_near_in_any_column_are_in_few_files() {
        let numbers: Vec<i64> = (0..4096).map(|n: i64| (n * 37 % 64).pow(3)).collect();
        let words: Vec<String> = (0..4096).map(|n: i64| format!("w{:02}", n / 64)).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(numbers.clone())),
            Arc::new(StringArray::from(words.clone())),
        ];
        let low = opened(&columns, 16, |row| numbers[row] < 6 * 6 * 6);
        let first = opened(&columns, 16, |row| *words[row] < *"w06");
        assert!(low <= 4 && first <= 4, "{low} and {first} of 16");
    }

    #[test]
    fn a_sample_stays_small_and_spread() {
        let mut sample = Sample::new(arrow::datatypes::DataType::Int64).unwrap();
        for start in 0..100 {
            let column: ArrayRef =
                Arc::new(Int64Array::from_iter_values(start * 1_000..(start + 1) * 1_000));
            sample.add(&column).unwrap();
        }
        assert!((8_192..16_384).contains(&sample.values.len()), "{}", sample.values.len());
        let ranks = sample.ranks();
        let column: ArrayRef = Arc::new(Int64Array::from(vec![0, 25_000, 50_000, 99_999]));
        let found = ranks.of(&column).unwrap();
        let near = |rank: u64, expected: u64| rank.abs_diff(expected) <= 8;
        assert!(near(found[0], 0) && near(found[1], 256) && near(found[2], 512), "{found:?}");
        assert!(near(found[3], 1_023), "{found:?}");
    }
}
