//! Names in a statement to what they stand for: every look-up outside happens here.
//!
//! A relation is looked up in the session's temporary tables, the system catalogs, then along the
//! search path in the one catalog snapshot of the statement. Tables are pinned at a version;
//! views are planned with the search path of their making.
//! Never: an effect. Never: two versions of one table in one statement.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use catalog::{Definition, Entry, ExternalTable, Kind, LakeTable, Snapshot, TableSnapshot};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::{ViewTable, provider_as_source, source_as_provider};
use datafusion::error::Result as DfResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::TableSource;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::changes;
use crate::dml::{EXCLUDED, TARGET};
use crate::error::{Error, Result, nearest, state};
use crate::external;
use crate::lateral;
use crate::parser;
use crate::pg_catalog::{self, SystemContext};
use crate::plan::{self, Names};
use crate::search;
use crate::session::Session;
use crate::statement::create_external_table::Format;

/// What the function is called that tells what became of a table's rows.
const TABLE_CHANGES: &str = "table_changes";

/// Views of views deeper than this are refused.
const VIEW_DEPTH_MAX: usize = 64;

/// A schema and a name in it, as they are known after the search path was walked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QualifiedName {
    pub(crate) schema: String,
    pub(crate) name: String,
}

impl std::fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A table that a statement reads or writes, at one version.
#[derive(Debug, Clone)]
pub(crate) struct Pinned {
    pub(crate) id: Uuid,
    pub(crate) name: QualifiedName,
    pub(crate) table: Arc<LakeTable>,
    pub(crate) snapshot: Arc<TableSnapshot>,
}

/// Postgres' folding: unquoted names are lower case.
pub(crate) fn fold(ident: &ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// `[database.][schema.]name`, folded. A database is accepted and plays no part.
pub(crate) fn split_name(name: &ast::ObjectName) -> Result<(Option<String>, String)> {
    let parts = name
        .0
        .iter()
        .map(|part| {
            part.as_ident()
                .map(fold)
                .ok_or_else(|| Error::syntax(format!("syntax error: \"{name}\" is not a name")))
        })
        .collect::<Result<Vec<String>>>()?;
    match parts.as_slice() {
        [name] => Ok((None, name.clone())),
        [schema, name] | [_, schema, name] => Ok((Some(schema.clone()), name.clone())),
        _ => Err(Error::syntax(format!("syntax error: \"{name}\" has too many parts"))),
    }
}

/// Finds what a statement's names stand for.
pub(crate) struct Resolver<'a> {
    session: &'a Session,
    state: &'a SessionState,
    snapshot: Arc<Snapshot>,
    search_path: Vec<String>,
    /// What the statement reads, views included.
    read: Read,
    /// Made when the statement first names something of the system.
    system: OnceLock<Arc<SystemContext>>,
    /// What its names stand for, those in views included, by id.
    found: Arc<Mutex<BTreeMap<Uuid, Arc<Entry>>>>,
    /// Whether the statement, or a view in it, reads an older version or the system's catalogs.
    reads_more_than_tables: Arc<AtomicBool>,
    depth: usize,
}

/// The version of each table that a statement reads, by table id.
type Pins = Arc<Mutex<HashMap<Uuid, (Arc<Entry>, Pinned)>>>;

/// A reader, and the id of the entry that it reads.
type Scanned = (Uuid, Arc<dyn TableProvider>);

/// What the scans of a statement's plan are of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Read {
    pins: Pins,
    /// Tables whose files others write, each with the reader of this statement.
    files: Arc<Mutex<Vec<Scanned>>>,
}

impl Read {
    /// The id of the entry that is scanned; none for what no other statement can read.
    pub(crate) fn entry_of(&self, source: &Arc<dyn TableSource>) -> DfResult<Option<Uuid>> {
        let provider = source_as_provider(source)?;
        let files = self.files.lock();
        if let Some((id, _)) = files.iter().find(|(_, scan)| Arc::ptr_eq(scan, &provider)) {
            return Ok(Some(*id));
        }
        let pins = self.pins.lock();
        let pinned = pins.values().find(|(_, pinned)| pinned.table.is_scanned_by(&*provider));
        Ok(pinned.map(|(entry, _)| entry.id))
    }
}

/// The tables that a statement reads.
pub(crate) type Tables = Vec<(Arc<Entry>, Pinned)>;

impl<'a> Resolver<'a> {
    pub(crate) fn new(session: &'a Session, state: &'a SessionState) -> Self {
        Self {
            snapshot: session.snapshot(),
            search_path: session.search_path(),
            session,
            state,
            read: Read::default(),
            system: OnceLock::new(),
            found: Arc::default(),
            reads_more_than_tables: Arc::default(),
            depth: 0,
        }
    }

    /// Looks unqualified names up along another path, such as the one of a view.
    pub(crate) fn with_search_path(mut self, search_path: &[String]) -> Self {
        self.search_path = search_path.to_vec();
        self
    }

    /// Where the statement reads the table that it changes, it reads this version of it.
    pub(crate) fn with_pinned(self, pinned: &Pinned) -> Self {
        if let Some(entry) = self.snapshot.entry_by_id(pinned.id) {
            let pin = (Arc::clone(entry), pinned.clone());
            self.read.pins.lock().insert(pinned.id, pin);
        }
        self
    }

    /// What the statement's system relations and functions tell of.
    fn system(&self) -> &Arc<SystemContext> {
        self.reads_more_than_tables.store(true, Ordering::Relaxed);
        self.system.get_or_init(|| pg_catalog::of_session(self.session, self.state))
    }

    /// Resolves every name of a statement.
    pub(crate) async fn resolve(&self, statement: &ast::Statement) -> Result<Names> {
        refuse_dropped_clauses(statement)?;
        // The planner rewrites the same way, and then looks for the same names.
        let mut rewritten = statement.clone();
        pg_catalog::rewrite(&mut rewritten);
        lateral::rewrite(&mut rewritten);
        let statement = &rewritten;
        let mut names = Names::default();
        let wrapped = DfStatement::Statement(Box::new(statement.clone()));
        let (relations, _) = resolve_table_references(&wrapped, true)?;
        let calls = Calls::of(statement);
        for relation in relations {
            if calls.tables.contains(relation.table())
                || matches!(relation.table(), TARGET | EXCLUDED)
            {
                continue;
            }
            let source = Box::pin(self.relation(&relation)).await?;
            names.tables.insert(relation, source);
        }
        for call in calls.versions {
            let source = Box::pin(self.table_at(&call)).await?;
            names.calls.insert(call.key, source);
        }
        for call in calls.changes {
            let source = Box::pin(self.table_changes(&call)).await?;
            names.calls.insert(call.key, source);
        }
        self.functions(&calls.functions, &mut names).await?;
        names.system = self.system.get().map(Arc::clone);
        Ok(names)
    }

    async fn relation(&self, relation: &TableReference) -> Result<Arc<dyn TableSource>> {
        let (schema, name) = (relation.schema(), relation.table());
        if pg_catalog::is_system_relation(schema, name)
            && let Some(system) = pg_catalog::system_table(schema, name, self.system())
        {
            return Ok(provider_as_source(system));
        }
        if schema.is_none_or(|s| s == "pg_temp")
            && let Some(table) = self.session.temporary_table(name)
        {
            let snapshot = self.session.temporary_snapshot(&table);
            return Ok(provider_as_source(table.table.scan(snapshot)));
        }
        let entry = self.find(schema, name).await?;
        self.found(&entry);
        self.entry_source(&entry).await
    }

    /// The entry of a relation, asking the store once when the name is not known in memory.
    async fn find(&self, schema: Option<&str>, name: &str) -> Result<Arc<Entry>> {
        if let Some(entry) = find_in(&self.snapshot, &self.search_path, schema, name) {
            return Ok(entry);
        }
        if !self.session.in_transaction() {
            let newer = self.session.engine().catalog.refresh().await?;
            if let Some(entry) = find_in(&newer, &self.search_path, schema, name) {
                return Ok(entry);
            }
        }
        Err(unknown(&self.snapshot, &self.search_path, schema, name))
    }

    async fn entry_source(&self, entry: &Arc<Entry>) -> Result<Arc<dyn TableSource>> {
        match &entry.definition {
            Definition::Table(_) => {
                let pinned = self.pin(entry).await?;
                Ok(provider_as_source(pinned.table.scan(pinned.snapshot)))
            }
            Definition::ExternalTable(table) => {
                // Its files change without a version that a kept plan could be held against.
                self.reads_more_than_tables.store(true, Ordering::Relaxed);
                if !is_delta(table) {
                    let scan = Box::pin(external::scan(self.session, table)).await?;
                    self.read.files.lock().push((entry.id, Arc::clone(&scan)));
                    return Ok(provider_as_source(scan));
                }
                let pinned = self.pin(entry).await?;
                Ok(provider_as_source(pinned.table.scan(pinned.snapshot)))
            }
            Definition::MaterializedView { populated, .. } => {
                if !populated {
                    return Err(Error::new(
                        "55000",
                        format!(
                            "materialized view \"{}\" has not been populated",
                            entry.qualified_name()
                        ),
                    )
                    .with_hint("Use REFRESH MATERIALIZED VIEW."));
                }
                let pinned = self.pin(entry).await?;
                Ok(provider_as_source(pinned.table.scan(pinned.snapshot)))
            }
            Definition::View { sql, search_path, columns } => {
                let plan = Box::pin(self.view(entry, sql, search_path)).await?;
                let names: Vec<String> = columns.iter().map(|c| c.name.clone()).collect();
                let plan = crate::statement::create_view::as_created(plan, &names)?;
                Ok(provider_as_source(Arc::new(ViewTable::new(plan, Some(sql.clone())))))
            }
            Definition::Schema { .. }
            | Definition::Model { .. }
            | Definition::Location { .. }
            | Definition::Secret { .. }
            | Definition::Snapshot { .. } => Err(Error::new(
                state::WRONG_OBJECT_TYPE,
                format!("\"{}\" is a {}, not a table", entry.qualified_name(), entry.kind()),
            )),
        }
    }

    async fn pin(&self, entry: &Arc<Entry>) -> Result<Pinned> {
        if let Some((_, pinned)) = self.read.pins.lock().get(&entry.id) {
            return Ok(pinned.clone());
        }
        let pinned = match &entry.definition {
            Definition::ExternalTable(_) => {
                let table = Box::pin(external::delta(self.session, entry)).await?;
                let (schema, name) = (entry.schema.clone(), entry.name.clone());
                let (name, snapshot) = (QualifiedName { schema, name }, table.current());
                Pinned { id: entry.id, name, table, snapshot }
            }
            _ => self.session.pin(entry).await?,
        };
        let pin = || (Arc::clone(entry), pinned);
        Ok(self.read.pins.lock().entry(entry.id).or_insert_with(pin).1.clone())
    }

    /// The tables that the statement reads, each as it is now. `None` where it reads more than that.
    pub(crate) fn tables(&self) -> Option<Tables> {
        let more = self.reads_more_than_tables.load(Ordering::Relaxed);
        (!more).then(|| self.read.pins.lock().values().cloned().collect())
    }

    fn found(&self, entry: &Arc<Entry>) {
        self.found.lock().insert(entry.id, Arc::clone(entry));
    }

    /// What the statement's names stand for, views and what they read included, by id.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        self.found.lock().values().map(Arc::clone).collect()
    }

    /// What the scans of its plans are of.
    pub(crate) fn read(&self) -> Read {
        self.read.clone()
    }

    async fn view(
        &self,
        entry: &Entry,
        sql: &str,
        search_path: &[String],
    ) -> Result<datafusion::logical_expr::LogicalPlan> {
        if self.depth >= VIEW_DEPTH_MAX {
            return Err(Error::new(
                state::STATEMENT_TOO_COMPLEX,
                format!("view \"{}\" is nested too deeply", entry.qualified_name()),
            ));
        }
        let inner = Resolver {
            session: self.session,
            state: self.state,
            snapshot: Arc::clone(&self.snapshot),
            search_path: search_path.to_vec(),
            read: self.read.clone(),
            system: OnceLock::new(),
            found: Arc::clone(&self.found),
            reads_more_than_tables: Arc::clone(&self.reads_more_than_tables),
            depth: self.depth + 1,
        };
        let statement = ast::Statement::Query(parser::parse_query(sql)?);
        let names = inner.resolve(&statement).await?;
        plan::statement(self.state, &names, statement, &[])
    }

    async fn table_at(&self, call: &VersionCall) -> Result<Arc<dyn TableSource>> {
        let pinned = self.with_versions(&call.table).await?;
        let name = pinned.name.to_string();
        let at = call.at.of(&self.snapshot, pinned.id, &name)?;
        let snapshot = version_at(self.state, &pinned.table, &at, &name).await?;
        Ok(provider_as_source(pinned.table.scan(snapshot)))
    }

    async fn table_changes(&self, call: &ChangesCall) -> Result<Arc<dyn TableSource>> {
        let pinned = self.with_versions(&call.table).await?;
        let plan = changes::plan(&pinned, call.from, call.to).await?;
        Ok(provider_as_source(Arc::new(ViewTable::new(plan, None))))
    }

    /// A table whose older versions the statement reads.
    async fn with_versions(&self, table: &str) -> Result<Pinned> {
        self.reads_more_than_tables.store(true, Ordering::Relaxed);
        let name = parser::parse_object_name(table)?;
        let (schema, name) = split_name(&name)?;
        let entry = self.find(schema.as_deref(), &name).await?;
        let is_delta =
            matches!(&entry.definition, Definition::ExternalTable(table) if is_delta(table));
        if entry.table().is_none() && !is_delta {
            return Err(Error::new(
                state::WRONG_OBJECT_TYPE,
                format!("{} \"{}\" has no versions", entry.kind(), entry.qualified_name()),
            ));
        }
        self.pin(&entry).await
    }

    async fn functions(&self, called: &HashSet<ast::ObjectName>, names: &mut Names) -> Result<()> {
        for object in called {
            let Ok((schema, name)) = split_name(object) else { continue };
            let key = if object.0.len() > 1 { object.to_string() } else { name.clone() };
            if schema.is_none() && pg_catalog::is_function(&name) {
                let function = pg_catalog::function(&name, self.system());
                names.functions.extend(function.map(|function| (key, function)));
                if pg_catalog::reads_relations(&name) {
                    self.system().load_all().await?;
                }
                continue;
            }
            if schema.is_none() && self.state.scalar_functions().contains_key(&name) {
                continue;
            }
            let Some(entry) = find_in(&self.snapshot, &self.search_path, schema.as_deref(), &name)
            else {
                continue;
            };
            self.found(&entry);
            if let Definition::Model { .. } = entry.definition {
                let function = self
                    .session
                    .engine()
                    .models
                    .function(self.session.engine(), &entry, &key)
                    .await?;
                names.functions.insert(key, Arc::new(function));
            }
        }
        Ok(())
    }
}

fn is_delta(table: &ExternalTable) -> bool {
    matches!(Format::named(&table.format), Ok(Format::Delta))
}

/// Walks the search path, or looks into the one schema that the name names.
pub(crate) fn find_in(
    snapshot: &Snapshot,
    search_path: &[String],
    schema: Option<&str>,
    name: &str,
) -> Option<Arc<Entry>> {
    match schema {
        Some(schema) => snapshot.entry(schema, name).map(Arc::clone),
        None => search_path.iter().find_map(|s| snapshot.entry(s, name)).map(Arc::clone),
    }
}

/// "Does not exist", with the nearest name that does.
pub(crate) fn unknown(
    snapshot: &Snapshot,
    search_path: &[String],
    schema: Option<&str>,
    name: &str,
) -> Error {
    let shown = schema.map_or_else(|| name.to_owned(), |s| format!("{s}.{name}"));
    let error = Error::new(state::UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist"));
    let elsewhere = snapshot.entries().find(|e| e.name == name && !e.schema.is_empty());
    if let Some(entry) = elsewhere {
        return error.with_hint(format!("There is \"{}\".", entry.qualified_name()));
    }
    let searched: Vec<&str> = match schema {
        Some(schema) => vec![schema],
        None => search_path.iter().map(String::as_str).collect(),
    };
    let near = searched.iter().find_map(|schema| {
        let names = snapshot.entries_in(schema).map(|entry| entry.name.as_str());
        nearest(name, names).map(|found| format!("{schema}.{found}"))
    });
    match near {
        Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
        None => error,
    }
}

impl At {
    /// The version of a table that a snapshot has; else what it is.
    pub(crate) fn of(&self, catalog: &Snapshot, table: Uuid, name: &str) -> Result<Self> {
        let Self::Snapshot(snapshot) = self else { return Ok(self.clone()) };
        let entry = catalog.global(Kind::Snapshot, snapshot);
        let Some(Definition::Snapshot { versions }) = entry.map(|entry| &entry.definition) else {
            return Err(Error::new(
                state::UNDEFINED_OBJECT,
                format!("snapshot \"{snapshot}\" does not exist"),
            ));
        };
        let version = versions.get(&table).copied().ok_or_else(|| {
            Error::new(
                state::INVALID_PARAMETER_VALUE,
                format!("snapshot \"{snapshot}\" has no version of table \"{name}\""),
            )
            .with_hint("tarn.snapshots lists what snapshots have.")
        })?;
        Ok(Self::Version(version))
    }
}

/// The table of this name as it was.
pub(crate) async fn version_at(
    state: &SessionState,
    table: &LakeTable,
    at: &At,
    name: &str,
) -> Result<Arc<TableSnapshot>> {
    let found = match at {
        At::Snapshot(_) => return Err(Error::internal("a snapshot is not a version")),
        At::Version(version) => table.at_version(*version).await,
        At::Timestamp(text) => {
            let literal = format!("timestamptz '{}'", text.replace('\'', "''"));
            let micros = micros_of(&plan::constant(state, &literal)?, text)?;
            table.at_timestamp(micros).await
        }
    };
    found.map_err(|error| {
        let message = match &error {
            catalog::Error::VersionNotFound { version, .. } => {
                format!("table \"{name}\" has no version {version}")
            }
            catalog::Error::TimeNotFound { .. } => {
                format!("table \"{name}\" has no version at or before the time asked for")
            }
            _ => return error.into(),
        };
        Error::new(state::INVALID_PARAMETER_VALUE, message)
            .with_hint("DESCRIBE HISTORY lists the versions.")
    })
}

fn micros_of(value: &datafusion::scalar::ScalarValue, text: &str) -> Result<i64> {
    use datafusion::scalar::ScalarValue;
    match value {
        ScalarValue::TimestampMicrosecond(Some(micros), _) => Ok(*micros),
        ScalarValue::TimestampNanosecond(Some(nanos), _) => Ok(nanos.div_euclid(1_000)),
        _ => Err(Error::new(
            state::INVALID_DATETIME,
            format!("invalid input syntax for type timestamp with time zone: \"{text}\""),
        )),
    }
}

/// A table at a version that the statement names.
struct VersionCall {
    key: String,
    table: String,
    at: At,
}

/// The changes of a table between versions that the statement names.
struct ChangesCall {
    key: String,
    table: String,
    from: i64,
    /// None: the newest.
    to: Option<i64>,
}

/// An older version, as statements name it.
#[derive(Debug, Clone)]
pub(crate) enum At {
    Version(i64),
    Timestamp(String),
    /// The name of a snapshot.
    Snapshot(String),
}

/// The calls in a statement: table functions in FROM, and scalar functions anywhere.
#[derive(Default)]
struct Calls {
    tables: HashSet<String>,
    versions: Vec<VersionCall>,
    changes: Vec<ChangesCall>,
    functions: HashSet<ast::ObjectName>,
    error: Option<Error>,
}

impl Calls {
    fn of(statement: &ast::Statement) -> Self {
        let mut calls = Self::default();
        let _ = statement.visit(&mut calls);
        calls
    }

    fn version_call(args: &[ast::FunctionArg]) -> Option<VersionCall> {
        let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(table)), named] = args else {
            return None;
        };
        let table = string_of(table)?;
        let (name, value) = match named {
            ast::FunctionArg::Named { name, arg: ast::FunctionArgExpr::Expr(value), .. } => {
                (fold(name), value)
            }
            // The Postgres dialect reads the name as an expression.
            ast::FunctionArg::ExprNamed {
                name: ast::Expr::Identifier(name),
                arg: ast::FunctionArgExpr::Expr(value),
                ..
            } => (fold(name), value),
            _ => return None,
        };
        let at = match (name.as_str(), value) {
            ("version", ast::Expr::Value(v)) => match &v.value {
                ast::Value::Number(digits, _) => At::Version(digits.parse().ok()?),
                _ => return None,
            },
            ("timestamp", value) => At::Timestamp(string_of(value)?),
            ("snapshot", value) => At::Snapshot(string_of(value)?),
            _ => return None,
        };
        let shown = match &at {
            At::Version(version) => version.to_string(),
            At::Timestamp(text) | At::Snapshot(text) => text.clone(),
        };
        let key = plan::call_key(parser::TABLE_AT, &[table.clone(), shown]);
        Some(VersionCall { key, table, at })
    }
}

impl Calls {
    fn changes_call(args: &[ast::FunctionArg]) -> Option<ChangesCall> {
        let number = |expr: &ast::Expr| match expr {
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(digits, _) => digits.parse::<i64>().ok(),
                _ => None,
            },
            _ => None,
        };
        let plain = args.iter().map(|arg| match arg {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        });
        let plain: Vec<&ast::Expr> = plain.collect::<Option<_>>()?;
        let [table, from, rest @ ..] = plain.as_slice() else { return None };
        let to = match rest {
            [] => None,
            [to] => Some(number(to)?),
            _ => return None,
        };
        let (table, from) = (string_of(table)?, number(from)?);
        let mut shown = vec![table.clone(), from.to_string()];
        shown.extend(to.map(|to| to.to_string()));
        Some(ChangesCall { key: plan::call_key(TABLE_CHANGES, &shown), table, from, to })
    }
}

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<()> {
        if let ast::TableFactor::Table { name, args: Some(args), .. } = factor
            && let Ok((schema, called)) = split_name(name)
        {
            if search::is_search(schema.as_deref(), &called) && search::words(args).is_none() {
                self.error = Some(Error::new(
                    state::INVALID_PARAMETER_VALUE,
                    "tarn.search takes the words to look for, as in tarn.search('delay weather')",
                ));
            }
            if schema.is_some() {
                return ControlFlow::Continue(());
            }
            if called == parser::TABLE_AT {
                match Self::version_call(&args.args) {
                    Some(call) => self.versions.push(call),
                    None => {
                        self.error = Some(Error::new(
                            state::INVALID_PARAMETER_VALUE,
                            "table_at takes a table and version => n, timestamp => 'time' or snapshot => 'name'",
                        ));
                    }
                }
            }
            if called == TABLE_CHANGES {
                match Self::changes_call(&args.args) {
                    Some(call) => self.changes.push(call),
                    None => {
                        self.error = Some(Error::new(
                            state::INVALID_PARAMETER_VALUE,
                            "table_changes takes a table and one or two versions, as in table_changes('t', 3, 5)",
                        ));
                    }
                }
            }
            self.tables.insert(called);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::Function(function) = expr {
            self.functions.insert(function.name.clone());
        }
        ControlFlow::Continue(())
    }
}

fn string_of(expr: &ast::Expr) -> Option<String> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// Clauses that DataFusion's planner drops without a word.
fn refuse_dropped_clauses(statement: &ast::Statement) -> Result<()> {
    struct Refuse(Option<Error>);
    impl Visitor for Refuse {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<()> {
            if let ast::TableFactor::UNNEST { with_ordinality: true, .. }
            | ast::TableFactor::Function { with_ordinality: true, .. } = factor
            {
                self.0 = Some(Error::unsupported("WITH ORDINALITY is not supported"));
                return ControlFlow::Break(());
            }
            if let ast::TableFactor::Table {
                version,
                sample,
                with_hints,
                partitions,
                with_ordinality,
                ..
            } = factor
            {
                let clause = match () {
                    () if *with_ordinality => "WITH ORDINALITY",
                    () if version.is_some() => "this form of AS OF",
                    () if sample.is_some() => "TABLESAMPLE",
                    () if !with_hints.is_empty() => "WITH (hints)",
                    () if !partitions.is_empty() => "PARTITION (names)",
                    () => return ControlFlow::Continue(()),
                };
                self.0 = Some(Error::unsupported(format!("{clause} is not supported in FROM")));
                return ControlFlow::Break(());
            }
            match factor {
                ast::TableFactor::NestedJoin { table_with_joins, .. } => {
                    self.joins(std::slice::from_ref(table_with_joins))
                }
                _ => ControlFlow::Continue(()),
            }
        }
        fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
            if !query.locks.is_empty() {
                self.0 = Some(
                    Error::unsupported("FOR UPDATE and FOR SHARE are not supported")
                        .with_detail("There are no row locks; a transaction reads one version."),
                );
                return ControlFlow::Break(());
            }
            match query.body.as_ref() {
                ast::SetExpr::Select(select) => self.joins(&select.from),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    impl Refuse {
        /// The planner gives a column of USING the value of the left side, which may be NULL here.
        fn joins(&mut self, from: &[ast::TableWithJoins]) -> ControlFlow<()> {
            use ast::{JoinConstraint as C, JoinOperator as J};
            let merges = |join: &ast::Join| {
                let (J::Right(on) | J::RightOuter(on) | J::FullOuter(on)) = &join.join_operator
                else {
                    return false;
                };
                matches!(on, C::Using(_) | C::Natural)
            };
            if !from.iter().flat_map(|from| &from.joins).any(merges) {
                return ControlFlow::Continue(());
            }
            let what = "USING and NATURAL are not supported with RIGHT and FULL JOIN";
            let hint = "Use ON, and COALESCE(left.column, right.column) for the joined column.";
            self.0 = Some(Error::unsupported(what).with_hint(hint));
            ControlFlow::Break(())
        }
    }
    let mut refuse = Refuse(None);
    let _ = statement.visit(&mut refuse);
    refuse.0.map_or(Ok(()), Err)?;
    Calls::of(statement).error.map_or(Ok(()), Err)
}
