//! Avro files: every row once, in the types of the table.

use super::{
    Arc, ArrayRef, AsArray, DataType, FileFormat, Int64Type, RecordBatch, file, options, schema,
    shown, store_with,
};

use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::Schema;
use arrow_avro::compression::CompressionCodec;
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroOcfFormat;
use futures::TryStreamExt;

use crate::files::{TypedOptions, avro_schema, read};

/// A file of so many blocks of ten rows.
fn avro_bytes(blocks: i64, codec: Option<CompressionCodec>) -> Vec<u8> {
    let table = schema(&[("id", DataType::Int64), ("name", DataType::Utf8)]);
    let table = Schema::new(table.fields().clone());
    let builder = WriterBuilder::new(table.clone()).with_compression(codec);
    let mut writer = builder.build::<_, AvroOcfFormat>(Vec::new()).unwrap();
    for block in 0..blocks {
        let ids = Int64Array::from_iter_values(block * 10..block * 10 + 10);
        let names = ids.values().iter().map(|id| (id % 3 > 0).then(|| format!("name {id}")));
        let names: ArrayRef = Arc::new(names.collect::<StringArray>());
        let batch = RecordBatch::try_new(Arc::new(table.clone()), vec![Arc::new(ids), names]);
        writer.write(&batch.unwrap()).unwrap();
    }
    writer.finish().unwrap();
    writer.into_inner()
}

#[tokio::test]
async fn every_row_comes_once() {
    let table = schema(&[("name", DataType::Utf8), ("id", DataType::Int64)]);
    let codecs = [
        None,
        Some(CompressionCodec::Deflate),
        Some(CompressionCodec::Snappy),
        Some(CompressionCodec::ZStandard),
    ];
    for codec in codecs {
        let store = store_with(&[("a.avro", &avro_bytes(20, codec))]).await;
        let file = file(&store, "a.avro").await;
        for batch_rows_max in [1, 7, 1_000] {
            let format =
                FileFormat::Avro(TypedOptions { batch_rows_max, ..TypedOptions::default() });
            let decoded = read(&file, &table, options(format)).unwrap();
            let decoded: Vec<_> = decoded.try_collect().await.unwrap();
            let ids = decoded
                .iter()
                .flat_map(|decoded| &decoded.batches)
                .flat_map(|batch| batch.column(1).as_primitive::<Int64Type>().values().to_vec());
            let expected: Vec<i64> = (0..200).collect();
            assert_eq!(ids.collect::<Vec<_>>(), expected, "{codec:?}, {batch_rows_max} rows");
        }
    }
}

#[tokio::test]
async fn columns_are_those_of_the_header() {
    let store = store_with(&[("a.avro", &avro_bytes(1, None))]).await;
    let file = file(&store, "a.avro").await;
    let found = avro_schema(&file).await.unwrap();
    let names: Vec<_> = found.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "name"]);
    let table = schema(&[("name", DataType::Utf8), ("id", DataType::Int32)]);
    let format = FileFormat::Avro(TypedOptions::default());
    let decoded: Vec<_> =
        read(&file, &table, options(format)).unwrap().try_collect().await.unwrap();
    let rows = shown(&decoded.into_iter().flat_map(|d| d.batches).collect::<Vec<_>>());
    assert_eq!(rows[..3], ["-|0", "name 1|1", "name 2|2"]);
}

#[tokio::test]
async fn what_is_cut_short_or_something_else_is_named() {
    let whole = avro_bytes(3, None);
    let table = schema(&[("id", DataType::Int64), ("name", DataType::Utf8)]);
    let broken: [(&str, &[u8]); 4] = [
        ("cut.avro", &whole[..whole.len() - 30]),
        ("header.avro", &whole[..20]),
        ("text.avro", b"id,name\n1,one\n"),
        ("empty.avro", b""),
    ];
    for (name, bytes) in broken {
        let store = store_with(&[(name, bytes)]).await;
        let file = file(&store, name).await;
        let format = FileFormat::Avro(TypedOptions::default());
        let read = read(&file, &table, options(format)).unwrap().try_collect::<Vec<_>>().await;
        let error = read.unwrap_err();
        let message = format!("file \"memory://lake/{name}\" is malformed");
        assert_eq!((error.sqlstate(), error.to_string()), ("22P04", message));
    }
}
