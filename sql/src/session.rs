//! One connection: its settings, its transaction, its temporary tables, cursors and statements.
//!
//! Every statement enters by [`Session::execute`], or by [`Session::prepare`] and
//! [`Session::run`], whatever wire it came on. Never: a thread that is blocked, or a lock that is
//! held while something is awaited.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use catalog::{Entry, LakeTable, Snapshot, TableSnapshot};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::scalar::ScalarValue;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::commitment::Commitment;
use crate::engine::Engine;
use crate::engine::planning::{PlanningSettings, PlanningState};
use crate::error::{Error, Result, state};
use crate::output::{Notice, Output};
use crate::resolve::{Pinned, QualifiedName};
use crate::settings::Settings;
use crate::statement::cursor::Cursors;
use crate::statement::{self, Statement};
use crate::transaction::{Beside, Staged, Transaction};
use crate::{output, parser, settings};

/// Who connects, and with what settings.
#[derive(Debug, Clone, Default)]
pub struct SessionStart {
    /// The user.
    pub user: String,
    /// The database that the client asked for; there is one, whatever it is called.
    pub database: String,
    /// The client program.
    pub application_name: String,
    /// Settings that came with the connection.
    pub options: Vec<(String, String)>,
}

/// Whether a transaction is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// None.
    Idle,
    /// One, and well.
    Open,
    /// One, after an error: only its end is possible.
    Failed,
}

/// Where rows that come by Flight go.
#[derive(Debug, Clone, Default)]
pub struct IngestTarget {
    /// The schema; none: along the search path.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
    /// Whether to make the table where there is none.
    pub create: bool,
    /// Whether to add to a table that is there.
    pub append: bool,
    /// Whether to take the place of a table that is there.
    pub replace: bool,
    /// Whether the table is the session's own.
    pub temporary: bool,
}

/// A statement whose parameters and columns are known.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) statement: Statement,
    parameters: Vec<Field>,
    columns: Option<SchemaRef>,
    /// Of an EXECUTE: what it runs.
    executes: Option<Arc<Self>>,
}

impl Prepared {
    /// The parameters, `$1` first.
    #[must_use]
    pub fn parameter_fields(&self) -> &[Field] {
        &self.parameters
    }

    /// The columns of the rows; none where the statement yields no rows.
    #[must_use]
    pub fn columns(&self) -> Option<SchemaRef> {
        self.columns.as_ref().map(Arc::clone)
    }

    /// Whether rows of this schema are of the columns that were described.
    #[must_use]
    pub fn describes(&self, rows: &Schema) -> bool {
        let Some(columns) = &self.columns else { return true };
        columns.fields().len() == rows.fields().len()
            && columns.fields().iter().zip(rows.fields()).all(|(known, field)| {
                known.name() == field.name()
                    && output::is_alike(known.data_type(), field.data_type())
            })
    }

    /// Whether the statement yields rows.
    #[must_use]
    pub fn returns_rows(&self) -> bool {
        self.columns.is_some()
    }

    /// Whether the statement changes rows, and so runs to its end though its client is gone.
    #[must_use]
    pub fn changes_rows(&self) -> bool {
        match &self.executes {
            Some(executed) => executed.changes_rows(),
            None => self.statement.changes_rows(),
        }
    }

    /// Whether the statement cannot run in a transaction with others.
    #[must_use]
    pub const fn stands_alone(&self) -> bool {
        self.statement.stands_alone()
    }

    /// The command tag after this many rows were given, for a statement that yields rows. Known
    /// without running it.
    #[must_use]
    pub fn tag(&self, rows: u64) -> String {
        match &self.executes {
            Some(executed) => executed.tag(rows),
            None => self.statement.tag(rows),
        }
    }

    /// The statement as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.statement.text
    }
}

/// What changes in a session. Shared with the streams of its results, which report failure.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) prepared: HashMap<String, Arc<Prepared>>,
    notices: Vec<Notice>,
    told: Vec<(String, String)>,
    /// The edition of the settings that the client was told.
    told_edition: u64,
    temporary: HashMap<String, TemporaryTable>,
}

impl State {
    /// What a ROLLBACK gives back, as it is now.
    pub(crate) fn beside(&self) -> Beside {
        Beside {
            settings: self.settings.clone(),
            temporary: self.temporary.clone(),
            next_cursor: statement::cursor::next_number(),
        }
    }

    /// Gives back what there was beside a transaction.
    pub(crate) fn restore(&mut self, beside: Beside) {
        self.settings = beside.settings;
        self.temporary = beside.temporary;
    }

    /// The ids of the temporary tables.
    pub(crate) fn temporary_ids(&self) -> HashSet<Uuid> {
        self.temporary.values().map(|table| table.id).collect()
    }

    /// Whether the transaction in hand refuses writes, or the next one would.
    pub(crate) fn read_only(&self) -> bool {
        match &self.transaction {
            Some(open) => open.read_only,
            None => self.settings.bool("default_transaction_read_only"),
        }
    }

    /// The value of a setting in force, as SHOW prints it.
    pub(crate) fn shown(&self, name: &str) -> Result<String> {
        if name.eq_ignore_ascii_case("transaction_read_only") {
            return Ok(if self.read_only() { "on" } else { "off" }.to_owned());
        }
        self.settings.shown(name)
    }

    pub(crate) fn has_no_temporary_table(&self) -> bool {
        self.temporary.is_empty()
    }

    /// A temporary table by its id.
    pub(crate) fn temporary_by_id(&self, id: Uuid) -> Option<&TemporaryTable> {
        self.temporary.values().find(|table| table.id == id)
    }
}

/// A table of one session, on local disk.
#[derive(Debug, Clone)]
pub(crate) struct TemporaryTable {
    pub(crate) id: Uuid,
    pub(crate) oid: u32,
    pub(crate) table: Arc<LakeTable>,
}

/// One connection.
pub struct Session {
    engine: Arc<Engine>,
    user: String,
    database: String,
    state: Arc<Mutex<State>>,
    cursors: Cursors,
    commitment: Commitment,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("user", &self.user).finish_non_exhaustive()
    }
}

/// OIDs of temporary tables, far from those of the catalog, and never in it.
static TEMPORARY_OID: AtomicU32 = AtomicU32::new(0xF000_0000);

impl Session {
    pub(crate) fn new(engine: Arc<Engine>, start: SessionStart) -> Result<Self> {
        let mut settings = Settings::default();
        settings.fix("session_authorization", start.user.clone());
        for (name, value) in &start.options {
            settings.set_start(name, value)?;
        }
        if !start.application_name.is_empty() {
            settings.set_start("application_name", &start.application_name)?;
        }
        let state = State {
            told: settings.reported(),
            told_edition: settings.edition(),
            settings,
            transaction: None,
            prepared: HashMap::new(),
            notices: Vec::new(),
            temporary: HashMap::new(),
        };
        Ok(Self {
            engine,
            user: start.user,
            database: start.database,
            state: Arc::new(Mutex::new(state)),
            cursors: Cursors::default(),
            commitment: Commitment::default(),
        })
    }

    /// Splits text at its semicolons and reads every statement.
    pub fn parse(&self, text: &str) -> Result<Vec<Statement>> {
        let parsed = parser::parse(text, self.engine.config.statement_bytes_max);
        parsed.inspect_err(|_| self.fail())
    }

    /// Resolves and plans a statement as far as its parameters and columns need it. No effect.
    ///
    /// The caller says what it knows of the parameters, `$1` first; types that Arrow lacks are in
    /// the fields' metadata. The rest is derived from the statement.
    pub async fn prepare(
        &self,
        statement: Statement,
        parameters: &[Option<FieldRef>],
    ) -> Result<Arc<Prepared>> {
        let described = async {
            self.refuse_after_failure(&statement)?;
            match Box::pin(statement::describe(self, &statement, parameters)).await {
                Err(error) if error.is_of_unknown_name() && self.has_new_names().await => {
                    Box::pin(statement::describe(self, &statement, parameters)).await
                }
                done => done,
            }
        };
        let (parameters, columns) = described.await.inspect_err(|_| self.fail())?;
        let executes = statement::prepared::executed(self, &statement);
        Ok(Arc::new(Prepared { statement, parameters, columns, executes }))
    }

    /// Runs a prepared statement: table versions and file lists are looked up now. A query whose columns
    /// are not those that were described any more is an error, as in PostgreSQL.
    pub async fn run(
        &self,
        prepared: &Arc<Prepared>,
        parameters: Vec<ScalarValue>,
    ) -> Result<Output> {
        let output = self.run_now(prepared, parameters).await?;
        match &output {
            // What changed rows has done so; its rows are of the columns that it was described with.
            Output::Rows(rows)
                if !prepared.changes_rows() && !prepared.describes(&rows.schema()) =>
            {
                self.fail();
                Err(Error::unsupported("cached plan must not change result type")
                    .with_detail("A table that the statement reads has other columns by now.")
                    .with_hint("Prepare the statement again."))
            }
            _ => Ok(output),
        }
    }

    /// The same; the rows may have other columns than were described.
    pub async fn run_now(
        &self,
        prepared: &Arc<Prepared>,
        parameters: Vec<ScalarValue>,
    ) -> Result<Output> {
        if parameters.len() != prepared.parameters.len() {
            self.fail();
            return Err(Error::new(
                "08P01",
                format!(
                    "the statement takes {} parameters, but {} came",
                    prepared.parameters.len(),
                    parameters.len()
                ),
            ));
        }
        self.run_statement(&prepared.statement, &parameters).await
    }

    /// One statement, from text to output.
    pub async fn execute(&self, text: &str, parameters: Vec<ScalarValue>) -> Result<Output> {
        let mut statements = self.parse(text)?;
        match (statements.pop(), statements.is_empty()) {
            (Some(statement), true) => self.run_statement(&statement, &parameters).await,
            (None, _) => Ok(Output::Done { tag: String::new(), rows: None }),
            (Some(_), false) => {
                self.fail();
                Err(Error::syntax("syntax error: expected one statement, but several came"))
            }
        }
    }

    async fn run_statement(
        &self,
        statement: &Statement,
        parameters: &[ScalarValue],
    ) -> Result<Output> {
        let ran = async {
            self.refuse_after_failure(statement)?;
            let timeout = self.statement_timeout();
            let mut work = Box::pin(self.run_with_names(statement, parameters));
            let Some(limit) = timeout else { return work.await };
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(limit) => {}
            }
            if self.commitment.is_made() { work.await } else { Err(output::timed_out()) }
        };
        let done = ran.await.inspect_err(|_| self.fail())?;
        Ok(output::guard(done, &self.state, self.statement_timeout()))
    }

    /// Runs a statement over the names that there are now, as far as it asks for any: others do not
    /// wait for a store that is away.
    async fn run_with_names(
        &self,
        statement: &Statement,
        parameters: &[ScalarValue],
    ) -> Result<Output> {
        if statement.looks_up_names() {
            self.catch_up().await?;
            self.with(|state| {
                if let Some(open) = &mut state.transaction {
                    open.queried = true;
                }
            });
        }
        match statement::run(self, statement, parameters).await {
            // Names are looked up before anything is done.
            Err(error) if error.is_of_unknown_name() && self.has_new_names().await => {
                Box::pin(statement::run(self, statement, parameters)).await
            }
            done => done,
        }
    }

    /// Whether another server has changed the catalog meanwhile. A name is not called unknown before
    /// the store was asked.
    async fn has_new_names(&self) -> bool {
        if self.in_transaction() {
            return false;
        }
        let before = self.snapshot().version;
        self.engine.catalog.refresh().await.is_ok_and(|now| now.version > before)
    }

    /// Opens a transaction for statements that came together, unless one is open. It ends with
    /// [`Session::end_implicit`], or becomes an ordinary one by a BEGIN among the statements.
    pub fn begin_implicit(&self) {
        let snapshot = self.engine.catalog.snapshot();
        self.with(|state| {
            if state.transaction.is_none() {
                let read_only = state.settings.bool("default_transaction_read_only");
                let mut open = Transaction::new(snapshot, state.beside(), read_only);
                open.implicit = true;
                state.transaction = Some(open);
            }
        });
    }

    /// Ends a transaction of [`Session::begin_implicit`]: commits it, or rolls it back after an
    /// error.
    pub async fn end_implicit(&self) -> Result<()> {
        if self.with(|state| state.transaction.as_ref().is_some_and(|open| open.implicit)) {
            statement::transaction::finish(self).await?;
        }
        Ok(())
    }

    /// Tells whether the statement in hand commits, and so cannot be given up.
    pub fn commitment(&self) -> Commitment {
        self.commitment.clone()
    }

    /// Whether a transaction is open.
    pub fn transaction_status(&self) -> TransactionStatus {
        match &self.state.lock().transaction {
            None => TransactionStatus::Idle,
            Some(open) if open.failed => TransactionStatus::Failed,
            Some(_) => TransactionStatus::Open,
        }
    }

    /// The value of a setting in force.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.state.lock().settings.get(name).ok()
    }

    /// What is to be told to the client beside the result; told once.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.state.lock().notices)
    }

    /// Settings that Postgres clients are told of and that changed since they were asked for.
    pub fn take_changed_settings(&self) -> Vec<(String, String)> {
        let mut state = self.state.lock();
        if state.told_edition == state.settings.edition() {
            return Vec::new();
        }
        let now = state.settings.reported();
        let changed = now.iter().filter(|pair| !state.told.contains(pair)).cloned().collect();
        state.told = now;
        state.told_edition = state.settings.edition();
        changed
    }

    /// The settings that a Postgres client is told of at its start.
    pub fn reported_settings(&self) -> Vec<(String, String)> {
        self.state.lock().settings.reported()
    }

    /// Adds rows that come as Arrow batches; one commit, when the last came.
    pub async fn ingest(
        &self,
        target: IngestTarget,
        rows: SendableRecordBatchStream,
    ) -> Result<u64> {
        let ran = statement::ingest::run(self, target, rows).await;
        ran.inspect_err(|_| self.fail())
    }

    /// Ends the session: an open transaction is rolled back, temporary tables go.
    pub async fn close(&self) {
        self.cursors.close_all();
        self.with(|state| {
            state.transaction = None;
            state.temporary.clear();
        });
        tokio::task::yield_now().await;
    }

    // --- for the statements -------------------------------------------------------------------

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    pub(crate) fn cursors(&self) -> &Cursors {
        &self.cursors
    }

    /// Looks at or changes what the session holds; never across an await.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock())
    }

    /// The catalog as the session sees it.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        match &self.state.lock().transaction {
            Some(open) => open.snapshot(),
            None => self.engine.catalog.snapshot(),
        }
    }

    pub(crate) fn in_transaction(&self) -> bool {
        self.state.lock().transaction.is_some()
    }

    pub(crate) fn notice(&self, notice: Notice) {
        self.state.lock().notices.push(notice);
    }

    /// Schemas that unqualified names are looked up in, `"$user"` resolved.
    pub(crate) fn search_path(&self) -> Vec<String> {
        let text = self.setting("search_path").unwrap_or_default();
        let words = settings::listed(&text).into_iter();
        words.map(|word| if word == "$user" { self.user.clone() } else { word }).collect()
    }

    /// The schema that an unqualified new name goes into.
    pub(crate) fn creation_schema(&self) -> Result<String> {
        let snapshot = self.snapshot();
        self.search_path().into_iter().find(|name| snapshot.schema(name).is_some()).ok_or_else(
            || {
                Error::new(state::INVALID_SCHEMA_NAME, "no schema has been selected to create in")
                    .with_hint("SET search_path = public;")
            },
        )
    }

    /// DataFusion's state for one statement: the session's settings, the time of its start.
    pub(crate) fn planning_state(&self) -> SessionState {
        let mut state = self.engine.base_state().clone();
        self.with(|s| planning_settings(&s.settings)).set(&mut state);
        state.mark_start_execution();
        if let Some(began) = self.with(|s| s.transaction.as_ref().map(|open| open.started_at)) {
            state.execution_props_mut().query_execution_start_time = Some(began.into());
        }
        state
    }

    /// What `now()` is, in nanoseconds since 1970 UTC.
    pub(crate) fn now_nanos(&self) -> i64 {
        let began = self.with(|s| s.transaction.as_ref().map(|open| open.started_at));
        let since = began.and_then(|began| began.duration_since(SystemTime::UNIX_EPOCH).ok());
        match since {
            Some(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            None => self.engine.now_micros().saturating_mul(1_000),
        }
    }

    /// The same for statements that do not ask for the time: shared by all sessions with these
    /// settings, since a copy costs more than running a small plan.
    pub(crate) fn shared_planning_state(&self) -> Arc<PlanningState> {
        self.engine.shared_planning_state(&self.with(|s| planning_settings(&s.settings)))
    }

    /// The table of an entry at the version that the session reads.
    pub(crate) async fn pin(&self, entry: &Arc<Entry>) -> Result<Pinned> {
        let catalog = &self.engine.catalog;
        let name = QualifiedName { schema: entry.schema.clone(), name: entry.name.clone() };
        let known = self.with(|s| s.transaction.as_ref().and_then(|t| t.pinned(entry.id)));
        let (table, snapshot) = match known {
            Some(snapshot) => (catalog.table(entry).await?, snapshot),
            None => {
                let staleness = self.engine.config.catalog_staleness_ms.saturating_mul(1_000);
                let age = i64::try_from(staleness).unwrap_or(i64::MAX);
                let (table, snapshot) = catalog.pin(entry, age).await?;
                self.with(|s| {
                    if let Some(open) = &mut s.transaction {
                        open.pin(entry.id, Arc::clone(&snapshot));
                    }
                });
                (table, snapshot)
            }
        };
        Ok(Pinned { id: entry.id, name, table, snapshot })
    }

    /// Puts files into a table: at once, or with the open transaction's COMMIT.
    pub(crate) fn stages(&self, pinned: &Pinned) -> bool {
        self.with(|s| s.transaction.as_ref().is_some_and(|t| !t.writes_through(pinned.id)))
    }

    pub(crate) fn stage(&self, id: Uuid, staged: Staged) -> Result<()> {
        stage(&self.state, id, staged)
    }

    /// For work that outlives a borrow of the session.
    pub(crate) fn shared_state(&self) -> Arc<Mutex<State>> {
        Arc::clone(&self.state)
    }

    /// Commits changes of the catalog: at once, or with the open transaction.
    pub(crate) async fn change(
        &self,
        changes: Vec<catalog::Change>,
        created: Option<Uuid>,
    ) -> Result<()> {
        self.refuse_read_only()?;
        let overlaid =
            self.with(|s| s.transaction.as_mut().map(|open| open.change(changes.clone(), created)));
        match overlaid {
            Some(done) => done,
            None => {
                let _committing = self.commitment.make();
                let base = self.engine.catalog.snapshot();
                self.engine.catalog.commit(&base, changes).await?;
                Ok(())
            }
        }
    }

    /// For statements that commit by themselves, in several steps or of what no overlay can show.
    pub(crate) fn refuse_in_transaction(&self, statement: &str) -> Result<()> {
        if self.in_transaction() {
            return Err(Error::new(
                state::ACTIVE_TRANSACTION,
                format!("{statement} cannot run inside a transaction block"),
            ));
        }
        Ok(())
    }

    pub(crate) fn refuse_read_only(&self) -> Result<()> {
        if self.with(|s| s.read_only()) {
            return Err(Error::new(
                state::READ_ONLY_TRANSACTION,
                "cannot change anything in a read-only transaction",
            ));
        }
        Ok(())
    }

    pub(crate) fn temporary_table(&self, name: &str) -> Option<TemporaryTable> {
        self.with(|s| s.temporary.get(name).cloned())
    }

    /// A temporary table as the session sees it: with what its open transaction did to it.
    pub(crate) fn temporary_snapshot(&self, table: &TemporaryTable) -> Arc<TableSnapshot> {
        let staged = self.with(|s| s.transaction.as_ref().and_then(|t| t.pinned(table.id)));
        staged.unwrap_or_else(|| table.table.current())
    }

    pub(crate) fn temporary_tables(&self) -> Vec<(String, TemporaryTable)> {
        self.with(|s| s.temporary.iter().map(|(n, t)| (n.clone(), t.clone())).collect())
    }

    pub(crate) fn add_temporary_table(&self, name: String, table: Arc<LakeTable>) -> Result<()> {
        let oid = TEMPORARY_OID.fetch_add(1, Ordering::Relaxed);
        let entry = TemporaryTable { id: Uuid::new_v4(), oid, table };
        self.with(|s| {
            if s.temporary.contains_key(&name) {
                return Err(Error::new(
                    state::DUPLICATE_TABLE,
                    format!("relation \"{name}\" already exists"),
                ));
            }
            s.temporary.insert(name, entry);
            Ok(())
        })
    }

    pub(crate) fn drop_temporary_table(&self, name: &str) -> bool {
        self.with(|s| s.temporary.remove(name).is_some())
    }

    pub(crate) fn rename_temporary_table(&self, from: &str, to: String) -> Result<()> {
        self.with(|s| {
            if s.temporary.contains_key(&to) {
                let message = format!("relation \"{to}\" already exists");
                return Err(Error::new(state::DUPLICATE_TABLE, message));
            }
            let table = s.temporary.remove(from).ok_or_else(|| {
                let message = format!("relation \"{from}\" does not exist");
                Error::new(state::UNDEFINED_TABLE, message)
            })?;
            s.temporary.insert(to, table);
            Ok(())
        })
    }

    pub(crate) fn drop_temporary_tables(&self) {
        self.with(|s| s.temporary.clear());
    }

    /// Learns of other servers' DDL, at most as often as the operator allows to be stale.
    async fn catch_up(&self) -> Result<()> {
        if !self.in_transaction() {
            self.engine.catch_up().await?;
        }
        Ok(())
    }

    fn statement_timeout(&self) -> Option<Duration> {
        let ms = self.with(|s| s.settings.int("statement_timeout"));
        u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
    }

    /// An error inside a transaction makes it fail, as in Postgres. Listeners call it for errors
    /// of their own, such as a parameter that does not decode.
    pub fn fail(&self) {
        fail(&self.state);
    }

    fn refuse_after_failure(&self, statement: &Statement) -> Result<()> {
        if self.transaction_status() == TransactionStatus::Failed && !statement.ends_transaction() {
            return Err(Error::new(
                state::FAILED_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(())
    }
}

fn planning_settings(settings: &Settings) -> PlanningSettings {
    PlanningSettings {
        time_zone: settings.get("TimeZone").unwrap_or_else(|_| "UTC".to_owned()),
        batch_size: settings.int("batch_size"),
        target_partitions: settings.int("target_partitions"),
    }
}

/// Marks the open transaction as failed.
pub(crate) fn fail(state: &Mutex<State>) {
    if let Some(open) = &mut state.lock().transaction {
        open.failed = true;
    }
}

/// Keeps something to be told to the client.
pub(crate) fn notice(state: &Mutex<State>, notice: Notice) {
    state.lock().notices.push(notice);
}

/// Keeps files for the COMMIT of the open transaction.
pub(crate) fn stage(state: &Mutex<State>, id: Uuid, staged: Staged) -> Result<()> {
    match &mut state.lock().transaction {
        Some(open) => open.stage(id, staged),
        None => Err(Error::internal("rows were staged outside of a transaction")),
    }
}
