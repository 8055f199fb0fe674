//! Rows that go in come out, at every version, by our reader and by delta-rs'.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int16Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use deltalake_core::DeltaTableBuilder;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

use super::{
    START_MICROS, append, batch, clock, ids, memory, place, query, schema, streamed, table,
};
use crate::clock::ManualClock;
use crate::table::{Commit, CommitKind, LakeTable};
use crate::{Clock, Error, StoreOptions, Stores, TableSpec};

#[tokio::test]
async fn rows_come_back_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let stores = Stores::new(directory.path().to_str().unwrap(), StoreOptions::default()).unwrap();
    let location = stores.in_warehouse("raw/t").unwrap();
    let spec = TableSpec::new(schema());
    let table = LakeTable::create(location.clone(), spec.clone(), clock()).await.unwrap();
    for start in [0, 10, 20] {
        append(&table, start..start + 10).await.unwrap();
    }
    assert_eq!(table.current().version, 3);
    assert_eq!(table.current().row_count(), Some(30));
    let reopened = LakeTable::open(location.clone(), clock()).await.unwrap();
    assert_eq!(reopened.current().version, 3);
    assert_eq!(reopened.current().spec(), spec);
    assert_eq!(reopened.current().timestamp_micros, table.current().timestamp_micros);
    assert_eq!(ids(&reopened, reopened.current()).await, (0..30).collect::<Vec<_>>());
    let again = LakeTable::create(location, spec, clock()).await;
    assert!(matches!(again, Err(Error::Duplicate { .. })), "{again:?}");
}

#[tokio::test]
async fn a_table_that_is_not_there_is_not_found() {
    let missing = LakeTable::open(place(&memory()), clock()).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn older_versions_keep_their_rows() {
    let clock = Arc::new(ManualClock::new(START_MICROS));
    let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let table =
        LakeTable::create(place(&memory()), TableSpec::new(schema()), shared).await.unwrap();
    for start in 0..5 {
        clock.advance(1_000_000);
        append(&table, start..start + 1).await.unwrap();
    }
    let all = table.current();
    clock.advance(1_000_000);
    let commit = Commit {
        removes: all.files().map(|file| file.path().to_owned()).collect(),
        ..Commit::new("DELETE", CommitKind::Rewrite { read_all: true })
    };
    let empty = table.commit(&all, commit).await.unwrap();
    assert_eq!(ids(&table, empty).await, Vec::<i64>::new());
    for version in 0..=5 {
        let then = table.at_version(version).await.unwrap();
        assert_eq!(then.version, version);
        assert_eq!(ids(&table, then).await, (0..version).collect::<Vec<_>>());
        let time = START_MICROS + version * 1_000_000;
        for micros in [time, time + 999_999] {
            assert_eq!(table.at_timestamp(micros).await.unwrap().version, version);
        }
    }
    let before = table.at_timestamp(START_MICROS - 1).await;
    assert!(matches!(before, Err(Error::TimeNotFound { .. })), "{before:?}");
    for version in [-1, 7] {
        let none = table.at_version(version).await;
        assert!(matches!(none, Err(Error::VersionNotFound { .. })), "{none:?}");
    }
    let history = table.history(3).await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|record| (record.version, record.operation.as_deref(), record.rows_added))
        .collect();
    assert_eq!(
        told,
        [(6, Some("DELETE"), Some(0)), (5, Some("WRITE"), Some(1)), (4, Some("WRITE"), Some(1))]
    );
    assert_eq!(history[0].files_removed, 5);
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_take_versions_with_it() {
    let clock = Arc::new(ManualClock::new(START_MICROS));
    let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let table =
        LakeTable::create(place(&memory()), TableSpec::new(schema()), shared).await.unwrap();
    append(&table, 0..1).await.unwrap();
    clock.advance(-3_600_000_000);
    let later = append(&table, 1..2).await.unwrap();
    assert_eq!(later.timestamp_micros, START_MICROS);
}

#[tokio::test]
async fn checkpoints_change_nothing_that_is_read() {
    let store = memory();
    let mut spec = TableSpec::new(schema());
    spec.constraints.insert("positive".to_owned(), "id >= 0".to_owned());
    let table = LakeTable::create(place(&store), spec, clock()).await.unwrap();
    for start in 0..10 {
        append(&table, start..start + 1).await.unwrap();
    }
    let base = table.current();
    let gone = base.files().next().unwrap().path().to_owned();
    let commit = Commit {
        removes: vec![gone],
        txns: vec![("app".to_owned(), 7)],
        ..Commit::new("DELETE", CommitKind::Rewrite { read_all: false })
    };
    table.commit(&base, commit).await.unwrap();
    table.checkpoint().await.unwrap();
    append(&table, 10..11).await.unwrap();
    let reopened = LakeTable::open(place(&store), clock()).await.unwrap();
    let (ours, theirs) = (table.current(), reopened.current());
    assert_eq!((ours.version, theirs.version), (12, 12));
    assert_eq!(theirs.txn("app"), Some(7));
    assert_eq!(theirs.spec(), ours.spec());
    assert_eq!(theirs.row_count(), ours.row_count());
    assert_eq!(ids(&reopened, theirs).await, ids(&table, ours).await);
    // The newest version is the checkpoint itself.
    table.checkpoint().await.unwrap();
    let reopened = LakeTable::open(place(&store), clock()).await.unwrap();
    assert_eq!(reopened.current().timestamp_micros, table.current().timestamp_micros);
    assert_eq!(ids(&reopened, reopened.current()).await.len(), 10);
}

#[tokio::test]
async fn a_missing_entry_is_named_and_never_taken_for_the_end() {
    let store = memory();
    let table = LakeTable::create(place(&store), TableSpec::new(schema()), clock()).await.unwrap();
    for start in 0..4 {
        append(&table, start..start + 1).await.unwrap();
    }
    let entry = "t/_delta_log/00000000000000000002.json".into();
    store.delete(&entry).await.unwrap();
    let torn = LakeTable::open(place(&store), clock()).await;
    let Err(Error::Corrupt { reason, .. }) = torn else { panic!("{torn:?}") };
    assert_eq!(reason, "log entry 2 is missing");
}

#[tokio::test]
async fn a_damaged_checkpoint_is_passed_over_while_the_entries_are_there() {
    let store = memory();
    let table = LakeTable::create(place(&store), TableSpec::new(schema()), clock()).await.unwrap();
    append(&table, 0..4).await.unwrap();
    table.checkpoint().await.unwrap();
    let path = "t/_delta_log/00000000000000000001.checkpoint.parquet".into();
    store.put(&path, "no parquet".into()).await.unwrap();
    let reopened = LakeTable::open(place(&store), clock()).await.unwrap();
    assert_eq!(ids(&reopened, reopened.current()).await, [0, 1, 2, 3]);
    let entry = "t/_delta_log/00000000000000000000.json".into();
    store.delete(&entry).await.unwrap();
    let lost = LakeTable::open(place(&store), clock()).await;
    assert!(matches!(lost, Err(Error::Corrupt { .. })), "{lost:?}");
}

#[tokio::test]
async fn a_column_that_came_later_is_null_in_older_rows() {
    let table = table().await;
    append(&table, 0..2).await.unwrap();
    let base = table.current();
    let mut spec = base.spec();
    let mut fields: Vec<_> = spec.schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("extra", DataType::Int32, true)));
    spec.schema = Arc::new(Schema::new(fields));
    let commit = Commit {
        metadata: Some(spec.clone()),
        ..Commit::new("ADD COLUMNS", CommitKind::Metadata { read_all: false })
    };
    let altered = table.commit(&base, commit).await.unwrap();
    let mut columns = batch(2..3).columns().to_vec();
    columns.push(Arc::new(Int32Array::from(vec![7])));
    let rows = RecordBatch::try_new(spec.schema, columns).unwrap();
    let adds = table.write_files(&altered, streamed(vec![rows])).await.unwrap();
    let newest = table.commit(&altered, Commit::append(adds)).await.unwrap();
    let rows = query(&table, newest, "SELECT id, extra FROM t ORDER BY id").await;
    let expected = "\
+----+-------+
| id | extra |
+----+-------+
| 0  |       |
| 1  |       |
| 2  | 7     |
+----+-------+";
    assert_eq!(pretty_format_batches(&rows).unwrap().to_string(), expected);
}

#[tokio::test]
async fn rows_of_another_shape_are_refused() {
    let table = table().await;
    let base = table.current();
    let write = async |fields: Vec<Field>, columns: Vec<ArrayRef>| {
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        table.write_files(&base, streamed(vec![rows])).await
    };
    let id = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    let name = || Arc::new(StringArray::from(vec!["a"])) as ArrayRef;
    let field = |name, kind| Field::new(name, kind, true);
    let missing = write(vec![field("id", DataType::Int64)], vec![id()]).await;
    assert!(matches!(missing, Err(Error::Mismatch { .. })), "{missing:?}");
    let both = vec![field("id", DataType::Utf8), field("name", DataType::Utf8)];
    let retyped = write(both, vec![name(), name()]).await;
    assert!(matches!(retyped, Err(Error::Mismatch { .. })), "{retyped:?}");
    let null: ArrayRef = Arc::new(Int64Array::from(vec![None::<i64>]));
    let fields = vec![field("id", DataType::Int64), field("name", DataType::Utf8)];
    let null = write(fields, vec![null, name()]).await;
    assert!(matches!(null, Err(Error::NotNull { .. })), "{null:?}");
    let swapped = vec![field("name", DataType::Utf8), field("id", DataType::Int64)];
    let swapped = write(swapped, vec![name(), id()]).await;
    assert_eq!(swapped.unwrap().len(), 1);
}

#[tokio::test]
async fn an_error_in_the_stream_leaves_no_file_behind() {
    use datafusion::error::DataFusionError;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use futures::{TryStreamExt, stream};
    let directory = tempfile::tempdir().unwrap();
    let stores = Stores::new(directory.path().to_str().unwrap(), StoreOptions::default()).unwrap();
    let location = stores.in_warehouse("t").unwrap();
    let mut spec = TableSpec::new(schema());
    spec.partition_columns = vec!["name".to_owned()];
    let table = LakeTable::create(location.clone(), spec, clock()).await.unwrap();
    // More partitions than files are open at once, so that some are complete before the error.
    let rows = vec![Ok(batch(0..200)), Err(DataFusionError::Execution("broken".to_owned()))];
    let rows = Box::pin(RecordBatchStreamAdapter::new(schema(), stream::iter(rows)));
    let failed = table.write_files(&table.current(), rows).await;
    assert!(matches!(failed, Err(Error::Rows { .. })), "{failed:?}");
    let left: Vec<_> = location.store.list(Some(&location.path)).try_collect().await.unwrap();
    assert_eq!(left.len(), 1, "only the first log entry: {left:?}");
}

/// Rows with every type that a table can hold, with NULLs.
fn every_type() -> RecordBatch {
    let utc = || Some(Arc::from("UTC"));
    let time = vec![Some(1), None, Some(-1_500_000), Some(START_MICROS + 123_456)];
    let amount = Decimal128Array::from(vec![Some(1), None, Some(-12_345), Some(99_999_999)]);
    let wide = Decimal128Array::from(vec![Some(1), None, Some(i128::pow(10, 37)), Some(-7)]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("key", Arc::new(Int64Array::from(vec![0, 1, 2, 3]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]))),
        ("small", Arc::new(Int16Array::from(vec![Some(1), None, Some(i16::MIN), Some(i16::MAX)]))),
        ("int", Arc::new(Int32Array::from(vec![Some(1), None, Some(i32::MIN), Some(i32::MAX)]))),
        ("real", Arc::new(Float32Array::from(vec![Some(0.1), None, Some(-0.0), Some(1e30)]))),
        ("double", Arc::new(Float64Array::from(vec![Some(0.1), None, Some(-2.5), Some(1e300)]))),
        ("amount", Arc::new(amount.with_precision_and_scale(12, 2).unwrap())),
        ("wide", Arc::new(wide.with_precision_and_scale(38, 9).unwrap())),
        ("text", Arc::new(StringArray::from(vec![Some("a"), None, Some(""), Some("\u{1F600}\"")]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None, Some(b""), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(0), None, Some(-1), Some(20_000)]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(time.clone()).with_timezone_opt(utc()))),
        ("local", Arc::new(TimestampMicrosecondArray::from(time))),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
        .collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// Rows as text, strings and views alike.
fn told(batches: &[RecordBatch]) -> String {
    let plain = |batch: &RecordBatch| {
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
            let kind = match column.data_type() {
                DataType::Utf8View => DataType::Utf8,
                DataType::BinaryView => DataType::Binary,
                other => other.clone(),
            };
            (field.name().clone(), cast(column, &kind).unwrap(), true)
        });
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    };
    let plain: Vec<RecordBatch> = batches.iter().map(plain).collect();
    pretty_format_batches(&plain).unwrap().to_string()
}

/// The rows that delta-rs reads of table "t" in a store.
async fn read_by_delta_rs(store: &Arc<dyn ObjectStore>, sql: &str) -> Vec<RecordBatch> {
    let url = Url::parse("memory:///t/").unwrap();
    let table = DeltaTableBuilder::from_url(url.clone())
        .unwrap()
        .with_storage_backend(Arc::clone(store), url)
        .load()
        .await
        .unwrap();
    let context = SessionContext::new();
    table.update_datafusion_session(&context.state()).unwrap();
    let provider = table.table_provider().await.unwrap();
    context.register_table("t", provider).unwrap();
    context.sql(sql).await.unwrap().collect().await.unwrap()
}

#[tokio::test]
async fn delta_rs_reads_the_same_rows() {
    for partitioned in [None, Some("text"), Some("at"), Some("local"), Some("day"), Some("amount")]
    {
        let store = memory();
        let rows = every_type();
        let mut spec = TableSpec::new(rows.schema());
        spec.partition_columns = partitioned.into_iter().map(str::to_owned).collect();
        let table = LakeTable::create(place(&store), spec, clock()).await.unwrap();
        let base = table.current();
        // An empty string cannot be a partition value.
        let rows = if partitioned == Some("text") { rows.slice(0, 2) } else { rows };
        let adds = table.write_files(&base, streamed(vec![rows.clone()])).await.unwrap();
        let newest = table.commit(&base, Commit::append(adds)).await.unwrap();
        let sql = "SELECT * FROM t ORDER BY key";
        let ours = told(&query(&table, newest, sql).await);
        assert_eq!(ours, told(&[rows]), "partitioned by {partitioned:?}");
        assert_eq!(told(&read_by_delta_rs(&store, sql).await), ours, "by {partitioned:?}");
        // And through a checkpoint.
        table.checkpoint().await.unwrap();
        assert_eq!(told(&read_by_delta_rs(&store, sql).await), ours, "by {partitioned:?}");
    }
}

#[tokio::test]
async fn an_empty_string_is_no_partition_value() {
    let mut spec = TableSpec::new(schema());
    spec.partition_columns = vec!["name".to_owned()];
    let table = LakeTable::create(place(&memory()), spec, clock()).await.unwrap();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec![""]))];
    let rows = RecordBatch::try_new(schema(), columns).unwrap();
    let refused = table.write_files(&table.current(), streamed(vec![rows])).await;
    assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
}

#[tokio::test]
async fn protocol_asks_for_no_more_than_the_table_uses() {
    let protocol = async |spec: TableSpec| {
        let table = LakeTable::create(place(&memory()), spec, clock()).await.unwrap();
        let protocol = table.current().protocol().as_ref().clone();
        (protocol.min_reader_version, protocol.min_writer_version, protocol.writer_features)
    };
    let plain = TableSpec::new(schema());
    assert_eq!(protocol(plain.clone()).await, (1, 2, None));
    let constraints = BTreeMap::from([("c".to_owned(), "id > 0".to_owned())]);
    let checked = TableSpec { constraints, ..plain };
    assert_eq!(protocol(checked.clone()).await, (1, 3, None));
    let without_zone = DataType::Timestamp(TimeUnit::Microsecond, None);
    let schema = Arc::new(Schema::new(vec![Field::new("at", without_zone, true)]));
    let features = Some(vec!["timestampNtz".to_owned(), "checkConstraints".to_owned()]);
    assert_eq!(protocol(TableSpec { schema, ..checked }).await, (3, 7, features));
}

#[tokio::test]
async fn tables_of_delta_rs_are_read_and_written() {
    use deltalake_core::DeltaTable;
    use deltalake_core::protocol::SaveMode;
    let store = memory();
    let url = Url::parse("memory:///t/").unwrap();
    let builder = DeltaTableBuilder::from_url(url.clone()).unwrap();
    let mut theirs: DeltaTable =
        builder.with_storage_backend(Arc::clone(&store), url).build().unwrap();
    for _ in 0..3 {
        theirs = theirs
            .write(vec![every_type()])
            .with_save_mode(SaveMode::Append)
            .with_partition_columns(["day"])
            .await
            .unwrap();
    }
    deltalake_core::checkpoints::create_checkpoint(&theirs, None).await.unwrap();
    theirs = theirs.write(vec![every_type()]).with_save_mode(SaveMode::Append).await.unwrap();
    let ours = LakeTable::open(place(&store), clock()).await.unwrap();
    assert_eq!(Some(ours.current().version), theirs.version().map(|version| version as i64));
    let all = vec![every_type(), every_type(), every_type(), every_type()];
    let sql = "SELECT * FROM t ORDER BY key";
    let all = arrow::compute::concat_batches(&every_type().schema(), &all).unwrap();
    let sorted = arrow::compute::sort_to_indices(all.column(0), None, None).unwrap();
    let all = arrow::compute::take_record_batch(&all, &sorted).unwrap();
    assert_eq!(told(&query(&ours, ours.current(), sql).await), told(std::slice::from_ref(&all)));
    let base = ours.current();
    let adds = ours.write_files(&base, streamed(vec![every_type()])).await.unwrap();
    let newest = ours.commit(&base, Commit::append(adds)).await.unwrap();
    let (ours, theirs) = (query(&ours, newest, sql).await, read_by_delta_rs(&store, sql).await);
    assert_eq!(told(&ours), told(&theirs));
    assert_eq!(ours.iter().map(RecordBatch::num_rows).sum::<usize>(), 20);
}

#[tokio::test]
async fn a_change_by_delta_rs_meets_our_commit() {
    let store = memory();
    let table = LakeTable::create(place(&store), TableSpec::new(schema()), clock()).await.unwrap();
    let base = append(&table, 0..4).await.unwrap();
    let url = Url::parse("memory:///t/").unwrap();
    let builder = DeltaTableBuilder::from_url(url.clone()).unwrap();
    let theirs = builder.with_storage_backend(Arc::clone(&store), url).load().await.unwrap();
    theirs.delete().with_predicate("id = 2").await.unwrap();
    let rewrite = Commit {
        removes: base.files().map(|file| file.path().to_owned()).collect(),
        ..Commit::new("DELETE", CommitKind::Rewrite { read_all: false })
    };
    let late = table.commit(&base, rewrite).await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    let adds = table.write_files(&base, streamed(vec![batch(4..5)])).await.unwrap();
    let newest = table.commit(&base, Commit::append(adds)).await.unwrap();
    assert_eq!(ids(&table, newest).await, [0, 1, 3, 4]);
}
