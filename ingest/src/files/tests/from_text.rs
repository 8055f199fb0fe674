//! csv and JSON files, compressed or not.

use super::{
    AsArray, BASE, Bytes, Compression, DataType, Error, FileFormat, Int64Type, ObjectStoreExt,
    Path, ReadOptions, SchemaRef, StreamExt, TryStreamExt, batches, csv, decode, file, list,
    options, read, schema, shown, store_with,
};

use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use futures::stream;

use crate::decode::{OnError, UnknownFields};
use crate::files::{Tally, read_all};
use crate::origin::Origin;

async fn compressed(bytes: &[u8], codec: FileCompressionType) -> Vec<u8> {
    let pieces: Vec<_> =
        bytes.chunks(1_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let packed = codec.convert_to_compress_stream(stream::iter(pieces).boxed()).unwrap();
    let packed: Vec<Bytes> = packed.try_collect().await.unwrap();
    packed.concat()
}

fn numbered(rows: usize) -> String {
    (1..=rows).map(|row| format!("{row},row {row}\n")).collect()
}

fn two() -> SchemaRef {
    schema(&[("id", DataType::Int64), ("name", DataType::Utf8)])
}

#[tokio::test]
async fn compression_is_told_by_the_name() {
    let plain = numbered(5_000);
    let expected: Vec<_> = (1..=5_000).map(|row| format!("{row}|row {row}")).collect();
    for (name, codec) in [
        ("a.csv", FileCompressionType::UNCOMPRESSED),
        ("a.csv.gz", FileCompressionType::GZIP),
        ("a.csv.zst", FileCompressionType::ZSTD),
        ("a.csv.bz2", FileCompressionType::BZIP2),
        ("a.csv.xz", FileCompressionType::XZ),
    ] {
        let bytes = compressed(plain.as_bytes(), codec).await;
        let store = store_with(&[(name, &bytes)]).await;
        let decode = decode::Options { chunk_bytes: 10_000, ..csv() };
        let options = options(FileFormat::Decoded(decode));
        let batches = batches(&file(&store, name).await, &two(), options).await.unwrap();
        assert!(batches.len() > 3);
        assert_eq!(shown(&batches), expected, "{name}");
    }
}

#[tokio::test]
async fn an_option_is_stronger_than_the_name() {
    let bytes = compressed(b"1,a\n", FileCompressionType::GZIP).await;
    let store = store_with(&[("a.csv", &bytes)]).await;
    let mut options = options(FileFormat::Decoded(csv()));
    options.compression = Compression::named("GZIP");
    let batches = batches(&file(&store, "a.csv").await, &two(), options).await.unwrap();
    assert_eq!(shown(&batches), ["1|a"]);
    assert_eq!(Compression::named("lz4"), None);
}

#[tokio::test]
async fn a_file_cut_short_is_malformed_and_not_shorter() {
    let whole = compressed(numbered(50_000).as_bytes(), FileCompressionType::GZIP).await;
    let store = store_with(&[("a.csv.gz", &whole[..whole.len() / 2])]).await;
    let options = options(FileFormat::Decoded(csv()));
    let error = batches(&file(&store, "a.csv.gz").await, &two(), options).await.unwrap_err();
    assert_eq!(error.sqlstate(), "22P04");
    assert_eq!(error.to_string(), "file \"memory://lake/a.csv.gz\" is malformed");
}

#[tokio::test]
async fn a_file_of_several_ranges_is_read_in_order() {
    let rows = 1_200_000;
    let plain = numbered(rows);
    assert!(plain.len() > 20 << 20);
    let store = store_with(&[("a.csv", plain.as_bytes())]).await;
    let options = options(FileFormat::Decoded(csv()));
    let batches = batches(&file(&store, "a.csv").await, &two(), options).await.unwrap();
    let mut expected = 1..=rows as i64;
    for batch in &batches {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        assert!(ids.values().iter().all(|id| Some(*id) == expected.next()));
    }
    assert_eq!(expected.next(), None);
}

#[tokio::test]
async fn errors_name_the_file_and_the_line() {
    let store = store_with(&[("a.csv", b"1,a\nx,b\n")]).await;
    let options = options(FileFormat::Decoded(csv()));
    let error = batches(&file(&store, "a.csv").await, &two(), options).await.unwrap_err();
    assert_eq!(error.sqlstate(), "22P02");
    assert_eq!(error.to_string(), "invalid input syntax for type bigint: \"x\"");
    assert_eq!(error.detail().unwrap(), "The file is \"memory://lake/a.csv\".");
    let Error::InFile { source, .. } = error else { panic!() };
    let Error::Row(row) = *source else { panic!() };
    assert_eq!(row.context("t"), "COPY t, line 2, column id: \"x\"");
}

#[tokio::test]
async fn a_file_that_changes_or_goes_is_not_read() {
    let store = store_with(&[("a.csv", b"1,a\n")]).await;
    let listed = file(&store, "a.csv").await;
    store.put(&listed.meta.location, Bytes::from_static(b"2,b\n").into()).await.unwrap();
    let read = || batches(&listed, schema_of_two(), options(FileFormat::Decoded(csv())));
    let error = read().await.unwrap_err();
    let message = "file \"memory://lake/a.csv\" changed while it was read";
    assert_eq!((error.sqlstate(), error.to_string()), ("55000", message.to_owned()));
    store.delete(&listed.meta.location).await.unwrap();
    let error = read().await.unwrap_err();
    let message = "could not read file \"memory://lake/a.csv\"";
    assert_eq!((error.sqlstate(), error.to_string()), ("58030", message.to_owned()));
}

fn schema_of_two() -> &'static SchemaRef {
    static SCHEMA: std::sync::LazyLock<SchemaRef> = std::sync::LazyLock::new(two);
    &SCHEMA
}

#[tokio::test]
async fn rows_are_tagged_with_where_they_came_from() {
    let store = store_with(&[("a.jsonl", b"{\"id\":1}\n\n{\"id\":\"x\"}\n{\"id\":3}\n")]).await;
    let table = schema(&[
        ("id", DataType::Int64),
        ("_source", DataType::Utf8),
        ("_source_row", DataType::Int64),
        ("_batch_id", DataType::Utf8),
    ]);
    let format = decode::Format::JsonLines(UnknownFields::Refuse);
    let decode = decode::Options { on_error: OnError::Collect, ..decode::Options::new(format) };
    let origin = Origin {
        ingested_at_micros: 0,
        batch_id: "b7".to_owned(),
        source: Some("memory://lake/a.jsonl".to_owned()),
    };
    let options = ReadOptions { origin: Some(origin), ..options(FileFormat::Decoded(decode)) };
    let file = file(&store, "a.jsonl").await;
    let decoded: Vec<_> = read(&file, &table, options).unwrap().try_collect().await.unwrap();
    let batches: Vec<_> = decoded.iter().flat_map(|decoded| decoded.batches.clone()).collect();
    assert_eq!(shown(&batches), ["1|memory://lake/a.jsonl|1|b7", "3|memory://lake/a.jsonl|3|b7"]);
    assert_eq!(decoded[0].rejected[0].row, 2);
    assert_eq!(decoded[0].rejected[0].error.line(), 3);
}

#[tokio::test]
async fn several_files_are_one_stream() {
    let store =
        store_with(&[("in/1.csv", b"1\n2\n"), ("in/2.csv", b"3\n"), ("in/3.csv", b"x\n")]).await;
    let table = schema(&[
        ("id", DataType::Int64),
        ("_source", DataType::Utf8),
        ("_source_row", DataType::Int64),
    ]);
    let origin = Origin { ingested_at_micros: 0, batch_id: String::new(), source: None };
    let options = ReadOptions { origin: Some(origin), ..options(FileFormat::Decoded(csv())) };
    let all = |pattern: &'static str| {
        let (store, table, options) = (&store, &table, &options);
        async move {
            let files = list(store, &Path::parse(pattern).unwrap(), BASE).await.unwrap();
            let tally = Tally::new(files.len(), Some(1));
            let rows = read_all(files, table, options, &tally).try_collect::<Vec<_>>().await;
            rows.map(|rows| (rows, tally.rows().collect::<Vec<_>>(), tally.skipped()))
        }
    };
    let (good, counts, _) = all("in/[12].csv").await.unwrap();
    let expected =
        ["1|memory://lake/in/1.csv|1", "2|memory://lake/in/1.csv|2", "3|memory://lake/in/2.csv|1"];
    assert_eq!(shown(&good), expected);
    assert_eq!(counts, [2, 1]);
    let error = all("in/*.csv").await.unwrap_err();
    assert_eq!(
        error.find_root().to_string(),
        "External error: invalid input syntax for type bigint: \"x\""
    );
}

#[tokio::test]
async fn rows_of_several_files_are_left_out_up_to_a_limit() {
    let files: [(&str, &[u8]); 2] =
        [("in/1.csv", b"1\nx\n2\n"), ("in/2.csv", b"y\n3\n99999999999999999999\n")];
    let store = store_with(&files).await;
    let decode = decode::Options { on_error: OnError::Collect, ..csv() };
    let options = options(FileFormat::Decoded(decode));
    let table = schema(&[("id", DataType::Int64)]);
    let all = |max: Option<u64>| {
        let (store, table, options) = (&store, &table, &options);
        async move {
            let files = list(store, &Path::parse("in").unwrap(), BASE).await.unwrap();
            let tally = Tally::new(files.len(), max);
            let rows = read_all(files, table, options, &tally).try_collect::<Vec<_>>().await;
            (rows.map(|rows| shown(&rows)), tally.rows().collect::<Vec<_>>(), tally.skipped())
        }
    };
    for max in [None, Some(3)] {
        let (rows, counts, skipped) = all(max).await;
        assert_eq!(rows.unwrap(), ["1", "2", "3"]);
        assert_eq!((counts.as_slice(), skipped), ([2, 1].as_slice(), 3));
    }
    let error = all(Some(2)).await.0.unwrap_err().find_root().to_string();
    let expected = "skipped more than REJECT_LIMIT (2) rows due to data type incompatibility";
    assert!(error.contains(expected), "{error}");
}

#[tokio::test]
async fn a_row_of_another_shape_is_never_left_out() {
    let store = store_with(&[("a.csv", b"1\n2,3\n")]).await;
    let decode = decode::Options { on_error: OnError::Collect, ..csv() };
    let options = options(FileFormat::Decoded(decode));
    let tally = Tally::new(1, None);
    let table = schema(&[("id", DataType::Int64)]);
    let rows = read_all(vec![file(&store, "a.csv").await], &table, &options, &tally);
    let error = rows.try_collect::<Vec<_>>().await.unwrap_err().find_root().to_string();
    assert!(error.contains("extra data after last expected column"), "{error}");
}

#[tokio::test]
async fn an_empty_file_has_no_rows() {
    let store = store_with(&[("a.csv", b"")]).await;
    let options = options(FileFormat::Decoded(csv()));
    assert!(batches(&file(&store, "a.csv").await, &two(), options).await.unwrap().is_empty());
}
