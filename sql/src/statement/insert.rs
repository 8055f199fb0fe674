//! `INSERT INTO table [(columns)] VALUES ... | query [ON CONFLICT ...] [RETURNING ...]`.
//!
//! `VALUES` of constants and parameters are computed without a plan, and their expressions are kept
//! with the statement: what a prepared INSERT costs is its row and its share of a commit.

mod constant_rows;
mod on_conflict;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use catalog::TableSnapshot;
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;
use ingest::Validation;

use self::constant_rows::ConstantRows;
use crate::dml::{self, InsertTarget, Returning, Rows, TARGET};
use crate::error::{Error, Result};
use crate::kept::{Circumstances, Kept, Plan};
use crate::output::Output;
use crate::resolve::{Pinned, Resolver, fold};
use crate::session::Session;
use crate::statement::select;
use crate::{plan, semantics};

/// The parameters of an INSERT, and what it returns.
pub(crate) async fn describe(
    session: &Session,
    insert: &ast::Insert,
    given: &[Option<FieldRef>],
) -> Result<(Vec<Field>, Option<SchemaRef>)> {
    let pinned = dml::target(session, table_name(insert)?).await?;
    let state = session.planning_state();
    let given = select::with_cast_types(insert, given);
    let plan = plan_rows(session, &state, insert, &pinned, &given).await?;
    let mut fields = select::parameter_fields(&plan, &given)?;
    if let Some(conflict) = &insert.on {
        let change = on_conflict::change(insert, conflict, &pinned)?;
        let known = known(&fields);
        return dml::describe(session, &change, &known).await;
    }
    let Some(items) = &insert.returning else { return Ok((fields, None)) };
    let returning = returning(session, &state, insert, items, &pinned).await?;
    fields = returning.parameters(&known(&fields))?;
    Ok((fields, Some(returning.schema(&state))))
}

fn known(fields: &[Field]) -> Vec<Option<FieldRef>> {
    fields.iter().map(|field| Some(Arc::new(field.clone()))).collect()
}

async fn returning(
    session: &Session,
    state: &SessionState,
    insert: &ast::Insert,
    items: &[ast::SelectItem],
    pinned: &Pinned,
) -> Result<Returning> {
    let rows = Rows::of(&table_alias(insert, pinned), &pinned.snapshot.schema)?;
    Returning::plan(session, state, items, rows).await
}

/// What the table is called in the statement.
fn table_alias(insert: &ast::Insert, pinned: &Pinned) -> String {
    let alias = insert.table_alias.as_ref().map(|alias| fold(&alias.alias));
    alias.unwrap_or_else(|| pinned.name.name.clone())
}

/// An INSERT of constants and parameters, ready to run while its table is defined as it was.
#[derive(Debug)]
pub(crate) struct InsertPlan {
    rows: ConstantRows,
    validation: Arc<Validation>,
    schema: SchemaRef,
    constraints: Arc<BTreeMap<String, String>>,
}

impl InsertPlan {
    fn fits(&self, table: &TableSnapshot) -> bool {
        Arc::ptr_eq(&self.schema, &table.schema)
            && Arc::ptr_eq(&self.constraints, &table.constraints)
    }
}

/// Adds the rows; they are durable when this returns, or with the transaction.
pub(crate) async fn run(
    session: &Session,
    insert: &ast::Insert,
    kept: &Kept,
    parameters: &[ScalarValue],
) -> Result<Output> {
    let mut attempt = 1;
    loop {
        let pinned = dml::target(session, table_name(insert)?).await?;
        if let Some(conflict) = &insert.on {
            let change = on_conflict::change(insert, conflict, &pinned)?;
            return dml::run(session, &change, parameters).await;
        }
        match run_over(session, insert, kept, parameters, &pinned).await {
            // The table was defined anew meanwhile; nothing of the rows is in it.
            Err(error) if !dml::goes_again(session, &pinned, &error, &mut attempt).await? => {
                return Err(error);
            }
            Err(_) => {}
            done => return done,
        }
    }
}

/// Adds the rows to a table that is defined as it was pinned.
async fn run_over(
    session: &Session,
    insert: &ast::Insert,
    kept: &Kept,
    parameters: &[ScalarValue],
    pinned: &Pinned,
) -> Result<Output> {
    if let Some(items) = &insert.returning {
        return Box::pin(run_returning(session, insert, items, pinned, parameters)).await;
    }
    let circumstances = Circumstances::of(session, parameters);
    if let Some(Plan::Insert(plan)) = kept.find(circumstances.as_ref())
        && plan.fits(&pinned.snapshot)
    {
        return add(session, pinned, &plan, parameters).await;
    }
    let state = session.planning_state();
    let types = select::types_of(parameters);
    let plan = plan_rows(session, &state, insert, pinned, &types).await?;
    if let Some(rows) = ConstantRows::of(&state, &plan, parameters)? {
        let plan = Arc::new(InsertPlan {
            rows,
            validation: dml::validation(session, pinned)?,
            schema: Arc::clone(&pinned.snapshot.schema),
            constraints: Arc::clone(&pinned.snapshot.constraints),
        });
        kept.keep(circumstances, Plan::Insert(Arc::clone(&plan)));
        return add(session, pinned, &plan, parameters).await;
    }
    let rows = select::execute(&state, select::bind(plan, parameters)?).await?;
    let added = dml::append(session, pinned, rows, "insert", None).await?;
    Ok(Output::counted("INSERT 0", added))
}

async fn run_returning(
    session: &Session,
    insert: &ast::Insert,
    items: &[ast::SelectItem],
    pinned: &Pinned,
    parameters: &[ScalarValue],
) -> Result<Output> {
    let state = session.planning_state();
    let types = select::types_of(parameters);
    let plan = plan_rows(session, &state, insert, pinned, &types).await?;
    let returning = returning(session, &state, insert, items, pinned).await?;
    let returned = returning.start(&state, parameters)?;
    let rows = select::execute(&state, select::bind(plan, parameters)?).await?;
    dml::append(session, pinned, rows, "insert", Some(Arc::clone(&returned))).await?;
    Ok(returned.output())
}

async fn add(
    session: &Session,
    pinned: &Pinned,
    plan: &InsertPlan,
    parameters: &[ScalarValue],
) -> Result<Output> {
    let now_nanos = session.now_nanos();
    let rows = plan.rows.evaluate(parameters, now_nanos)?;
    let added =
        dml::append_batch(session, pinned, Arc::clone(&plan.validation), rows, "insert").await?;
    Ok(Output::counted("INSERT 0", added))
}

fn table_name(insert: &ast::Insert) -> Result<&ast::ObjectName> {
    let refused = match insert {
        _ if insert.or.is_some() || insert.replace_into => "OR REPLACE",
        _ if insert.ignore => "IGNORE",
        _ if insert.overwrite => "OVERWRITE",
        _ if !insert.assignments.is_empty() => "SET",
        _ if insert.partitioned.is_some() || !insert.after_columns.is_empty() => "PARTITION",
        _ if insert.output.is_some() => "OUTPUT",
        _ if insert.priority.is_some() || insert.insert_alias.is_some() => "this clause",
        _ if insert.settings.is_some() || insert.format_clause.is_some() => "this clause",
        _ if insert.multi_table_insert_type.is_some() => "several tables",
        _ => "",
    };
    if !refused.is_empty() {
        return Err(Error::unsupported(format!("INSERT does not support {refused}")));
    }
    match &insert.table {
        ast::TableObject::TableName(name) => Ok(name),
        other => Err(Error::unsupported(format!("cannot insert into \"{other}\""))),
    }
}

/// The rows, with every column that clients supply, in the table's order and types.
pub(crate) async fn plan_rows(
    session: &Session,
    state: &SessionState,
    insert: &ast::Insert,
    pinned: &Pinned,
    given: &[Option<FieldRef>],
) -> Result<LogicalPlan> {
    let schema = dml::user_schema(&pinned.snapshot.schema);
    let columns = insert.columns.iter().map(column_name).collect::<Result<Vec<String>>>()?;
    for column in &columns {
        dml::column_index(pinned, column, "insert into")?;
    }
    let Some(source) = &insert.source else {
        return Err(Error::unsupported("INSERT ... DEFAULT VALUES is not supported")
            .with_hint("Name a column and give its value, or DEFAULT."));
    };
    let source = with_defaults(source, &columns, &schema);
    let source = short_rows(source, &columns, &schema)?;
    let mut insert = insert.clone();
    if columns.is_empty() {
        let width = values_width(&source.0).unwrap_or(schema.fields().len());
        let named = schema.fields().iter().take(width);
        insert.columns = named.map(|f| quoted(f.name())).collect();
    } else {
        insert.columns = columns.iter().map(|c| quoted(c)).collect();
    }
    insert.source = Some(source.0);
    insert.table = ast::TableObject::TableName(quoted(TARGET));
    insert.table_alias = None;
    insert.on = None;
    insert.returning = None;
    refuse_other_constants(&insert, &schema)?;
    let statement = ast::Statement::Insert(insert);
    let mut names = Resolver::new(session, state).resolve(&statement).await?;
    let target = InsertTarget::new(state, &pinned.snapshot.schema)?;
    names.tables.insert(TARGET.into(), provider_as_source(Arc::new(target)));
    match plan::statement(state, &names, statement, given) {
        Ok(LogicalPlan::Dml(dml)) => {
            refuse_other_kinds(&dml.input, &schema)?;
            dml::project_to(Arc::unwrap_or_clone(dml.input), &schema)
        }
        Ok(_) => Err(Error::internal("an INSERT has no rows")),
        Err(error) if error.message().contains("Column count doesn't match") => {
            Err(Error::syntax("INSERT has not as many expressions as target columns"))
        }
        Err(error) => Err(error),
    }
}

/// DataFusion's planner casts what a query gives to the columns, whatever they are: what it cast is looked
/// at again.
fn refuse_other_kinds(plan: &LogicalPlan, schema: &SchemaRef) -> Result<()> {
    let LogicalPlan::Projection(projection) = plan else { return Ok(()) };
    if matches!(&*projection.input, LogicalPlan::Values(_)) {
        return Ok(());
    }
    for (value, to) in projection.expr.iter().zip(projection.schema.fields()) {
        let mut value = value;
        while let Expr::Alias(alias) = value {
            value = &alias.expr;
        }
        if let (Expr::Cast(cast), Ok(column)) = (value, schema.field_with_name(to.name()))
            && matches!(*cast.expr, Expr::Column(_))
        {
            let (_, source) = cast.expr.to_field(projection.input.schema())?;
            semantics::refuse_other_kind(&source, column)?;
        }
    }
    Ok(())
}

/// The same for the constants of VALUES, which the planner casts one by one.
fn refuse_other_constants(insert: &ast::Insert, schema: &SchemaRef) -> Result<()> {
    let Some(ast::SetExpr::Values(values)) = insert.source.as_deref().map(|q| q.body.as_ref())
    else {
        return Ok(());
    };
    for row in &values.rows {
        for (value, name) in row.content.iter().zip(&insert.columns) {
            let mut value = value;
            while let ast::Expr::UnaryOp { expr, .. } | ast::Expr::Nested(expr) = value {
                value = expr;
            }
            let kind = match value {
                ast::Expr::Value(value) => match &value.value {
                    ast::Value::Boolean(_) => DataType::Boolean,
                    ast::Value::Number(digits, _) if digits.contains(['.', 'e', 'E']) => {
                        DataType::Decimal128(38, 10)
                    }
                    ast::Value::Number(..) => DataType::Int32,
                    _ => continue,
                },
                _ => continue,
            };
            let column = column_name(name)?;
            if let Ok(column) = schema.field_with_name(&column) {
                semantics::refuse_other_kind(&Field::new("", kind, false), column)?;
            }
        }
    }
    Ok(())
}

pub(crate) fn column_name(name: &ast::ObjectName) -> Result<String> {
    match name.0.as_slice() {
        [part] => part.as_ident().map(fold),
        _ => None,
    }
    .ok_or_else(|| Error::syntax(format!("syntax error: \"{name}\" is not a column")))
}

fn quoted(name: &str) -> ast::ObjectName {
    ast::ObjectName::from(vec![ast::Ident::with_quote('"', name)])
}

/// Puts each column's default where VALUES says DEFAULT.
fn with_defaults(source: &ast::Query, columns: &[String], schema: &SchemaRef) -> Box<ast::Query> {
    let mut source = Box::new(source.clone());
    if let ast::SetExpr::Values(values) = source.body.as_mut() {
        for row in &mut values.rows {
            for (at, value) in row.content.iter_mut().enumerate() {
                let field = match columns.get(at) {
                    Some(name) => schema.field_with_name(name).ok(),
                    None if columns.is_empty() => schema.fields().get(at).map(AsRef::as_ref),
                    None => None,
                };
                let word = dml::is_default(value);
                if let (true, Some(field)) = (word, field) {
                    *value = dml::default_expression(field);
                }
            }
        }
    }
    source
}

/// Postgres lets VALUES leave out the last columns, and refuses too many.
fn short_rows(
    source: Box<ast::Query>,
    columns: &[String],
    schema: &SchemaRef,
) -> Result<(Box<ast::Query>,)> {
    let most = if columns.is_empty() { schema.fields().len() } else { columns.len() };
    if let Some(width) = values_width(&source) {
        if width > most {
            return Err(Error::syntax("INSERT has more expressions than target columns"));
        }
        if width < columns.len() {
            return Err(Error::syntax("INSERT has more target columns than expressions"));
        }
    }
    Ok((source,))
}

fn values_width(source: &ast::Query) -> Option<usize> {
    match source.body.as_ref() {
        ast::SetExpr::Values(values) => values.rows.first().map(|row| row.content.len()),
        _ => None,
    }
}
