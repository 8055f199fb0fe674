//! Pinned files as a DataFusion table.
//!
//! A scan is planned once: the files of the snapshot are pruned by partition values and statistics,
//! and what is left is read by DataFusion's own Parquet source, which brings byte ranges, dynamic
//! filters and a codec of its own. Columns that a file lacks are NULL.
//!
//! Never: one of DataFusion's write hooks (insert, delete, update) is offered; they lose predicates.
//! Never: a file outside the snapshot, or outside the directory of the table, is read.

mod files;
mod foreign;
mod layout;
mod pruning;
mod reader;
mod statistics;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::memory::DataSourceExec;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::ObjectMeta;
use object_store::path::Path;

use crate::error::Error;
use crate::stores::{self, Location};
use crate::table::{DataFile, TableSnapshot};
pub use files::scan_parquet;
use layout::Layout;
use reader::IndexedReaders;

/// The name of the column that holds the path of a row's file.
pub const FILE_COLUMN: &str = "__file";

/// The name of the column that holds a row's number in its file, from 0.
pub const ROW_COLUMN: &str = "__row";

/// Bytes for which another thread is worth its while.
const GROUP_BYTES_MIN: u64 = 1 << 20;

/// A reader of the files of `snapshot`.
pub(crate) fn scan(
    location: Location,
    snapshot: Arc<TableSnapshot>,
    with_places: bool,
) -> Arc<dyn TableProvider> {
    let layout = Arc::new(Layout::new(&snapshot, with_places));
    Arc::new(PinnedTable { location, snapshot, layout })
}

/// Whether a table is read from this place by [`scan`].
pub(crate) fn is_scan_of(table: &dyn TableProvider, location: &Location) -> bool {
    pinned(table).is_some_and(|pinned| {
        pinned.location.url == location.url && pinned.location.path == location.path
    })
}

/// The same scan of another version, where the table is defined as it was.
pub(crate) fn scan_again(
    earlier: &dyn TableProvider,
    snapshot: Arc<TableSnapshot>,
) -> Option<Arc<dyn TableProvider>> {
    let PinnedTable { location, snapshot: before, layout } = pinned(earlier)?;
    let same = Arc::ptr_eq(&before.schema, &snapshot.schema)
        && before.partition_columns == snapshot.partition_columns
        && before.needs_foreign_reader() == snapshot.needs_foreign_reader();
    same.then(|| {
        let (location, layout) = (location.clone(), Arc::clone(layout));
        Arc::new(PinnedTable { location, snapshot, layout }) as Arc<dyn TableProvider>
    })
}

fn pinned(table: &dyn TableProvider) -> Option<&PinnedTable> {
    (table as &dyn std::any::Any).downcast_ref()
}

#[derive(Debug)]
struct PinnedTable {
    location: Location,
    snapshot: Arc<TableSnapshot>,
    layout: Arc<Layout>,
}

#[async_trait]
impl TableProvider for PinnedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.layout.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let foreign = self.snapshot.needs_foreign_reader();
        let decided_by_partition =
            |filter: &Expr| !foreign && pruning::is_decided_by(filter, &self.layout);
        Ok(filters
            .iter()
            .map(|filter| match decided_by_partition(filter) {
                true => TableProviderFilterPushDown::Exact,
                false => TableProviderFilterPushDown::Inexact,
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.snapshot.needs_foreign_reader() {
            return self.scan_foreign(state, projection, filters, limit).await;
        }
        let mut files = pruning::prune(state, &self.layout, &self.snapshot, filters)?;
        let every_row_counts =
            filters.iter().all(|filter| pruning::is_decided_by(filter, &self.layout));
        if let Some(limit) = limit.filter(|_| every_row_counts) {
            keep_enough(&mut files, limit);
        }
        let projection = self.layout.projection(projection);
        if files.is_empty() {
            let schema = self.layout.table_schema().table_schema().project(&projection)?;
            return Ok(Arc::new(EmptyExec::new(Arc::new(schema))));
        }
        let statistics = statistics::of_scan(&files, &self.layout, &projection);
        let partitions = state.config().target_partitions();
        let groups = self.groups(&files, partitions)?;
        name_store(state.runtime_env(), &self.location.url);
        let source = self.source(state, !every_row_counts);
        let config = FileScanConfigBuilder::new(self.location.url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(projection))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

impl PinnedTable {
    async fn scan_foreign(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(indices) => Arc::new(self.layout.schema().project(indices)?),
            None => Arc::clone(self.layout.schema()),
        };
        if self.layout.has_places() {
            return Err(DataFusionError::from(Error::Unsupported {
                what: "cannot change a table with deletion vectors or column mapping".to_owned(),
            }));
        }
        // Its reader goes where the log sends it; what it may reach ends at the table in any case.
        for file in self.snapshot.files() {
            self.file_location(file)?;
            foreign::check_vector(file)?;
        }
        let version = self.snapshot.version;
        foreign::scan(&self.location, version, state, &schema, filters, limit).await
    }

    fn source(&self, state: &dyn Session, filters_rows: bool) -> ParquetSource {
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let footers = state.runtime_env().cache_manager.get_file_metadata_cache();
        let footers =
            CachedParquetFileReaderFactory::new(Arc::clone(&self.location.store), footers);
        let readers: Arc<dyn ParquetFileReaderFactory> =
            if filters_rows { Arc::new(IndexedReaders { footers }) } else { Arc::new(footers) };
        let hint = options.global.metadata_size_hint;
        let source = ParquetSource::new(self.layout.table_schema().clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(readers);
        match hint {
            Some(bytes) => source.with_metadata_size_hint(bytes),
            None => source,
        }
    }

    /// Files in groups of about equal size, at most one for each thread. DataFusion splits large
    /// ones further, by byte ranges.
    fn groups(&self, files: &[Arc<DataFile>], partitions: usize) -> Result<Vec<FileGroup>> {
        let bytes: u64 = files.iter().map(|file| file.byte_count()).sum();
        let useful = usize::try_from(bytes / GROUP_BYTES_MIN).unwrap_or(usize::MAX);
        let count = partitions.min(files.len()).min(useful).max(1);
        let share = bytes.div_ceil(count as u64).max(1);
        let mut groups: Vec<Vec<PartitionedFile>> = Vec::with_capacity(count);
        let mut before = 0;
        for file in files {
            let group = usize::try_from(before / share).unwrap_or(0);
            if groups.len() <= group && groups.len() < count {
                groups.push(Vec::new());
            }
            if let Some(last) = groups.last_mut() {
                last.push(self.partitioned_file(file)?);
            }
            before += file.byte_count();
        }
        Ok(groups.into_iter().map(FileGroup::new).collect())
    }

    fn partitioned_file(&self, file: &Arc<DataFile>) -> Result<PartitionedFile> {
        let last_modified = chrono::DateTime::from_timestamp_millis(file.add().modification_time)
            .unwrap_or_default();
        let mut scanned = PartitionedFile::new_from_meta(ObjectMeta {
            location: self.file_location(file)?,
            last_modified,
            size: file.byte_count(),
            e_tag: None,
            version: None,
        });
        scanned.partition_values = self.layout.partition_values(file)?;
        scanned.statistics = Some(statistics::of_file(file, &self.layout));
        Ok(scanned)
    }

    /// Where a file stands: always below the table, whatever its log says.
    fn file_location(&self, file: &DataFile) -> Result<Path> {
        let path = file.path();
        let refused =
            || DataFusionError::from(Error::LocationRefused { location: path.to_owned() });
        if path.starts_with('/') || path.contains("://") {
            return Err(refused());
        }
        let relative = Path::from_url_path(path).map_err(|_| refused())?;
        Ok(self.location.path.parts().chain(relative.parts()).collect())
    }
}

/// DataFusion looks a store up by its URL, although our readers bring the one of their table. For a
/// location that SQL declared, with credentials of its own, it finds one that refuses everything.
fn name_store(runtime: &RuntimeEnv, url: &ObjectStoreUrl) {
    if runtime.object_store(url).is_err() {
        runtime.register_object_store(url.as_ref(), stores::nowhere());
    }
}

/// Keeps as many files as hold `limit` rows.
fn keep_enough(files: &mut Vec<Arc<DataFile>>, limit: usize) {
    let mut rows: u64 = 0;
    let enough = files.iter().position(|file| {
        // A file without a row count is kept, and promises nothing.
        rows += file.row_count().unwrap_or(0);
        rows >= limit as u64
    });
    if let Some(last) = enough {
        files.truncate(last + 1);
    }
}

#[cfg(test)]
mod tests;
