//! Rows of external tables: files that others write, found and read anew by every statement.
//!
//! ```text
//! parquet            the files as a table's own: pruned, filtered and read by ranges
//! text, csv, json    one stream for each thread, as COPY reads them
//! delta              the other table at its newest version
//! ```
//!
//! Never: a location that is not declared any more is read. Never: anything is written.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use catalog::{Entry, ExternalTable, LakeTable, Location, TableSpec};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::streaming::PartitionStream;
use futures::StreamExt;
use ingest::files::{self, File, ReadOptions, Tally};
use object_store::path::Path;

use crate::error::{Error, Result, state};
use crate::schema_evolution::Mode;
use crate::session::Session;
use crate::statement::copy;
use crate::statement::create_external_table::Format;

/// The files of an external table.
pub(crate) struct Files {
    pub(crate) files: Vec<File>,
    /// The folder that all of them are in, from which on folders' names tell values.
    pub(crate) folder: Location,
}

impl Files {
    /// Finds them. `deep`: those in folders below a folder, too.
    pub(crate) async fn find(session: &Session, url: &str, deep: bool) -> Result<Self> {
        let mut place = session.engine().catalog.resolve(&session.snapshot(), url)?;
        copy::from_files::refuse_own(session, &place, url)?;
        let base = place.url.as_str().to_owned();
        let pattern = place.path.as_ref().find(['*', '?', '[']);
        let listed = if deep && pattern.is_none() {
            let all = Path::parse(format!("{}/**", place.path)).unwrap_or_default();
            files::list(&place.store, &all, &base).await?
        } else {
            files::list(&place.store, &place.path, &base).await?
        };
        let is_single = listed.iter().any(|file| file.meta.location == place.path);
        let end = match pattern {
            Some(first) => place.path.as_ref()[..first].rfind('/').unwrap_or(0),
            None if is_single => place.path.as_ref().rfind('/').unwrap_or(0),
            None => place.path.as_ref().len(),
        };
        place.path = Path::parse(&place.path.as_ref()[..end]).unwrap_or_default();
        let is_hidden = |file: &File| {
            let below = file.meta.location.prefix_match(&place.path);
            below.into_iter().flatten().any(|part| {
                let part = part.as_ref();
                part.starts_with('.') || (part.starts_with('_') && !part.contains('='))
            })
        };
        let files: Vec<File> = listed.into_iter().filter(|file| !is_hidden(file)).collect();
        if files.is_empty() {
            return Err(Error::from(ingest::Error::FileMissing { pattern: url.to_owned() }));
        }
        Ok(Self { files, folder: place })
    }

    /// The files of a Delta table are more than its rows: removed ones stay for a while.
    pub(crate) async fn refuse_delta(&self) -> Result<()> {
        let log = self.folder.path.clone().join("_delta_log");
        let entry = self.folder.store.list(Some(&log)).next().await;
        if !matches!(entry, Some(Ok(_))) {
            return Ok(());
        }
        let message = format!("\"{}\" is a Delta table", self.folder);
        Err(Error::new(state::WRONG_OBJECT_TYPE, message)
            .with_detail("Its folder holds files whose rows are not in the table any more.")
            .with_hint("CREATE EXTERNAL TABLE name STORED AS delta LOCATION ..."))
    }
}

/// A reader of the rows of any but a Delta table.
pub(crate) async fn scan(
    session: &Session,
    table: &ExternalTable,
) -> Result<Arc<dyn TableProvider>> {
    let schema = table.schema();
    let format = Format::named(&table.format)?;
    let found = Files::find(session, &table.url, !table.partition_columns.is_empty()).await?;
    if format == Format::Parquet {
        let mut spec = TableSpec::new(schema);
        spec.partition_columns.clone_from(&table.partition_columns);
        let files = found.files.into_iter().map(|file| file.meta);
        return Ok(catalog::scan_parquet(found.folder, &spec, files)?);
    }
    let options = copy::external_options(&table.options, &table.url, format)?;
    let threads = session.engine().config.threads.max(1);
    let streams = threads.min(found.files.len());
    let read = ReadOptions {
        format: options.read_format(&schema, copy::zone(session), Mode::Strict)?,
        compression: options.compression(),
        threads: threads / streams,
        origin: None,
    };
    let mut groups: Vec<Vec<File>> = vec![Vec::new(); streams];
    for (nth, file) in found.files.into_iter().enumerate() {
        groups[nth % streams].push(file);
    }
    let group = |files| -> Arc<dyn PartitionStream> {
        Arc::new(Group { files, schema: Arc::clone(&schema), read: read.clone() })
    };
    let groups = groups.into_iter().map(group).collect();
    Ok(Arc::new(StreamingTable::try_new(Arc::clone(&schema), groups)?))
}

/// The other table at its newest version.
pub(crate) async fn delta(session: &Session, entry: &Entry) -> Result<Arc<LakeTable>> {
    let engine = session.engine();
    let table = engine.catalog.external_table(&session.snapshot(), entry).await?;
    copy::from_files::refuse_own(session, table.location(), &entry.qualified_name())?;
    // As with other files, what others wrote before the statement is seen.
    table.update().await?;
    Ok(table)
}

/// Files that one thread reads, one after the other.
#[derive(Debug)]
struct Group {
    files: Vec<File>,
    schema: SchemaRef,
    read: ReadOptions,
}

impl PartitionStream for Group {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let tally = Tally::new(self.files.len(), None);
        files::read_all(self.files.clone(), &self.schema, &self.read, &tally)
    }
}
