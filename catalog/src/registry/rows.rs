//! Entries as rows of the catalog's table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::entry::{ColumnSource, Definition, Entry, Tags};
use crate::error::{Error, Result};
use crate::table::{DataFile, LakeTable};

/// Files that are read at once.
const READ_AHEAD: usize = 16;

/// What a commit says of one entry.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// The version of the catalog that the row came with.
    pub(super) version: i64,
    pub(super) id: Uuid,
    /// The entry from then on; `None` once it is dropped.
    pub(super) entry: Option<Arc<Entry>>,
    /// Of a dropped entry, for who reads the table with other tools.
    last: Option<Arc<Entry>>,
}

impl Row {
    pub(super) fn put(version: i64, entry: &Arc<Entry>) -> Self {
        Self { version, id: entry.id, entry: Some(Arc::clone(entry)), last: None }
    }

    pub(super) fn drop(version: i64, id: Uuid, last: Option<&Arc<Entry>>) -> Self {
        Self { version, id, entry: None, last: last.cloned() }
    }
}

/// What the column "definition" holds.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    definition: &'a Definition,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    sources: &'a [ColumnSource],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: &'a Tags,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    column_tags: &'a BTreeMap<String, Tags>,
}

/// The same, read back.
#[derive(Deserialize)]
struct Stored {
    #[serde(flatten)]
    definition: Definition,
    #[serde(default)]
    sources: Vec<ColumnSource>,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    column_tags: BTreeMap<String, Tags>,
}

/// The columns of the catalog's table.
pub(super) fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("version", DataType::Int64, false),
        Field::new("id", DataType::Utf8, false),
        Field::new("oid", DataType::Int64, true),
        Field::new("kind", DataType::Utf8, true),
        Field::new("schema", DataType::Utf8, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("comment", DataType::Utf8, true),
        Field::new("owner", DataType::Utf8, true),
        Field::new("created_at", time, true),
        Field::new("definition", DataType::Utf8, true),
        Field::new("valid", DataType::Boolean, false),
    ]))
}

/// The rows as columns.
pub(super) fn to_batch(rows: &[Row]) -> Result<RecordBatch> {
    let entries: Vec<Option<&Arc<Entry>>> =
        rows.iter().map(|row| row.entry.as_ref().or(row.last.as_ref())).collect();
    let text = |of: &dyn Fn(&Entry) -> Option<String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(entries.iter().map(|entry| of((*entry)?))))
    };
    let definitions = entries
        .iter()
        .map(|entry| {
            let written = |entry: &&Arc<Entry>| {
                serde_json::to_string(&Written {
                    definition: &entry.definition,
                    sources: &entry.sources,
                    tags: &entry.tags,
                    column_tags: &entry.column_tags,
                })
            };
            entry.as_ref().map(written).transpose()
        })
        .collect::<Result<StringArray, _>>()
        .map_err(|error| Error::Unsupported {
            what: format!("cannot store a definition: {error}"),
        })?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.version))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.id.to_string()))),
        Arc::new(Int64Array::from_iter(entries.iter().map(|entry| Some(i64::from((*entry)?.oid))))),
        text(&|entry| Some(entry.kind().name().to_owned())),
        text(&|entry| Some(entry.schema.clone())),
        text(&|entry| Some(entry.name.clone())),
        text(&|entry| entry.comment.clone()),
        text(&|entry| Some(entry.owner.clone())),
        Arc::new(
            TimestampMicrosecondArray::from_iter(
                entries.iter().map(|entry| Some((*entry)?.created_at_micros)),
            )
            .with_timezone("UTC"),
        ),
        Arc::new(definitions),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.entry.is_some())))),
    ];
    RecordBatch::try_new(schema(), columns)
        .map_err(|error| Error::Unsupported { what: format!("cannot store entries: {error}") })
}

/// Reads the rows of some files of the catalog's table.
pub(super) async fn read(
    table: &Arc<LakeTable>,
    files: impl Iterator<Item = &Arc<DataFile>>,
) -> Result<Vec<Row>> {
    let files: Vec<Arc<DataFile>> = files.cloned().collect();
    let batches: Vec<Vec<Row>> = stream::iter(files)
        .map(|file| async move {
            let mut rows = Vec::new();
            for batch in table.read_file(&file).await? {
                let corrupt = |reason: String| Error::Corrupt {
                    path: format!("{}/{}", table.location(), file.path()),
                    reason,
                };
                rows.extend(from_batch(&batch).map_err(corrupt)?);
            }
            Ok::<_, Error>(rows)
        })
        .buffer_unordered(READ_AHEAD)
        .try_collect()
        .await?;
    Ok(batches.into_iter().flatten().collect())
}

fn from_batch(batch: &RecordBatch) -> Result<Vec<Row>, String> {
    let batch = in_order(batch).map_err(|error| error.to_string())?;
    (0..batch.num_rows()).map(|row| from_row(&batch, row)).collect()
}

/// The columns as [`schema`] has them, so that they can be taken by their place.
fn in_order(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let column = batch.column(batch.schema().index_of(field.name())?);
            arrow::compute::cast(column, field.data_type())
        })
        .collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema, columns)
}

fn from_row(batch: &RecordBatch, row: usize) -> Result<Row, String> {
    let text = |column: usize| {
        let column = batch.column(column).as_string::<i32>();
        arrow::array::Array::is_valid(column, row).then(|| column.value(row).to_owned())
    };
    let long = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(row);
    let id = text(1).unwrap_or_default();
    let id = Uuid::parse_str(&id).map_err(|_| format!("\"{id}\" is no id"))?;
    let version = long(0);
    if !batch.column(10).as_boolean().value(row) {
        return Ok(Row { version, id, entry: None, last: None });
    }
    let definition = text(9).unwrap_or_default();
    let Stored { definition, sources, tags, column_tags } = serde_json::from_str(&definition)
        .map_err(|error| format!("the definition of {id} cannot be read: {error}"))?;
    let entry = Entry {
        id,
        oid: u32::try_from(long(2)).map_err(|_| format!("the oid of {id} is out of range"))?,
        schema: text(4).unwrap_or_default(),
        name: text(5).unwrap_or_default(),
        comment: text(6),
        owner: text(7).unwrap_or_default(),
        created_at_micros: batch.column(8).as_primitive::<TimestampMicrosecondType>().value(row),
        definition,
        sources,
        tags,
        column_tags,
    };
    Ok(Row { version, id, entry: Some(Arc::new(entry)), last: None })
}
