//! Upkeep that nobody asked for, seen by statements.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use catalog::{Commit, LakeTable};
use futures::TryStreamExt;

use crate::{Engine, EngineConfig, Error, Output, Session, SessionStart};

/// More than a log holds before it is cleaned.
const COMMITS: i64 = 8_100;

async fn run(session: &Session, sql: &str) -> Result<usize, Error> {
    match session.execute(sql, Vec::new()).await? {
        Output::Rows(rows) => {
            let batches: Vec<_> = rows.try_collect().await.unwrap();
            Ok(batches.iter().map(|batch| batch.num_rows()).sum())
        }
        _ => Ok(0),
    }
}

/// Commits that bring nothing: what counts is their number.
async fn commit_often(table: &Arc<LakeTable>) {
    for _ in 0..COMMITS {
        table.commit(&table.current(), Commit::append(Vec::new())).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_cleaned_and_what_a_snapshot_holds_stays() {
    let config = EngineConfig { warehouse: "memory://".to_owned(), ..EngineConfig::default() };
    let engine = Engine::open(config).await.unwrap();
    let session = engine.session(SessionStart::default()).unwrap();
    for sql in [
        "CREATE TABLE t (k bigint)",
        "INSERT INTO t VALUES (1), (2)",
        "CREATE SNAPSHOT early",
        "INSERT INTO t VALUES (3)",
    ] {
        run(&session, sql).await.unwrap();
    }
    let [(_, table)] = engine.catalog.open_tables().try_into().unwrap();
    commit_often(&table).await;

    let mut looks = 0;
    while table.is_log_long() {
        looks += 1;
        assert!(looks < 300, "the log was not cleaned in 30 s");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let kept = format!("SELECT k FROM t VERSION AS OF {}", COMMITS - 3_000);
    assert_eq!(run(&session, &kept).await.unwrap(), 3);
    assert_eq!(run(&session, "SELECT k FROM t").await.unwrap(), 3);
    assert_eq!(run(&session, "SELECT k FROM t AS OF SNAPSHOT early").await.unwrap(), 2);
    let gone = run(&session, "SELECT k FROM t VERSION AS OF 2").await.unwrap_err();
    assert_eq!(gone.sqlstate(), "22023", "{gone}");
    // The log goes on where it was.
    run(&session, "INSERT INTO t VALUES (4)").await.unwrap();
    assert_eq!(run(&session, "SELECT k FROM t").await.unwrap(), 4);
}
