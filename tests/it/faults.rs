//! kill -9 at random moments, again and again on one warehouse.
//!
//! Two clients write rows with known ids: one `COPY`s, in turn its own bytes and a file, and one sends
//! single `INSERT`s. After each
//! kill the `deltalake` package of Python reads the tables as they lie there, then the server starts
//! again and answers the same questions. An acknowledged row must be there once; a statement
//! without an answer may be there whole or not at all, but never in part and never twice. A file
//! whose load had no answer is loaded again, and is in the table once.
//!
//! `TARN_TEST_KILLS` sets the number of kills, `TARN_TEST_SEED` repeats a run's random moments.

mod commits;

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt;
use libtest_mimic::{Completion, Failed, Trial};
use tests::{PgDatabase, SqlError, TestServer, components, repository};

use crate::{run, skipped};

const KILLS_DEFAULT: u64 = 20;
const COPY_ROWS: i64 = 50_000;
/// A kill comes this long after the clients started, at random.
const KILL_AFTER_MS: (u64, u64) = (20, 1_500);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::ignorable_test("faults::kill_loses_and_doubles_nothing", kill_loop),
        Trial::ignorable_test("faults::kill_in_commit_leaves_all_or_nothing", commits::kill_loop),
    ]
}

/// What one client was promised. Keys are load numbers or ids.
#[derive(Debug, Default, Clone)]
struct Promises {
    acknowledged: Vec<i64>,
    unanswered: Vec<i64>,
}

/// What is in the tables: per load its rows and distinct ids, per single id its rows.
type Found = (BTreeMap<i64, (i64, i64)>, BTreeMap<i64, i64>);

fn kill_loop() -> Result<Completion, Failed> {
    repeatable("faults", kill_times)
}

/// Runs a test of kills, their seed and a Python; where it fails, tells how to run it again.
fn repeatable<F: Future<Output = ()>>(
    what: &str,
    test: impl FnOnce(u64, u64, PathBuf) -> F,
) -> Result<Completion, Failed> {
    let python = match components::python(Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        Ok(python) => python,
        Err(reason) => return Ok(skipped(&reason)),
    };
    let seed = tests::setting("TARN_TEST_SEED").map_or_else(any_seed, |text| text.parse().unwrap());
    let kills =
        tests::setting("TARN_TEST_KILLS").map_or(KILLS_DEFAULT, |text| text.parse().unwrap());
    tests::note(&format!("{what}: {kills} kills, TARN_TEST_SEED={seed}"));
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| run(test(kills, seed, python))));
    outcome.map_err(|_| Failed::from(format!("repeat it with TARN_TEST_SEED={seed}")))?;
    Ok(Completion::Completed)
}

fn any_seed() -> u64 {
    RandomState::new().hash_one("seed")
}

async fn kill_times(kills: u64, seed: u64, python: PathBuf) {
    let mut server = TestServer::start();
    let setup = PgDatabase::connect(server.pg()).await.unwrap();
    let tables = "CREATE TABLE raw.copied (load bigint NOT NULL, id bigint NOT NULL, payload text);
                  CREATE TABLE raw.single (id bigint NOT NULL)";
    setup.client().batch_execute(tables).await.unwrap();
    drop(setup);

    let mut moments = Moments { state: seed, between_ms: KILL_AFTER_MS };
    let mut loads = Promises::default();
    let mut singles = Promises::default();
    for round in 0..kills {
        let stop = Arc::new(AtomicBool::new(false));
        let address = server.pg();
        let copying =
            tokio::spawn(copy_until(Arc::clone(&stop), address, next(&loads), server.files()));
        let inserting = tokio::spawn(insert_until(Arc::clone(&stop), address, next(&singles)));
        tokio::time::sleep(moments.next()).await;
        server.kill();
        stop.store(true, Ordering::Relaxed);
        extend(&mut loads, copying.await.unwrap());
        extend(&mut singles, inserting.await.unwrap());

        check(
            &read_by_python(&python, &server.warehouse()),
            &loads,
            &singles,
            &format!("kill {round}, deltalake"),
        );
        server.start_again();
        let found = read_by_sql(server.pg()).await;
        check(&found, &loads, &singles, &format!("kill {round}, SQL"));
        load_again(server.pg(), &server.files(), &found, &mut loads).await;
    }
    let (copies, inserts) = (loads.acknowledged.len(), singles.acknowledged.len());
    tests::note(&format!(
        "faults: {copies} COPYs and {inserts} INSERTs were acknowledged and are there once"
    ));
    assert!(
        copies > 0 && inserts > 0,
        "nothing was acknowledged between the kills: nothing was tested"
    );
}

/// Moments of the kills: a small generator (splitmix64), so that a seed repeats a run.
struct Moments {
    state: u64,
    between_ms: (u64, u64),
}

impl Moments {
    fn next(&mut self) -> Duration {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let (least, most) = self.between_ms;
        Duration::from_millis(least + (mixed ^ (mixed >> 31)) % (most - least))
    }
}

fn next(promises: &Promises) -> i64 {
    promises.acknowledged.iter().chain(&promises.unanswered).max().map_or(1, |last| last + 1)
}

fn extend(all: &mut Promises, more: Promises) {
    all.acknowledged.extend(more.acknowledged);
    all.unanswered.extend(more.unanswered);
}

/// `COPY` after `COPY` of `COPY_ROWS` rows, each under the next load number.
async fn copy_until(
    stop: Arc<AtomicBool>,
    address: SocketAddr,
    first: i64,
    folder: PathBuf,
) -> Promises {
    let promises = Mutex::new(Promises::default());
    let Ok(database) = PgDatabase::connect(address).await else {
        return Promises::default();
    };
    for load in first.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let answer = if is_of_file(load) {
            load_file(&database, &folder, load).await.map(|rows| assert_eq!(rows, COPY_ROWS))
        } else {
            copy_once(&database, load).await
        };
        if !record(&promises, load, answer) {
            break;
        }
    }
    promises.into_inner().unwrap()
}

/// Every other load comes from a file.
fn is_of_file(load: i64) -> bool {
    load % 2 == 0
}

/// Loads the file of a load, which is made the first time. Tells how many rows came.
async fn load_file(database: &PgDatabase, folder: &Path, load: i64) -> Result<i64, SqlError> {
    let path = folder.join(format!("load_{load}.csv"));
    if !path.exists() {
        let row = |id| format!("{load},{id},row {id} of load {load}\n");
        fs::write(&path, (0..COPY_ROWS).map(row).collect::<String>()).unwrap();
    }
    let sql = format!("COPY raw.copied FROM '{}'", path.display());
    let rows = database.client().execute(&sql, &[]).await?;
    Ok(i64::try_from(rows).unwrap())
}

/// Sends the loads of files that had no answer again: those that had landed bring no rows now.
async fn load_again(address: SocketAddr, folder: &Path, found: &Found, loads: &mut Promises) {
    let database = PgDatabase::connect(address).await.unwrap();
    let (again, rest): (Vec<i64>, Vec<i64>) =
        loads.unanswered.iter().partition(|load| is_of_file(**load));
    for load in &again {
        let rows = load_file(&database, folder, *load).await.unwrap();
        let expected = if found.0.contains_key(load) { 0 } else { COPY_ROWS };
        assert_eq!(rows, expected, "load {load} of a file, sent again");
    }
    loads.unanswered = rest;
    loads.acknowledged.extend(again);
}

async fn copy_once(database: &PgDatabase, load: i64) -> Result<(), SqlError> {
    let sql = "COPY raw.copied FROM STDIN WITH (FORMAT csv)";
    let mut sink = pin!(database.client().copy_in(sql).await?);
    let mut text = String::new();
    for id in 0..COPY_ROWS {
        text.push_str(&format!("{load},{id},row {id} of load {load}\n"));
        if text.len() > 60_000 {
            sink.send(Bytes::from(std::mem::take(&mut text))).await?;
        }
    }
    sink.send(Bytes::from(text)).await?;
    let rows = sink.finish().await?;
    assert_eq!(i64::try_from(rows), Ok(COPY_ROWS), "COPY answered with another number of rows");
    Ok(())
}

/// `INSERT` after `INSERT` of one row.
async fn insert_until(stop: Arc<AtomicBool>, address: SocketAddr, first: i64) -> Promises {
    let promises = Mutex::new(Promises::default());
    let Ok(database) = PgDatabase::connect(address).await else {
        return Promises::default();
    };
    for id in first.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let sql = format!("INSERT INTO raw.single VALUES ({id})");
        let answer = database.client().batch_execute(&sql).await.map_err(SqlError::from);
        if !record(&promises, id, answer) {
            break;
        }
    }
    promises.into_inner().unwrap()
}

/// Notes the answer; false once the connection is gone. An answer that is an error is a bug:
/// nothing that the clients do may fail while the server lives.
fn record(promises: &Mutex<Promises>, key: i64, answer: Result<(), SqlError>) -> bool {
    let mut promises = promises.lock().unwrap();
    match answer {
        Ok(()) => {
            promises.acknowledged.push(key);
            true
        }
        Err(error) => {
            assert_eq!(error.sqlstate, "", "a statement failed while the server lived: {error}");
            promises.unanswered.push(key);
            false
        }
    }
}

fn check(found: &Found, loads: &Promises, singles: &Promises, when: &str) {
    let (copied, single) = found;
    for load in &loads.acknowledged {
        assert_eq!(
            copied.get(load),
            Some(&(COPY_ROWS, COPY_ROWS)),
            "{when}: acknowledged COPY {load}"
        );
    }
    for load in &loads.unanswered {
        let whole = copied.get(load).is_none_or(|rows| *rows == (COPY_ROWS, COPY_ROWS));
        assert!(whole, "{when}: unanswered COPY {load} is there in part: {:?}", copied.get(load));
    }
    for id in &singles.acknowledged {
        assert_eq!(single.get(id), Some(&1), "{when}: acknowledged row {id}");
    }
    for id in &singles.unanswered {
        assert!(
            single.get(id).is_none_or(|rows| *rows == 1),
            "{when}: unanswered row {id} is doubled"
        );
    }
    let known = |promises: &Promises, key| {
        promises.acknowledged.contains(key) || promises.unanswered.contains(key)
    };
    assert!(copied.keys().all(|load| known(loads, load)), "{when}: a load that nobody sent");
    assert!(single.keys().all(|id| known(singles, id)), "{when}: a row that nobody sent");
}

async fn read_by_sql(address: SocketAddr) -> Found {
    let database = PgDatabase::connect(address).await.unwrap();
    let client = database.client();
    let sql = "SELECT load, count(*), count(DISTINCT id) FROM raw.copied GROUP BY load";
    let copied = client.query(sql, &[]).await.unwrap();
    let sql = "SELECT id, count(*) FROM raw.single GROUP BY id";
    let single = client.query(sql, &[]).await.unwrap();
    (
        copied.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect(),
        single.iter().map(|row| (row.get(0), row.get(1))).collect(),
    )
}

fn read_by_python(python: &Path, warehouse: &Path) -> Found {
    let script = repository().join("tests/python/count_rows.py");
    let output =
        components::run(Command::new(python).arg(script).arg(warehouse.join("raw"))).unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}
