//! `REFRESH MATERIALIZED VIEW name`: its query is run again, and its answer takes the place of
//! the old one in one commit.

use std::sync::Arc;

use catalog::{Change, Commit, CommitKind, Definition, Entry};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use ingest::Validation;

use crate::dml;
use crate::error::{Error, Result, state};
use crate::output::Output;
use crate::parser::{self, expect_word, parse_word, parse_words, syntax_error};
use crate::plan;
use crate::resolve::{Pinned, Resolver, split_name};
use crate::session::Session;
use crate::statement::{create_view, select};

/// A view to be brought up to date.
#[derive(Debug, Clone)]
pub(crate) struct Refresh {
    name: ast::ObjectName,
}

/// Reads `REFRESH`.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<Refresh> {
    for word in ["REFRESH", "MATERIALIZED", "VIEW"] {
        expect_word(parser, word)?;
    }
    // A refresh never blocks readers, so CONCURRENTLY asks for what is so already.
    parse_word(parser, "CONCURRENTLY");
    let name = parser.parse_object_name(false).map_err(syntax_error)?;
    if parse_words(parser, &["WITH", "NO", "DATA"]) {
        return Err(Error::unsupported("REFRESH ... WITH NO DATA is not supported"));
    }
    parse_words(parser, &["WITH", "DATA"]);
    Ok(Refresh { name })
}

/// Runs the view's query over the tables as they are now.
pub(crate) async fn run(session: &Session, refresh: &Refresh) -> Result<Output> {
    session.refuse_read_only()?;
    let (schema, name) = split_name(&refresh.name)?;
    let entry = dml::existing(session, schema.as_deref(), &name)?;
    let Definition::MaterializedView { sql, search_path, populated, .. } = &entry.definition else {
        return Err(Error::new(
            state::WRONG_OBJECT_TYPE,
            format!("\"{}\" is not a materialized view", entry.qualified_name()),
        ));
    };
    session.refuse_in_transaction("REFRESH MATERIALIZED VIEW")?;
    let pinned = session.pin(&entry).await?;
    let state = session.planning_state();
    let statement = ast::Statement::Query(parser::parse_query(sql)?);
    let resolver = Resolver::new(session, &state).with_search_path(search_path);
    let names = resolver.resolve(&statement).await?;
    let planned = plan::statement(&state, &names, statement, &[])?;
    let fields = pinned.snapshot.schema.fields().iter();
    let columns: Vec<String> = fields.map(|f| f.name().clone()).collect();
    let planned = create_view::as_created(planned, &columns)?;
    let planned = dml::project_to(planned, &pinned.snapshot.schema)?;
    fill(session, &state, &pinned, planned).await?;
    if !populated {
        session.change(vec![Change::Put(as_populated(&entry))], None).await?;
    }
    Ok(Output::done("REFRESH MATERIALIZED VIEW"))
}

/// Puts the plan's rows in the place of all rows of the table, in one commit.
pub(crate) async fn fill(
    session: &Session,
    state: &SessionState,
    pinned: &Pinned,
    plan: LogicalPlan,
) -> Result<()> {
    let rows = select::execute(state, plan).await?;
    let validation = Arc::new(Validation { table: pinned.name.name.clone(), checks: Vec::new() });
    let writer = session.engine().writer(pinned.id, &pinned.table);
    let written = writer.write(&pinned.snapshot, rows, &validation).await?;
    let commit = Commit {
        adds: written.adds,
        removes: pinned.snapshot.files().map(|file| file.path().to_owned()).collect(),
        parameters: [("mode".to_owned(), "Overwrite".to_owned())].into(),
        user: Some(session.user().to_owned()),
        ..Commit::new("REFRESH", CommitKind::Rewrite { read_all: true })
    };
    let commitment = session.commitment();
    let _committing = commitment.make();
    pinned.table.commit(&pinned.snapshot, commit).await?;
    Ok(())
}

fn as_populated(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    if let Definition::MaterializedView { populated, .. } = &mut entry.definition {
        *populated = true;
    }
    entry
}
