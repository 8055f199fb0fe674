//! Upkeep that nobody asked for, seen by statements.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::sync::Arc;

use catalog::{Clock, Commit, ManualClock};
use futures::TryStreamExt;

use super::clean_logs;
use crate::{Engine, EngineConfig, Error, Output, Session, SessionStart};

/// 2100-01-01 00:00:00 UTC: files have the true time of day, and are younger by no clock.
const START_MICROS: i64 = 4_102_444_800_000_000;
const HOUR: i64 = 3600 * 1_000_000;
/// More than a log keeps when its entries are an hour old.
const COMMITS: i64 = 10_500;

async fn run(session: &Session, sql: &str) -> Result<usize, Error> {
    match session.execute(sql, Vec::new()).await? {
        Output::Rows(rows) => {
            let batches: Vec<_> = rows.try_collect().await.unwrap();
            Ok(batches.iter().map(|batch| batch.num_rows()).sum())
        }
        _ => Ok(0),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_cleaned_up_to_what_a_snapshot_holds() {
    let config = EngineConfig { warehouse: "memory://".to_owned(), ..EngineConfig::default() };
    let clock = Arc::new(ManualClock::new(START_MICROS));
    let shared = Arc::clone(&clock) as Arc<dyn Clock>;
    let engine = Engine::open_with_clock(config, shared).await.unwrap();
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
    // Commits that bring nothing: what counts is their number.
    for _ in 0..COMMITS {
        table.commit(&table.current(), Commit::append(Vec::new())).await.unwrap();
    }
    clock.advance(HOUR);

    let reads = async |clause: &str| run(&session, &format!("SELECT k FROM t {clause}")).await;
    clean_logs(&engine.catalog, &mut HashMap::new()).await;
    assert_eq!(reads("AS OF SNAPSHOT early").await.unwrap(), 2);
    assert_eq!(reads("VERSION AS OF 2").await.unwrap(), 3);
    run(&session, "DROP SNAPSHOT early").await.unwrap();
    clean_logs(&engine.catalog, &mut HashMap::new()).await;
    let gone = reads("VERSION AS OF 3").await.unwrap_err();
    assert_eq!(gone.sqlstate(), "22023", "{gone}");
    assert_eq!(reads("VERSION AS OF 600").await.unwrap(), 3);
    // The log goes on where it was.
    run(&session, "INSERT INTO t VALUES (4)").await.unwrap();
    assert_eq!(reads("").await.unwrap(), 4);
}
