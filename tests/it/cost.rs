//! Costs that must not grow with history, and plans that must use what they know.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tests::{PgDatabase, TestServer};

use crate::{trial, trial_alone};

const INSERTS: usize = 2_000;
const WINDOW: usize = 100;
const GROWTH_MAX: f64 = 1.5;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial_alone("cost::commits_do_not_slow_down_with_history", commits_do_not_slow_down)
            .with_ignored_flag(!crate::slow()),
        trial("cost::dynamic_filters_reach_the_scan", dynamic_filters_reach_the_scan),
    ]
}

/// The cost of a commit on a table with a long history, beside that on a new table. Both are measured
/// in turns: what else the machine does at that moment slows both alike.
async fn commits_do_not_slow_down() {
    let server = TestServer::start();
    let database = PgDatabase::connect(server.pg()).await.unwrap();
    let client = database.client();
    client
        .batch_execute("CREATE TABLE raw.old (id bigint); CREATE TABLE raw.new (id bigint)")
        .await
        .unwrap();
    let old = client.prepare("INSERT INTO raw.old VALUES ($1)").await.unwrap();
    let new = client.prepare("INSERT INTO raw.new VALUES ($1)").await.unwrap();
    // The first commits of each also warm caches; they are no yardstick.
    for _ in 0..INSERTS - WINDOW {
        commit(client, &old).await;
    }
    for _ in 0..WINDOW / 2 {
        commit(client, &new).await;
    }
    let (mut first, mut last) = (Vec::with_capacity(WINDOW), Vec::with_capacity(WINDOW));
    for _ in 0..WINDOW {
        first.push(commit(client, &new).await);
        last.push(commit(client, &old).await);
    }
    let (first, last) = (median(&first), median(&last));
    let growth = last.as_secs_f64() / first.as_secs_f64();
    tests::note(&format!("single-row commits: first {first:?}, last {last:?}, ratio {growth:.2}"));
    assert!(
        growth <= GROWTH_MAX,
        "commits grew {growth:.2} times slower: {first:?}, then {last:?}"
    );
    let count = "SELECT count(*) FROM raw.old";
    let rows: i64 = client.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!(rows, i64::try_from(INSERTS).unwrap());
}

async fn commit(client: &tokio_postgres::Client, insert: &tokio_postgres::Statement) -> Duration {
    let started = Instant::now();
    assert_eq!(client.execute(insert, &[&1_i64]).await.unwrap(), 1);
    started.elapsed()
}

fn median(taken: &[Duration]) -> Duration {
    let mut sorted = taken.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

/// Joins shaped like TPC-H Q3 (three tables, top ten) and Q18 (semi-join on a grouped subquery): the
/// large scan must receive what the other side of the join turned out to hold.
async fn dynamic_filters_reach_the_scan() {
    let server = TestServer::start();
    let database = PgDatabase::connect(server.pg()).await.unwrap();
    let client = database.client();
    let tables = "CREATE TABLE customer AS SELECT i AS c_custkey, CASE WHEN i % 5 = 0 THEN 'BUILDING' ELSE 'OTHER' END AS c_mktsegment
                    FROM generate_series(1, 1000) AS g(i);
                  CREATE TABLE orders AS SELECT i AS o_orderkey, i % 1000 + 1 AS o_custkey, i % 7 AS o_shippriority
                    FROM generate_series(1, 10000) AS g(i);
                  CREATE TABLE lineitem AS SELECT i % 10000 + 1 AS l_orderkey, i % 50 AS l_quantity
                    FROM generate_series(1, 40000) AS g(i)";
    client.batch_execute(tables).await.unwrap();
    let like_q3 = "SELECT l_orderkey, sum(l_quantity) AS revenue, o_shippriority FROM customer, orders, lineitem
                   WHERE c_mktsegment = 'BUILDING' AND c_custkey = o_custkey AND l_orderkey = o_orderkey
                   GROUP BY l_orderkey, o_shippriority ORDER BY revenue DESC LIMIT 10";
    let like_q18 = "SELECT c_custkey, o_orderkey, sum(l_quantity) FROM customer, orders, lineitem
                    WHERE o_orderkey IN (SELECT l_orderkey FROM lineitem GROUP BY l_orderkey HAVING sum(l_quantity) > 150)
                      AND c_custkey = o_custkey AND o_orderkey = l_orderkey
                    GROUP BY c_custkey, o_orderkey ORDER BY c_custkey LIMIT 100";
    for sql in [like_q3, like_q18] {
        let rows = client.query(&format!("EXPLAIN {sql}"), &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let scans = plan
            .iter()
            .flat_map(|text| text.lines())
            .filter(|line| line.contains("DataSourceExec"));
        assert!(
            scans.clone().any(|line| line.contains("DynamicFilter")),
            "no dynamic filter in\n{}",
            plan.join("\n")
        );
    }
}
