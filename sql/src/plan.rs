//! Resolved names and a syntax tree to a logical plan. Pure: everything outside was looked up.
//!
//! Never: a table, function or object store that `resolve` did not hand over.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, TableReference, plan_err};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::context::QueryPlanner as DfQueryPlanner;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, RelationPlanner, TypePlanner as DfTypePlanner,
};
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprSchemable, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource,
    WindowUDF,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::scalar::ScalarValue;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;
use object_store::ObjectStore;
use parking_lot::RwLock;
use url::Url;

use crate::error::{Error, Result, state};
use crate::lateral;
use crate::parser;
use crate::pg_catalog::{self, SystemContext};
use crate::semantics;
use crate::types;

/// What the names in a statement stand for.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) tables: HashMap<TableReference, Arc<dyn TableSource>>,
    pub(crate) functions: HashMap<String, Arc<ScalarUDF>>,
    /// Calls in FROM, by [`call_key`].
    pub(crate) calls: HashMap<String, Arc<dyn TableSource>>,
    /// What the system's relations and functions tell of, where the statement names any.
    pub(crate) system: Option<Arc<SystemContext>>,
}

/// Plans a statement that has a plan: a query or an INSERT.
pub(crate) fn statement(
    state: &SessionState,
    names: &Names,
    statement: ast::Statement,
    parameters: &[Option<FieldRef>],
) -> Result<LogicalPlan> {
    let provider = Provider { state, names };
    let planner = SqlToRel::new_with_options(&provider, parser_options(state));
    let mut context = PlannerContext::new().with_prepare_param_data_types(parameters.to_vec());
    let mut statement = statement;
    pg_catalog::rewrite(&mut statement);
    lateral::name_values(&mut statement, &names.tables);
    lateral::rewrite(&mut statement);
    semantics::rewrite_statement(&mut statement);
    views::point_in_time::rewrite_as_of(&mut statement);
    let _ = ast::VisitMut::visit(&mut statement, &mut PositionalCalls);
    let plan = planner.sql_statement_to_plan_with_context(statement, &mut context)?;
    let plan = pg_catalog::join_subqueries(semantics::fold(plan)?)?;
    Ok(semantics::aggregate_subqueries(plan)?)
}

/// The planner takes only positional arguments in FROM; `table_at` was resolved by name before. The one
/// column of `generate_series` has the name of its alias.
struct PositionalCalls;

impl ast::VisitorMut for PositionalCalls {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<()> {
        if let ast::TableFactor::Table { name, args: Some(args), .. } = factor
            && name.to_string().eq_ignore_ascii_case(parser::TABLE_AT)
        {
            for argument in &mut args.args {
                if let ast::FunctionArg::Named { arg, .. }
                | ast::FunctionArg::ExprNamed { arg, .. } = argument
                {
                    *argument = ast::FunctionArg::Unnamed(arg.clone());
                }
            }
        }
        if let ast::TableFactor::Table { name, args: Some(_), alias: Some(alias), .. } = factor
            && alias.columns.is_empty()
            && name.to_string().eq_ignore_ascii_case("generate_series")
        {
            let column = ast::TableAliasColumnDef { name: alias.name.clone(), data_type: None };
            alias.columns.push(column);
        }
        ControlFlow::Continue(())
    }
}

/// Plans expressions over the columns of `schema`, such as those of RETURNING; the names in them were
/// looked up.
pub(crate) fn expressions(
    state: &SessionState,
    names: &Names,
    items: ast::Statement,
    schema: &DFSchema,
) -> Result<Vec<Expr>> {
    let provider = Provider { state, names };
    let planner = SqlToRel::new_with_options(&provider, parser_options(state));
    let mut items = items;
    pg_catalog::rewrite(&mut items);
    semantics::rewrite_statement(&mut items);
    let mut context = PlannerContext::new();
    select_items(items)
        .into_iter()
        .map(|item| {
            let expr = match item {
                ast::SelectItem::UnnamedExpr(expr)
                | ast::SelectItem::ExprWithAlias { expr, .. } => expr,
                other => return Err(Error::internal(format!("\"{other}\" is no expression"))),
            };
            let planned = planner.sql_to_expr(expr, schema, &mut context)?;
            Ok(planned.transform_up(|expr| Ok(semantics::folded(expr)))?.data)
        })
        .collect()
}

fn select_items(statement: ast::Statement) -> Vec<ast::SelectItem> {
    if let ast::Statement::Query(query) = statement
        && let ast::SetExpr::Select(select) = *query.body
    {
        return select.projection;
    }
    Vec::new()
}

/// Plans an expression over the columns of `schema`, such as a CHECK.
pub(crate) fn expression(state: &SessionState, text: &str, schema: &DFSchema) -> Result<Expr> {
    let names = Names::default();
    let provider = Provider { state, names: &names };
    let planner = SqlToRel::new_with_options(&provider, parser_options(state));
    let mut parsed = parser::parse_expression(text)?;
    semantics::rewrite(&mut parsed);
    let planned = planner.sql_to_expr(parsed, schema, &mut PlannerContext::new())?;
    Ok(planned.transform_up(|expr| Ok(semantics::folded(expr)))?.data)
}

/// A constant that a statement wrote, such as a DEFAULT or an argument of a table function.
pub(crate) fn constant(state: &SessionState, text: &str) -> Result<ScalarValue> {
    let planned = expression(state, text, &DFSchema::empty())?;
    match simplify(state, planned, &DFSchema::empty())? {
        Expr::Literal(value, _) => Ok(value),
        other => Err(Error::new(
            state::INVALID_PARAMETER_VALUE,
            format!("\"{other}\" is not a constant"),
        )),
    }
}

/// A constant as a parameter of this type takes it: by the rules of an assignment.
pub(crate) fn constant_of(state: &SessionState, text: &str, field: &Field) -> Result<ScalarValue> {
    let none = DFSchema::empty();
    let planned = semantics::read_literals(expression(state, text, &none)?, &none)?;
    let (_, source) = ExprSchemable::to_field(&planned, &none)?;
    let assigned = semantics::assign(planned, &source, field)?;
    match simplify(state, assigned, &none)? {
        Expr::Literal(value, _) => Ok(value),
        // What cannot be folded says why when it is computed.
        other => {
            let computed = state.create_physical_expr(other, &none)?;
            let one = RecordBatchOptions::new().with_row_count(Some(1));
            let row =
                RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &one)?;
            let values = computed.evaluate(&row)?.into_array(1)?;
            Ok(ScalarValue::try_from_array(&values, 0)?)
        }
    }
}

/// Coerces and folds an expression.
pub(crate) fn simplify(state: &SessionState, expr: Expr, schema: &DFSchema) -> Result<Expr> {
    use datafusion::logical_expr::simplify::SimplifyContext;
    use datafusion::optimizer::simplify_expressions::ExprSimplifier;
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(state.execution_props().query_execution_start_time)
        .build();
    let simplifier = ExprSimplifier::new(context);
    let known = semantics::read_literals(expr, schema)?;
    let coerced = simplifier.coerce(known, schema)?;
    let converted = semantics::convert(coerced, schema, state.config_options())?;
    Ok(simplifier.simplify(converted)?)
}

/// By what a call in FROM is found again when the planner meets it.
pub(crate) fn call_key(name: &str, arguments: &[String]) -> String {
    format!("{name}({})", arguments.join(", "))
}

fn parser_options(state: &SessionState) -> ParserOptions {
    ParserOptions::from(&state.config_options().sql_parser)
}

/// What the planner asks, answered from the session's functions and the resolved names.
struct Provider<'a> {
    state: &'a SessionState,
    names: &'a Names,
}

impl ContextProvider for Provider<'_> {
    fn get_table_source(&self, name: TableReference) -> DfResult<Arc<dyn TableSource>> {
        match self.names.tables.get(&name) {
            Some(source) => Ok(Arc::clone(source)),
            None => plan_err!("table '{name}' not found"),
        }
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> DfResult<Arc<dyn TableSource>> {
        // Table functions take whole numbers as `bigint`.
        let args: Vec<Expr> = args.into_iter().map(without_cast).collect();
        let arguments: Vec<String> = args.iter().map(literal_text).collect();
        if let Some(source) = self.names.calls.get(&call_key(name, &arguments)) {
            return Ok(Arc::clone(source));
        }
        let Some(function) = self.state.table_functions().get(name) else {
            return plan_err!("Invalid function '{name}'");
        };
        let simple = args
            .into_iter()
            .map(|arg| simplify(self.state, arg, &DFSchema::empty()).map_err(Into::into))
            .collect::<DfResult<Vec<Expr>>>()?;
        let arguments = datafusion::catalog::TableFunctionArgs::new(&simple, self.state);
        Ok(provider_as_source(function.create_table_provider_with_args(arguments)?))
    }

    fn create_cte_work_table(
        &self,
        name: &str,
        schema: SchemaRef,
    ) -> DfResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        self.state.relation_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn DfTypePlanner>> {
        Some(Arc::new(TypePlanner))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let ours = self.names.functions.get(name);
        ours.or_else(|| self.state.scalar_functions().get(name)).map(Arc::clone)
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).map(Arc::clone)
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).map(Arc::clone)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).map(Arc::clone)
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<arrow::datatypes::DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        let ours = self.names.functions.keys();
        ours.chain(self.state.scalar_functions().keys()).cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}

fn without_cast(expr: Expr) -> Expr {
    match expr {
        Expr::Cast(cast)
            if matches!(cast.expr.as_ref(), Expr::Literal(ScalarValue::Int64(_), _)) =>
        {
            *cast.expr
        }
        other => other,
    }
}

fn literal_text(expr: &Expr) -> String {
    match expr {
        Expr::Literal(value, _) => value.to_string(),
        other => other.to_string(),
    }
}

/// SQL type names to Arrow types, as the whole server understands them.
#[derive(Debug)]
pub(crate) struct TypePlanner;

impl DfTypePlanner for TypePlanner {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> DfResult<Option<FieldRef>> {
        let field = types::field_of_value_type(sql_type, "", true)
            .map_err(|error| DataFusionError::from(Error::from(error)))?;
        Ok(Some(Arc::new(field)))
    }
}

/// DataFusion's physical planner with our nodes.
#[derive(Debug)]
pub(crate) struct QueryPlanner;

#[async_trait]
impl DfQueryPlanner for QueryPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        state: &dyn datafusion::catalog::Session,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let ours = Arc::new(views::point_in_time::AsOfExtensionPlanner);
        DefaultPhysicalPlanner::with_extension_planners(vec![ours])
            .create_physical_plan(plan, state)
            .await
    }
}

/// Object stores that were registered, and no other: the default one falls through to the whole
/// local disk.
#[derive(Debug, Default)]
pub(crate) struct ClosedRegistry(RwLock<HashMap<String, Arc<dyn ObjectStore>>>);

impl ClosedRegistry {
    fn key(url: &Url) -> String {
        url[..url::Position::BeforePath].to_owned()
    }
}

impl ObjectStoreRegistry for ClosedRegistry {
    fn register_store(
        &self,
        url: &Url,
        store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        self.0.write().insert(Self::key(url), store)
    }

    fn deregister_store(&self, url: &Url) -> DfResult<Arc<dyn ObjectStore>> {
        let removed = self.0.write().remove(&Self::key(url));
        removed.map_or_else(|| refused(url), Ok)
    }

    fn get_store(&self, url: &Url) -> DfResult<Arc<dyn ObjectStore>> {
        let found = self.0.read().get(&Self::key(url)).map(Arc::clone);
        found.map_or_else(|| refused(url), Ok)
    }
}

fn refused<T>(url: &Url) -> DfResult<T> {
    Err(Error::new(
        state::INSUFFICIENT_PRIVILEGE,
        format!("location \"{url}\" is not one of the declared locations"),
    )
    .into())
}
