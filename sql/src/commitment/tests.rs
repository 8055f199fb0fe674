//! A statement that is interrupted while the store is slow answers what really happened.

use std::time::Duration;

use catalog::faults::{Fault, FaultStore, Operation};
use catalog::{Stores, SystemClock};
use futures::TryStreamExt;
use object_store::memory::InMemory;

use super::*;
use crate::{Engine, EngineConfig, Output, Session, SessionStart};

#[tokio::test]
async fn only_a_commit_outlasts_an_interruption() {
    let commitment = Commitment::default();
    let yielding = || async {
        tokio::task::yield_now().await;
        "done"
    };
    assert_eq!(commitment.unless(async { "cancel" }, yielding()).await, Err("cancel"));
    let work = async {
        let _committing = commitment.make();
        yielding().await
    };
    assert_eq!(commitment.unless(async { "cancel" }, work).await, Ok("done"));
    assert!(!commitment.is_made());
}

/// A session whose store can be made slow.
async fn session() -> (Arc<FaultStore>, Session) {
    let faults = FaultStore::new(Arc::new(InMemory::new()));
    let store: Arc<dyn object_store::ObjectStore> = Arc::<FaultStore>::clone(&faults);
    let stores = Stores::from_store("memory://faults", store).unwrap();
    let engine = Engine::open_on(stores, EngineConfig::default(), Arc::new(SystemClock));
    let session = engine.await.unwrap().session(SessionStart::default()).unwrap();
    (faults, session)
}

async fn run(session: &Session, sql: &str) -> crate::Result<Vec<String>> {
    match session.execute(sql, Vec::new()).await? {
        Output::Rows(rows) => {
            let batches: Vec<_> = rows.try_collect().await?;
            let shown = arrow::util::pretty::pretty_format_batches(&batches)?.to_string();
            Ok(shown.lines().skip(3).map(str::to_owned).collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// What the statement ends with, and what a look at the outcome shows when it holds.
const CASES: [(&str, &str, &str); 6] = [
    ("", "INSERT INTO t VALUES (2)", "SELECT a FROM t WHERE a = 2"),
    ("", "UPDATE t SET a = 5 WHERE a = 1", "SELECT a FROM t WHERE a = 5"),
    ("BEGIN", "INSERT INTO t VALUES (3)", "SELECT a FROM t WHERE a = 3"),
    (
        "",
        "CREATE TABLE u AS SELECT 1 AS a",
        "SELECT 1 FROM information_schema.tables WHERE table_name = 'u'",
    ),
    ("", "REFRESH MATERIALIZED VIEW v", "SELECT a FROM v WHERE a = 9"),
    (
        "BEGIN",
        "CREATE TABLE w (a bigint)",
        "SELECT 1 FROM information_schema.tables WHERE table_name = 'w'",
    ),
];

#[tokio::test]
async fn a_timeout_during_a_commit_tells_what_happened() {
    const LATE: Duration = Duration::from_millis(250);
    let (mut held, mut undone) = (0, 0);
    for (before, statement, look) in CASES {
        for slow in 1..=3 {
            let (faults, session) = session().await;
            run(&session, "CREATE TABLE t (a bigint)").await.unwrap();
            run(&session, "INSERT INTO t VALUES (1)").await.unwrap();
            run(&session, "CREATE MATERIALIZED VIEW v AS SELECT a FROM t").await.unwrap();
            run(&session, "INSERT INTO t VALUES (9)").await.unwrap();
            run(&session, "SET statement_timeout = '60ms'").await.unwrap();
            let mut last = statement;
            if !before.is_empty() {
                run(&session, before).await.unwrap();
                run(&session, statement).await.unwrap();
                last = "COMMIT";
            }
            faults.fail_nth(Operation::Put, slow, Fault::Delay(LATE));
            let answer = run(&session, last).await;
            faults.heal();
            // Whatever was dropped has had its time to happen after all.
            tokio::time::sleep(LATE * 2).await;
            run(&session, "ROLLBACK").await.unwrap();
            run(&session, "SET statement_timeout = 0").await.unwrap();
            let holds = !run(&session, look).await.unwrap().is_empty();
            match answer {
                Ok(_) => assert!(holds, "{statement}, put {slow}: done, but nothing is there"),
                Err(error) => {
                    assert_eq!(error.sqlstate(), "57014", "{statement}, put {slow}: {error}");
                    assert!(!holds, "{statement}, put {slow}: undone, but it is there");
                }
            }
            *(if holds { &mut held } else { &mut undone }) += 1;
        }
    }
    // Both happen, or the test proves nothing.
    assert!(held > 0 && undone > 0, "{held} held, {undone} undone");
}
