//! `CREATE [OR REPLACE] VIEW` and `CREATE MATERIALIZED VIEW`.
//!
//! A view keeps its query as text, with the search path of its making. A materialized view is a
//! Delta table besides, filled before it gets its name.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use catalog::{Change, ColumnEntry, Definition, Entry, Kind, TableSpec};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;

use crate::dml;
use crate::error::{Error, Result, state};
use crate::lineage;
use crate::output::{Notice, Output};
use crate::parser;
use crate::resolve::{QualifiedName, fold, split_name};
use crate::session::Session;
use crate::statement::{create_table, refresh, select};

/// A view to be made.
#[derive(Debug, Clone)]
pub(crate) struct CreateView {
    pub(crate) ast: ast::CreateView,
    pub(crate) with_no_data: bool,
}

/// Plans the query, fills a materialized view, and names it.
pub(crate) async fn run(session: &Session, create: &CreateView) -> Result<Output> {
    session.refuse_read_only()?;
    let ast = &create.ast;
    refuse_clauses(ast)?;
    let tag = if ast.materialized { "CREATE MATERIALIZED VIEW" } else { "CREATE VIEW" };
    let (schema, name) = split_name(&ast.name)?;
    let name = create_table::new_name(session, schema, name)?;
    let existing = session.snapshot().entry(&name.schema, &name.name).map(Arc::clone);
    if let Some(existing) = &existing {
        if ast.if_not_exists {
            let note = format!("relation \"{}\" already exists, skipping", name.name);
            session.notice(Notice::note(note));
            return Ok(Output::done(tag));
        }
        if !ast.or_replace || existing.kind() != Kind::View || ast.materialized {
            create_table::refuse_taken(session, &name, false)?;
        }
    }
    refuse_temporary(session, &ast.query)?;
    refuse_parameters(&ast.query)?;
    let sql = query_text(&ast.query)?;
    let names = column_names(ast);
    if ast.materialized {
        materialized(session, create, &name, sql, &names).await?;
    } else {
        view(session, &name, sql, &names, &ast.query, existing.as_deref()).await?;
    }
    Ok(Output::done(tag))
}

fn refuse_clauses(create: &ast::CreateView) -> Result<()> {
    let refused = match create {
        _ if create.or_alter => "OR ALTER",
        _ if create.secure => "SECURE",
        _ if !create.cluster_by.is_empty() => "CLUSTER BY",
        _ if create.comment.is_some() => "COMMENT (use COMMENT ON)",
        _ if create.with_no_schema_binding => "WITH NO SCHEMA BINDING",
        _ if create.temporary => "TEMPORARY",
        _ if create.copy_grants || create.to.is_some() || create.params.is_some() => "this clause",
        _ if create.materialized && create.or_replace => "OR REPLACE for materialized views",
        _ if !create.materialized && create.options != ast::CreateTableOptions::None => "WITH",
        _ if create.columns.iter().any(|c| c.data_type.is_some() || c.options.is_some()) => {
            "types in its column list"
        }
        _ => return Ok(()),
    };
    Err(Error::unsupported(format!("CREATE VIEW does not support {refused}")))
}

/// A view outlives the session, a temporary table does not.
fn refuse_temporary(session: &Session, query: &ast::Query) -> Result<()> {
    let statement = ast::Statement::Query(Box::new(query.clone()));
    let statement = datafusion::sql::parser::Statement::Statement(Box::new(statement));
    let (relations, _) = datafusion::sql::resolve::resolve_table_references(&statement, true)?;
    let temporary = relations.iter().find(|relation| {
        relation.schema().is_none_or(|schema| schema == "pg_temp")
            && session.temporary_table(relation.table()).is_some()
    });
    match temporary {
        Some(relation) => Err(Error::unsupported(format!(
            "a view cannot read temporary table \"{}\"",
            relation.table()
        ))
        .with_hint("Make it a table first: CREATE TABLE ... AS SELECT ...")),
        None => Ok(()),
    }
}

fn refuse_parameters(query: &ast::Query) -> Result<()> {
    let found = ast::visit_expressions(query, |expr| match dml::placeholder(expr) {
        Some(at) => ControlFlow::Break(at + 1),
        None => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(number) => {
            Err(Error::new("42P02", format!("there is no parameter ${number}"))
                .with_detail("A view is made once, and keeps no parameters."))
        }
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The query as text that reads back as the same query: what a view keeps must not drift.
fn query_text(query: &ast::Query) -> Result<String> {
    let text = query.to_string();
    let again = parser::parse_query(&text).map(|q| q.to_string());
    if again.as_ref().is_ok_and(|again| *again == text) {
        return Ok(text);
    }
    Err(Error::unsupported("the query cannot be kept as text and read back the same"))
}

fn column_names(create: &ast::CreateView) -> Vec<String> {
    create.columns.iter().map(|column| fold(&column.name)).collect()
}

async fn view(
    session: &Session,
    name: &QualifiedName,
    sql: String,
    names: &[String],
    query: &ast::Query,
    existing: Option<&Entry>,
) -> Result<()> {
    let state = session.planning_state();
    let planned = select::plan_query(session, &state, query, &[]).await?;
    let schema = with_names(&planned.schema(&state), names)?;
    create_table::refuse_double_names(schema.fields().iter().map(|f| f.name().as_str()))?;
    let columns: Vec<ColumnEntry> =
        schema.fields().iter().map(|f| ColumnEntry::from(f.as_ref())).collect();
    refuse_lost_columns(existing, &columns)?;
    let definition = Definition::View { sql, columns, search_path: session.search_path() };
    let sources = lineage::of(&planned, schema.fields().iter().map(|f| f.name().as_str()))?;
    let entry = match existing {
        Some(existing) => Entry { definition, sources, ..existing.clone() },
        None => Entry { sources, ..new_entry(session, name, definition) },
    };
    session.change(vec![Change::Put(entry)], None).await
}

/// What reads a view counts on its columns: OR REPLACE may only add some at the end.
fn refuse_lost_columns(existing: Option<&Entry>, columns: &[ColumnEntry]) -> Result<()> {
    let Some(Definition::View { columns: before, .. }) = existing.map(|e| &e.definition) else {
        return Ok(());
    };
    if columns.len() < before.len() {
        return Err(Error::new(state::INVALID_TABLE_DEFINITION, "cannot drop columns from view"));
    }
    for (old, new) in before.iter().zip(columns) {
        if old.name != new.name {
            return Err(Error::new(
                state::INVALID_TABLE_DEFINITION,
                format!("cannot change name of view column \"{}\" to \"{}\"", old.name, new.name),
            ));
        }
        if old.data_type != new.data_type {
            return Err(Error::new(
                state::INVALID_TABLE_DEFINITION,
                format!("cannot change data type of view column \"{}\"", old.name),
            ));
        }
    }
    Ok(())
}

async fn materialized(
    session: &Session,
    create: &CreateView,
    name: &QualifiedName,
    sql: String,
    names: &[String],
) -> Result<()> {
    let options = match &create.ast.options {
        ast::CreateTableOptions::None => Vec::new(),
        ast::CreateTableOptions::With(options) => create_table::options(options)?,
        other => return Err(Error::unsupported(format!("{other} is not supported"))),
    };
    let options: BTreeMap<String, String> = options.into_iter().collect();
    let state = session.planning_state();
    let planned = select::plan_query(session, &state, &create.ast.query, &[]).await?;
    let shown = planned.names.clone().unwrap_or_default();
    let plan = renamed(planned.plan.clone(), if names.is_empty() { &shown } else { names })?;
    let fields = plan.schema().fields().iter();
    let fields: Vec<Field> =
        fields.map(|f| create_table::stored_field(f, f.name())).collect::<Result<_>>()?;
    create_table::refuse_double_names(fields.iter().map(|f| f.name().as_str()))?;
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let pairs = options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    views::ViewDefinition::from_options(pairs)?.check(&schema)?;
    let sources = lineage::of(&planned, schema.fields().iter().map(|f| f.name().as_str()))?;
    let spec = TableSpec::new(Arc::clone(&schema));
    let (made, reference) = create_table::make(session, name, false, spec).await?;
    if !create.with_no_data {
        let plan = dml::project_to(plan, &schema)?;
        refresh::fill(session, &state, &made, plan).await?;
    }
    let Some(table) = reference else {
        return Err(Error::internal("a materialized view has no table"));
    };
    let definition = Definition::MaterializedView {
        table,
        sql,
        search_path: session.search_path(),
        options,
        populated: !create.with_no_data,
    };
    let entry = Entry { sources, ..new_entry(session, name, definition) };
    let id = entry.id;
    session.change(vec![Change::Put(entry)], Some(id)).await
}

fn new_entry(session: &Session, name: &QualifiedName, definition: Definition) -> Entry {
    Entry::new(
        name.schema.clone(),
        name.name.clone(),
        session.user(),
        session.engine().now_micros(),
        definition,
    )
}

/// The same plan with its first columns renamed.
pub(crate) fn renamed(plan: LogicalPlan, names: &[String]) -> Result<LogicalPlan> {
    if names.is_empty() {
        return Ok(plan);
    }
    let columns = plan.schema().columns();
    refuse_too_many(names, columns.len())?;
    let expressions = columns.into_iter().enumerate().map(|(at, column)| {
        let name = names.get(at).cloned().unwrap_or_else(|| column.name.clone());
        Expr::Column(column).alias(name)
    });
    let expressions: Vec<Expr> = expressions.collect();
    Ok(LogicalPlanBuilder::from(plan).project(expressions)?.build()?)
}

/// The columns that a view had when it was made. A `*` in its query may give more by now.
pub(crate) fn as_created(plan: LogicalPlan, names: &[String]) -> Result<LogicalPlan> {
    let columns = plan.schema().columns();
    if columns.len() <= names.len() {
        return renamed(plan, names);
    }
    let expressions = names.iter().map(|name| {
        let mut named = columns.iter().filter(|column| column.name == *name);
        match (named.next(), named.next()) {
            (Some(column), None) => Ok(Expr::Column(column.clone()).alias(name)),
            _ => Err(Error::new(
                state::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!(
                    "the view's query gives other columns than column \"{name}\" of its making"
                ),
            )
            .with_hint("Drop the view and create it again.")),
        }
    });
    let expressions = expressions.collect::<Result<Vec<Expr>>>()?;
    Ok(LogicalPlanBuilder::from(plan).project(expressions)?.build()?)
}

fn with_names(schema: &SchemaRef, names: &[String]) -> Result<SchemaRef> {
    refuse_too_many(names, schema.fields().len())?;
    let fields = schema.fields().iter().enumerate().map(|(at, field)| {
        let field = field.as_ref().clone();
        match names.get(at) {
            Some(name) => field.with_name(name),
            None => field,
        }
    });
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

fn refuse_too_many(names: &[String], columns: usize) -> Result<()> {
    if names.len() > columns {
        return Err(Error::new(
            state::SYNTAX_ERROR,
            "CREATE VIEW specifies more column names than columns",
        ));
    }
    Ok(())
}
