//! The catalog at one version, in memory.
//!
//! Never: a method here reads or writes anything outside the value.
//! Never: two entries have one name in a schema, whatever their kinds.

use std::sync::Arc;

use imbl::OrdMap;
use uuid::Uuid;

use crate::entry::{Change, Definition, Entry, Kind, TableRef};
use crate::error::{Error, Result};

/// The first oid that is not PostgreSQL's own.
pub(crate) const FIRST_OID: u32 = 16384;

/// The immutable catalog at one version.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The version of the catalog's log; that of the snapshot beneath for an overlay.
    pub version: i64,
    by_id: OrdMap<Uuid, Arc<Entry>>,
    by_oid: OrdMap<u32, Arc<Entry>>,
    schemas: OrdMap<String, Arc<Entry>>,
    by_schema: OrdMap<String, OrdMap<String, Arc<Entry>>>,
    /// What stands in no schema. No client's catalogs show these: they have no place in `by_oid`.
    globals: OrdMap<(Kind, String), Arc<Entry>>,
    next_oid: u32,
}

impl Snapshot {
    /// The catalog of these entries.
    pub(crate) fn new(
        version: i64,
        entries: impl IntoIterator<Item = Arc<Entry>>,
        next_oid: u32,
    ) -> Self {
        let mut snapshot = Self {
            version,
            by_id: OrdMap::new(),
            by_oid: OrdMap::new(),
            schemas: OrdMap::new(),
            by_schema: OrdMap::new(),
            globals: OrdMap::new(),
            next_oid: next_oid.max(FIRST_OID),
        };
        for entry in entries {
            snapshot.insert(entry);
        }
        snapshot
    }

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

    /// A location or a secret.
    #[must_use]
    pub fn global(&self, kind: Kind, name: &str) -> Option<&Arc<Entry>> {
        self.globals.get(&(kind, name.to_owned()))
    }

    /// All locations, or all secrets, by name.
    pub fn global_entries(&self, kind: Kind) -> impl Iterator<Item = &Arc<Entry>> {
        self.globals.values().filter(move |entry| entry.kind() == kind)
    }

    /// The versions of a table, by the id of its entry, that named snapshots hold.
    pub fn pinned_versions(&self, table: Uuid) -> impl Iterator<Item = i64> {
        self.global_entries(Kind::Snapshot).filter_map(move |pins| match &pins.definition {
            Definition::Snapshot { versions } => versions.get(&table).copied(),
            _ => None,
        })
    }

    /// What bears the name that an entry of this kind would have.
    pub(crate) fn holder(&self, kind: Kind, schema: &str, name: &str) -> Option<&Arc<Entry>> {
        match kind {
            Kind::Schema => self.schema(name),
            _ if kind.is_global() => self.global(kind, name),
            _ => self.entry(schema, name),
        }
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

    /// The overlay of an open transaction: this snapshot after `changes`, in their order, checked as a
    /// commit would check them. New entries get the oids that a commit right now would give them.
    pub fn with_changes(&self, changes: &[Change]) -> Result<Self> {
        let mut next = self.clone();
        for change in changes {
            match change {
                Change::Put(entry) => next.put(entry)?,
                Change::Drop(id) => {
                    let entry = next.known(*id)?;
                    next.remove(&entry);
                }
                Change::Decide { id, at } => next.mark(*id, |table| {
                    let holds = table.refused < Some(*at);
                    table.decided = table.decided.max(holds.then_some(*at));
                    holds
                })?,
                Change::Refuse { id, at } => next.mark(*id, |table| {
                    let open = table.decided < Some(*at);
                    table.refused = table.refused.max(open.then_some(*at));
                    open
                })?,
            }
        }
        next.check_schemas()?;
        Ok(next)
    }

    fn known(&self, id: Uuid) -> Result<Arc<Entry>> {
        let missing = || Error::NotFound { kind: Kind::Entry, name: id.to_string() };
        self.by_id.get(&id).cloned().ok_or_else(missing)
    }

    /// Notes what became of a prepared commit, unless the opposite is noted already.
    fn mark(&mut self, id: Uuid, note: impl FnOnce(&mut TableRef) -> bool) -> Result<()> {
        let known = self.known(id)?;
        let mut entry = known.as_ref().clone();
        if !entry.table_mut().is_some_and(note) {
            return Err(Error::Conflict {
                object: "the catalog".to_owned(),
                reason: format!(
                    "another server settled a transaction of \"{}\"",
                    known.qualified_name()
                ),
            });
        }
        self.remove(&known);
        self.insert(Arc::new(entry));
        Ok(())
    }

    fn put(&mut self, entry: &Entry) -> Result<()> {
        let old = self.by_id.get(&entry.id).cloned();
        let holder = self.holder(entry.kind(), &entry.schema, &entry.name);
        if let Some(holder) = holder.filter(|holder| holder.id != entry.id) {
            return Err(Error::Duplicate { kind: holder.kind(), name: entry.qualified_name() });
        }
        let oid = match &old {
            Some(old) => old.oid,
            None => {
                self.next_oid += 1;
                self.next_oid - 1
            }
        };
        let mut entry = Entry { oid, ..entry.clone() };
        if let Some(old) = old {
            // Who changes the definition knows nothing of transactions that ended meanwhile.
            if let (Some(table), Some(known)) = (entry.table_mut(), old.table())
                && table.table_id == known.table_id
            {
                table.decided = table.decided.max(known.decided);
                table.refused = table.refused.max(known.refused);
            }
            self.remove(&old);
        }
        self.insert(Arc::new(entry));
        Ok(())
    }

    fn insert(&mut self, entry: Arc<Entry>) {
        self.by_id.insert(entry.id, Arc::clone(&entry));
        if entry.kind().is_global() {
            self.globals.insert((entry.kind(), entry.name.clone()), entry);
            return;
        }
        self.by_oid.insert(entry.oid, Arc::clone(&entry));
        if entry.kind() == Kind::Schema {
            self.schemas.insert(entry.name.clone(), entry);
        } else {
            let schema = self.by_schema.entry(entry.schema.clone()).or_default();
            schema.insert(entry.name.clone(), entry);
        }
    }

    fn remove(&mut self, entry: &Entry) {
        self.by_id.remove(&entry.id);
        if entry.kind().is_global() {
            self.globals.remove(&(entry.kind(), entry.name.clone()));
            return;
        }
        self.by_oid.remove(&entry.oid);
        if entry.kind() == Kind::Schema {
            self.schemas.remove(&entry.name);
        } else if let Some(schema) = self.by_schema.get_mut(&entry.schema) {
            schema.remove(&entry.name);
            if schema.is_empty() {
                self.by_schema.remove(&entry.schema);
            }
        }
    }

    /// Every entry stands in a schema that is there.
    fn check_schemas(&self) -> Result<()> {
        for (schema, entries) in &self.by_schema {
            if self.schemas.contains_key(schema) {
                continue;
            }
            if let Some(entry) = entries.values().next() {
                let (schema, entry) = (schema.clone(), entry.name.clone());
                return Err(Error::MissingSchema { schema, entry });
            }
        }
        Ok(())
    }

    /// The same entries as another version.
    pub(crate) fn at_version(self, version: i64) -> Self {
        Self { version, ..self }
    }

    pub(crate) const fn next_oid(&self) -> u32 {
        self.next_oid
    }

    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = &Arc<Entry>> {
        self.by_id.values()
    }
}

#[cfg(test)]
mod tests;
