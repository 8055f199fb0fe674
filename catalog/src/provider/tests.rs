//! Scans: what they yield, and what they do not read.

#![expect(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::memory::DataSourceExec;
use datafusion::datasource::MemTable;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::execution::context::SessionConfig;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use futures::stream;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use proptest::option;
use proptest::prelude::*;

use super::{FILE_COLUMN, ROW_COLUMN};
use crate::faults::{FaultStore, Operation};
use crate::{Commit, LakeTable, ManualClock, Stores, TableSpec};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("day", DataType::Date32, true),
        Field::new("value", DataType::Float64, true),
        Field::new("name", DataType::Utf8, true),
    ]))
}

type Row = (i64, Option<i32>, Option<f64>, Option<String>);

fn to_batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<Date32Array>()),
        Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.3.clone()).collect::<StringArray>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// A table partitioned by day whose files hold `files`, one commit each.
async fn table(store: &Arc<dyn ObjectStore>, files: &[Vec<Row>]) -> Arc<LakeTable> {
    let location =
        Stores::from_store("memory://", Arc::clone(store)).unwrap().in_warehouse("t").unwrap();
    let mut spec = TableSpec::new(schema());
    spec.partition_columns = vec!["day".to_owned()];
    let table = LakeTable::create(location, spec, Arc::new(ManualClock::new(1))).await.unwrap();
    for rows in files {
        let base = table.current();
        let batches = stream::iter([Ok(to_batch(rows))]);
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema(), batches));
        let adds = table.write_files(&base, rows).await.unwrap();
        table.commit(&base, Commit::append(adds)).await.unwrap();
    }
    table
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

fn session(table: &Arc<LakeTable>, pushdown: bool) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(4);
    config.options_mut().execution.parquet.pushdown_filters = pushdown;
    let context = SessionContext::new_with_config(config);
    let location = table.location();
    context.runtime_env().register_object_store(location.url.as_ref(), Arc::clone(&location.store));
    context.register_table("t", table.scan(table.current())).unwrap();
    context.register_table("f", table.scan_with_places(table.current())).unwrap();
    context
}

async fn query(context: &SessionContext, sql: &str) -> String {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

/// How many files the scans of a query's plan hold.
async fn files_read(context: &SessionContext, sql: &str) -> usize {
    fn count(plan: &Arc<dyn ExecutionPlan>) -> usize {
        let own = plan
            .downcast_ref::<DataSourceExec>()
            .and_then(|source| source.data_source().downcast_ref::<FileScanConfig>())
            .map_or(0, |scan| scan.file_groups.iter().map(|group| group.len()).sum());
        own + plan.children().into_iter().map(count).sum::<usize>()
    }
    count(&context.sql(sql).await.unwrap().create_physical_plan().await.unwrap())
}

async fn explain(context: &SessionContext, sql: &str) -> String {
    query(context, &format!("EXPLAIN {sql}")).await
}

fn row(id: i64, day: Option<i32>) -> Row {
    (id, day, Some(id as f64), Some(format!("name {id}")))
}

/// Four days with ten rows each, and one file of rows without a day.
async fn five_files() -> Arc<LakeTable> {
    let days = |day: Option<i32>, start: i64| (start..start + 10).map(|id| row(id, day)).collect();
    let mut files: Vec<Vec<Row>> = (0..4).map(|day| days(Some(day), i64::from(day) * 10)).collect();
    files.push(days(None, 40));
    table(&memory(), &files).await
}

#[tokio::test]
async fn files_that_cannot_match_are_not_read() {
    let table = five_files().await;
    let context = session(&table, false);
    let cases = [
        ("TRUE", 5),
        ("day = DATE '1970-01-02'", 1),
        ("day > DATE '1970-01-02'", 2),
        ("day IS NULL", 1),
        ("day IS NOT NULL", 4),
        ("day IN (DATE '1970-01-01', DATE '1970-01-04')", 2),
        ("id = 25", 1),
        ("id BETWEEN 18 AND 21", 2),
        ("id > 100", 0),
        ("id IN (5, 45)", 2),
        ("value < 9.5", 1),
        ("name = 'name 33'", 2),
        ("name LIKE 'name 4%'", 2),
        ("name IS NULL", 0),
        ("day = DATE '1970-01-02' OR id > 38", 3),
        ("day = DATE '1970-01-02' AND id > 38", 0),
        ("id + 1 = 26", 5),
    ];
    for (filter, expected) in cases {
        let sql = format!("SELECT id FROM t WHERE {filter}");
        assert_eq!(files_read(&context, &sql).await, expected, "{filter}");
    }
}

#[tokio::test]
async fn a_limit_reads_no_more_files_than_it_needs() {
    let table = five_files().await;
    let context = session(&table, false);
    for (sql, expected) in [
        ("SELECT id FROM t LIMIT 1", 1),
        ("SELECT id FROM t LIMIT 10", 1),
        ("SELECT id FROM t LIMIT 11", 2),
        ("SELECT id FROM t WHERE day >= DATE '1970-01-02' LIMIT 15", 2),
        // The filter may drop any of the rows.
        ("SELECT id FROM t WHERE id >= 0 LIMIT 1", 5),
    ] {
        assert_eq!(files_read(&context, sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn counts_and_bounds_are_answered_from_the_log() {
    let table = five_files().await;
    let context = session(&table, false);
    let sql = "SELECT count(*), count(day), min(id), max(id), min(day), max(day) FROM t";
    let expected = "\
+----------+--------------+-----------+-----------+------------+------------+
| count(*) | count(t.day) | min(t.id) | max(t.id) | min(t.day) | max(t.day) |
+----------+--------------+-----------+-----------+------------+------------+
| 50       | 40           | 0         | 49        | 1970-01-01 | 1970-01-04 |
+----------+--------------+-----------+-----------+------------+------------+";
    assert_eq!(query(&context, sql).await, expected);
    assert_eq!(files_read(&context, sql).await, 0);
    let filtered = "SELECT count(*) FROM t WHERE day = DATE '1970-01-03'";
    assert!(query(&context, filtered).await.contains("| 10 "));
    assert_eq!(files_read(&context, filtered).await, 0);
    // A bound that may be cut is no answer.
    let strings = "SELECT max(name) FROM t";
    assert!(query(&context, strings).await.contains("name 9"));
    assert_eq!(files_read(&context, strings).await, 5);
}

#[tokio::test]
async fn columns_come_in_the_order_of_the_table() {
    let table = table(&memory(), &[vec![row(7, Some(3))]]).await;
    let context = session(&table, false);
    let expected = "\
+----+------------+-------+--------+
| id | day        | value | name   |
+----+------------+-------+--------+
| 7  | 1970-01-04 | 7.0   | name 7 |
+----+------------+-------+--------+";
    assert_eq!(query(&context, "SELECT * FROM t").await, expected);
    let turned = "\
+--------+------------+----+
| name   | day        | id |
+--------+------------+----+
| name 7 | 1970-01-04 | 7  |
+--------+------------+----+";
    assert_eq!(query(&context, "SELECT name, day, id FROM t").await, turned);
}

#[tokio::test]
async fn rows_tell_their_file() {
    let table = five_files().await;
    let context = session(&table, false);
    let rows = context
        .sql(&format!("SELECT {FILE_COLUMN}, id FROM f"))
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let mut told: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for batch in rows {
        let files = batch.column(0).as_any().downcast_ref::<StringArray>().unwrap();
        let ids = batch.column(1).as_any().downcast_ref::<Int64Array>().unwrap();
        for (file, id) in files.iter().zip(ids) {
            told.entry(file.unwrap().to_owned()).or_default().push(id.unwrap());
        }
    }
    let snapshot = table.current();
    assert_eq!(told.len(), snapshot.file_count());
    for (file, ids) in told {
        let known = snapshot.file(&file).unwrap_or_else(|| panic!("no file {file}"));
        assert_eq!(known.row_count(), Some(ids.len() as u64));
        let one = format!("SELECT id FROM f WHERE {FILE_COLUMN} = '{file}'");
        assert_eq!(files_read(&context, &one).await, 1);
    }
}

#[tokio::test]
async fn rows_tell_their_number_whatever_is_skipped() {
    const ROWS: i64 = 20_000;
    let files: Vec<Vec<Row>> = (0..3)
        .map(|file| (0..ROWS).map(|number| row(file * ROWS + number, Some(1))).collect())
        .collect();
    let table = table(&memory(), &files).await;
    for pushdown in [false, true] {
        let context = session(&table, pushdown);
        let wanted = [
            ("id >= 32345 AND id < 52350", 20_005),
            ("id % 7000 = 0", 9),
            ("value > 59998", 1),
            ("name = 'name 12' AND id > 3", 1),
        ];
        for (condition, count) in wanted {
            let sql = format!(
                "SELECT count(*) AS n FROM f WHERE {condition} AND {ROW_COLUMN} = id % {ROWS}"
            );
            let expected = format!("| {count} ");
            let found = query(&context, &sql).await;
            assert!(found.contains(&expected), "{condition}: {found}");
        }
        let sql = format!("SELECT {ROW_COLUMN} FROM f WHERE id = 32345");
        assert!(query(&context, &sql).await.contains("| 12345 |"));
    }
}

#[tokio::test]
async fn dynamic_filters_reach_the_scan() {
    let table = five_files().await;
    let context = session(&table, true);
    let top = explain(&context, "SELECT * FROM t ORDER BY id DESC LIMIT 3").await;
    let scan = |plan: &str| {
        plan.lines()
            .filter(|line| line.contains("DataSourceExec"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(scan(&top).iter().any(|line| line.contains("DynamicFilter")), "{top}");
    let join = "SELECT a.id FROM t a JOIN t b ON a.id = b.id WHERE b.name = 'name 12'";
    let join = explain(&context, join).await;
    assert!(scan(&join).iter().any(|line| line.contains("DynamicFilter")), "{join}");
    let plain = explain(&context, "SELECT id FROM t WHERE value > 17 AND name <> 'x'").await;
    assert!(
        scan(&plain).iter().any(|line| line.contains("predicate=value@1 > 17 AND name@2 != x")),
        "{plain}"
    );
    assert!(!plain.contains("FilterExec"), "the scan filters rows itself: {plain}");
}

#[tokio::test]
async fn footers_are_read_once() {
    let faults = FaultStore::new(memory());
    let store: Arc<dyn ObjectStore> = Arc::<FaultStore>::clone(&faults);
    let table = table(&store, &[(0..10).map(|id| row(id, Some(1))).collect()]).await;
    let context = session(&table, false);
    let reads = async || {
        let before = faults.count(Operation::Get);
        query(&context, "SELECT name FROM t WHERE id = 5").await;
        faults.count(Operation::Get) - before
    };
    let (first, second) = (reads().await, reads().await);
    assert!(second < first, "{second} reads after {first}");
    assert_eq!(second, 1);
}

#[tokio::test]
async fn write_hooks_are_not_offered() {
    let table = five_files().await;
    let context = session(&table, false);
    for sql in [
        "INSERT INTO t VALUES (1, NULL, 1.0, 'x')",
        "DELETE FROM t WHERE id = 1",
        "UPDATE t SET id = 2",
    ] {
        let refused = match context.sql(sql).await {
            Ok(frame) => frame.collect().await.map(drop),
            Err(error) => Err(error),
        };
        assert!(refused.is_err(), "{sql}");
    }
    assert!(query(&context, "SELECT count(*) FROM t").await.contains("| 50 "));
}

#[tokio::test]
async fn a_file_outside_the_table_is_refused() {
    let table = table(&memory(), &[vec![row(1, Some(1))]]).await;
    let snapshot = table.current();
    let add = snapshot.files().next().unwrap().add().clone();
    for path in ["/etc/passwd", "../other/x.parquet", "a/%2e%2e/%2e%2e/x", "s3://bucket/x.parquet"]
    {
        let staged =
            snapshot.with_staged(&[crate::Add { path: path.to_owned(), ..add.clone() }], &[]);
        let context = session(&table, false);
        context.register_table("s", table.scan(Arc::new(staged))).unwrap();
        let refused = context.sql("SELECT * FROM s").await.unwrap().collect().await;
        let told = refused.unwrap_err().to_string();
        assert!(told.contains("is not one of the declared locations"), "{path}: {told}");
    }
}

fn rows() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let value = prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(-0.0),
        (-4..4_i32).prop_map(|value| f64::from(value) / 2.0)
    ];
    let row = (
        0..40_i64,
        option::of(0..3_i32),
        option::of(value),
        option::of(prop_oneof!["[ab]{0,2}", Just("a".repeat(40))]),
    );
    prop::collection::vec(prop::collection::vec(row, 1..8), 1..6)
}

fn filter() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (0..40_i64, "(=|<>|<|<=|>|>=)").prop_map(|(id, op)| format!("id {op} {id}")),
        (-4..4_i32, "(=|<>|<|<=|>|>=)")
            .prop_map(|(v, op)| format!("value {op} {}", f64::from(v) / 2.0)),
        Just("value = 'NaN'::double precision".to_owned()),
        (0..3_i32, "(=|<>|<|>=)")
            .prop_map(|(day, op)| format!("day {op} DATE '1970-01-0{}'", day + 1)),
        "[ab]{0,2}".prop_map(|text| format!("name = '{text}'")),
        "[ab]{0,2}".prop_map(|text| format!("name > '{text}'")),
        "[ab]{1,2}".prop_map(|text| format!("name LIKE '{text}%'")),
        "(id|value|day|name)".prop_map(|column| format!("{column} IS NULL")),
        "(value|day|name)".prop_map(|column| format!("{column} IS NOT NULL")),
        (0..40_i64, 0..40_i64).prop_map(|(a, b)| format!("id IN ({a}, {b})")),
        Just("name NOT IN ('a', 'b')".to_owned()),
        Just("id % 3 = 1".to_owned()),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

/// The same queries over the files and over the rows in memory.
async fn compare(files: Vec<Vec<Row>>, filters: Vec<String>, pushdown: bool) {
    let table = table(&memory(), &files).await;
    let context = session(&table, pushdown);
    let batches = files.iter().map(|rows| to_batch(rows)).collect();
    let plain = MemTable::try_new(schema(), vec![batches]).unwrap();
    context.register_table("m", Arc::new(plain)).unwrap();
    for filter in filters {
        for columns in [
            "count(*), count(day), count(value), min(id), max(id), max(day), min(value), max(value), max(name)",
            "*",
        ] {
            let order = if columns == "*" { "ORDER BY id, day, value, name" } else { "" };
            let ask = |table| format!("SELECT {columns} FROM {table} x WHERE {filter} {order}");
            let (ours, naive) =
                (query(&context, &ask("t")).await, query(&context, &ask("m")).await);
            assert_eq!(ours, naive, "{filter}");
        }
    }
    let all =
        "SELECT count(*), count(day), count(value), min(id), max(id), min(day), max(day) FROM";
    assert_eq!(
        query(&context, &format!("{all} t x")).await,
        query(&context, &format!("{all} m x")).await
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn pruned_scans_yield_what_plain_rows_yield(
        files in rows(),
        filters in prop::collection::vec(filter(), 4),
        pushdown in any::<bool>(),
    ) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(compare(files, filters, pushdown));
    }
}

/// A table as Spark makes it with column mapping: files know the columns by other names.
async fn mapped_table(store: &Arc<dyn ObjectStore>) -> Arc<LakeTable> {
    use object_store::ObjectStoreExt;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("col-1", Arc::new(Int64Array::from(vec![1, 2]))),
        ("col-2", Arc::new(StringArray::from(vec!["a", "b"]))),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let size = bytes.len();
    store.put(&"t/x.parquet".into(), bytes.into()).await.unwrap();
    let field = |name, physical, kind, id| {
        serde_json::json!({"name": name, "type": kind, "nullable": true, "metadata": {
            "delta.columnMapping.id": id, "delta.columnMapping.physicalName": physical
        }})
    };
    let fields = [field("id", "col-1", "long", 1), field("my name", "col-2", "string", 2)];
    let schema = serde_json::json!({"type": "struct", "fields": fields});
    let entry = [
        serde_json::json!({"protocol": {"minReaderVersion": 2, "minWriterVersion": 5}}),
        serde_json::json!({"metaData": {
            "id": "3a0d65cd-4056-49b8-937b-95f9e3ee90e5",
            "format": {"provider": "parquet", "options": {}},
            "schemaString": schema.to_string(),
            "partitionColumns": [],
            "configuration": {
                "delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2"
            }
        }}),
        serde_json::json!({"add": {
            "path": "x.parquet", "partitionValues": {}, "size": size, "modificationTime": 1,
            "dataChange": true, "stats": "{\"numRecords\":2}"
        }}),
    ];
    let entry: String = entry.iter().map(|action| format!("{action}\n")).collect();
    store.put(&"t/_delta_log/00000000000000000000.json".into(), entry.into()).await.unwrap();
    let location =
        Stores::from_store("memory://", Arc::clone(store)).unwrap().in_warehouse("t").unwrap();
    LakeTable::open(location, Arc::new(ManualClock::new(1))).await.unwrap()
}

#[tokio::test]
async fn mapped_columns_are_read_by_their_names_and_not_written() {
    let table = mapped_table(&memory()).await;
    let context = session(&table, false);
    let expected = "\
+---------+----+
| my name | id |
+---------+----+
| b       | 2  |
+---------+----+";
    let sql = "SELECT \"my name\", id FROM t WHERE id > 1 AND \"my name\" <> 'a'";
    assert_eq!(query(&context, sql).await, expected);
    assert!(query(&context, "SELECT count(*) FROM t").await.contains("| 2 "));
    let refused = table.commit(&table.current(), Commit::append(Vec::new())).await;
    assert!(matches!(refused, Err(crate::Error::Unsupported { .. })), "{refused:?}");
}
