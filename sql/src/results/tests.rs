//! The same questions with and without kept results, while two servers change what they are about.

use arrow::util::pretty::pretty_format_batches;
use catalog::{Stores, SystemClock};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use proptest::prelude::*;

use super::*;
use crate::{Engine, EngineConfig, Output, Session, SessionStart};

/// Servers of one warehouse, which see each other's commits at once.
async fn engines<const N: usize>() -> [Arc<Engine>; N] {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut engines = Vec::new();
    for _ in 0..N {
        let stores = Stores::from_store("memory://results", Arc::clone(&store)).unwrap();
        let config = EngineConfig { catalog_staleness_ms: 0, ..EngineConfig::default() };
        engines.push(Engine::open_on(stores, config, Arc::new(SystemClock)).await.unwrap());
    }
    engines.try_into().unwrap()
}

fn session(engine: &Arc<Engine>, user: &str) -> Session {
    engine.session(SessionStart { user: user.to_owned(), ..SessionStart::default() }).unwrap()
}

async fn ask(session: &Session, sql: &str, parameters: Vec<ScalarValue>) -> Result<String> {
    match session.execute(sql, parameters).await? {
        Output::Rows(rows) => {
            let batches: Vec<_> = rows.try_collect().await?;
            let shown = pretty_format_batches(&batches)?.to_string();
            let mut lines: Vec<&str> = shown.lines().collect();
            lines.sort_unstable();
            Ok(lines.join("\n"))
        }
        _ => Ok(String::new()),
    }
}

async fn run(session: &Session, statements: &[&str]) {
    for sql in statements {
        ask(session, sql, Vec::new()).await.unwrap();
    }
}

const MADE: &[&str] = &[
    "CREATE SCHEMA first",
    "CREATE TABLE t (k bigint, v bigint)",
    "CREATE TABLE u (k bigint, v bigint)",
    "CREATE VIEW w AS SELECT k, v + 1 AS v FROM t WHERE k < 4",
    "INSERT INTO t VALUES (1, 1), (2, 2), (3, NULL)",
    "INSERT INTO u VALUES (1, 10), (5, 50)",
];

const QUESTIONS: &[&str] = &[
    "SELECT * FROM t",
    "SELECT count(*), sum(v) FROM t",
    "SELECT * FROM w",
    "SELECT t.k, u.v FROM t JOIN u ON t.k = u.k",
    "SELECT k, max(v) FROM (SELECT * FROM t UNION ALL SELECT * FROM u) b GROUP BY k",
    "SELECT k FROM t WHERE k IN (SELECT k FROM u) ORDER BY k LIMIT 2",
    "SELECT t.k, to_timestamp(0)::text FROM t",
    "SELECT t.k, timestamptz '2020-01-01 00:00:00+00'::text FROM public.t",
    "SELECT k FROM t WHERE v = $1",
    "SELECT k FROM u WHERE v >= $1 OR v IS NULL",
];

/// What changes an answer, or does not.
#[derive(Debug, Clone)]
enum Step {
    /// The question of this number with this parameter.
    Ask(usize, i64),
    /// A statement on the server that is asked, or on the other one.
    Change(usize, bool),
    /// A statement of the session that asks.
    Own(usize),
}

/// Statements that may fail: what counts is that the answers agree.
const CHANGES: &[&str] = &[
    "INSERT INTO t VALUES (4, 4)",
    "INSERT INTO u VALUES (2, 20), (4, NULL)",
    "UPDATE t SET v = v + 1 WHERE k = 1",
    "DELETE FROM t WHERE k = 2",
    "TRUNCATE u",
    "BEGIN; INSERT INTO t VALUES (7, 7); INSERT INTO u VALUES (7, 70); COMMIT",
    "BEGIN; UPDATE t SET v = 0 WHERE k = 3; DELETE FROM u WHERE k = 1; ROLLBACK",
    "CREATE OR REPLACE VIEW w AS SELECT k, v + 2 AS v FROM t",
    "CREATE OR REPLACE VIEW w AS SELECT k, v FROM u",
    "CREATE TABLE first.t (k bigint, v bigint); INSERT INTO first.t VALUES (9, 9)",
    "DROP TABLE first.t",
    "CREATE VIEW first.u AS SELECT 8::bigint AS k, 80::bigint AS v",
    "DROP VIEW first.u",
    "COMMENT ON TABLE t IS 'changed'",
    "COMMENT ON SCHEMA first IS 'nothing to do with it'",
    "DROP TABLE u; CREATE TABLE u (k bigint, v bigint)",
    "OPTIMIZE t",
    "ALTER TABLE u ADD COLUMN x bigint DEFAULT 3",
];

const OWN: &[&str] = &[
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "INSERT INTO t VALUES (6, 60)",
    "SET search_path = first, public",
    "RESET search_path",
    "SET TimeZone = 'Asia/Tokyo'",
    "RESET TimeZone",
    "CREATE TEMPORARY TABLE u (k bigint, v bigint)",
    "DROP TABLE pg_temp.u",
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..QUESTIONS.len(), 0..3_i64).prop_map(|(nth, value)| Step::Ask(nth, value * 10)),
        2 => (0..CHANGES.len(), any::<bool>()).prop_map(|(nth, other)| Step::Change(nth, other)),
        1 => (0..OWN.len()).prop_map(Step::Own),
    ]
}

/// Runs several statements, up to the first that fails; no transaction is left open.
async fn change(session: &Session, script: &str) {
    for sql in script.split("; ") {
        if ask(session, sql, Vec::new()).await.is_err() {
            break;
        }
    }
    let _ = ask(session, "ROLLBACK", Vec::new()).await;
}

async fn both_answer_the_same(steps: &[Step]) {
    let [engine, other] = engines().await;
    let (asking, here, there) =
        (session(&engine, "a"), session(&engine, "b"), session(&other, "c"));
    run(&here, MADE).await;
    for step in steps {
        match step {
            Step::Change(nth, elsewhere) => {
                change(if *elsewhere { &there } else { &here }, CHANGES[*nth]).await;
            }
            Step::Own(nth) => drop(ask(&asking, OWN[*nth], Vec::new()).await),
            Step::Ask(nth, value) => {
                let sql = QUESTIONS[*nth];
                let parameters = match sql.contains("$1") {
                    true => vec![ScalarValue::Int64(Some(*value))],
                    false => Vec::new(),
                };
                let mut answers = Vec::new();
                for setting in ["off", "on", "on"] {
                    let set = format!("SET tarn.result_cache = {setting}");
                    drop(ask(&asking, &set, Vec::new()).await);
                    let answer = ask(&asking, sql, parameters.clone()).await;
                    // A transaction in which one went wrong fails the others with other words.
                    answers.push(answer.map_err(|_| "an error"));
                }
                assert_eq!(answers[1], answers[0], "{sql}");
                assert_eq!(answers[2], answers[0], "{sql}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_kept_result_is_the_answer_of_now(steps in proptest::collection::vec(step(), 10..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(both_answer_the_same(&steps));
    }
}

/// A session of a server of its own that keeps results.
async fn keeping() -> (Arc<Engine>, Session) {
    let [engine] = engines().await;
    let asking = session(&engine, "a");
    run(&asking, MADE).await;
    run(&asking, &["SET tarn.result_cache = on"]).await;
    (engine, asking)
}

fn counts(engine: &Engine) -> (u64, u64) {
    (engine.result_counts().hits(), engine.result_counts().misses())
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_share_results_and_other_definitions_do_not_matter() {
    let (engine, asking) = keeping().await;
    let sql = "SELECT k, sum(v) FROM t GROUP BY k";
    run(&asking, &[sql, sql]).await;
    assert_eq!(counts(&engine), (1, 1));
    let another = session(&engine, "a");
    run(&another, &["SET tarn.result_cache = on", "SELECT k,  sum(v) FROM t -- x\nGROUP BY k"])
        .await;
    assert_eq!(counts(&engine), (2, 1));
    let stranger = session(&engine, "b");
    run(&stranger, &["SET tarn.result_cache = on", sql]).await;
    assert_eq!(counts(&engine), (2, 2));
    run(&asking, &["CREATE TABLE elsewhere (a bigint)", sql, sql]).await;
    assert_eq!(counts(&engine), (4, 2));
    run(&asking, &["INSERT INTO t VALUES (1, 1)", sql, sql]).await;
    assert_eq!(counts(&engine), (5, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_answer_differently_is_not_kept() {
    let (engine, asking) = keeping().await;
    run(&asking, &["CREATE VIEW lately AS SELECT k, localtimestamp AS at FROM t"]).await;
    for sql in [
        "SELECT now(), k FROM t",
        "SELECT k FROM t WHERE timestamptz '2020-01-01 00:00:00+00' < now() - interval '1 day'",
        "SELECT k FROM t WHERE date '2020-01-01' < current_date",
        "SELECT k FROM t WHERE v < (SELECT extract(year FROM current_timestamp))",
        "SELECT k FROM lately",
        "SELECT random(), k FROM t",
        "SELECT k, uuid() FROM t",
        "SELECT max(k) OVER (ORDER BY random()) FROM t",
        "SELECT count(*) FROM tarn.tables",
        "SELECT k, current_setting('TimeZone') FROM t",
        "SELECT * FROM table_changes('t', 0)",
    ] {
        run(&asking, &[sql, sql]).await;
        assert_eq!(counts(&engine), (0, 0), "{sql}");
    }
    run(&asking, &["BEGIN", "INSERT INTO t VALUES (5, 5)"]).await;
    run(&asking, &["SELECT * FROM u", "SELECT * FROM u", "ROLLBACK"]).await;
    assert_eq!(counts(&engine), (0, 0));
    assert_eq!(engine.result_counts().held_bytes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_or_was_left_leaves_nothing() {
    let (engine, asking) = keeping().await;
    let failed = ask(&asking, "SELECT 10 / (k - 3) FROM t", Vec::new()).await;
    assert_eq!(failed.unwrap_err().sqlstate(), "22012");
    assert_eq!(engine.result_counts().held_bytes(), 0);
    run(&asking, &["SET batch_size = 64"]).await;
    run(&asking, &["INSERT INTO t SELECT value, value FROM generate_series(1, 10000)"]).await;
    let output = asking.execute("SELECT k FROM t", Vec::new()).await.unwrap();
    let Output::Rows(mut rows) = output else { unreachable!("a query gives rows") };
    assert!(rows.next().await.unwrap().unwrap().num_rows() > 0);
    assert!(engine.result_counts().held_bytes() > 0);
    drop(rows);
    assert_eq!(engine.result_counts().held_bytes(), 0);
    run(&asking, &["SELECT k FROM t"]).await;
    assert_eq!(counts(&engine), (0, 3));
    assert!(engine.result_counts().held_bytes() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_take_the_memory_of_results() {
    let (engine, asking) = keeping().await;
    run(&asking, &["SELECT * FROM t", "SELECT * FROM u"]).await;
    assert!(engine.result_counts().held_bytes() > 0);
    let pool = Arc::clone(&engine.base_state().runtime_env().memory_pool);
    let all = MemoryConsumer::new("a query").register(&pool);
    all.try_grow(engine.config.memory_limit_bytes).unwrap();
    assert_eq!(engine.result_counts().held_bytes(), 0);
    // There is no room, and the answer is the same.
    run(&asking, &["SELECT * FROM t", "SELECT * FROM t"]).await;
    assert_eq!(counts(&engine), (0, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_recently_used_go_first_and_large_results_are_not_kept() {
    let stores = Stores::from_store("memory://results", Arc::new(InMemory::new())).unwrap();
    let config = EngineConfig { result_cache_limit_bytes: 256 << 10, ..EngineConfig::default() };
    let engine = Engine::open_on(stores, config, Arc::new(SystemClock)).await.unwrap();
    let asking = session(&engine, "a");
    run(&asking, MADE).await;
    run(&asking, &["SET tarn.result_cache = on"]).await;
    let question = |nth: usize| format!("SELECT k + {nth} FROM t");
    for nth in 0..40 {
        run(&asking, &[&question(nth), &question(0)]).await;
        assert!(engine.result_counts().held_bytes() <= 256 << 10);
    }
    assert_eq!(counts(&engine), (40, 40));
    run(&asking, &[&question(39), &question(1)]).await;
    assert_eq!(counts(&engine), (41, 41));
    run(&asking, &["INSERT INTO u SELECT value, value FROM generate_series(1, 10000)"]).await;
    run(&asking, &["SELECT * FROM u", "SELECT * FROM u"]).await;
    assert_eq!(counts(&engine), (41, 43));
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_what_is_kept() {
    let (_, asking) = keeping().await;
    let explain = "EXPLAIN SELECT v FROM t";
    assert!(!ask(&asking, explain, Vec::new()).await.unwrap().contains("Result cache"));
    run(&asking, &["SELECT v FROM t"]).await;
    let shown = ask(&asking, explain, Vec::new()).await.unwrap();
    assert!(shown.contains("Result cache: 3 rows are kept"), "{shown}");
    run(&asking, &["DELETE FROM t WHERE k = 1"]).await;
    assert!(!ask(&asking, explain, Vec::new()).await.unwrap().contains("Result cache"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_answer_is_older_than_what_was_acknowledged_before_the_question() {
    const COMMITS: i64 = 60;
    let [engine, other] = engines().await;
    let (here, there) = (session(&engine, "b"), session(&other, "c"));
    run(&here, &["CREATE TABLE a (n bigint)", "CREATE TABLE b (n bigint)"]).await;
    let acknowledged = Arc::new(std::sync::atomic::AtomicI64::new(0));
    let readers = (0..3).map(|_| {
        let (asking, acknowledged) = (session(&engine, "a"), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            run(&asking, &["SET tarn.result_cache = on"]).await;
            let sql = "SELECT (SELECT count(*) FROM a) AS x, (SELECT count(*) FROM b) AS y";
            loop {
                let before = acknowledged.load(Ordering::SeqCst);
                let shown = ask(&asking, sql, Vec::new()).await.unwrap();
                let row = shown.lines().find(|line| line.contains(|c: char| c.is_ascii_digit()));
                let mut cells = row.unwrap().split('|').filter_map(|cell| cell.trim().parse().ok());
                let (x, y): (i64, i64) = (cells.next().unwrap(), cells.next().unwrap());
                assert!(x >= before, "{x} rows, but {before} were acknowledged");
                assert_eq!(x, y, "what a transaction does to two tables is in both");
                if before == COMMITS {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    for nth in 0..COMMITS {
        let writer = if nth % 3 == 0 { &here } else { &there };
        let both = ["INSERT INTO b VALUES (1)", "INSERT INTO a VALUES (1)", "COMMIT"];
        loop {
            run(writer, &["BEGIN"]).await;
            let mut done = Ok(String::new());
            for sql in both {
                done = done.and(ask(writer, sql, Vec::new()).await);
            }
            match done {
                Err(error) if error.sqlstate() == "40001" => {
                    drop(ask(writer, "ROLLBACK", Vec::new()).await)
                }
                done => break drop(done.unwrap()),
            }
        }
        acknowledged.store(nth + 1, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
    for reader in readers {
        reader.await.unwrap();
    }
}
