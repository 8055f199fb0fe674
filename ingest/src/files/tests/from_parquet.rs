//! Parquet files, whose columns are found by name and brought to the table's types.

use super::{
    Arc, ArrayRef, AsArray, Bytes, DataType, Error, Field, FileFormat, Int64Type, ObjectStoreExt,
    ReadOptions, RecordBatch, Result, Schema, SchemaRef, Zone, batches, concat_batches, file,
    options, schema, shown, store_with,
};

use arrow::array::{
    BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int32Array,
    Int64Array, ListArray, StringArray, TimestampMicrosecondArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow::datatypes::{Int8Type, Int32Type, TimeUnit};
use parquet::arrow::ArrowWriter;

use crate::decode::UnknownFields;
use crate::files::TypedOptions;
use crate::origin::Origin;
use crate::text::TYPE_KEY;

fn parquet_bytes(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

async fn rows(
    columns: Vec<(&str, ArrayRef)>,
    table: &SchemaRef,
    parquet: TypedOptions,
) -> Result<Vec<String>> {
    let store = store_with(&[("a.parquet", &parquet_bytes(columns))]).await;
    let file = file(&store, "a.parquet").await;
    let batches = batches(&file, table, options(FileFormat::Parquet(parquet))).await?;
    let types: Vec<_> =
        batches[0].schema().fields().iter().map(|f| f.data_type().clone()).collect();
    let wanted: Vec<_> = table.fields().iter().map(|f| f.data_type().clone()).collect();
    assert_eq!(types, wanted);
    Ok(shown(&batches))
}

fn integers(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

#[tokio::test]
async fn columns_are_found_by_name() {
    let table = schema(&[("b", DataType::Int64), ("a", DataType::Int64), ("c", DataType::Utf8)]);
    let columns = || vec![("A", integers(vec![1, 2])), ("b", integers(vec![3, 4]))];
    let found = rows(columns(), &table, TypedOptions::default()).await.unwrap();
    assert_eq!(found, ["3|1|-", "4|2|-"]);

    let narrow = schema(&[("b", DataType::Int64)]);
    let error = rows(columns(), &narrow, TypedOptions::default()).await.unwrap_err();
    let message = "column \"A\" of file \"memory://lake/a.parquet\" matches no column";
    assert_eq!((error.sqlstate(), error.to_string()), ("42703", message.to_owned()));
    let ignoring =
        TypedOptions { unknown_columns: UnknownFields::Ignore, ..TypedOptions::default() };
    assert_eq!(rows(columns(), &narrow, ignoring).await.unwrap(), ["3", "4"]);

    let strict = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int64, false),
        Field::new("b", DataType::Int64, false),
        Field::new("c", DataType::Int64, false),
    ]));
    let error = rows(columns(), &strict, TypedOptions::default()).await.unwrap_err();
    let message = "file \"memory://lake/a.parquet\" has no column \"c\", which must not be null";
    assert_eq!((error.sqlstate(), error.to_string()), ("23502", message.to_owned()));

    let twice = schema(&[("a", DataType::Int64), ("A", DataType::Int64), ("b", DataType::Int64)]);
    let only = vec![("a", integers(vec![1])), ("b", integers(vec![2]))];
    let error = rows(only, &twice, TypedOptions::default()).await.unwrap_err();
    assert_eq!(error.sqlstate(), "42702");
}

#[tokio::test]
async fn values_are_brought_to_the_table_exactly() {
    let item = || Arc::new(Field::new_list_field(DataType::Int64, true));
    let varchar = Field::new("v", DataType::Utf8, true)
        .with_metadata([(TYPE_KEY.to_owned(), "varchar(3)".to_owned())].into());
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut table = schema(&[
        ("i", DataType::Int16),
        ("u", DataType::Int64),
        ("n", DataType::Decimal128(12, 2)),
        ("f", DataType::Float64),
        ("t", DataType::Utf8),
        ("d", DataType::Date32),
        ("s", instant.clone()),
        ("ns", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("l", DataType::List(item())),
        ("b", DataType::Utf8),
    ])
    .fields()
    .to_vec();
    table.push(Arc::new(varchar));
    let table = Arc::new(Schema::new(table));
    let decimals = Decimal128Array::from(vec![12_345]).with_precision_and_scale(9, 3).unwrap();
    let dictionary: DictionaryArray<Int8Type> = vec!["x"].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("i", integers(vec![-7])),
        ("u", Arc::new(UInt64Array::from(vec![7]))),
        ("n", Arc::new(decimals)),
        ("f", Arc::new(arrow::array::Float32Array::from(vec![0.5]))),
        ("t", Arc::new(dictionary)),
        ("d", Arc::new(StringArray::from(vec!["2013-01-31"]))),
        ("s", Arc::new(TimestampMicrosecondArray::from(vec![0]))),
        ("ns", Arc::new(TimestampNanosecondArray::from(vec![1_000]))),
        (
            "l",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![
                Some(1),
                None,
            ])])),
        ),
        ("b", Arc::new(BooleanArray::from(vec![true]))),
        ("v", Arc::new(StringArray::from(vec!["abc"]))),
    ];
    let berlin = Zone::named("Europe/Berlin").unwrap();
    let options = TypedOptions { zone: berlin, ..TypedOptions::default() };
    let found = rows(columns, &table, options).await.unwrap();
    // A time without a zone is one of the session's: an hour earlier in UTC.
    let expected = "-7|7|12.35|0.5|x|2013-01-31|1969-12-31 23:00:00+00|1970-01-01 00:00:00.000001\
                    |{1,NULL}|t|abc";
    assert_eq!(found, [expected]);
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_an_error_with_its_row() {
    let cases: Vec<(DataType, ArrayRef, &str, &str)> = vec![
        (
            DataType::Int32,
            integers(vec![1, 3_000_000_000]),
            "22003",
            "value \"3000000000\" is out of range for type integer",
        ),
        (
            DataType::Int32,
            Arc::new(Float64Array::from(vec![1.0, 1.5])),
            "22P02",
            "invalid input syntax for type integer: \"1.5\"",
        ),
        (DataType::Decimal128(4, 2), integers(vec![1, 100]), "22003", "numeric field overflow"),
        (
            DataType::Date32,
            Arc::new(StringArray::from(vec!["2013-01-31", "x"])),
            "22007",
            "invalid input syntax for type date: \"x\"",
        ),
        (
            DataType::Timestamp(TimeUnit::Microsecond, None),
            Arc::new(TimestampNanosecondArray::from(vec![1_000, 1_001])),
            "22008",
            "timestamp \"1970-01-01 00:00:00.000001 and 1 ns\" has more than six decimal places",
        ),
    ];
    for (data_type, column, sqlstate, message) in cases {
        let table = schema(&[("c", data_type)]);
        let error = rows(vec![("c", column)], &table, TypedOptions::default()).await.unwrap_err();
        assert_eq!((error.sqlstate(), error.to_string()), (sqlstate, message.to_owned()));
        let Error::InFile { source, .. } = error else { panic!() };
        let Error::Row(row) = *source else { panic!() };
        assert_eq!((row.line(), row.column()), (2, Some("c")));
    }
    let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_001]));
    let table = schema(&[("c", DataType::Timestamp(TimeUnit::Microsecond, None))]);
    let options = TypedOptions { truncate_nanoseconds: true, ..TypedOptions::default() };
    let found = rows(vec![("c", nanos)], &table, options).await.unwrap();
    assert_eq!(found, ["1970-01-01 00:00:00.000001"]);
}

#[tokio::test]
async fn rows_are_numbered_across_batches() {
    let bytes = parquet_bytes(vec![
        ("i", Arc::new(Int32Array::from_iter_values(0..1_000)) as ArrayRef),
        ("d", Arc::new(Date32Array::from_iter_values(0..1_000))),
    ]);
    let store = store_with(&[("a.parquet", &bytes)]).await;
    let table = schema(&[
        ("i", DataType::Int32),
        ("d", DataType::Date32),
        ("_source_row", DataType::Int64),
    ]);
    let origin = Origin { ingested_at_micros: 0, batch_id: String::new(), source: None };
    let parquet = TypedOptions { batch_rows_max: 300, ..TypedOptions::default() };
    let options = ReadOptions { origin: Some(origin), ..options(FileFormat::Parquet(parquet)) };
    let batches = batches(&file(&store, "a.parquet").await, &table, options).await.unwrap();
    assert_eq!(batches.len(), 4);
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    let numbers = all.column(2).as_primitive::<Int64Type>();
    assert!(numbers.values().iter().copied().eq(1..=1_000));
}

#[tokio::test]
async fn a_file_that_is_no_parquet_or_changes_is_refused() {
    let store = store_with(&[("a.parquet", b"PAR1 but not really")]).await;
    let listed = file(&store, "a.parquet").await;
    let table = schema(&[("i", DataType::Int64)]);
    let format = || options(FileFormat::Parquet(TypedOptions::default()));
    let error = batches(&listed, &table, format()).await.unwrap_err();
    let message = "file \"memory://lake/a.parquet\" is malformed";
    assert_eq!((error.sqlstate(), error.to_string()), ("22P04", message.to_owned()));
    assert!(error.detail().is_some());

    let bytes = parquet_bytes(vec![("i", integers(vec![1]))]);
    store.put(&listed.meta.location, Bytes::from(bytes).into()).await.unwrap();
    let error = batches(&listed, &table, format()).await.unwrap_err();
    assert_eq!(error.sqlstate(), "55000");
}
