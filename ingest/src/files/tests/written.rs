//! Files written from rows.

use super::{
    Arc, Compression, DataType, Dialect, DialectOptions, Error, FileFormat, ObjectStore, Path,
    RecordBatch, Result, SchemaRef, StreamExt, batches, csv, decode, file, options, schema, shown,
    store_with,
};

use arrow::array::{Int64Array, StringArray};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;

use crate::decode::{Header, UnknownFields};
use crate::encode;
use crate::files::{TypedOptions, WriteFormat, write};

fn table() -> SchemaRef {
    schema(&[("id", DataType::Int64), ("name", DataType::Utf8)])
}

fn batch(first: i64, rows: i64) -> RecordBatch {
    let ids = Int64Array::from_iter_values(first..first + rows);
    let names = StringArray::from_iter(
        (first..first + rows).map(|id| (id % 3 > 0).then(|| format!("name, \"{id}\""))),
    );
    RecordBatch::try_new(table(), vec![Arc::new(ids), Arc::new(names)]).unwrap()
}

fn stream_of(batches: Vec<Result<RecordBatch, DataFusionError>>) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(table(), stream::iter(batches)))
}

fn formats() -> Vec<(&'static str, WriteFormat, FileFormat)> {
    let dialect = Dialect::csv(DialectOptions::default()).unwrap();
    let csv_out = encode::Options {
        header: true,
        ..encode::Options::new(encode::Format::Delimited(dialect))
    };
    let csv_in = decode::Options { header: Header::Match, ..csv() };
    let json_out = encode::Options::new(encode::Format::JsonLines);
    let json_in = decode::Options::new(decode::Format::JsonLines(UnknownFields::Refuse));
    vec![
        (
            "a.csv",
            WriteFormat::Encoded(csv_out.clone(), Compression::None),
            FileFormat::Decoded(csv_in.clone()),
        ),
        (
            "a.csv.gz",
            WriteFormat::Encoded(csv_out, Compression::of("a.csv.gz")),
            FileFormat::Decoded(csv_in),
        ),
        (
            "a.jsonl.zst",
            WriteFormat::Encoded(json_out, Compression::of("a.jsonl.zst")),
            FileFormat::Decoded(json_in),
        ),
        ("a.parquet", WriteFormat::Parquet, FileFormat::Parquet(TypedOptions::default())),
    ]
}

#[tokio::test]
async fn what_is_written_is_read_again() {
    for (name, format, read_as) in formats() {
        let store = store_with(&[(name, b"an older file")]).await;
        let path = Path::parse(name).unwrap();
        let rows = stream_of(vec![Ok(batch(0, 1_000)), Ok(batch(1_000, 500))]);
        let count = write(Arc::clone(&store), &path, name, rows, &format).await.unwrap();
        assert_eq!(count, 1_500, "{name}");
        let again = batches(&file(&store, name).await, &table(), options(read_as)).await.unwrap();
        assert_eq!(shown(&again), shown(&[batch(0, 1_500)]), "{name}");
    }
}

#[tokio::test]
async fn an_error_of_the_rows_leaves_no_file() {
    for (name, format, _) in formats() {
        let store = store_with(&[]).await;
        let path = Path::parse(name).unwrap();
        let broken = DataFusionError::Execution("broken".to_owned());
        let rows = stream_of(vec![Ok(batch(0, 10)), Err(broken)]);
        let error = write(Arc::clone(&store), &path, name, rows, &format).await.unwrap_err();
        assert!(matches!(error, Error::Rows(_)), "{name}: {error}");
        assert_eq!(store.list(None).count().await, 0, "{name}");
    }
}

#[tokio::test]
async fn no_rows_are_a_file_all_the_same() {
    for (name, format, read_as) in formats() {
        let store = store_with(&[]).await;
        let path = Path::parse(name).unwrap();
        let count = write(Arc::clone(&store), &path, name, stream_of(Vec::new()), &format).await;
        assert_eq!(count.unwrap(), 0, "{name}");
        let again = batches(&file(&store, name).await, &table(), options(read_as)).await;
        assert!(again.unwrap().is_empty(), "{name}");
    }
}
