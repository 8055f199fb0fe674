//! `DESCRIBE HISTORY table`: the commits of a table, newest first.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use catalog::CommitRecord;
use datafusion::sql::sqlparser::ast;

use crate::error::{Error, Result, state};
use crate::output::Output;
use crate::resolve::{find_in, split_name, unknown};
use crate::session::Session;
use crate::statement::set::rows_of;

/// Commits that are shown at most.
pub(crate) const COMMITS_MAX: usize = 1_000;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")));
    Arc::new(Schema::new(vec![
        Field::new("version", DataType::Int64, false),
        Field::new("timestamp", zoned, false),
        Field::new("operation", DataType::Utf8, true),
        Field::new("parameters", DataType::Utf8, true),
        Field::new("user_name", DataType::Utf8, true),
        Field::new("files_added", DataType::Int64, false),
        Field::new("files_removed", DataType::Int64, false),
        Field::new("rows_added", DataType::Int64, true),
    ]))
});

/// Its columns.
pub(crate) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Reads the log of the table.
pub(crate) async fn run(session: &Session, name: &ast::ObjectName) -> Result<Output> {
    let (schema_name, table) = split_name(name)?;
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let entry = find_in(&snapshot, &path, schema_name.as_deref(), &table)
        .ok_or_else(|| unknown(&snapshot, &path, schema_name.as_deref(), &table))?;
    if entry.table().is_none() {
        return Err(Error::new(
            state::WRONG_OBJECT_TYPE,
            format!("{} \"{}\" has no history", entry.kind(), entry.qualified_name()),
        ));
    }
    let pinned = session.pin(&entry).await?;
    Ok(rows_of(batch(&pinned.table.history(COMMITS_MAX).await?)?))
}

/// With what a commit was made, as text.
pub(crate) fn parameters(commit: &CommitRecord) -> Option<String> {
    let pairs = commit.parameters.iter().map(|(key, value)| format!("{key}={value}"));
    let pairs: Vec<String> = pairs.collect();
    (!pairs.is_empty()).then(|| pairs.join(", "))
}

fn batch(commits: &[CommitRecord]) -> Result<RecordBatch> {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let parameters = commits.iter().map(parameters);
    let times =
        TimestampMicrosecondArray::from_iter_values(commits.iter().map(|c| c.timestamp_micros));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(commits.iter().map(|c| c.version))),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(commits.iter().map(|c| c.operation.clone()).collect::<StringArray>()),
        Arc::new(parameters.collect::<StringArray>()),
        Arc::new(commits.iter().map(|c| c.user.clone()).collect::<StringArray>()),
        Arc::new(Int64Array::from_iter_values(commits.iter().map(|c| count(c.files_added)))),
        Arc::new(Int64Array::from_iter_values(commits.iter().map(|c| count(c.files_removed)))),
        Arc::new(commits.iter().map(|c| c.rows_added.map(count)).collect::<Int64Array>()),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}
