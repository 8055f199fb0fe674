//! A session as a server would set it up, with point-in-time joins.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use views::point_in_time::{
    AsOfExtensionPlanner, AsOfRelationPlanner, PushDownToLeft, rewrite_as_of,
};

#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(AsOfExtensionPlanner)])
            .create_physical_plan(plan, session)
            .await
    }
}

pub(crate) fn session(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> SessionContext {
    let mut rules = Optimizer::new().rules;
    PushDownToLeft::insert_into(&mut rules);
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_relation_planners(vec![Arc::new(AsOfRelationPlanner)])
        .with_optimizer_rules(rules)
        .with_query_planner(Arc::new(Planner))
        .build();
    SessionContext::new_with_state(state)
}

/// Plans one statement, parsed with the Postgres dialect.
pub(crate) async fn plan(context: &SessionContext, sql: &str) -> Result<LogicalPlan> {
    let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
    rewrite_as_of(&mut statement);
    context.state().statement_to_plan(Statement::Statement(Box::new(statement))).await
}

/// Runs one statement.
pub(crate) async fn run(context: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    let plan = plan(context, sql).await?;
    context.execute_logical_plan(plan).await?.collect().await
}

/// A session over so many partitions, with small tables of labels and features.
pub(crate) async fn labels(partitions: usize, batch_rows: usize) -> SessionContext {
    let config =
        SessionConfig::new().with_target_partitions(partitions).with_batch_size(batch_rows);
    let context = session(config, Arc::new(RuntimeEnv::default()));
    for sql in [
        "CREATE TABLE labels (id BIGINT, user_id BIGINT, ts TIMESTAMP) AS VALUES
         (1, 1, TIMESTAMP '2026-01-10'), (2, 1, TIMESTAMP '2026-01-20'),
         (3, 2, TIMESTAMP '2026-01-10'), (4, 3, TIMESTAMP '2026-01-10'),
         (5, NULL, TIMESTAMP '2026-01-10'), (6, 1, NULL)",
        "CREATE TABLE features (user_id BIGINT, ts TIMESTAMP, n BIGINT, known_at TIMESTAMP) AS VALUES
         (1, TIMESTAMP '2026-01-01', 10, TIMESTAMP '2026-01-02'),
         (1, TIMESTAMP '2026-01-10', 11, TIMESTAMP '2026-01-15'),
         (1, TIMESTAMP '2026-01-15', 12, TIMESTAMP '2026-01-30'),
         (1, TIMESTAMP '2026-01-25', 13, TIMESTAMP '2026-01-25'),
         (2, TIMESTAMP '2026-01-11', 20, TIMESTAMP '2026-01-11'),
         (NULL, TIMESTAMP '2026-01-01', 30, TIMESTAMP '2026-01-01'),
         (3, NULL, 40, NULL)",
    ] {
        execute(&context, sql).await;
    }
    context
}

/// Runs a statement whose rows do not matter.
pub(crate) async fn execute(context: &SessionContext, sql: &str) {
    run(context, sql).await.unwrap();
}

/// The rows of a query as text, without the frame of a table.
pub(crate) async fn rows(context: &SessionContext, sql: &str) -> Vec<String> {
    text(&run(context, sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}")))
}

/// Rows as text.
pub(crate) fn text(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter();
        let columns = columns.map(|column| ArrayFormatter::try_new(column, &options).unwrap());
        let columns = columns.collect::<Vec<_>>();
        rows.extend((0..batch.num_rows()).map(|row| {
            columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" ")
        }));
    }
    rows
}

/// The optimized logical plan and the physical plan of a query.
pub(crate) async fn explain(context: &SessionContext, sql: &str) -> (String, String) {
    let plan = context.state().optimize(&plan(context, sql).await.unwrap()).unwrap();
    let physical = context.state().create_physical_plan(&plan).await.unwrap();
    (plan.display_indent().to_string(), displayable(physical.as_ref()).indent(false).to_string())
}
