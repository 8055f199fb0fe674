//! The context of a statement, from the session that runs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use catalog::{CommitRecord, Definition, Entry, TableRef, TableSnapshot, Tags};
use datafusion::execution::session_state::SessionState;
use parking_lot::Mutex;
use uuid::Uuid;

use super::context::{
    Activity, Functions, Relation, Relations, SessionFacts, Setting, SystemContext,
    TEMPORARY_SCHEMA,
};
use crate::caches::{self, Cache};
use crate::engine::Engine;
use crate::error::Result;
use crate::session::{Session, State, TemporaryTable};
use crate::settings::SERVER_VERSION;
use crate::statement::describe_history::COMMITS_MAX;

/// What the session's next statement knows of the server. Nothing is read yet.
pub(crate) fn of_session(session: &Session, state: &SessionState) -> Arc<SystemContext> {
    let engine = Arc::clone(session.engine());
    let relations = Arc::new(OfSession { engine, state: session.shared_state() });
    let temporary = session.temporary_tables();
    let temporary =
        temporary.into_iter().map(|(name, table)| temporary_entry(session, name, &table)).collect();
    let functions = Functions {
        scalar: state.scalar_functions().values().map(Arc::clone).collect(),
        aggregate: state.aggregate_functions().values().map(Arc::clone).collect(),
        window: state.window_functions().values().map(Arc::clone).collect(),
    };
    let (snapshot, facts) = (session.snapshot(), facts(session));
    Arc::new(SystemContext::new(snapshot, temporary, relations, facts, functions))
}

fn facts(session: &Session) -> SessionFacts {
    let settings = session.with(|state| state.settings.all());
    let settings = settings.into_iter().map(|(name, value, description)| Setting {
        name: name.to_owned(),
        value,
        description: description.to_owned(),
    });
    let application_name = session.setting("application_name").unwrap_or_default();
    SessionFacts {
        user: session.user().to_owned(),
        database: session.database().to_owned(),
        search_path: session.search_path(),
        settings: settings.collect(),
        version: format!("PostgreSQL {SERVER_VERSION}"),
        activity: vec![Activity {
            pid: 0,
            user: session.user().to_owned(),
            application_name,
            started_at_micros: session.engine().now_micros(),
            state: "active",
            query: String::new(),
        }],
        ..SessionFacts::default()
    }
}

/// A temporary table as the catalog would keep it, if it did.
fn temporary_entry(session: &Session, name: String, table: &TemporaryTable) -> Arc<Entry> {
    let table_ref = TableRef::new(table.id, String::new());
    Arc::new(Entry {
        id: table.id,
        oid: table.oid,
        schema: TEMPORARY_SCHEMA.to_owned(),
        name,
        comment: None,
        owner: session.user().to_owned(),
        created_at_micros: 0,
        definition: Definition::Table(table_ref),
        sources: Vec::new(),
        tags: Tags::new(),
        column_tags: BTreeMap::new(),
    })
}

/// Tables' metadata at the versions that the session reads.
struct OfSession {
    engine: Arc<Engine>,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for OfSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OfSession")
    }
}

#[async_trait]
impl Relations for OfSession {
    async fn load(&self, entry: &Arc<Entry>) -> Result<Relation> {
        if let Some(known) = self.known(entry.id) {
            return Ok(relation(&known));
        }
        let table = self.engine.catalog.table(entry).await?;
        let staleness = self.engine.config.catalog_staleness_ms.saturating_mul(1_000);
        let age = i64::try_from(staleness).unwrap_or(i64::MAX);
        Ok(relation(table.update_if_older(age).await?.as_ref()))
    }

    async fn history(&self, entry: &Arc<Entry>) -> Result<Vec<CommitRecord>> {
        Ok(self.engine.catalog.table(entry).await?.history(COMMITS_MAX).await?)
    }

    async fn catalog_history(&self) -> Result<Vec<CommitRecord>> {
        Ok(self.engine.catalog.history(COMMITS_MAX).await?)
    }

    fn caches(&self) -> Vec<Cache> {
        caches::of(&self.engine)
    }
}

impl OfSession {
    /// A version that the transaction reads already, or a table of the session's own.
    fn known(&self, id: Uuid) -> Option<Arc<TableSnapshot>> {
        let state = self.state.lock();
        let pinned = state.transaction.as_ref().and_then(|open| open.pinned(id));
        pinned.or_else(|| state.temporary_by_id(id).map(|table| table.table.current()))
    }
}

fn relation(snapshot: &TableSnapshot) -> Relation {
    Relation {
        columns: Arc::clone(&snapshot.schema),
        partition_columns: Arc::clone(&snapshot.partition_columns),
        constraints: Arc::clone(&snapshot.constraints),
        options: Arc::clone(&snapshot.configuration),
        row_count: snapshot.row_count(),
        byte_count: snapshot.byte_count(),
    }
}
