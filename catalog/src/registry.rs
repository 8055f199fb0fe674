//! The catalog: names to definitions, kept as a Delta table with one commit per DDL statement.
//!
//! A commit appends the rows of the entries that it touches; where there are many such files it writes
//! all entries in force instead, and removes the others (a fold).
//!
//! Never: a commit lands at another version than the one right after the snapshot that it was
//! checked against.

mod decisions;
mod locations;
mod rows;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::clock::Clock;
use crate::entry::{Change, Definition, Entry, Kind, TableRef, Zone};
use crate::error::{Error, Result};
use crate::log::CommitRecord;
use crate::schema::TableSpec;
use crate::snapshot::Snapshot;
use crate::stores::{Location, Stores};
use crate::table::{Commit, CommitKind, LakeTable, TableSnapshot};
use locations::OpenLocations;
use rows::Row;

pub use decisions::{TableCommit, TransactionFailure};

pub(crate) const CATALOG_PATH: &str = "_tarn/catalog";
/// The numbered producer under which the next free oid is kept.
const OID_PRODUCER: &str = "tarn.next_oid";
/// Owner of what a new warehouse has.
const FIRST_OWNER: &str = "tarn";
const FIRST_SCHEMAS: [(&str, Zone); 4] = [
    ("raw", Zone::Raw),
    ("processed", Zone::Processed),
    ("features", Zone::Feature),
    ("public", Zone::Processed),
];
const LOG_CLEANUP_KEY: &str = "delta.enableExpiredLogCleanup";
/// Files from which a fold is worth while, if they hold enough.
const FOLD_FILES_MIN: usize = 16;
/// Files at which a fold is due in any case.
const FOLD_FILES_MAX: usize = 64;

/// The names of a warehouse, shared by all sessions of a process.
#[derive(Debug)]
pub struct Catalog {
    stores: Arc<Stores>,
    clock: Arc<dyn Clock>,
    entries: Arc<LakeTable>,
    known: ArcSwap<Known>,
    /// One DDL commit at a time within the process.
    turn: tokio::sync::Mutex<()>,
    tables: Mutex<HashMap<Uuid, Arc<OnceCell<Arc<LakeTable>>>>>,
    /// Delta tables of others, by the id of their entry; nothing is done to them but reading.
    external: Mutex<HashMap<Uuid, Arc<LakeTable>>>,
    open_locations: OpenLocations,
    /// For its tables, which ask it what became of a prepared commit.
    me: Weak<Self>,
}

/// The catalog and the table that it was read from, at one version.
#[derive(Debug)]
struct Known {
    snapshot: Arc<Snapshot>,
    table: Arc<TableSnapshot>,
}

impl Catalog {
    /// Opens the catalog of the warehouse; a new one gets the schemas `raw`, `processed`, `features`
    /// and `public`.
    pub async fn open(stores: Arc<Stores>, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let location = stores.in_warehouse(CATALOG_PATH)?;
        let entries = open_or_create(&location, &clock).await?;
        let table = entries.current();
        let snapshot = Arc::new(read_all(&entries, &table).await?);
        let catalog = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            stores,
            clock,
            entries,
            known: ArcSwap::from_pointee(Known { snapshot, table }),
            turn: tokio::sync::Mutex::default(),
            tables: Mutex::default(),
            external: Mutex::default(),
            open_locations: OpenLocations::default(),
        });
        if catalog.snapshot().version == 0 {
            catalog.create_first_schemas().await?;
        }
        Ok(catalog)
    }

    async fn create_first_schemas(&self) -> Result<()> {
        let now = self.clock.now_micros();
        let changes = FIRST_SCHEMAS
            .map(|(name, zone)| Entry::new("", name, FIRST_OWNER, now, Definition::Schema { zone }))
            .map(Change::Put)
            .to_vec();
        match self.commit(&self.snapshot(), changes).await {
            // Another server made them.
            Err(Error::Conflict { .. }) => self.refresh().await.map(drop),
            other => other.map(drop),
        }
    }

    /// The stores behind it.
    #[must_use]
    pub const fn stores(&self) -> &Arc<Stores> {
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
        Arc::clone(&self.known.load().snapshot)
    }

    /// The newest known catalog, and the table that it was read from, at that version. No I/O.
    pub(crate) fn pinned_entries(&self) -> (Arc<Snapshot>, Arc<LakeTable>, Arc<TableSnapshot>) {
        let Known { snapshot, table } = &**self.known.load();
        (Arc::clone(snapshot), Arc::clone(&self.entries), Arc::clone(table))
    }

    /// Asks the store for what other servers committed.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>> {
        let table = self.entries.update().await?;
        self.learn(table).await
    }

    /// As [`Self::refresh`], unless the store was asked less than `age_micros` ago.
    pub async fn refresh_if_older(&self, age_micros: i64) -> Result<Arc<Snapshot>> {
        let table = self.entries.update_if_older(age_micros).await?;
        self.learn(table).await
    }

    /// Commits `changes`, all or none, as they were decided over `base` (a snapshot of this catalog,
    /// not an overlay). The entries get their oids here.
    ///
    /// If another server committed first and touched none of the entries, names and schemas in
    /// question, the changes land after it; else the error is [`Error::Conflict`].
    pub async fn commit(&self, base: &Snapshot, changes: Vec<Change>) -> Result<Arc<Snapshot>> {
        if changes.is_empty() {
            return Ok(self.snapshot());
        }
        let _turn = self.turn.lock().await;
        loop {
            let known = self.known.load_full();
            let next = apply(base, &known.snapshot, &changes)?;
            match self.try_commit(&known, next, &changes).await {
                // Another server was first: look at what it did, then try the next version.
                Err(Error::Conflict { .. }) => drop(self.refresh().await?),
                Err(error) => return Err(error),
                Ok(snapshot) => {
                    self.forget_dropped(&known.snapshot, &snapshot, &changes);
                    return Ok(snapshot);
                }
            }
        }
    }

    /// Commits `next` right after `known`, or not at all.
    async fn try_commit(
        &self,
        known: &Known,
        next: Snapshot,
        changes: &[Change],
    ) -> Result<Arc<Snapshot>> {
        let version = known.table.version + 1;
        let next = Arc::new(next.at_version(version));
        let fold = is_fold_due(&known.table, next.all().len());
        let rows: Vec<Row> = if fold {
            next.all().map(|entry| Row::put(version, entry)).collect()
        } else {
            touched(changes).map(|id| row_of(version, id, known, &next)).collect()
        };
        let rows = vec![rows::to_batch(&rows)?];
        let mut commit = Commit::new("DDL", CommitKind::Exact);
        let files = self.entries.hold_files(&known.table, rows).await?;
        if fold {
            commit.removes = known.table.files().map(|file| file.path().to_owned()).collect();
        }
        if next.next_oid() > known.snapshot.next_oid() {
            commit.txns = vec![(OID_PRODUCER.to_owned(), i64::from(next.next_oid()))];
        }
        commit.parameters = BTreeMap::from([
            ("entries".to_owned(), changes.len().to_string()),
            ("changes".to_owned(), described(&known.snapshot, &next, changes)),
        ]);
        match self.entries.commit_with(&known.table, commit, files).await {
            Ok(table) if table.version == version => {
                Ok(self.publish(Known { snapshot: next, table }))
            }
            // The answer was lost, and others committed after it.
            Ok(table) => self.learn(table).await,
            Err(error) => Err(error),
        }
    }

    /// The newest commits of the catalog, newest first.
    pub async fn history(&self, limit: usize) -> Result<Vec<CommitRecord>> {
        self.entries.history(limit).await
    }

    /// Takes a newer version of the entries into account.
    async fn learn(&self, table: Arc<TableSnapshot>) -> Result<Arc<Snapshot>> {
        let known = self.known.load_full();
        if table.version <= known.table.version {
            return Ok(Arc::clone(&known.snapshot));
        }
        let folded = known.table.files().any(|file| table.file(file.path()).is_none());
        let snapshot = if folded {
            read_all(&self.entries, &table).await?
        } else {
            let mut entries: HashMap<Uuid, Arc<Entry>> =
                known.snapshot.all().map(|entry| (entry.id, Arc::clone(entry))).collect();
            let new = table.files().filter(|file| known.table.file(file.path()).is_none());
            replay(rows::read(&self.entries, new).await?, &mut entries);
            Snapshot::new(table.version, entries.into_values(), next_oid(&table))
        };
        Ok(self.publish(Known { snapshot: Arc::new(snapshot), table }))
    }

    /// Makes `known` the newest known catalog, unless a newer one is; returns the newer.
    fn publish(&self, known: Known) -> Arc<Snapshot> {
        let known = Arc::new(known);
        self.known.rcu(|current| {
            let newer = known.table.version > current.table.version;
            Arc::clone(if newer { &known } else { current })
        });
        self.snapshot()
    }

    /// The Delta table behind an entry; one object per table and process.
    pub async fn table(&self, entry: &Entry) -> Result<Arc<LakeTable>> {
        let table = entry.table().ok_or_else(|| Error::Unsupported {
            what: format!("{} \"{}\" has no rows", entry.kind(), entry.qualified_name()),
        })?;
        self.table_at(table).await
    }

    /// As [`Self::table`], for a table that may have no name yet.
    pub async fn table_at(&self, table: &TableRef) -> Result<Arc<LakeTable>> {
        let cell = Arc::clone(self.tables.lock().entry(table.table_id).or_default());
        let open = || async {
            let location = self.location(table)?;
            let lake = LakeTable::open(location, Arc::clone(&self.clock)).await?;
            lake.ask_of_prepared(self.decisions(table.table_id));
            Ok(lake)
        };
        cell.get_or_try_init(open).await.cloned()
    }

    /// The tables that this process has read or written since its start, each with its
    /// [`TableRef::table_id`].
    #[must_use]
    pub fn open_tables(&self) -> Vec<(Uuid, Arc<LakeTable>)> {
        let tables = self.tables.lock();
        tables.iter().filter_map(|(id, cell)| Some((*id, Arc::clone(cell.get()?)))).collect()
    }

    /// The Delta table that an external table is; one object per entry and process, as long as its
    /// location is opened with the same credentials, and nobody has made another table there.
    pub async fn external_table(
        &self,
        snapshot: &Snapshot,
        entry: &Entry,
    ) -> Result<Arc<LakeTable>> {
        let Definition::ExternalTable(table) = &entry.definition else {
            return Err(Error::NotFound {
                kind: Kind::ExternalTable,
                name: entry.qualified_name(),
            });
        };
        // Asked every time: the location may have been dropped, or made anew.
        let location = self.resolve(snapshot, &table.url)?;
        let known = self.external.lock().get(&entry.id).cloned();
        if let Some(known) = known.filter(|known| known.location().is_same(&location))
            && known.is_as_known().await?
        {
            return Ok(known);
        }
        let opened = LakeTable::open(location, Arc::clone(&self.clock)).await?;
        self.external.lock().insert(entry.id, Arc::clone(&opened));
        Ok(opened)
    }

    fn location(&self, table: &TableRef) -> Result<Location> {
        if table.path.contains("://") {
            self.stores.resolve(&table.path)
        } else {
            self.stores.in_warehouse(&table.path)
        }
    }

    /// A new Delta table, which has no name until an entry with this [`TableRef`] is committed.
    pub async fn create_table(
        &self,
        schema: &str,
        mut spec: TableSpec,
    ) -> Result<(TableRef, Arc<LakeTable>)> {
        // Other writers would clean the log by themselves, pinned versions with it.
        spec.configuration.entry(LOG_CLEANUP_KEY.to_owned()).or_insert_with(|| "false".to_owned());
        let table_id = Uuid::new_v4();
        let table = TableRef::new(table_id, format!("{}/{table_id}", directory(schema)));
        let location = self.stores.in_warehouse(&table.path)?;
        let lake = LakeTable::create(location, spec, Arc::clone(&self.clock)).await?;
        lake.ask_of_prepared(self.decisions(table_id));
        let cell = Arc::new(OnceCell::new_with(Some(Arc::clone(&lake))));
        self.tables.lock().insert(table_id, cell);
        Ok((table, lake))
    }

    /// Lets go of tables that no entry names any more.
    fn forget_dropped(&self, before: &Snapshot, after: &Snapshot, changes: &[Change]) {
        let tables = |snapshot: &Snapshot, id| {
            snapshot.entry_by_id(id).and_then(|entry| entry.table().map(|table| table.table_id))
        };
        let mut open = self.tables.lock();
        for id in touched(changes) {
            if let Some(table) = tables(before, id).filter(|_| after.entry_by_id(id).is_none()) {
                open.remove(&table);
            }
            self.external.lock().remove(&id);
        }
    }
}

async fn open_or_create(location: &Location, clock: &Arc<dyn Clock>) -> Result<Arc<LakeTable>> {
    match LakeTable::open(location.clone(), Arc::clone(clock)).await {
        Err(Error::NotFound { .. }) => {}
        other => return other,
    }
    let spec = TableSpec::new(rows::schema());
    match LakeTable::create(location.clone(), spec, Arc::clone(clock)).await {
        // Another server was first.
        Err(Error::Duplicate { .. }) => LakeTable::open(location.clone(), Arc::clone(clock)).await,
        other => other,
    }
}

async fn read_all(entries: &Arc<LakeTable>, table: &TableSnapshot) -> Result<Snapshot> {
    let mut latest = HashMap::new();
    replay(rows::read(entries, table.files()).await?, &mut latest);
    Ok(Snapshot::new(table.version, latest.into_values(), next_oid(table)))
}

fn replay(mut rows: Vec<Row>, entries: &mut HashMap<Uuid, Arc<Entry>>) {
    rows.sort_by_key(|row| row.version);
    for row in rows {
        match row.entry {
            Some(entry) => entries.insert(row.id, entry),
            None => entries.remove(&row.id),
        };
    }
}

fn next_oid(table: &TableSnapshot) -> u32 {
    table.txn(OID_PRODUCER).and_then(|oid| u32::try_from(oid).ok()).unwrap_or(0)
}

/// What `changes`, decided over `base`, make of `head`.
fn apply(base: &Snapshot, head: &Snapshot, changes: &[Change]) -> Result<Snapshot> {
    if base.version == head.version {
        return head.with_changes(changes);
    }
    let conflict = |name: &str| Error::Conflict {
        object: "the catalog".to_owned(),
        reason: format!("\"{name}\" was changed meanwhile"),
    };
    for change in changes {
        // What became of a prepared commit matters to no definition.
        if matches!(change, Change::Decide { .. } | Change::Refuse { .. }) {
            continue;
        }
        let id = change.id();
        let names: HashSet<(Kind, &str, &str)> = base
            .entry_by_id(id)
            .map(AsRef::as_ref)
            .into_iter()
            .chain(match change {
                Change::Put(entry) => Some(entry),
                _ => None,
            })
            .map(|entry| (entry.kind(), entry.schema.as_str(), entry.name.as_str()))
            .collect();
        let same_name = |(kind, schema, name): &(Kind, &str, &str)| {
            let holder = |snapshot: &Snapshot| {
                let holder = snapshot.holder(*kind, schema, name);
                (holder.map(|entry| entry.id), snapshot.schema(schema).map(|entry| entry.id))
            };
            holder(base) == holder(head)
        };
        if let Some((_, _, name)) = names.iter().find(|name| !same_name(name)) {
            return Err(conflict(name));
        }
        let same = match (base.entry_by_id(id), head.entry_by_id(id)) {
            (Some(known), Some(now)) => known == now || known.defines_same(now),
            (known, now) => known.is_none() && now.is_none(),
        };
        if !same {
            let name = base.entry_by_id(id).map_or_else(|| id.to_string(), |e| e.qualified_name());
            return Err(conflict(&name));
        }
    }
    head.with_changes(changes).map_err(|error| match error {
        Error::MissingSchema { schema, .. } => conflict(&schema),
        Error::NotFound { name, .. } => {
            let known = Uuid::parse_str(&name).ok().and_then(|id| base.entry_by_id(id));
            conflict(&known.map_or(name, |entry| entry.qualified_name()))
        }
        other => other,
    })
}

/// The ids of the entries that `changes` touch, each once.
fn touched(changes: &[Change]) -> impl Iterator<Item = Uuid> {
    let ids: HashSet<Uuid> = changes.iter().map(Change::id).collect();
    ids.into_iter()
}

fn row_of(version: i64, id: Uuid, known: &Known, next: &Snapshot) -> Row {
    match next.entry_by_id(id) {
        Some(entry) => Row::put(version, entry),
        None => Row::drop(version, id, known.snapshot.entry_by_id(id)),
    }
}

/// Whether a commit should write all entries: opening the catalog reads every file, and a fold costs
/// as many rows as there are entries.
fn is_fold_due(table: &TableSnapshot, entries: usize) -> bool {
    let largest = table.files().filter_map(|file| file.row_count()).max().unwrap_or(0);
    let appended = table.row_count().unwrap_or(0).saturating_sub(largest);
    let files = table.file_count();
    files >= FOLD_FILES_MAX || (files >= FOLD_FILES_MIN && appended * 4 >= entries as u64)
}

/// The directory of a schema's tables: its name, as far as every store takes it.
fn directory(schema: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name: String = schema.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    // The server's own directories, and what readers of tables pass over, start with `_`.
    if name.is_empty() || name.starts_with('_') { format!("schema{name}") } else { name }
}

/// Changes that a commit tells at most.
const DESCRIBED_MAX: usize = 100;

/// What the history says of changes: `put table public.t, drop view public.v`.
fn described(before: &Snapshot, after: &Snapshot, changes: &[Change]) -> String {
    let name = |snapshot: &Snapshot, id: Uuid| {
        let entry = snapshot.all().find(|entry| entry.id == id)?;
        Some(format!("{} {}", entry.kind(), entry.qualified_name()))
    };
    let told = changes.iter().filter_map(|change| match change {
        Change::Put(entry) => Some(format!("put {}", name(after, entry.id)?)),
        Change::Drop(id) => Some(format!("drop {}", name(before, *id)?)),
        Change::Decide { id, .. } => Some(format!("commit rows of {}", name(after, *id)?)),
        Change::Refuse { id, .. } => Some(format!("refuse rows of {}", name(after, *id)?)),
    });
    let mut told: Vec<String> = told.take(DESCRIBED_MAX).collect();
    if changes.len() > DESCRIBED_MAX {
        told.push("...".to_owned());
    }
    told.join(", ")
}

#[cfg(test)]
mod tests;
