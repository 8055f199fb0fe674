//! Checkpoints: all actions in force at a version, as Parquet.
//!
//! Rows go through the same JSON form as log entries, so that there is one reading of an action.
//!
//! Never: a checkpoint is needed for correctness; without one the entries are read from the start.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::{LineDelimitedWriter, ReaderBuilder};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::{Action, Log, lines};
use crate::error::{Error, Result};

/// Actions that are turned into columns at a time.
const ROWS_PER_BATCH: usize = 8192;

impl Log {
    /// Reads the actions of a checkpoint.
    pub(crate) async fn read_checkpoint(&self, files: &[Path]) -> Result<Vec<Action>> {
        let mut actions = Vec::new();
        let mut sidecars = Vec::new();
        for file in files {
            self.read_part(file, &mut actions, &mut sidecars).await?;
        }
        for sidecar in &sidecars {
            self.read_part(sidecar, &mut actions, &mut Vec::new()).await?;
        }
        Ok(actions)
    }

    async fn read_part(
        &self,
        file: &Path,
        actions: &mut Vec<Action>,
        sidecars: &mut Vec<Path>,
    ) -> Result<()> {
        let corrupt = |reason: String| Error::Corrupt { path: file.to_string(), reason };
        let (bytes, _) =
            self.get(file).await?.ok_or_else(|| corrupt("it is missing".to_owned()))?;
        let json = if file.extension() == Some("json") {
            bytes.to_vec()
        } else {
            let path = file.to_string();
            tokio::task::spawn_blocking(move || parquet_to_json(bytes))
                .await
                .map_err(|error| corrupt(error.to_string()))?
                .map_err(|error| Error::Corrupt { path, reason: error.to_string() })?
        };
        for line in lines(file, &json) {
            let line = line?;
            if let Some(sidecar) = &line.sidecar {
                let name = sidecar.path.rsplit('/').next().unwrap_or_default();
                sidecars.push(self.directory.clone().join("_sidecars").join(name));
            }
            actions.extend(line.action());
        }
        Ok(())
    }

    /// Writes the checkpoint of a version, then the hint that names it.
    pub(crate) async fn write_checkpoint(&self, version: i64, actions: Vec<Action>) -> Result<()> {
        let path = self.directory.clone().join(format!("{version:020}.checkpoint.parquet"));
        let size = actions.len();
        let bytes = tokio::task::spawn_blocking(move || to_parquet(&actions))
            .await
            .map_err(|error| ArrowError::ExternalError(error.into()))
            .and_then(|bytes| bytes)
            .map_err(|error| Error::Unsupported {
                what: format!("cannot write a checkpoint of {}: {error}", self.object()),
            })?;
        self.store
            .put(&path, PutPayload::from(bytes))
            .await
            .map_err(Error::store("write", &path))?;
        let hint = self.last_checkpoint_path();
        let text = format!("{{\"version\":{version},\"size\":{size}}}");
        self.store.put(&hint, text.into()).await.map_err(Error::store("write", &hint))?;
        Ok(())
    }
}

fn to_parquet(actions: &[Action]) -> Result<Bytes, ArrowError> {
    let schema = schema();
    let mut decoder = ReaderBuilder::new(Arc::clone(&schema)).build_decoder()?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))?;
    for rows in actions.chunks(ROWS_PER_BATCH) {
        decoder.serialize(rows)?;
        while let Some(batch) = decoder.flush()? {
            writer.write(&batch)?;
        }
    }
    Ok(writer.into_inner()?.into())
}

fn parquet_to_json(bytes: Bytes) -> Result<Vec<u8>, ArrowError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    // Others add typed copies of statistics and partition values; the text forms hold the same.
    let columns = builder.parquet_schema();
    let wanted: Vec<usize> = (0..columns.num_columns())
        .filter(|index| {
            let column = columns.column(*index);
            let parts = column.path().parts();
            !parts.iter().any(|part| part == "stats_parsed" || part == "partitionValues_parsed")
        })
        .collect();
    let mask = ProjectionMask::leaves(columns, wanted);
    let mut json = LineDelimitedWriter::new(Vec::new());
    for batch in builder.with_projection(mask).with_batch_size(ROWS_PER_BATCH).build()? {
        json.write(&batch?)?;
    }
    json.finish()?;
    Ok(json.into_inner())
}

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let long = |name: &str| Field::new(name, DataType::Int64, true);
    let int = |name: &str| Field::new(name, DataType::Int32, true);
    let flag = |name: &str| Field::new(name, DataType::Boolean, true);
    let list = |name: &str| {
        Field::new(
            name,
            DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))),
            true,
        )
    };
    let map = |name: &str| {
        let key = Field::new("key", DataType::Utf8, false);
        let pair = DataType::Struct(Fields::from(vec![key, text("value")]));
        let entries = Arc::new(Field::new("key_value", pair, false));
        Field::new(name, DataType::Map(entries, false), true)
    };
    let group = |name: &str, fields: Vec<Field>| {
        Field::new(name, DataType::Struct(Fields::from(fields)), true)
    };
    let format = group("format", vec![text("provider"), map("options")]);
    Arc::new(Schema::new(vec![
        group("txn", vec![text("appId"), long("version"), long("lastUpdated")]),
        group(
            "add",
            vec![
                text("path"),
                map("partitionValues"),
                long("size"),
                long("modificationTime"),
                flag("dataChange"),
                text("stats"),
                map("tags"),
            ],
        ),
        group(
            "remove",
            vec![
                text("path"),
                long("deletionTimestamp"),
                flag("dataChange"),
                flag("extendedFileMetadata"),
                map("partitionValues"),
                long("size"),
            ],
        ),
        group(
            "metaData",
            vec![
                text("id"),
                text("name"),
                text("description"),
                format,
                text("schemaString"),
                list("partitionColumns"),
                map("configuration"),
                long("createdTime"),
            ],
        ),
        group(
            "protocol",
            vec![
                int("minReaderVersion"),
                int("minWriterVersion"),
                list("readerFeatures"),
                list("writerFeatures"),
            ],
        ),
    ]))
}
