//! Memory: what a join may use, what happens beyond that, and that all is given back.

use std::sync::Arc;

use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_plan::{ExecutionPlan, collect, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;

use crate::session::{execute, plan, rows, session};

const QUERY: &str = "SELECT count(*), count(r.v), sum(r.v), sum(l.id * r.v) FROM many l
    ASOF JOIN more r MATCH_CONDITION (l.ts >= r.ts) ON l.user_id = r.user_id";

async fn context(runtime: Arc<RuntimeEnv>) -> SessionContext {
    let config =
        SessionConfig::new().with_target_partitions(2).with_sort_spill_reservation_bytes(1 << 20);
    let context = session(config, runtime);
    for (name, count) in [("many", 400_000), ("more", 500_000)] {
        let sql = format!(
            "CREATE TABLE {name} AS SELECT value AS id, value * 7919 % 1009 AS user_id,
               arrow_cast(value * 104729 % 1000003, 'Timestamp(Microsecond, None)') AS ts,
               value % 10007 AS v FROM generate_series(1, {count})"
        );
        execute(&context, &sql).await;
    }
    context
}

fn with_pool(bytes: usize) -> (Arc<RuntimeEnv>, Arc<dyn MemoryPool>) {
    let pool: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(bytes));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool)).build_arc();
    (runtime.unwrap(), pool)
}

async fn physical(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    let plan = plan(context, sql).await.unwrap();
    context.state().create_physical_plan(&context.state().optimize(&plan).unwrap()).await.unwrap()
}

/// The sum of a metric over a plan.
fn metric(plan: &Arc<dyn ExecutionPlan>, name: &str) -> usize {
    let own = plan.metrics().and_then(|metrics| metrics.sum_by_name(name));
    let below = plan.children().into_iter().map(|child| metric(child, name)).sum::<usize>();
    own.map_or(0, |value| value.as_usize()) + below
}

#[tokio::test]
async fn a_lookup_that_does_not_fit_becomes_a_merge_with_the_same_answer() {
    let expected = rows(&context(Arc::default()).await, QUERY).await;
    let (runtime, pool) = with_pool(24 << 20);
    let context = context(runtime).await;
    let plan = physical(&context, QUERY).await;
    collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
    assert!(metric(&plan, "merges") > 0, "the join fits: give it less");
    assert_eq!(rows(&context, QUERY).await, expected);
    assert_eq!(pool.reserved(), 0);
}

#[tokio::test]
async fn a_join_that_is_dropped_gives_its_memory_back() {
    let (runtime, pool) = with_pool(200 << 20);
    let context = context(runtime).await;
    let sql = "SELECT l.id, r.v FROM many l ASOF JOIN more r MATCH_CONDITION (l.ts >= r.ts)
               ON l.user_id = r.user_id";
    let plan = physical(&context, sql).await;
    let mut stream = execute_stream(plan, context.task_ctx()).unwrap();
    assert!(stream.next().await.unwrap().unwrap().num_rows() > 0);
    assert!(pool.reserved() > 0);
    drop(stream);
    // Tasks that were fetching rows end when they are next woken.
    for _ in 0..1000 {
        if pool.reserved() == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.reserved(), 0);
}
