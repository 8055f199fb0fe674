//! Writes that do not fit in one piece.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{batch, clock, ids, memory, place, schema, streamed};
use crate::table::{Commit, LakeTable};
use crate::{StoreOptions, Stores, TableSpec};

fn numbers() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]))
}

/// Numbers that no encoding makes smaller.
fn noise(range: std::ops::Range<i64>) -> RecordBatch {
    let values = range.map(|value| value.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed()));
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
    RecordBatch::try_new(numbers(), vec![column]).unwrap()
}

#[tokio::test]
async fn a_large_file_goes_up_in_parts_and_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let stores = Stores::new(directory.path().to_str().unwrap(), StoreOptions::default()).unwrap();
    let location = stores.in_warehouse("t").unwrap();
    let table = LakeTable::create(location, TableSpec::new(numbers()), clock()).await.unwrap();
    let base = table.current();
    let batches: Vec<RecordBatch> =
        (0..50).map(|part| noise(part * 65_536..(part + 1) * 65_536)).collect();
    let expected: i64 = batches
        .iter()
        .flat_map(|batch| batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values())
        .fold(0, |sum, value| sum ^ value);
    let adds = table.write_files(&base, streamed(batches)).await.unwrap();
    assert_eq!(adds.len(), 1);
    assert!(adds[0].size > 16 << 20, "{} bytes are more than one part", adds[0].size);
    let newest = table.commit(&base, Commit::append(adds)).await.unwrap();
    let read = ids(&table, newest).await;
    assert_eq!(read.len(), 50 * 65_536);
    assert_eq!(read.into_iter().fold(0, |sum, value| sum ^ value), expected);
}

#[tokio::test]
async fn files_end_where_the_table_says() {
    let mut spec = TableSpec::new(numbers());
    spec.configuration.insert("delta.targetFileSize".to_owned(), "1mb".to_owned());
    let table = LakeTable::create(place(&memory()), spec, clock()).await.unwrap();
    let base = table.current();
    let batches = (0..40).map(|part| noise(part * 16_384..(part + 1) * 16_384)).collect();
    let adds = table.write_files(&base, streamed(batches)).await.unwrap();
    assert!((4..=6).contains(&adds.len()), "5 MiB in {} files", adds.len());
    let newest = table.commit(&base, Commit::append(adds)).await.unwrap();
    assert_eq!(newest.row_count(), Some(40 * 16_384));
    let distinct: BTreeSet<i64> = ids(&table, newest).await.into_iter().collect();
    assert_eq!(distinct.len(), 40 * 16_384);
}

#[tokio::test]
async fn many_partitions_are_written_with_few_files_open() {
    let mut spec = TableSpec::new(schema());
    spec.partition_columns = vec!["name".to_owned()];
    let table = LakeTable::create(place(&memory()), spec, clock()).await.unwrap();
    let base = table.current();
    let adds = table.write_files(&base, streamed(vec![batch(0..300)])).await.unwrap();
    assert_eq!(adds.len(), 300);
    let names: BTreeSet<_> = adds.iter().map(|add| add.partition_values["name"].clone()).collect();
    assert_eq!(names.len(), 300);
    let newest = table.commit(&base, Commit::append(adds)).await.unwrap();
    assert_eq!(ids(&table, newest).await, (0..300).collect::<Vec<_>>());
}
