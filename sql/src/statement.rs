//! Every statement there is, and which file carries it out.
//!
//! `describe` goes as far as plan, `run` all the way. One statement is one file below
//! `statement/`, one page in `docs/sql/`, one file in `tests/slt/`.
//! Never: behaviour. This file only dispatches.

pub(crate) mod alter_table;
pub(crate) mod comment;
pub(crate) mod copy;
pub(crate) mod create_external_table;
pub(crate) mod create_location;
pub(crate) mod create_model;
pub(crate) mod create_schema;
pub(crate) mod create_secret;
pub(crate) mod create_snapshot;
pub(crate) mod create_table;
pub(crate) mod create_view;
pub(crate) mod cursor;
pub(crate) mod delete;
pub(crate) mod describe_history;
pub(crate) mod drop;
pub(crate) mod explain;
pub(crate) mod ingest;
pub(crate) mod insert;
pub(crate) mod merge;
pub(crate) mod optimize;
pub(crate) mod owner_to;
pub(crate) mod prepared;
pub(crate) mod refresh;
pub(crate) mod restore;
pub(crate) mod select;
pub(crate) mod set;
pub(crate) mod set_tags;
pub(crate) mod transaction;
pub(crate) mod truncate;
pub(crate) mod update;
pub(crate) mod vacuum;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, SchemaRef};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;

use crate::error::{Error, Result};
use crate::kept::Kept;
use crate::lateral;
use crate::output::Output;
use crate::session::Session;

/// One statement, read but not yet looked up.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(crate) text: Arc<str>,
    pub(crate) kind: Kind,
    /// Shared by copies: one statement, planned once.
    pub(crate) kept: Arc<Kept>,
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Which statement it is, with its syntax tree.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a statement is made once and moved seldom")]
pub(crate) enum Kind {
    AlterTable(ast::AlterTable),
    Begin(Vec<ast::TransactionMode>),
    Close(ast::CloseCursor),
    Comment(comment::Comment),
    Commit { chain: bool },
    Copy(copy::Copy),
    CreateExternalTable(Box<create_external_table::CreateExternalTable>),
    CreateLocation(create_location::CreateLocation),
    CreateModel(create_model::CreateModel),
    CreateSchema(create_schema::CreateSchema),
    CreateSecret(create_secret::CreateSecret),
    CreateSnapshot(create_snapshot::CreateSnapshot),
    CreateTable(Box<create_table::CreateTable>),
    CreateView(Box<create_view::CreateView>),
    Deallocate(ast::Ident),
    Declare(cursor::Declare),
    Delete(Box<delete::Delete>),
    DescribeHistory(ast::ObjectName),
    Discard(ast::DiscardObject),
    Drop(drop::Drop),
    DropModel(drop::Drop),
    Execute(prepared::Execute),
    Explain(Box<explain::Explain>),
    Fetch(cursor::Fetch),
    Insert(ast::Insert),
    Merge(Box<merge::Merge>),
    Optimize(optimize::Optimize),
    OwnerTo(owner_to::OwnerTo),
    Prepare(Box<prepared::Prepare>),
    Query(Box<ast::Query>),
    Refresh(refresh::Refresh),
    Release(ast::Ident),
    Reset(ast::Reset),
    Restore(restore::Restore),
    Rollback { chain: bool, savepoint: Option<ast::Ident> },
    Savepoint(ast::Ident),
    Set(ast::Set),
    SetTags(set_tags::SetTags),
    Show(String),
    Truncate(ast::Truncate),
    Update(Box<update::Update>),
    Vacuum(vacuum::Vacuum),
}

impl Kind {
    /// From what sqlparser read; what is not in the list is refused by name.
    pub(crate) fn from_ast(statement: ast::Statement, with_no_data: bool) -> Result<Self> {
        use ast::Statement as S;
        lateral::refuse_misplaced(&statement)?;
        let kind = match statement {
            S::Query(query) => from_query(*query)?,
            change @ (S::Insert(_) | S::Update(_) | S::Delete(_) | S::Merge(_)) => {
                with_change(None, change)?
            }
            S::Truncate(truncate) => Self::Truncate(truncate),
            S::CreateTable(create) => {
                let names = Vec::new();
                let create = create_table::CreateTable { ast: create, names, with_no_data };
                Self::CreateTable(Box::new(create))
            }
            S::CreateView(create) => {
                Self::CreateView(Box::new(create_view::CreateView { ast: create, with_no_data }))
            }
            create @ S::CreateSchema { .. } => {
                Self::CreateSchema(create_schema::CreateSchema::from_ast(create)?)
            }
            S::AlterTable(alter) => Self::AlterTable(alter),
            S::AlterView { .. } => {
                return Err(Error::unsupported("ALTER VIEW ... AS is not supported")
                    .with_hint("Use CREATE OR REPLACE VIEW."));
            }
            dropped @ S::Drop { .. } => Self::Drop(drop::Drop::from_ast(dropped)?),
            commented @ S::Comment { .. } => Self::Comment(comment::Comment::from_ast(commented)?),
            explained @ S::Explain { .. } => {
                Self::Explain(Box::new(explain::Explain::from_ast(explained)?))
            }
            S::Set(set) => Self::Set(set),
            S::ShowVariable { variable } => Self::Show(set::shown_name(&variable)),
            S::Reset(reset) => Self::Reset(reset.reset),
            S::Discard { object_type } => Self::Discard(object_type),
            S::StartTransaction { modes, modifier: None, statements, exception: None, .. }
                if statements.is_empty() =>
            {
                Self::Begin(modes)
            }
            S::Commit { chain, modifier: None, .. } => Self::Commit { chain },
            S::Rollback { chain, savepoint } => Self::Rollback { chain, savepoint },
            S::Savepoint { name } => Self::Savepoint(name),
            S::ReleaseSavepoint { name } => Self::Release(name),
            S::Close { cursor } => Self::Close(cursor),
            S::Deallocate { name, .. } => Self::Deallocate(name),
            prepare @ S::Prepare { .. } => {
                Self::Prepare(Box::new(prepared::Prepare::from_ast(prepare)?))
            }
            execute @ S::Execute { .. } => Self::Execute(prepared::Execute::from_ast(execute)?),
            other => return Err(unsupported(&other)),
        };
        Ok(kind)
    }
}

/// `WITH ... INSERT` and its like are a statement that changes rows, not a query.
fn from_query(query: ast::Query) -> Result<Kind> {
    match *query.body {
        ast::SetExpr::Insert(change)
        | ast::SetExpr::Update(change)
        | ast::SetExpr::Delete(change)
        | ast::SetExpr::Merge(change) => with_change(query.with, change),
        _ => Ok(Kind::Query(Box::new(query))),
    }
}

/// A statement that changes rows, with the WITH before it.
fn with_change(with: Option<ast::With>, statement: ast::Statement) -> Result<Kind> {
    use ast::Statement as S;
    Ok(match statement {
        S::Update(ast) => Kind::Update(Box::new(update::Update { with, ast })),
        S::Delete(ast) => Kind::Delete(Box::new(delete::Delete { with, ast })),
        S::Merge(ast) => Kind::Merge(Box::new(merge::Merge { with, ast })),
        S::Insert(mut insert) => {
            match (&mut insert.source, with) {
                (_, None) => {}
                // The WITH belongs to its source.
                (Some(source), with) if source.with.is_none() => source.with = with,
                _ => {
                    let what = "this form of WITH ... INSERT is not supported";
                    return Err(Error::unsupported(what));
                }
            }
            Kind::Insert(insert)
        }
        other => return Err(unsupported(&other)),
    })
}

fn unsupported(statement: &ast::Statement) -> Error {
    let text = statement.to_string();
    let words: Vec<&str> = text
        .split_whitespace()
        .take_while(|word| word.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .take(3)
        .collect();
    Error::unsupported(format!("{} is not supported", words.join(" ")))
}

impl Statement {
    pub(crate) fn new(text: &str, kind: Kind) -> Self {
        Self { text: Arc::from(text), kind, kept: Arc::default() }
    }

    /// The command tag where it yields rows, as PostgreSQL words it.
    pub(crate) fn tag(&self, rows: u64) -> String {
        match &self.kind {
            Kind::Fetch(_) => format!("FETCH {rows}"),
            Kind::Show(_) => "SHOW".to_owned(),
            Kind::Explain(_) => "EXPLAIN".to_owned(),
            Kind::Vacuum(_) => "VACUUM".to_owned(),
            Kind::Insert(_) => format!("INSERT 0 {rows}"),
            Kind::Update(_) => format!("UPDATE {rows}"),
            Kind::Delete(_) => format!("DELETE {rows}"),
            Kind::Merge(_) => format!("MERGE {rows}"),
            _ => format!("SELECT {rows}"),
        }
    }

    /// Whether it changes rows, and so runs to its end though nobody may want to see what it returns.
    pub(crate) const fn changes_rows(&self) -> bool {
        matches!(self.kind, Kind::Insert(_) | Kind::Update(_) | Kind::Delete(_) | Kind::Merge(_))
    }

    /// Whether it asks the catalog for anything.
    pub(crate) const fn looks_up_names(&self) -> bool {
        !matches!(
            self.kind,
            Kind::Close(_)
                | Kind::Deallocate(_)
                | Kind::Discard(_)
                | Kind::Fetch(_)
                | Kind::Release(_)
                | Kind::Reset(_)
                | Kind::Rollback { .. }
                | Kind::Savepoint(_)
                | Kind::Set(_)
                | Kind::Show(_)
        )
    }

    /// Whether it is refused inside a transaction block.
    pub(crate) const fn stands_alone(&self) -> bool {
        matches!(
            self.kind,
            Kind::Refresh(_)
                | Kind::Discard(ast::DiscardObject::ALL)
                | Kind::Optimize(_)
                | Kind::Vacuum(_)
        )
    }

    /// Whether it may run in a transaction that has failed.
    pub(crate) fn ends_transaction(&self) -> bool {
        matches!(self.kind, Kind::Commit { .. } | Kind::Rollback { .. })
    }
}

/// What a client may learn before it runs a statement: parameters, and columns where rows come.
pub(crate) async fn describe(
    session: &Session,
    statement: &Statement,
    given: &[Option<FieldRef>],
) -> Result<(Vec<Field>, Option<SchemaRef>)> {
    match &statement.kind {
        Kind::Query(query) => select::describe(session, query, given).await,
        Kind::Insert(insert) => insert::describe(session, insert, given).await,
        Kind::Update(update) => update::describe(session, update, given).await,
        Kind::Delete(delete) => delete::describe(session, delete, given).await,
        Kind::Merge(merge) => merge::describe(session, merge, given).await,
        Kind::Explain(explain) => explain::describe(session, explain, given).await,
        Kind::Show(name) => Ok((Vec::new(), Some(set::show_schema(name)))),
        Kind::Fetch(fetch) => Ok((Vec::new(), cursor::fetch_schema(session, fetch)?)),
        Kind::Execute(execute) => Ok((Vec::new(), prepared::execute_schema(session, execute)?)),
        Kind::DescribeHistory(_) => Ok((Vec::new(), Some(describe_history::schema()))),
        Kind::Vacuum(vacuum) => Ok((Vec::new(), vacuum.dry_run.then(vacuum::schema))),
        _ => Ok((Vec::new(), None)),
    }
}

/// Carries a statement out.
pub(crate) async fn run(
    session: &Session,
    statement: &Statement,
    parameters: &[ScalarValue],
) -> Result<Output> {
    match &statement.kind {
        Kind::AlterTable(s) => alter_table::run(session, s).await,
        Kind::Begin(modes) => transaction::begin(session, modes),
        Kind::Close(s) => cursor::close(session, s),
        Kind::Comment(s) => comment::run(session, s).await,
        Kind::Commit { chain } => transaction::commit(session, *chain).await,
        Kind::Copy(s) => copy::run(session, s).await,
        Kind::CreateExternalTable(s) => Box::pin(create_external_table::run(session, s)).await,
        Kind::CreateLocation(s) => create_location::run(session, s).await,
        Kind::CreateModel(s) => create_model::run(session, s).await,
        Kind::CreateSchema(s) => create_schema::run(session, s).await,
        Kind::CreateSecret(s) => create_secret::run(session, s).await,
        Kind::CreateSnapshot(s) => create_snapshot::run(session, s).await,
        Kind::CreateTable(s) => Box::pin(create_table::run(session, s)).await,
        Kind::CreateView(s) => create_view::run(session, s).await,
        Kind::Deallocate(name) => prepared::deallocate(session, name),
        Kind::Declare(s) => cursor::declare(session, s, parameters).await,
        Kind::Delete(s) => delete::run(session, s, parameters).await,
        Kind::DescribeHistory(name) => describe_history::run(session, name).await,
        Kind::Discard(object) => set::discard(session, object),
        Kind::Drop(s) | Kind::DropModel(s) => drop::run(session, s).await,
        Kind::Execute(s) => Box::pin(prepared::execute(session, s)).await,
        Kind::Explain(s) => explain::run(session, s, parameters).await,
        Kind::Fetch(s) => cursor::fetch(session, s).await,
        Kind::Insert(s) => insert::run(session, s, &statement.kept, parameters).await,
        Kind::Merge(s) => merge::run(session, s, parameters).await,
        Kind::Optimize(s) => optimize::run(session, s).await,
        Kind::OwnerTo(s) => owner_to::run(session, s).await,
        Kind::Prepare(s) => Box::pin(prepared::prepare(session, s)).await,
        Kind::Query(query) => select::run(session, query, &statement.kept, parameters).await,
        Kind::Refresh(s) => refresh::run(session, s).await,
        Kind::Release(name) => transaction::release(session, name),
        Kind::Reset(what) => set::reset(session, what),
        Kind::Restore(s) => restore::run(session, s).await,
        Kind::Rollback { chain, savepoint } => {
            transaction::rollback(session, *chain, savepoint.as_ref())
        }
        Kind::Savepoint(name) => transaction::savepoint(session, name),
        Kind::Set(s) => set::run(session, s),
        Kind::SetTags(s) => set_tags::run(session, s).await,
        Kind::Show(name) => set::show(session, name),
        Kind::Truncate(s) => truncate::run(session, s).await,
        Kind::Update(s) => update::run(session, s, parameters).await,
        Kind::Vacuum(s) => vacuum::run(session, s).await,
    }
}
