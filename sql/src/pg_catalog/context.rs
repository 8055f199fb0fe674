//! What one statement knows of the server: the snapshot, the session, and, once read, the tables.
//!
//! Never: a value that changes while the statement runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use catalog::{CommitRecord, DEFAULT_KEY, Definition, Entry, Snapshot};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use crate::caches::Cache;
use crate::error::Result;

/// Tables whose metadata are read at once.
const LOADS_IN_FLIGHT: usize = 16;

/// What a table's own metadata say; of views, the columns alone.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    /// The columns, with their metadata.
    pub(crate) columns: SchemaRef,
    /// Columns whose values split the files.
    pub(crate) partition_columns: Arc<[String]>,
    /// CHECK constraints, by name, as SQL.
    pub(crate) constraints: Arc<BTreeMap<String, String>>,
    /// Options of the table, as `WITH` takes them.
    pub(crate) options: Arc<BTreeMap<String, String>>,
    /// Rows, where known.
    pub(crate) row_count: Option<u64>,
    /// Bytes of the data files.
    pub(crate) byte_count: u64,
}

impl Relation {
    /// Of a materialized view, whose columns are computed.
    fn computed(self) -> Self {
        let fields: Vec<Field> =
            self.columns.fields().iter().map(|field| computed(field)).collect();
        Self { columns: Arc::new(Schema::new(fields)), ..self }
    }
}

/// The column of a view: it takes no rows, so it has no default and no NOT NULL, whatever the
/// column has that it comes from.
fn computed(field: &Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.remove(DEFAULT_KEY);
    field.clone().with_metadata(metadata).with_nullable(true)
}

/// Reads what a table's metadata say, at the version that the statement reads.
#[async_trait]
pub(crate) trait Relations: fmt::Debug + Send + Sync {
    /// One table or materialized view.
    async fn load(&self, entry: &Arc<Entry>) -> Result<Relation>;

    /// The newest commits of one, newest first.
    async fn history(&self, entry: &Arc<Entry>) -> Result<Vec<CommitRecord>>;

    /// The newest commits of the catalog, newest first.
    async fn catalog_history(&self) -> Result<Vec<CommitRecord>>;

    /// What the server keeps to be faster, now.
    fn caches(&self) -> Vec<Cache>;
}

/// A setting and its value.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// Its name.
    pub(crate) name: String,
    /// The value in force.
    pub(crate) value: String,
    /// What it is for.
    pub(crate) description: String,
}

/// A connection, for `pg_stat_activity`.
#[derive(Debug, Clone)]
pub(crate) struct Activity {
    /// What `pg_backend_pid` says there.
    pub(crate) pid: i32,
    /// Who is connected.
    pub(crate) user: String,
    /// The client program.
    pub(crate) application_name: String,
    /// When the connection began, microseconds since 1970 UTC.
    pub(crate) started_at_micros: i64,
    /// `active`, `idle`, `idle in transaction`.
    pub(crate) state: &'static str,
    /// The last statement.
    pub(crate) query: String,
}

/// What the statement's session says of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionFacts {
    /// The user that logged in.
    pub(crate) user: String,
    /// The database, as the client called it.
    pub(crate) database: String,
    /// Schemas that unqualified names are looked up in, `"$user"` resolved.
    pub(crate) search_path: Vec<String>,
    /// Every setting.
    pub(crate) settings: Vec<Setting>,
    /// What clients take for the process id.
    pub(crate) backend_pid: i32,
    /// The answer of `version()`.
    pub(crate) version: String,
    /// When the server started, microseconds since 1970 UTC.
    pub(crate) server_started_at_micros: i64,
    /// A number that no other transaction has.
    pub(crate) transaction: i64,
    /// Where the client is, if it came over a network.
    pub(crate) client_address: Option<std::net::SocketAddr>,
    /// Where the client reached the server, if it came over a network.
    pub(crate) server_address: Option<std::net::SocketAddr>,
    /// Connections, this one among them.
    pub(crate) activity: Vec<Activity>,
}

/// The functions that a statement may call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Functions {
    /// Of rows.
    pub(crate) scalar: Vec<Arc<ScalarUDF>>,
    /// Of groups.
    pub(crate) aggregate: Vec<Arc<AggregateUDF>>,
    /// Of windows.
    pub(crate) window: Vec<Arc<WindowUDF>>,
}

/// What one statement knows of the server.
pub(crate) struct SystemContext {
    /// The catalog.
    pub(crate) snapshot: Arc<Snapshot>,
    /// The session's temporary tables, in schema `pg_temp`.
    pub(crate) temporary: Vec<Arc<Entry>>,
    /// How to read tables' metadata.
    pub(crate) relations: Arc<dyn Relations>,
    /// The session.
    pub(crate) session: SessionFacts,
    /// Functions that are built in, for `pg_proc`.
    pub(crate) functions: Functions,
    loaded: Mutex<BTreeMap<u32, Arc<Relation>>>,
    histories: Mutex<BTreeMap<u32, Vec<CommitRecord>>>,
    catalog_history: Mutex<Vec<CommitRecord>>,
}

impl fmt::Debug for SystemContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The planner prints functions, and with them their context, in its messages.
        f.debug_struct("SystemContext")
            .field("version", &self.snapshot.version)
            .finish_non_exhaustive()
    }
}

/// The schema of temporary tables.
pub(crate) const TEMPORARY_SCHEMA: &str = "pg_temp";

impl SystemContext {
    /// A statement's context; nothing is read yet.
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        temporary: Vec<Arc<Entry>>,
        relations: Arc<dyn Relations>,
        session: SessionFacts,
        functions: Functions,
    ) -> Self {
        Self {
            snapshot,
            temporary,
            relations,
            session,
            functions,
            loaded: Mutex::default(),
            histories: Mutex::default(),
            catalog_history: Mutex::default(),
        }
    }

    /// Tables, views and materialized views, temporary ones last.
    pub(crate) fn relation_entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.snapshot
            .entries()
            .chain(&self.temporary)
            .filter(|entry| relation_kind(entry).is_some())
    }

    /// Models: functions to a client.
    pub(crate) fn model_entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let model = |entry: &&Arc<Entry>| matches!(entry.definition, Definition::Model { .. });
        self.snapshot.entries().filter(model)
    }

    /// A relation by its OID.
    pub(crate) fn relation_entry(&self, oid: u32) -> Option<&Arc<Entry>> {
        let temporary = || self.temporary.iter().find(|entry| entry.oid == oid);
        let found = self.snapshot.entry_by_oid(oid).or_else(temporary)?;
        relation_kind(found).map(|_| found)
    }

    /// What a relation's metadata say, if they were read: see [`Self::load`].
    pub(crate) fn relation(&self, oid: u32) -> Option<Arc<Relation>> {
        self.loaded.lock().get(&oid).map(Arc::clone)
    }

    /// Reads the metadata of every relation that `wanted` names.
    ///
    /// A table that cannot be read fails the statement only if the statement asks for it by name;
    /// a listing shows the others.
    pub(crate) async fn load(&self, wanted: &Wanted) -> Result<()> {
        let missing: Vec<Arc<Entry>> = {
            let loaded = self.loaded.lock();
            let wanted = self.relation_entries().filter(|entry| wanted.includes(entry));
            wanted.filter(|entry| !loaded.contains_key(&entry.oid)).map(Arc::clone).collect()
        };
        let named = wanted.names_some();
        let found: Vec<Option<(u32, Relation)>> = stream::iter(missing)
            .map(|entry| async move {
                match self.load_one(&entry).await {
                    Ok(relation) => Ok(Some((entry.oid, relation))),
                    Err(error) if named => Err(error),
                    Err(error) => {
                        let table = entry.qualified_name();
                        tracing::warn!(%error, table, "could not read the table's metadata");
                        Ok(None)
                    }
                }
            })
            .buffer_unordered(LOADS_IN_FLIGHT)
            .try_collect()
            .await?;
        let found = found.into_iter().flatten().map(|(oid, relation)| (oid, Arc::new(relation)));
        self.loaded.lock().extend(found);
        Ok(())
    }

    /// Reads the commits of every table that `wanted` names, as [`Self::load`] reads metadata.
    pub(crate) async fn load_histories(&self, wanted: &Wanted) -> Result<()> {
        let entries = self.snapshot.entries().filter(|entry| entry.table().is_some());
        let entries: Vec<Arc<Entry>> =
            entries.filter(|entry| wanted.includes(entry)).map(Arc::clone).collect();
        let named = wanted.names_some();
        let mut found = stream::iter(entries)
            .map(|entry| async move {
                (entry.oid, entry.qualified_name(), self.relations.history(&entry).await)
            })
            .buffer_unordered(LOADS_IN_FLIGHT);
        while let Some((oid, table, history)) = found.next().await {
            match history {
                Ok(history) => drop(self.histories.lock().insert(oid, history)),
                Err(error) if named => return Err(error),
                Err(error) => tracing::warn!(%error, table, "could not read the table's history"),
            }
        }
        Ok(())
    }

    /// What [`Self::load_histories`] read of one table.
    pub(crate) fn history(&self, oid: u32) -> Vec<CommitRecord> {
        self.histories.lock().get(&oid).cloned().unwrap_or_default()
    }

    /// Reads the commits of the catalog.
    pub(crate) async fn load_catalog_history(&self) -> Result<()> {
        *self.catalog_history.lock() = self.relations.catalog_history().await?;
        Ok(())
    }

    /// What [`Self::load_catalog_history`] read.
    pub(crate) fn catalog_history(&self) -> Vec<CommitRecord> {
        self.catalog_history.lock().clone()
    }

    /// Reads every relation's metadata: for functions, whose arguments nobody knows in advance.
    pub(crate) async fn load_all(&self) -> Result<()> {
        self.load(&Wanted::all()).await
    }

    async fn load_one(&self, entry: &Arc<Entry>) -> Result<Relation> {
        let columns: SchemaRef = match &entry.definition {
            Definition::View { columns, .. } => {
                let columns = columns.iter().map(|column| computed(&Field::from(column)));
                Arc::new(Schema::new(columns.collect::<Vec<_>>()))
            }
            Definition::ExternalTable(table) => table.schema(),
            definition => {
                let relation = self.relations.load(entry).await?;
                let table = matches!(definition, Definition::Table(_));
                return Ok(if table { relation } else { relation.computed() });
            }
        };
        Ok(Relation {
            columns,
            partition_columns: Arc::default(),
            constraints: Arc::default(),
            options: Arc::default(),
            row_count: None,
            byte_count: 0,
        })
    }

    /// A setting's value.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        let mut settings = self.session.settings.iter();
        let found = settings.find(|setting| setting.name.eq_ignore_ascii_case(name));
        found.map(|setting| setting.value.as_str())
    }

    /// Who owns what the server brought along: the owner of schema `public`.
    pub(crate) fn system_owner(&self) -> &str {
        let public = self.snapshot.schema("public").map(|entry| entry.owner.as_str());
        public.filter(|owner| !owner.is_empty()).unwrap_or(&self.session.user)
    }

    /// Every role that owns something, and the user.
    pub(crate) fn roles(&self) -> BTreeSet<&str> {
        let entries = self.snapshot.schemas().chain(self.snapshot.entries()).chain(&self.temporary);
        let owners = entries.map(|entry| entry.owner.as_str()).filter(|owner| !owner.is_empty());
        owners.chain([self.session.user.as_str()]).collect()
    }
}

/// How `pg_class.relkind` calls an entry; none for what is not a relation.
pub(crate) const fn relation_kind(entry: &Entry) -> Option<&'static str> {
    match entry.definition {
        Definition::Table(_) | Definition::ExternalTable(_) => Some("r"),
        Definition::View { .. } => Some("v"),
        Definition::MaterializedView { .. } => Some("m"),
        Definition::Schema { .. }
        | Definition::Model { .. }
        | Definition::Location { .. }
        | Definition::Secret { .. }
        | Definition::Snapshot { .. } => None,
    }
}

/// Which relations a scan can speak of, as far as its conditions say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) oids: Option<BTreeSet<u32>>,
    pub(crate) schemas: Option<BTreeSet<String>>,
    pub(crate) names: Option<BTreeSet<String>>,
}

impl Wanted {
    /// No condition.
    pub(crate) fn all() -> Self {
        Self::default()
    }

    /// Whether the scan can speak of this relation.
    pub(crate) fn includes(&self, entry: &Entry) -> bool {
        self.oids.as_ref().is_none_or(|oids| oids.contains(&entry.oid))
            && self.schemas.as_ref().is_none_or(|schemas| schemas.contains(&entry.schema))
            && self.names.as_ref().is_none_or(|names| names.contains(&entry.name))
    }

    fn names_some(&self) -> bool {
        self.oids.is_some() || self.names.is_some()
    }
}
