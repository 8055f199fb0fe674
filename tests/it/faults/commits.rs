//! kill -9 in the COMMIT of transactions over three tables: each is there in all of them or in none.
//!
//! A transaction adds its number to two tables and counts itself in a third. The kill comes at a random
//! moment after its COMMIT was sent, in the time that a COMMIT takes. After each kill the server starts
//! again, and one statement reads the three tables.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed};
use tests::{PgDatabase, SqlError, TestServer, components, repository};
use tokio::sync::mpsc;

use super::{Moments, repeatable};

pub(super) fn kill_loop() -> Result<Completion, Failed> {
    repeatable("commits", kill_times)
}

async fn kill_times(kills: u64, seed: u64, python: PathBuf) {
    let mut server = TestServer::start();
    let setup = PgDatabase::connect(server.pg()).await.unwrap();
    let tables = "CREATE TABLE raw.first (id bigint NOT NULL);
                  CREATE TABLE raw.second (id bigint NOT NULL);
                  CREATE TABLE processed.counter (transactions bigint NOT NULL);
                  INSERT INTO processed.counter VALUES (0)";
    setup.client().batch_execute(tables).await.unwrap();
    drop(setup);

    let mut moments = Moments { state: seed, between_ms: (0, 1_000) };
    let mut acknowledged = BTreeSet::new();
    let (mut held, mut gone) = (0, 0);
    let mut next = 1;
    let mut usual = transact(server.pg(), 0).await;
    acknowledged.insert(0);
    for round in 0..kills {
        let (committing, mut commits) = mpsc::unbounded_channel();
        let client = tokio::spawn(transact_until_killed(server.pg(), next, committing));
        // The second COMMIT: the first one of a server takes longer.
        for _ in 0..2 {
            commits.recv().await.unwrap();
        }
        // From its beginning to a little after its end.
        tokio::time::sleep(usual.mul_f64(moments.next().as_secs_f64() * 1.3)).await;
        server.kill();
        let Transacted { answered, unanswered, last } = client.await.unwrap();
        acknowledged.extend(answered);
        usual = last.unwrap_or(usual);
        server.start_again();

        let found = read(server.pg()).await;
        let when = format!("kill {round}");
        let missing: Vec<_> = acknowledged.difference(&found).collect();
        assert!(missing.is_empty(), "{when}: acknowledged and gone: {missing:?}");
        let strange = found.iter().find(|id| !acknowledged.contains(id) && **id != unanswered);
        assert_eq!(strange, None, "{when}: a transaction that nobody sent, or was told of");
        if found.contains(&unanswered) {
            held += 1;
            acknowledged.insert(unanswered);
        } else {
            gone += 1;
        }
        next = unanswered + 1;
    }
    tests::note(&format!(
        "commits: {} transactions over three tables are there whole; of those without an answer {held} \
         hold and {gone} left nothing",
        acknowledged.len()
    ));
    assert_eq!(read_by_python(&python, &server.warehouse()), acknowledged, "deltalake");
}

/// The statements of a transaction, all but its end.
fn statements(id: i64) -> String {
    format!(
        "BEGIN;
         INSERT INTO raw.first VALUES ({id});
         UPDATE processed.counter SET transactions = transactions + 1;
         INSERT INTO raw.second VALUES ({id})"
    )
}

/// One transaction; how long its COMMIT took.
async fn transact(address: SocketAddr, id: i64) -> Duration {
    let database = PgDatabase::connect(address).await.unwrap();
    database.client().batch_execute(&statements(id)).await.unwrap();
    let began = Instant::now();
    database.client().batch_execute("COMMIT").await.unwrap();
    began.elapsed()
}

/// What a client was told.
struct Transacted {
    answered: Vec<i64>,
    /// The transaction that was under way when the server was killed.
    unanswered: i64,
    /// How long the last COMMIT with an answer took.
    last: Option<Duration>,
}

/// Transaction after transaction; tells when it sends a COMMIT.
async fn transact_until_killed(
    address: SocketAddr,
    first: i64,
    committing: mpsc::UnboundedSender<()>,
) -> Transacted {
    let mut told = Transacted { answered: Vec::new(), unanswered: first, last: None };
    let Ok(database) = PgDatabase::connect(address).await else { return told };
    for id in first.. {
        told.unanswered = id;
        let began = Instant::now();
        let answer = async {
            database.client().batch_execute(&statements(id)).await?;
            let began = Instant::now();
            let _ = committing.send(());
            database.client().batch_execute("COMMIT").await?;
            Ok(began.elapsed())
        };
        match answer.await.map_err(|error: tokio_postgres::Error| SqlError::from(error)) {
            Ok(took) => {
                told.answered.push(id);
                told.last = Some(took);
            }
            Err(error) => {
                let after = began.elapsed();
                assert_eq!(
                    error.sqlstate, "",
                    "failed after {after:?} while the server lived: {error}"
                );
                return told;
            }
        }
    }
    unreachable!("the numbers do not end")
}

/// The transactions that are there; in part is a failure.
async fn read(address: SocketAddr) -> BTreeSet<i64> {
    let database = PgDatabase::connect(address).await.unwrap();
    let sql = "SELECT 1, id FROM raw.first UNION ALL SELECT 2, id FROM raw.second
               UNION ALL SELECT 3, transactions FROM processed.counter";
    let rows = database.client().query(sql, &[]).await.unwrap();
    let of = |table: i32| -> Vec<i64> {
        rows.iter().filter(|row| row.get::<_, i32>(0) == table).map(|row| row.get(1)).collect()
    };
    let (first, second) = (of(1), of(2));
    let set: BTreeSet<i64> = first.iter().copied().collect();
    assert_eq!(set.len(), first.len(), "a transaction is there twice");
    assert_eq!(set, second.iter().copied().collect(), "a transaction is there in part");
    assert_eq!(of(3), [i64::try_from(set.len()).unwrap()], "a transaction is there in part");
    set
}

/// What the `deltalake` package finds, once the server has settled what the kills left.
fn read_by_python(python: &Path, warehouse: &Path) -> BTreeSet<i64> {
    let script = repository().join("tests/python/count_rows.py");
    let output =
        components::run(Command::new(python).arg(script).arg(warehouse.join("raw"))).unwrap();
    let (_, rows): (serde_json::Value, BTreeMap<i64, i64>) =
        serde_json::from_slice(&output.stdout).unwrap();
    // It counts a number once for each table of one column that it is in.
    assert!(rows.values().all(|count| *count == 2), "{rows:?}");
    rows.into_keys().collect()
}
