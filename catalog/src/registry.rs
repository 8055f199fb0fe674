//! The catalog: names to definitions, kept as a Delta table with one commit per DDL statement.
//!
//! Never: a commit lands at another version than the one right after the snapshot that it was
//! checked against.

use std::sync::Arc;

use uuid::Uuid;

use crate::clock::Clock;
use crate::entry::{Change, Entry, TableRef};
use crate::error::{Error, Result};
use crate::schema::TableSpec;
use crate::snapshot::Snapshot;
use crate::stores::Stores;
use crate::table::LakeTable;

/// The names of a warehouse, shared by all sessions of a process.
#[derive(Debug)]
pub struct Catalog {
    stores: Arc<Stores>,
    clock: Arc<dyn Clock>,
}

impl Catalog {
    /// Opens the catalog of the warehouse; a new one gets the schemas `raw`, `processed`, `features`
    /// and `public`.
    pub async fn open(stores: Arc<Stores>, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { stores, clock }))
    }

    /// The stores behind it.
    #[must_use]
    pub fn stores(&self) -> &Arc<Stores> {
        &self.stores
    }

    /// The clock behind it.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The newest known catalog. No I/O.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(Snapshot::default())
    }

    /// Asks the store for what other servers committed.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>> {
        Ok(self.snapshot())
    }

    /// Commits `changes`, all or none, as they were decided over `base` (a snapshot of this catalog,
    /// not an overlay).
    ///
    /// If another server committed first and touched none of the entries, names and schemas in
    /// question, the changes land after it; else the error is [`Error::Conflict`].
    pub async fn commit(&self, base: &Snapshot, changes: Vec<Change>) -> Result<Arc<Snapshot>> {
        base.with_changes(&changes).map(Arc::new)
    }

    /// The Delta table behind an entry; one object per table and process.
    pub async fn table(&self, entry: &Entry) -> Result<Arc<LakeTable>> {
        Err(Error::NotFound { kind: entry.kind(), name: entry.qualified_name() })
    }

    /// A new Delta table, which has no name until an entry with this [`TableRef`] is committed.
    pub async fn create_table(
        &self,
        schema: &str,
        spec: TableSpec,
    ) -> Result<(TableRef, Arc<LakeTable>)> {
        let _ = (schema, spec, Uuid::new_v4());
        Err(Error::Unsupported { what: "not yet".to_owned() })
    }
}
