//! ASOF JOIN from SQL text to rows, in a session as a server would set it up.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::QueryPlanner;
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

fn context(config: SessionConfig) -> SessionContext {
    let mut rules = Optimizer::new().rules;
    PushDownToLeft::insert_into(&mut rules);
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_relation_planners(vec![Arc::new(AsOfRelationPlanner)])
        .with_optimizer_rules(rules)
        .with_query_planner(Arc::new(Planner))
        .build();
    SessionContext::new_with_state(state)
}

/// Parses as the server does, with the Postgres dialect.
async fn plan(context: &SessionContext, sql: &str) -> Result<LogicalPlan> {
    let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
    rewrite_as_of(&mut statement);
    let state = context.state();
    state.statement_to_plan(Statement::Statement(Box::new(statement))).await
}

async fn run(context: &SessionContext, sql: &str) -> Result<String> {
    let plan = plan(context, sql).await?;
    let batches = context.execute_logical_plan(plan).await?.collect().await?;
    Ok(pretty_format_batches(&batches)?.to_string())
}

async fn with_tables(config: SessionConfig) -> SessionContext {
    let context = context(config);
    for sql in [
        "CREATE TABLE labels (id BIGINT, user_id BIGINT, ts TIMESTAMP) AS VALUES \
         (1, 1, TIMESTAMP '2026-01-10'), (2, 1, TIMESTAMP '2026-01-20'), \
         (3, 2, TIMESTAMP '2026-01-10'), (4, 3, TIMESTAMP '2026-01-10'), \
         (5, NULL, TIMESTAMP '2026-01-10'), (6, 1, NULL)",
        "CREATE TABLE features (user_id BIGINT, ts TIMESTAMP, n BIGINT, known_at TIMESTAMP) AS VALUES \
         (1, TIMESTAMP '2026-01-01', 10, TIMESTAMP '2026-01-02'), \
         (1, TIMESTAMP '2026-01-10', 11, TIMESTAMP '2026-01-15'), \
         (1, TIMESTAMP '2026-01-15', 12, TIMESTAMP '2026-01-30'), \
         (2, TIMESTAMP '2026-01-11', 20, TIMESTAMP '2026-01-11'), \
         (NULL, TIMESTAMP '2026-01-01', 30, TIMESTAMP '2026-01-01'), \
         (3, NULL, 40, NULL)",
    ] {
        context.sql(sql).await.unwrap().collect().await.unwrap();
    }
    context
}

async fn labels() -> SessionContext {
    with_tables(SessionConfig::new().with_target_partitions(2)).await
}

#[tokio::test]
async fn joins_the_newest_row() {
    let context = labels().await;
    let rows = run(
        &context,
        "SELECT l.id, f.n FROM labels l ASOF JOIN features f MATCH_CONDITION (l.ts >= f.ts) \
         ON l.user_id = f.user_id ORDER BY l.id",
    )
    .await
    .unwrap();
    println!("{rows}");
    let rows = run(
        &context,
        "EXPLAIN SELECT l.id, f.n FROM labels l ASOF JOIN features f MATCH_CONDITION (l.ts >= f.ts AND l.ts - f.ts <= INTERVAL '7 days' AND f.known_at <= l.ts) \
         ON l.user_id = f.user_id WHERE l.ts > TIMESTAMP '2026-01-01' AND f.n > 3 ORDER BY l.id",
    )
    .await
    .unwrap();
    println!("{rows}");
}
