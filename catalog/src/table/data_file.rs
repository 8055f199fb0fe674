//! One data file of a table, and what is known of its rows.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use serde::Deserialize;

use super::statistics::{FileStatistics, parse};
use crate::log::Add;

/// A data file of a table.
#[derive(Debug)]
pub struct DataFile {
    add: Add,
    row_count: Option<u64>,
    /// Made when they are first asked for, for the schema of that time.
    scan_statistics: OnceLock<(SchemaRef, Arc<Statistics>)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RowCount {
    num_records: Option<u64>,
}

/// The rest follows from what the log says.
impl PartialEq for DataFile {
    fn eq(&self, other: &Self) -> bool {
        self.add == other.add
    }
}

impl Eq for DataFile {}

impl DataFile {
    pub(crate) fn new(add: Add) -> Self {
        let row_count = add
            .stats
            .as_deref()
            .and_then(|text| serde_json::from_str::<RowCount>(text).ok())
            .and_then(|stats| stats.num_records);
        Self { add, row_count, scan_statistics: OnceLock::new() }
    }

    /// What the log says of the file.
    #[must_use]
    pub const fn add(&self) -> &Add {
        &self.add
    }

    /// Relative to the table, percent-encoded: what [`super::Commit::removes`] takes.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.add.path
    }

    /// How many rows it holds, where the writer said so.
    #[must_use]
    pub const fn row_count(&self) -> Option<u64> {
        self.row_count
    }

    /// How large it is.
    #[must_use]
    pub fn byte_count(&self) -> u64 {
        u64::try_from(self.add.size).unwrap_or(0)
    }

    /// Minima, maxima and NULL counts of the columns of `schema`, where the writer gave them.
    pub(crate) fn statistics(&self, schema: &SchemaRef) -> FileStatistics {
        parse(self.add.stats.as_deref(), schema)
    }

    /// What `make` makes of the file for scans with `schema`; made once as long as that stays.
    pub(crate) fn scan_statistics(
        &self,
        schema: &SchemaRef,
        make: impl Fn() -> Arc<Statistics>,
    ) -> Arc<Statistics> {
        let (known, made) = self.scan_statistics.get_or_init(|| (Arc::clone(schema), make()));
        if Arc::ptr_eq(known, schema) || known == schema { Arc::clone(made) } else { make() }
    }
}
