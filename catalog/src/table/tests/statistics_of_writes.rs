//! Statistics in the log against the rows, computed the naive way.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use datafusion::common::ScalarValue;
use proptest::option;
use proptest::prelude::*;

use super::{clock, memory, place, streamed};
use crate::TableSpec;
use crate::table::{ColumnBounds, LakeTable};

type Row = (
    Option<i32>,
    Option<f64>,
    Option<i128>,
    Option<String>,
    Option<i32>,
    Option<i64>,
    Option<bool>,
);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        option::of(any::<i32>()),
        option::of(prop_oneof![any::<f64>(), Just(f64::NAN), Just(0.0), Just(-0.0)]),
        option::of(-(10_i128.pow(30))..10_i128.pow(30)),
        option::of(prop_oneof![
            "[a-z]{0,5}",
            "[\u{0}-\u{10FFFF}]{30,40}",
            Just(format!("{}!", char::MAX.to_string().repeat(32))),
        ]),
        option::of(-700_000..2_000_000_i32),
        option::of(-60_000_000_000_000_000..250_000_000_000_000_000_i64),
        option::of(any::<bool>()),
    );
    prop::collection::vec(row, 1..40)
}

fn to_batch(rows: &[Row]) -> RecordBatch {
    let decimals = rows.iter().map(|row| row.2).collect::<Decimal128Array>();
    let times = rows.iter().map(|row| row.5).collect::<TimestampMicrosecondArray>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
        Arc::new(decimals.with_precision_and_scale(38, 9).unwrap()),
        Arc::new(rows.iter().map(|row| row.3.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.4).collect::<Date32Array>()),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(rows.iter().map(|row| row.6).collect::<BooleanArray>()),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| Field::new(format!("c{index}"), column.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// As queries compare: NaN above all numbers, and -0 equal to 0.
fn compare(left: &ScalarValue, right: &ScalarValue) -> Ordering {
    match (left, right) {
        (ScalarValue::Float64(Some(left)), ScalarValue::Float64(Some(right))) => {
            (left + 0.0).total_cmp(&(right + 0.0))
        }
        _ => left.partial_cmp(right).unwrap(),
    }
}

fn check_column(bounds: &ColumnBounds, column: &ArrayRef) {
    if let Some(count) = bounds.null_count {
        assert_eq!(count, column.null_count() as u64);
    }
    let values: Vec<ScalarValue> = (0..column.len())
        .map(|row| ScalarValue::try_from_array(column, row).unwrap())
        .filter(|value| !value.is_null())
        .collect();
    let (least, greatest) =
        (values.iter().min_by(|a, b| compare(a, b)), values.iter().max_by(|a, b| compare(a, b)));
    if let (Some(min), Some(least)) = (&bounds.min, least) {
        assert_ne!(compare(min, least), Ordering::Greater, "{min} is above {least}");
    }
    if let (Some(max), Some(greatest)) = (&bounds.max, greatest) {
        assert_ne!(compare(max, greatest), Ordering::Less, "{max} is below {greatest}");
    }
    if bounds.exact {
        assert_eq!((least, greatest), (bounds.min.as_ref(), bounds.max.as_ref()));
    }
}

async fn check(rows: Vec<Row>) {
    let batch = to_batch(&rows);
    let spec = TableSpec::new(batch.schema());
    let table = LakeTable::create(place(&memory()), spec, clock()).await.unwrap();
    // In pieces, so that files may end at the first NaN.
    let middle = rows.len() / 2;
    let pieces = vec![batch.slice(0, middle), batch.slice(middle, rows.len() - middle)];
    let base = table.current();
    let adds = table.write_files(&base, streamed(pieces)).await.unwrap();
    let staged = base.with_staged(&adds, &[]);
    assert_eq!(staged.row_count(), Some(rows.len() as u64));
    let mut seen = 0;
    for file in staged.files() {
        let statistics = file.statistics(&staged.schema);
        let batches = table.read_file(file).await.unwrap();
        let data = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
        assert_eq!(file.row_count(), Some(data.num_rows() as u64));
        seen += data.num_rows();
        for (bounds, column) in statistics.columns.iter().zip(data.columns()) {
            check_column(bounds, column);
        }
        // Integers always have bounds, unless all are NULL.
        let integers = &statistics.columns[0];
        assert_eq!(integers.min.is_some(), data.column(0).null_count() < data.num_rows());
    }
    assert_eq!(seen, rows.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bounds_hold_for_every_row(rows in rows()) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(check(rows));
    }
}
