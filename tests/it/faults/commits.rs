//! kill -9 in the COMMIT of transactions over three tables: each is there in all of them or in none.
//!
//! A transaction adds its number to two tables and counts itself in a third. After each kill the
//! server starts again, and one statement reads the three.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Completion, Failed};
use tests::{PgDatabase, SqlError, TestServer, components, repository};

use super::{KILLS_DEFAULT, Moments, any_seed};
use crate::{run, skipped};

/// A kill comes this long after the client started, at random: most of that time it commits.
const KILL_AFTER_MS: (u64, u64) = (5, 250);

pub(super) fn kill_loop() -> Result<Completion, Failed> {
    let python = match components::python(Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        Ok(python) => python,
        Err(reason) => return Ok(skipped(&reason)),
    };
    let seed = tests::setting("TARN_TEST_SEED").map_or_else(any_seed, |text| text.parse().unwrap());
    let kills =
        tests::setting("TARN_TEST_KILLS").map_or(KILLS_DEFAULT, |text| text.parse().unwrap());
    tests::note(&format!("commits: {kills} kills, TARN_TEST_SEED={seed}"));
    let outcome = std::panic::catch_unwind(|| run(kill_times(kills, seed, &python)));
    outcome.map_err(|_| Failed::from(format!("repeat it with TARN_TEST_SEED={seed}")))?;
    Ok(Completion::Completed)
}

async fn kill_times(kills: u64, seed: u64, python: &Path) {
    let mut server = TestServer::start();
    let setup = PgDatabase::connect(server.pg()).await.unwrap();
    let tables = "CREATE TABLE raw.first (id bigint NOT NULL);
                  CREATE TABLE raw.second (id bigint NOT NULL);
                  CREATE TABLE processed.counter (transactions bigint NOT NULL);
                  INSERT INTO processed.counter VALUES (0)";
    setup.client().batch_execute(tables).await.unwrap();
    drop(setup);

    let mut moments = Moments { state: seed, between_ms: KILL_AFTER_MS };
    let (mut acknowledged, mut held, mut gone) = (BTreeSet::new(), 0, 0);
    let mut next = 1;
    for round in 0..kills {
        let client = tokio::spawn(transact_until_killed(server.pg(), next));
        tokio::time::sleep(moments.next()).await;
        server.kill();
        let (answered, unanswered) = client.await.unwrap();
        acknowledged.extend(answered);
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
        "commits: {} transactions over three tables are there whole, {held} of them were killed after \
         their decision; {gone} were killed before and left nothing",
        acknowledged.len()
    ));
    assert!(
        held > 0 && gone > 0,
        "no kill came before a decision, or none after: nothing was tested"
    );
    assert_eq!(read_by_python(python, &server.warehouse()), acknowledged, "deltalake");
}

/// Transaction after transaction. The numbers that were acknowledged, and the one that was not.
async fn transact_until_killed(address: SocketAddr, first: i64) -> (Vec<i64>, i64) {
    let mut acknowledged = Vec::new();
    let Ok(database) = PgDatabase::connect(address).await else { return (acknowledged, first) };
    for id in first.. {
        let transaction = format!(
            "BEGIN;
             INSERT INTO raw.first VALUES ({id});
             UPDATE processed.counter SET transactions = transactions + 1;
             INSERT INTO raw.second VALUES ({id});
             COMMIT"
        );
        match database.client().batch_execute(&transaction).await.map_err(SqlError::from) {
            Ok(()) => acknowledged.push(id),
            Err(error) => {
                assert_eq!(
                    error.sqlstate, "",
                    "a statement failed while the server lived: {error}"
                );
                return (acknowledged, id);
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
    let (_, rows): (serde_json::Value, std::collections::BTreeMap<i64, i64>) =
        serde_json::from_slice(&output.stdout).unwrap();
    // It counts a number once for each table of one column that it is in.
    assert!(rows.values().all(|count| *count == 2), "{rows:?}");
    rows.into_keys().collect()
}
