//! Pinned files as a DataFusion table.
//!
//! Never: one of DataFusion's write hooks (insert, delete, update) is offered; they lose predicates.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;

use crate::stores::Location;
use crate::table::TableSnapshot;

/// The name of the column that holds the path of a row's file.
pub const FILE_COLUMN: &str = "__file";

pub(crate) fn scan(
    location: Location,
    snapshot: Arc<TableSnapshot>,
    with_file_column: bool,
) -> Arc<dyn TableProvider> {
    let _ = (location, with_file_column);
    Arc::new(EmptyTable::new(Arc::clone(&snapshot.schema)))
}
