//! `SELECT`, `WITH`, `VALUES`, `TABLE`: a query to a stream of rows.
//!
//! What a query's plan owes to the query alone is kept with the statement, and used again.

mod query_plan;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use catalog::Entry;
use datafusion::common::ParamValues;
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;

use crate::array_parameters::array_parameters;
use crate::compute::Compute;
use crate::error::{Error, Result, state};
use crate::kept::{Circumstances, Kept, Plan};
use crate::output::Output;
use crate::pg_catalog;
use crate::plan;
use crate::resolve::{Read, Resolver, Tables};
use crate::results::{Asked, Versions};
use crate::session::Session;
pub(crate) use query_plan::QueryPlan;

/// A planned query with the names that its columns go out under.
pub(crate) struct Planned {
    pub(crate) plan: LogicalPlan,
    pub(crate) names: Option<Vec<String>>,
    /// What its scans are of.
    pub(crate) read: Read,
    /// What it reads, where that is all in tables at the versions of now.
    tables: Option<Tables>,
    /// What its names stand for.
    entries: Vec<Arc<Entry>>,
}

impl Planned {
    /// The columns with the types that its rows will have.
    pub(crate) fn schema(&self, state: &SessionState) -> SchemaRef {
        let schema = Arc::new(coerced(state, &self.plan).schema().as_arrow().clone());
        renamed(&schema, self.names.as_deref())
    }
}

/// Parameters and columns of a query.
pub(crate) async fn describe(
    session: &Session,
    query: &ast::Query,
    given: &[Option<FieldRef>],
) -> Result<(Vec<Field>, Option<SchemaRef>)> {
    let state = session.planning_state();
    let planned = plan_query(session, &state, query, given).await?;
    Ok((parameter_fields(&planned.plan, given)?, Some(planned.schema(&state))))
}

/// The plan with the types that its rows will have, as of `1 UNION SELECT 1.5`; as it is where a
/// parameter's type is not known yet.
pub(crate) fn coerced(state: &SessionState, plan: &LogicalPlan) -> LogicalPlan {
    let analyzed =
        state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {});
    analyzed.unwrap_or_else(|_| plan.clone())
}

/// Runs a query; the rows are computed as they are taken, or kept from an earlier run.
pub(crate) async fn run(
    session: &Session,
    query: &ast::Query,
    kept: &Kept,
    parameters: &[ScalarValue],
) -> Result<Output> {
    let asked = Asked::by(session, query, parameters);
    if let Some(asked) = &asked
        && let Some(rows) = asked.find(session).await?
    {
        return Ok(Output::Rows(rows));
    }
    let circumstances = Circumstances::of(session, parameters);
    if let Some(Plan::Query(plan)) = kept.find(circumstances.as_ref()) {
        let shared = session.shared_planning_state();
        if let Some(bound) = plan.bind(session, &shared.state, parameters).await? {
            let context = Arc::clone(&shared.context);
            let rows = start(&shared.state, context, &bound.plan).await?;
            let rows = rename(rows, plan.names());
            return Ok(Output::Rows(collected(session, asked, rows, &plan, &bound.versions)));
        }
    }
    let state = session.planning_state();
    let mut planned = plan_query(session, &state, query, &types_of(parameters)).await?;
    if circumstances.is_some()
        && let Some(plan) = QueryPlan::of(&state, &mut planned)
        && let Some(bound) = plan.bind(session, &state, parameters).await?
    {
        let plan = Arc::new(plan);
        kept.keep(circumstances, Plan::Query(Arc::clone(&plan)));
        if let Some(asked) = &asked
            && let Some(rows) = asked.find_planned(session, &plan, &bound.versions)
        {
            return Ok(Output::Rows(rows));
        }
        let rows = start(&state, state.task_ctx(), &bound.plan).await?;
        let rows = rename(rows, plan.names());
        return Ok(Output::Rows(collected(session, asked, rows, &plan, &bound.versions)));
    }
    let rows = execute(&state, bind(planned.plan, parameters)?).await?;
    Ok(Output::Rows(rename(rows, planned.names.as_deref())))
}

/// The same rows, kept on their way where that was asked for.
fn collected(
    session: &Session,
    asked: Option<Asked>,
    rows: SendableRecordBatchStream,
    plan: &Arc<QueryPlan>,
    versions: &Versions,
) -> SendableRecordBatchStream {
    match asked {
        Some(asked) => asked.collect(session, rows, plan, versions),
        None => rows,
    }
}

/// The rows and the bytes of the result of a query, if it is kept and would be given.
pub(crate) async fn kept_size(
    session: &Session,
    state: &SessionState,
    query: &ast::Query,
    planned: &mut Planned,
    parameters: &[ScalarValue],
) -> Result<Option<(usize, usize)>> {
    let Some(asked) = Asked::by(session, query, parameters) else { return Ok(None) };
    let Some(plan) = QueryPlan::of(state, planned) else { return Ok(None) };
    let bound = plan.bind(session, state, parameters).await?;
    Ok(bound.and_then(|bound| asked.size(&plan, &bound.versions)))
}

/// The rows of a query.
pub(crate) async fn stream(
    session: &Session,
    query: &ast::Query,
    parameters: &[ScalarValue],
) -> Result<SendableRecordBatchStream> {
    let state = session.planning_state();
    let planned = plan_query(session, &state, query, &types_of(parameters)).await?;
    let rows = execute(&state, bind(planned.plan, parameters)?).await?;
    Ok(rename(rows, planned.names.as_deref()))
}

/// Resolves and plans a query.
pub(crate) async fn plan_query(
    session: &Session,
    state: &SessionState,
    query: &ast::Query,
    given: &[Option<FieldRef>],
) -> Result<Planned> {
    let mut query = query.clone();
    let given = with_cast_types(&query, given);
    if selects_into(&query.body) {
        return Err(Error::unsupported("SELECT INTO is not supported")
            .with_hint("Use CREATE TABLE name AS SELECT ..."));
    }
    let mut names = output_names(&mut query);
    let beside = if names.is_none() { names_beside_wildcard(&mut query) } else { HashMap::new() };
    let statement = ast::Statement::Query(Box::new(query));
    let resolver = Resolver::new(session, state);
    let resolved = resolver.resolve(&statement).await?;
    let mut plan = plan::statement(state, &resolved, statement, &given)?;
    if let Some(system) = &resolved.system {
        plan = pg_catalog::shown(plan, system)?;
    }
    if !beside.is_empty() {
        let fields = plan.schema().fields().iter();
        let named =
            fields.map(|field| beside.get(field.name()).unwrap_or_else(|| field.name()).clone());
        names = Some(named.collect());
    }
    let (read, tables, entries) = (resolver.read(), resolver.tables(), resolver.entries());
    Ok(Planned { plan, names, read, tables, entries })
}

/// Whether a query or a part of it says `INTO`.
fn selects_into(body: &ast::SetExpr) -> bool {
    match body {
        ast::SetExpr::Select(select) => select.into.is_some(),
        ast::SetExpr::Query(query) => selects_into(&query.body),
        ast::SetExpr::SetOperation { left, right, .. } => selects_into(left) || selects_into(right),
        _ => false,
    }
}

/// Optimizes a plan and starts it.
pub(crate) async fn execute(
    state: &SessionState,
    plan: LogicalPlan,
) -> Result<SendableRecordBatchStream> {
    start(state, state.task_ctx(), &state.optimize(&plan)?).await
}

/// Starts an optimized plan.
async fn start(
    state: &SessionState,
    context: Arc<TaskContext>,
    optimized: &LogicalPlan,
) -> Result<SendableRecordBatchStream> {
    let physical = state.query_planner().create_physical_plan(optimized, state).await?;
    Ok(Compute::run(physical, context)?)
}

/// Puts values in place of `$1`, `$2`, ...
pub(crate) fn bind(plan: LogicalPlan, parameters: &[ScalarValue]) -> Result<LogicalPlan> {
    if parameters.is_empty() {
        if let Some((name, _)) = plan.get_parameter_fields()?.into_iter().next() {
            return Err(Error::new("42P02", format!("there is no parameter {name}")));
        }
        return Ok(plan);
    }
    Ok(plan.with_param_values(ParamValues::from(parameters.to_vec()))?)
}

/// The types of values that came, as the planner takes them.
pub(crate) fn types_of(parameters: &[ScalarValue]) -> Vec<Option<FieldRef>> {
    parameters.iter().map(|value| Some(Arc::new(Field::new("", value.data_type(), true)))).collect()
}

/// The types of parameters, and those that the statement tells by a cast: `$1::bigint`.
pub(crate) fn with_cast_types(
    statement: &impl ast::Visit,
    given: &[Option<FieldRef>],
) -> Vec<Option<FieldRef>> {
    struct Casts(Vec<Option<FieldRef>>);
    impl ast::Visitor for Casts {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> std::ops::ControlFlow<()> {
            if let ast::Expr::Cast { expr, data_type, .. } = expr
                && let ast::Expr::Value(_) = expr.as_ref()
                && let Some(at) = crate::dml::placeholder(expr)
                && !pg_catalog::shown_by_name(data_type)
                && let Ok(field) = crate::types::field_of_value_type(data_type, "", true)
            {
                if self.0.len() <= at {
                    self.0.resize(at + 1, None);
                }
                self.0[at].get_or_insert_with(|| Arc::new(field));
            }
            std::ops::ControlFlow::Continue(())
        }
    }
    let mut casts = Casts(given.to_vec());
    let _ = statement.visit(&mut casts);
    casts.0
}

/// The parameters of a plan, `$1` first. One whose type nothing tells is text, as in Postgres.
pub(crate) fn parameter_fields(
    plan: &LogicalPlan,
    given: &[Option<FieldRef>],
) -> Result<Vec<Field>> {
    let found = plan.get_parameter_fields()?;
    let mut arrays = BTreeMap::new();
    if found.values().any(Option::is_none) {
        arrays = array_parameters(plan)?;
    }
    let mut fields: Vec<Option<Field>> =
        given.iter().map(|f| f.as_ref().map(|f| f.as_ref().clone())).collect();
    for (name, field) in found {
        let number: usize = name.trim_start_matches('$').parse().map_err(|_| {
            Error::new(state::SYNTAX_ERROR, format!("parameter \"{name}\" is not a number"))
        })?;
        let at =
            number.checked_sub(1).ok_or_else(|| Error::new("42P02", "there is no parameter $0"))?;
        if fields.len() <= at {
            fields.resize(at + 1, None);
        }
        if fields[at].is_none() {
            fields[at] = field.map(|f| f.as_ref().clone()).or_else(|| arrays.remove(&name));
        }
    }
    let text = || Field::new("", arrow::datatypes::DataType::Utf8, true);
    Ok(fields.into_iter().map(|field| field.unwrap_or_else(text)).collect())
}

/// Names the columns as Postgres does, and makes room for two of one name, which the planner
/// refuses. `None` where the planner's own names are right, as with `*`.
fn output_names(query: &mut ast::Query) -> Option<Vec<String>> {
    let mut body = query.body.as_mut();
    while let ast::SetExpr::SetOperation { left, .. } = body {
        body = left.as_mut();
    }
    let ast::SetExpr::Select(select) = body else { return None };
    let only_expressions = select.projection.iter().all(|item| {
        matches!(item, ast::SelectItem::UnnamedExpr(_) | ast::SelectItem::ExprWithAlias { .. })
    });
    if !only_expressions {
        return None;
    }
    let mut names: Vec<String> = Vec::with_capacity(select.projection.len());
    let mut seen = std::collections::HashSet::new();
    for (at, item) in select.projection.iter_mut().enumerate() {
        let (name, planned) = match item {
            ast::SelectItem::ExprWithAlias { alias, .. } => {
                (crate::resolve::fold(alias), crate::resolve::fold(alias))
            }
            ast::SelectItem::UnnamedExpr(expr) => (column_name(expr), expr.to_string()),
            _ => return None,
        };
        names.push(name);
        // The planner tells columns apart by what is left of them without casts.
        let plain = matches!(item, ast::SelectItem::ExprWithAlias { .. })
            || matches!(
                item,
                ast::SelectItem::UnnamedExpr(
                    ast::Expr::Identifier(_)
                        | ast::Expr::CompoundIdentifier(_)
                        | ast::Expr::Function(_)
                )
            );
        if !seen.insert(planned) || !plain {
            let alias = ast::Ident::with_quote('"', format!("{DUPLICATE}{at}"));
            let expr = match item {
                ast::SelectItem::ExprWithAlias { expr, .. }
                | ast::SelectItem::UnnamedExpr(expr) => expr.clone(),
                _ => return None,
            };
            *item = ast::SelectItem::ExprWithAlias { expr, alias };
        }
    }
    Some(names)
}

/// Beside `*`, which columns there are is known after planning alone. Expressions go by names of their
/// own until then; these are told with the names that Postgres gives them.
fn names_beside_wildcard(query: &mut ast::Query) -> HashMap<String, String> {
    let mut names = HashMap::new();
    let mut body = query.body.as_mut();
    while let ast::SetExpr::SetOperation { left, .. } = body {
        body = left.as_mut();
    }
    let ast::SetExpr::Select(select) = body else { return names };
    for (at, item) in select.projection.iter_mut().enumerate() {
        let ast::SelectItem::UnnamedExpr(expr) = item else { continue };
        if matches!(expr, ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_)) {
            continue;
        }
        let planned = format!("{DUPLICATE}{at}");
        names.insert(planned.clone(), column_name(expr));
        let alias = ast::Ident::with_quote('"', planned);
        *item = ast::SelectItem::ExprWithAlias { expr: expr.clone(), alias };
    }
    names
}

/// What a second column of one name is called inside the plan.
const DUPLICATE: &str = "__column_";

/// Postgres' name for a column without alias (`FigureColname` in its parser).
pub(crate) fn column_name(expr: &ast::Expr) -> String {
    match expr {
        ast::Expr::Identifier(ident) => crate::resolve::fold(ident),
        ast::Expr::CompoundIdentifier(parts) => {
            parts.last().map(crate::resolve::fold).unwrap_or_default()
        }
        ast::Expr::Function(function) => function
            .name
            .0
            .last()
            .and_then(|part| part.as_ident())
            .map(crate::resolve::fold)
            .unwrap_or_default(),
        ast::Expr::Cast { expr, data_type, .. } => match column_name(expr).as_str() {
            "?column?" => type_column_name(data_type),
            inner => inner.to_owned(),
        },
        ast::Expr::Nested(inner) | ast::Expr::Collate { expr: inner, .. } => column_name(inner),
        ast::Expr::Case { .. } => "case".to_owned(),
        ast::Expr::Exists { .. } => "exists".to_owned(),
        ast::Expr::Extract { .. } => "extract".to_owned(),
        ast::Expr::Substring { .. } => "substring".to_owned(),
        ast::Expr::Position { .. } => "position".to_owned(),
        ast::Expr::Trim { .. } => "btrim".to_owned(),
        ast::Expr::Ceil { .. } => "ceil".to_owned(),
        ast::Expr::Floor { .. } => "floor".to_owned(),
        ast::Expr::Array(_) => "array".to_owned(),
        ast::Expr::Value(value) => match value.value {
            ast::Value::Boolean(_) => "bool".to_owned(),
            _ => "?column?".to_owned(),
        },
        ast::Expr::TypedString(typed) => type_column_name(&typed.data_type),
        ast::Expr::Interval(_) => "interval".to_owned(),
        ast::Expr::Subquery(query) => subquery_name(query),
        _ => "?column?".to_owned(),
    }
}

fn subquery_name(query: &ast::Query) -> String {
    let ast::SetExpr::Select(select) = query.body.as_ref() else { return "?column?".to_owned() };
    match select.projection.first() {
        Some(ast::SelectItem::UnnamedExpr(expr)) => column_name(expr),
        Some(ast::SelectItem::ExprWithAlias { alias, .. }) => crate::resolve::fold(alias),
        _ => "?column?".to_owned(),
    }
}

fn type_column_name(data_type: &ast::DataType) -> String {
    crate::types::field_of_value_type(data_type, "", true)
        .map_or_else(|_| "?column?".to_owned(), |f| crate::types::pg_type_of(&f).name.to_owned())
}

/// A schema with other names.
pub(crate) fn renamed(schema: &SchemaRef, names: Option<&[String]>) -> SchemaRef {
    let Some(names) = names.filter(|names| names.len() == schema.fields().len()) else {
        return Arc::clone(schema);
    };
    let fields = schema.fields().iter().zip(names);
    let fields: Vec<Field> =
        fields.map(|(field, name)| field.as_ref().clone().with_name(name)).collect();
    Arc::new(Schema::new(fields))
}

/// The same rows under other names; no copy.
pub(crate) fn rename(
    rows: SendableRecordBatchStream,
    names: Option<&[String]>,
) -> SendableRecordBatchStream {
    let schema = renamed(&rows.schema(), names);
    if schema == rows.schema() {
        return rows;
    }
    let to = Arc::clone(&schema);
    let rows = rows.map(move |batch| {
        let batch = batch?;
        let options =
            arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = batch.columns().to_vec();
        Ok(RecordBatch::try_new_with_options(Arc::clone(&to), columns, &options)?)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}
