//! Statements that compute for very long: they stop when they should, and others do not wait for
//! them. That work has stopped is read from the processor time of the server's process.

use std::fmt::Write;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use libtest_mimic::Trial;
use tests::{PgDatabase, TestServer, WAIT_MAX};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::trial_alone;

/// What makes a pair of a million by a million rows.
const PAIRS: &str = "generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(y)";

/// How long an answer to a cancel may take. It is a few milliseconds on a machine of one's own.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// How long a short statement may take beside long ones, in the middle and at worst.
const SHORT_MEDIAN_MAX: Duration = Duration::from_millis(200);
const SHORT_MAX: Duration = Duration::from_secs(1);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial_alone("heavy::cancel_stops_any_plan", cancel_stops_any_plan),
        trial_alone("heavy::statement_timeout_stops_any_plan", statement_timeout_stops_any_plan),
        trial_alone("heavy::a_client_that_leaves_stops_its_plan", leaving_stops_the_plan),
        trial_alone("heavy::others_are_answered_meanwhile", others_are_answered_meanwhile),
        trial_alone("heavy::a_stopped_cursor_says_so", a_stopped_cursor_says_so),
        trial_alone(
            "heavy::more_memory_than_allowed_is_an_error",
            more_memory_than_allowed_is_an_error,
        ),
    ]
}

/// Statements by what is hard to stop about them.
fn statements() -> Vec<(&'static str, String)> {
    let join = "generate_series(1, 1000000) AS a(x) JOIN generate_series(1, 1000000) AS b(y)";
    vec![
        ("no pair passes", format!("SELECT count(*) FROM {PAIRS} WHERE x * y = -1")),
        ("every pair passes", format!("SELECT count(*) FROM {PAIRS} WHERE x * y <> -1")),
        ("equal keys", format!("SELECT count(*) FROM {join} ON x % 2 = y % 2")),
        ("equal keys, no pair", format!("SELECT count(*) FROM {join} ON x % 2 = y % 2 AND x + y < 0")),
        ("groups", format!("SELECT x % 10, count(*) FROM {PAIRS} GROUP BY x % 10")),
        ("many groups", format!("SELECT x, count(*) FROM {PAIRS} WHERE y % 7 = 3 GROUP BY x")),
        ("first by order", format!("SELECT x, y FROM {PAIRS} ORDER BY x * y % 1001, x LIMIT 5")),
        ("all by order", format!("SELECT x, y FROM {PAIRS} ORDER BY x * y % 1001, x")),
        (
            "long expressions",
            "SELECT count(*) FROM generate_series(1, 100000000) AS a(x) \
             WHERE regexp_replace(repeat(CAST(x AS text), 30), '([0-9])[13579]', '\\1', 'g') = 'x'"
                .to_owned(),
        ),
        (
            "wide windows",
            "SELECT max(s) FROM (SELECT sum(x * x) OVER (ORDER BY x % 1000, x ROWS BETWEEN 9999 PRECEDING \
             AND CURRENT ROW) AS s FROM generate_series(1, 100000000) AS a(x)) AS w"
                .to_owned(),
        ),
        (
            "endless recursion",
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
                .to_owned(),
        ),
        ("a cursor", format!("BEGIN; DECLARE c CURSOR FOR SELECT count(*) FROM {PAIRS} WHERE x * y = -1; FETCH 1 FROM c")),
        ("a new table", format!("CREATE TABLE IF NOT EXISTS none AS SELECT x FROM {PAIRS} WHERE x * y = -1")),
        ("an explanation", format!("EXPLAIN ANALYZE SELECT count(*) FROM {PAIRS} WHERE x * y = -1")),
        ("a copy", format!("COPY (SELECT x FROM {PAIRS} WHERE x * y = -1) TO STDOUT")),
    ]
}

async fn execute(client: &Client, sql: &str) -> Result<(), tokio_postgres::Error> {
    if sql.starts_with("COPY") {
        let mut bytes = pin!(client.copy_out(sql).await?);
        while bytes.try_next().await?.is_some() {}
        return Ok(());
    }
    client.batch_execute(sql).await
}

async fn cancel_stops_any_plan() {
    let server = TestServer::start();
    let mut wrong = String::new();
    for (name, sql) in statements() {
        let database = PgDatabase::connect(server.pg()).await.unwrap();
        let token = database.client().cancel_token();
        let query = execute(database.client(), &sql);
        let cancel = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let asked = Instant::now();
            token.cancel_query(NoTls).await.unwrap();
            asked
        };
        let both = async { tokio::join!(query, cancel) };
        let Ok((answer, asked)) = tokio::time::timeout(WAIT_MAX, both).await else {
            writeln!(wrong, "{name}: no answer").unwrap();
            break;
        };
        let taken = asked.elapsed();
        let state = answer.err().and_then(|error| error.code().cloned());
        if state != Some(SqlState::QUERY_CANCELED) || taken > ANSWER_MAX {
            writeln!(wrong, "{name}: {state:?} after {taken:?}").unwrap();
        }
        if let Err(busy) = falls_idle(&server) {
            writeln!(wrong, "{name}: the server still computes: {busy:?}").unwrap();
            break;
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

async fn statement_timeout_stops_any_plan() {
    let server = TestServer::start();
    let mut wrong = String::new();
    for (name, sql) in statements() {
        let database = PgDatabase::connect(server.pg()).await.unwrap();
        let client = database.client();
        client.batch_execute("SET statement_timeout = '300ms'").await.unwrap();
        let started = Instant::now();
        let query = tokio::time::timeout(WAIT_MAX, execute(client, &sql));
        let Ok(answer) = query.await else {
            writeln!(wrong, "{name}: no answer").unwrap();
            break;
        };
        let taken = started.elapsed();
        let error = answer.unwrap_err();
        let message = error.as_db_error().map_or("", |error| error.message());
        let timed_out = message == "canceling statement due to statement timeout";
        if !timed_out || taken > Duration::from_millis(300) + ANSWER_MAX {
            writeln!(wrong, "{name}: {error:?} after {taken:?}").unwrap();
        }
        if let Err(busy) = falls_idle(&server) {
            writeln!(wrong, "{name}: the server still computes: {busy:?}").unwrap();
            break;
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

async fn leaving_stops_the_plan() {
    let server = TestServer::start();
    // What changes data is brought to its end, as PostgreSQL does.
    for (name, sql) in statements().into_iter().filter(|(name, _)| *name != "a new table") {
        let database = PgDatabase::connect(server.pg()).await.unwrap();
        let query = execute(database.client(), &sql);
        let early = tokio::time::timeout(Duration::from_millis(300), query).await;
        assert!(early.is_err(), "{name} ended by itself: {early:?}");
        database.disconnect();
        assert_eq!(falls_idle(&server), Ok(()), "{name}: the server still computes");
    }
}

async fn others_are_answered_meanwhile() {
    let server = TestServer::start();
    let heavy = [statements()[0].1.clone(), statements()[3].1.clone()];
    let mut running = tokio::task::JoinSet::new();
    for sql in heavy {
        let database = PgDatabase::connect(server.pg()).await.unwrap();
        running.spawn(async move { database.client().batch_execute(&sql).await });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let other = PgDatabase::connect(server.pg()).await.unwrap();
    for sql in ["SELECT 1", "SELECT sum(x) FROM generate_series(1, 100000) AS a(x)"] {
        let mut taken = Vec::new();
        for _ in 0..20 {
            let started = Instant::now();
            other.client().batch_execute(sql).await.unwrap();
            taken.push(started.elapsed());
        }
        taken.sort();
        tests::note(&format!("beside two heavy joins, {sql}: {:?} at most", taken[19]));
        assert!(taken[10] <= SHORT_MEDIAN_MAX && taken[19] <= SHORT_MAX, "{sql}: {taken:?}");
    }
    let started = Instant::now();
    assert!(server.is_ready());
    assert!(started.elapsed() <= SHORT_MAX, "/readyz took {:?}", started.elapsed());
    assert!(running.try_join_next().is_none(), "a heavy statement ended by itself");
}

async fn a_stopped_cursor_says_so() {
    let server = TestServer::start();
    let database = PgDatabase::connect(server.pg()).await.unwrap();
    let client = database.client();
    let declare = format!("DECLARE c CURSOR WITH HOLD FOR SELECT x FROM {PAIRS} WHERE x * y = -1");
    client.batch_execute(&declare).await.unwrap();
    client.batch_execute("SET statement_timeout = '100ms'").await.unwrap();
    let error = client.batch_execute("FETCH 1 FROM c").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    let error = client.batch_execute("FETCH 1 FROM c").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INVALID_CURSOR_STATE));
    client.batch_execute("CLOSE c").await.unwrap();
}

/// Waits until the server's process hardly uses the processor; else, what it used of a window.
fn falls_idle(server: &TestServer) -> Result<(), Duration> {
    const WINDOW: Duration = Duration::from_millis(200);
    const IDLE: Duration = Duration::from_millis(40);
    // A plan that sorts gives way between batches and at merges: seconds on a slow machine.
    const WINDOWS_MAX: u32 = 50;
    let mut used = Duration::ZERO;
    for _ in 0..WINDOWS_MAX {
        let before = server.processor_time();
        std::thread::sleep(WINDOW);
        used = server.processor_time() - before;
        if used <= IDLE {
            return Ok(());
        }
    }
    Err(used)
}

async fn more_memory_than_allowed_is_an_error() {
    let server = TestServer::start_with(&["--memory-limit-mib", "64"]);
    let database = PgDatabase::connect(server.pg()).await.unwrap();
    let client = database.client();
    client.batch_execute("SET statement_timeout = '60s'").await.unwrap();
    let many = "generate_series(1, 30000000)";
    for sql in [
        format!("SELECT count(*) FROM {many} AS a(x) JOIN {many} AS b(y) ON x = y"),
        format!("SELECT array_agg(x) FROM {many} AS a(x)"),
        format!("SELECT string_agg(CAST(x AS text), ',') FROM {many} AS a(x)"),
        format!("SELECT x FROM {many} AS a(x) WHERE x NOT IN (SELECT y FROM {many} AS b(y))"),
    ] {
        let error = client.batch_execute(&sql).await.expect_err(&sql);
        assert_eq!(error.code(), Some(&SqlState::OUT_OF_MEMORY), "{sql}: {error:?}");
        client.batch_execute("SELECT 1").await.unwrap();
    }
    // What can use the disk does.
    let sql = format!(
        "SELECT x % 10000000 AS k, count(*) FROM {many} AS a(x) GROUP BY k ORDER BY k DESC LIMIT 1"
    );
    let row = client.query_one(&sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (9_999_999, 3));
}
