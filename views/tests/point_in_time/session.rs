//! A session as a server would set it up, with point-in-time joins.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::physical_plan::ExecutionPlan;
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
