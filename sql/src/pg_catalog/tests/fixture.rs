//! A catalog and a session as the tests see them, and a way to run a query over them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use catalog::{
    COMMENT_KEY, Catalog, Change, ColumnEntry, CommitRecord, DEFAULT_KEY, Definition, Entry,
    ModelVersion, StoreOptions, Stores, SystemClock, TableRef,
};
use datafusion::common::{ParamValues, ScalarValue, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, RelationPlanner, TypePlanner,
};
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionConfig;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::caches::Cache;
use crate::error::{Error, Result, state};
use crate::pg_catalog;
use crate::pg_catalog::context::{
    Activity, Functions, Relation, Relations, SessionFacts, Setting, SystemContext,
};
use crate::types;

/// Metadata of the tables, and how often each was read.
#[derive(Debug, Default)]
pub(super) struct Tables {
    known: BTreeMap<String, Relation>,
    pub(super) reads: Mutex<Vec<String>>,
}

#[async_trait]
impl Relations for Tables {
    async fn load(&self, entry: &Arc<Entry>) -> Result<Relation> {
        let name = entry.qualified_name();
        self.reads.lock().push(name.clone());
        let found = self.known.get(&name).cloned();
        found.ok_or_else(|| Error::new(state::IO_ERROR, format!("could not read table \"{name}\"")))
    }

    async fn history(&self, _: &Arc<Entry>) -> Result<Vec<CommitRecord>> {
        Ok(Vec::new())
    }

    async fn catalog_history(&self) -> Result<Vec<CommitRecord>> {
        Ok(Vec::new())
    }

    fn caches(&self) -> Vec<Cache> {
        Vec::new()
    }
}

/// A column by its SQL type.
fn column(text: &str) -> Field {
    let (name, rest) = text.split_once(' ').unwrap();
    let (type_text, nullable) = match rest.strip_suffix(" NOT NULL") {
        Some(type_text) => (type_text, false),
        None => (rest, true),
    };
    let sql_type = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(type_text)
        .and_then(|mut parser| parser.parse_data_type())
        .unwrap();
    types::field_of_sql_type(&sql_type, name, nullable).unwrap()
}

fn with(field: Field, key: &str, value: &str) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(key.to_owned(), value.to_owned());
    field.with_metadata(metadata)
}

fn relation(columns: Vec<Field>) -> Relation {
    Relation {
        columns: Arc::new(Schema::new(columns)),
        partition_columns: Arc::default(),
        constraints: Arc::default(),
        options: Arc::default(),
        row_count: Some(1_000),
        byte_count: 20_000,
    }
}

fn table_ref() -> TableRef {
    TableRef::new(Uuid::from_u128(1), "x".to_owned())
}

fn transactions() -> Relation {
    let columns = [
        "tx_id bigint NOT NULL",
        "user_id bigint",
        "merchant varchar(20)",
        "amount numeric(12,2)",
        "ts timestamptz NOT NULL",
        "day date",
        "tags text[]",
        "payload jsonb",
        "ref uuid",
    ];
    let mut columns: Vec<Field> = columns.into_iter().map(column).collect();
    columns[3] = with(with(columns[3].clone(), DEFAULT_KEY, "0"), COMMENT_KEY, "in euro");
    let constraints =
        Arc::new(BTreeMap::from([("amount_ok".to_owned(), "amount >= 0".to_owned())]));
    Relation { constraints, ..relation(columns) }
}

fn labels() -> Relation {
    let columns = [
        "user_id bigint NOT NULL",
        "at timestamp(3) NOT NULL",
        "is_fraud boolean",
        "score real",
        "code char(3)",
        "price double precision",
        "n integer",
        "k smallint",
        "body bytea",
        "t time",
        "doc json",
        "name text",
    ];
    let mut columns: Vec<Field> = columns.into_iter().map(column).collect();
    columns[2] = with(columns[2].clone(), DEFAULT_KEY, "false");
    relation(columns)
}

const BIG: &str = "SELECT tx_id, amount FROM raw.tx WHERE amount > 100";
const USER_7D: &str = "SELECT user_id, count(*) AS n_7d FROM raw.tx GROUP BY user_id";

fn entry(schema: &str, name: &str, comment: Option<&str>, definition: Definition) -> Entry {
    let mut entry = Entry::new(schema, name, "postgres", 0, definition);
    entry.comment = comment.map(str::to_owned);
    entry
}

fn definitions() -> Vec<Entry> {
    let path = vec!["public".to_owned()];
    let columns: Vec<ColumnEntry> = [column("tx_id bigint"), column("amount numeric(12,2)")]
        .iter()
        .map(ColumnEntry::from)
        .collect();
    vec![
        entry("raw", "tx", Some("card transactions"), Definition::Table(table_ref())),
        entry("public", "labels", None, Definition::Table(table_ref())),
        entry(
            "processed",
            "big",
            Some("large ones"),
            Definition::View { sql: BIG.to_owned(), columns, search_path: path.clone() },
        ),
        entry(
            "features",
            "user_7d",
            None,
            Definition::MaterializedView {
                table: table_ref(),
                sql: USER_7D.to_owned(),
                search_path: path,
                options: BTreeMap::new(),
                populated: true,
            },
        ),
    ]
}

fn model() -> Entry {
    let version = ModelVersion {
        number: 1,
        path: "m/model.onnx".to_owned(),
        digest: String::new(),
        engine: "classical".to_owned(),
        created_at_micros: 0,
    };
    let columns = |fields: &[Field]| fields.iter().map(ColumnEntry::from).collect();
    let definition = Definition::Model {
        versions: vec![version],
        default_version: 1,
        inputs: columns(&[column("amount real"), column("n_7d real")]),
        outputs: columns(&[column("score real")]),
        options: BTreeMap::new(),
    };
    entry("features", "fraud", Some("scores"), definition)
}

/// A session over the catalog.
pub(super) struct Fixture {
    pub(super) context: Arc<SystemContext>,
    pub(super) tables: Arc<Tables>,
    state: SessionState,
}

impl Fixture {
    /// The schema of `schema.sql`.
    pub(super) async fn new() -> Self {
        Self::build(Vec::new()).await
    }

    /// With a model beside it, which PostgreSQL does not have.
    pub(super) async fn with_model() -> Self {
        Self::build(vec![model()]).await
    }

    /// With a table beside it whose metadata cannot be read.
    pub(super) async fn with_broken_table() -> Self {
        Self::build(vec![entry("raw", "broken", None, Definition::Table(table_ref()))]).await
    }

    async fn build(more: Vec<Entry>) -> Self {
        let stores = Stores::new("memory://tests", StoreOptions::default()).unwrap();
        let catalog = Catalog::open(Arc::new(stores), Arc::new(SystemClock)).await.unwrap();
        let snapshot = catalog.snapshot();
        let schemas = snapshot.schemas().map(|schema| {
            let comments = [("public", "standard public schema"), ("raw", "rows as they came")];
            let comment = comments.iter().find(|(name, _)| schema.name == *name);
            let comment = comment.map(|(_, comment)| (*comment).to_owned());
            Entry { owner: "postgres".to_owned(), comment, ..schema.as_ref().clone() }
        });
        let changes: Vec<Change> =
            schemas.chain(definitions()).chain(more).map(Change::Put).collect();
        let snapshot = snapshot.with_changes(&changes).unwrap();
        let known = BTreeMap::from([
            ("raw.tx".to_owned(), transactions()),
            ("public.labels".to_owned(), labels()),
            (
                "features.user_7d".to_owned(),
                relation(vec![column("user_id bigint"), column("n_7d bigint")]),
            ),
        ]);
        let tables = Arc::new(Tables { known, reads: Mutex::default() });
        let state = session_state();
        let functions = Functions {
            scalar: state.scalar_functions().values().map(Arc::clone).collect(),
            aggregate: state.aggregate_functions().values().map(Arc::clone).collect(),
            window: state.window_functions().values().map(Arc::clone).collect(),
        };
        let relations = Arc::clone(&tables) as Arc<dyn Relations>;
        let context =
            SystemContext::new(Arc::new(snapshot), Vec::new(), relations, facts(), functions);
        Self { context: Arc::new(context), tables, state }
    }

    /// Runs one query as a session does; columns and rows in their text form.
    pub(super) async fn run(&self, sql: &str, parameters: &[Option<&str>]) -> Result<Answer> {
        // A session does so only where a function is called that needs it.
        self.context.load_all().await?;
        self.run_query(sql, parameters).await
    }

    /// As [`Self::run`], with what the scans themselves read.
    pub(super) async fn run_without_loading(&self, sql: &str) -> Result<Answer> {
        self.run_query(sql, &[]).await
    }

    async fn run_query(&self, sql: &str, parameters: &[Option<&str>]) -> Result<Answer> {
        let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql)
            .map_err(|error| Error::syntax(error.to_string()))?;
        let mut statement = statements.remove(0);
        pg_catalog::rewrite(&mut statement);
        let plan = self.plan(statement, parameters)?;
        let plan = pg_catalog::shown(pg_catalog::join_subqueries(plan)?, &self.context)?;
        let values: Vec<ScalarValue> =
            parameters.iter().map(|value| ScalarValue::Utf8(value.map(str::to_owned))).collect();
        let plan = if values.is_empty() {
            plan
        } else {
            plan.with_param_values(ParamValues::from(values))?
        };
        let schema = Arc::new(plan.schema().as_arrow().clone());
        let optimized = self.state.optimize(&plan)?;
        let physical =
            self.state.query_planner().create_physical_plan(&optimized, &self.state).await?;
        let batches = collect(physical, self.state.task_ctx()).await?;
        Ok(Answer { schema, batches })
    }

    fn plan(&self, statement: ast::Statement, parameters: &[Option<&str>]) -> Result<LogicalPlan> {
        let provider = Names { fixture: self, tables: Mutex::default() };
        let mut options = ParserOptions::from(&self.state.config_options().sql_parser);
        options.collect_spans = false;
        let text: FieldRef = Arc::new(Field::new("", DataType::Utf8, true));
        let given = parameters.iter().map(|_| Some(Arc::clone(&text))).collect();
        let mut context = PlannerContext::new().with_prepare_param_data_types(given);
        let planner = SqlToRel::new_with_options(&provider, options);
        Ok(planner.sql_statement_to_plan_with_context(statement, &mut context)?)
    }
}

fn session_state() -> SessionState {
    let mut config = SessionConfig::new().with_information_schema(false).with_target_partitions(2);
    let options = config.options_mut();
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.parse_float_as_decimal = true;
    options.execution.skip_physical_aggregate_schema_check = true;
    let mut builder = SessionStateBuilder::new().with_config(config).with_default_features();
    builder.expr_planners().get_or_insert_default().insert(0, pg_catalog::expr_planner());
    let mut state = builder.build();
    state.mark_start_execution();
    state
}

fn facts() -> SessionFacts {
    let settings = [
        ("search_path", "\"$user\", public"),
        ("server_version_num", "150000"),
        ("max_index_keys", "32"),
        ("default_table_access_method", "delta"),
        ("standard_conforming_strings", "on"),
    ];
    SessionFacts {
        user: "postgres".to_owned(),
        database: "tarn".to_owned(),
        search_path: vec!["postgres".to_owned(), "public".to_owned()],
        settings: settings
            .map(|(name, value)| Setting { name: name.to_owned(), value: value.to_owned(), description: String::new() })
            .to_vec(),
        backend_pid: 7,
        version: "PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14+deb12u1) 12.2.0, 64-bit".to_owned(),
        activity: vec![Activity {
            pid: 7, user: "postgres".to_owned(), application_name: "tests".to_owned(),
            started_at_micros: 0, state: "active", query: "SELECT 1".to_owned(),
        }],
        ..SessionFacts::default()
    }
}

/// The planner's view of the fixture: system relations, system functions, the built-in ones.
struct Names<'a> {
    fixture: &'a Fixture,
    tables: Mutex<HashMap<String, Arc<dyn TableSource>>>,
}

#[derive(Debug)]
struct Types;

impl TypePlanner for Types {
    fn plan_type_field(
        &self,
        sql_type: &ast::DataType,
    ) -> datafusion::error::Result<Option<FieldRef>> {
        let field = types::field_of_value_type(sql_type, "", true).map_err(Error::from)?;
        Ok(Some(Arc::new(field)))
    }
}

impl ContextProvider for Names<'_> {
    fn get_table_source(
        &self,
        name: TableReference,
    ) -> datafusion::error::Result<Arc<dyn TableSource>> {
        let mut tables = self.tables.lock();
        if let Some(known) = tables.get(&name.to_string()) {
            return Ok(Arc::clone(known));
        }
        let found = pg_catalog::system_table(name.schema(), name.table(), &self.fixture.context);
        let source = found.map(provider_as_source).ok_or_else(|| {
            Error::new(state::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"))
        })?;
        tables.insert(name.to_string(), Arc::clone(&source));
        Ok(source)
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> datafusion::error::Result<Arc<dyn TableSource>> {
        use datafusion::logical_expr::simplify::SimplifyContext;
        use datafusion::optimizer::simplify_expressions::ExprSimplifier;
        let schema = Arc::new(datafusion::common::DFSchema::empty());
        let context = SimplifyContext::builder()
            .with_schema(Arc::clone(&schema))
            .with_query_execution_start_time(
                self.fixture.state.execution_props().query_execution_start_time,
            )
            .build();
        let simplifier = ExprSimplifier::new(context);
        let args = args
            .into_iter()
            .map(|arg| simplifier.simplify(simplifier.coerce(arg, &schema)?))
            .collect::<datafusion::error::Result<Vec<_>>>()?;
        let function = self.fixture.state.table_functions().get(name).ok_or_else(|| {
            Error::new(state::UNDEFINED_FUNCTION, format!("function {name} does not exist"))
        })?;
        let arguments = datafusion::catalog::TableFunctionArgs::new(&args, &self.fixture.state);
        Ok(provider_as_source(function.create_table_provider_with_args(arguments)?))
    }

    fn create_cte_work_table(
        &self,
        name: &str,
        schema: SchemaRef,
    ) -> datafusion::error::Result<Arc<dyn TableSource>> {
        let table = datafusion::datasource::cte_worktable::CteWorkTable::new(name, schema);
        Ok(provider_as_source(Arc::new(table)))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.fixture.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        self.fixture.state.relation_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(Types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let system = pg_catalog::function(name, &self.fixture.context);
        system.or_else(|| self.fixture.state.scalar_functions().get(name).map(Arc::clone))
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.fixture.state.higher_order_functions().get(name).map(Arc::clone)
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.fixture.state.aggregate_functions().get(name).map(Arc::clone)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.fixture.state.window_functions().get(name).map(Arc::clone)
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &datafusion::common::config::ConfigOptions {
        self.fixture.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.fixture.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.fixture.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.fixture.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.fixture.state.window_functions().keys().cloned().collect()
    }
}

/// What a query answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Answer {
    /// The rows as PostgreSQL's text format shows them; NULL is none.
    pub(super) fn rows(&self) -> Vec<Vec<Option<String>>> {
        let rows = self.batches.iter().flat_map(|batch| {
            (0..batch.num_rows()).map(|row| {
                batch
                    .columns()
                    .iter()
                    .zip(batch.schema().fields())
                    .map(|(column, field)| text(column, field, row))
                    .collect()
            })
        });
        rows.collect()
    }
}

fn text(array: &dyn Array, field: &Field, row: usize) -> Option<String> {
    if array.is_null(row) || array.data_type() == &DataType::Null {
        return None;
    }
    let one = array.slice(row, 1);
    Some(match array.data_type() {
        DataType::Boolean => if one.as_boolean().value(0) { "t" } else { "f" }.to_owned(),
        DataType::List(_) => {
            let elements = one.as_list::<i32>().value(0);
            let item = Field::new("", elements.data_type().clone(), true);
            let texts: Vec<String> = (0..elements.len())
                .map(|i| text(&elements, &item, i).unwrap_or_else(|| "NULL".to_owned()))
                .collect();
            match types::pg_type_of(field).name {
                "oidvector" | "int2vector" => texts.join(" "),
                _ => format!("{{{}}}", texts.join(",")),
            }
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => cast(&one, &DataType::Int64)
            .map(|a| a.as_primitive::<arrow::datatypes::Int64Type>().value(0).to_string())
            .unwrap(),
        _ => cast(&one, &DataType::Utf8).unwrap().as_string::<i32>().value(0).to_owned(),
    })
}
