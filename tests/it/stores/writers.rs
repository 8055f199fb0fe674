//! Many writers, two servers, one table on an object store: every acknowledged row is there once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::PgDatabase;

use super::place::{Place, connect, execute, folder, rows};

const WRITERS: i64 = 8;
const INSERTS: i64 = 100;
const KILLS_DEFAULT: u64 = 4;

/// Writers on two servers insert rows of their own, while others delete theirs and put files together:
/// no insert is refused, nothing is lost or doubled.
pub(super) async fn race(place: Place) {
    let (one, other) = (place.start(&[]), place.start(&[]));
    let setup = connect(&one).await;
    execute(&setup, "CREATE TABLE raw.race (id bigint NOT NULL)").await;
    let writers = (0..WRITERS).map(|writer| {
        let address = if writer % 2 == 0 { one.pg() } else { other.pg() };
        tokio::spawn(async move {
            let database = PgDatabase::connect(address).await.unwrap();
            for insert in 0..INSERTS {
                let id = writer * INSERTS + insert;
                execute(&database, &format!("INSERT INTO raw.race VALUES ({id})")).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let stop = Arc::new(AtomicBool::new(false));
    let deleting = tokio::spawn(delete(Arc::clone(&stop), one.pg()));
    let compacting = tokio::spawn(compact(Arc::clone(&stop), other.pg()));
    for writer in writers {
        writer.await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let (deleted, compacted) = (deleting.await.unwrap(), compacting.await.unwrap());
    tests::note(&format!(
        "stores: {deleted} deletes and {compacted} compactions beside the writers"
    ));
    assert!(deleted > 0 && compacted > 0, "nothing went on beside the writers");
    drop((one, other));
    // A server that has seen nothing of it.
    let server = place.start(&[]);
    let database = connect(&server).await;
    let found = rows(&database, "SELECT count(*), count(DISTINCT id), sum(id) FROM raw.race").await;
    let all = WRITERS * INSERTS;
    assert_eq!(found, [format!("{all}|{all}|{}", all * (all - 1) / 2)]);
    let folder = folder(&database, "raw.race").await;
    match place.read_by_python(&folder, &["id"]) {
        Err(reason) => tests::note(&format!("not read by deltalake: {reason}")),
        Ok(read) => assert_eq!(i64::try_from(read.len()).unwrap(), all),
    }
}

/// Inserts rows and deletes them, until told to stop; the last ones for certain. Tells how often.
async fn delete(stop: Arc<AtomicBool>, address: SocketAddr) -> usize {
    let database = PgDatabase::connect(address).await.unwrap();
    let mut done = 0;
    loop {
        let last = stop.load(Ordering::Relaxed);
        execute(&database, "INSERT INTO raw.race VALUES (-1), (-2)").await;
        done += usize::from(
            unless_others_were_faster(&database, "DELETE FROM raw.race WHERE id < 0").await,
        );
        if last {
            while !unless_others_were_faster(&database, "DELETE FROM raw.race WHERE id < 0").await {
            }
            return done;
        }
    }
}

/// Puts files together until told to stop. Tells how often.
async fn compact(stop: Arc<AtomicBool>, address: SocketAddr) -> usize {
    let database = PgDatabase::connect(address).await.unwrap();
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        done += usize::from(unless_others_were_faster(&database, "OPTIMIZE raw.race").await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    done
}

/// Runs a statement that may be told, in the end, that others kept changing the same rows.
async fn unless_others_were_faster(database: &PgDatabase, sql: &str) -> bool {
    match database.client().batch_execute(sql).await {
        Ok(()) => true,
        Err(error) => {
            let code = error.as_db_error().map(|error| error.code().code().to_owned());
            assert_eq!(code.as_deref(), Some("40001"), "{sql}: {error:?}");
            false
        }
    }
}

/// Kills a server while it inserts, again and again.
pub(super) async fn kill(place: Place) {
    let mut server = place.start(&[]);
    let setup = connect(&server).await;
    execute(&setup, "CREATE TABLE raw.single (id bigint NOT NULL)").await;
    drop(setup);
    let (mut acknowledged, mut unanswered, mut first) = (Vec::new(), Vec::new(), 0);
    let kills =
        tests::setting("TARN_TEST_KILLS").map_or(KILLS_DEFAULT, |text| text.parse().unwrap());
    for round in 0..kills {
        let stop = Arc::new(AtomicBool::new(false));
        let inserting = tokio::spawn(insert(Arc::clone(&stop), server.pg(), first));
        // Each time at another moment of a statement's way.
        tokio::time::sleep(Duration::from_millis(500 + 137 * (round % 10))).await;
        server.kill();
        stop.store(true, Ordering::Relaxed);
        let (done, open) = inserting.await.unwrap();
        first = done.iter().chain(&open).max().map_or(first, |last| last + 1);
        acknowledged.extend(done);
        unanswered.extend(open);
        server.start_again();
        let database = connect(&server).await;
        let found = rows(&database, "SELECT id, count(*) FROM raw.single GROUP BY id").await;
        let found: BTreeMap<i64, i64> = found
            .iter()
            .map(|row| row.split_once('|').unwrap())
            .map(|(id, count)| (id.parse().unwrap(), count.parse().unwrap()))
            .collect();
        for id in &acknowledged {
            assert_eq!(found.get(id), Some(&1), "acknowledged row {id} after kill {round}");
        }
        assert!(found.values().all(|count| *count == 1), "a doubled row after kill {round}");
        let known = |id| acknowledged.contains(id) || unanswered.contains(id);
        assert!(found.keys().all(known), "a row that nobody sent after kill {round}");
    }
    tests::note(&format!("stores: {} acknowledged rows are there once", acknowledged.len()));
    assert!(!acknowledged.is_empty(), "nothing was acknowledged between the kills");
    let database = connect(&server).await;
    let folder = folder(&database, "raw.single").await;
    match place.read_by_python(&folder, &["id"]) {
        Err(reason) => tests::note(&format!("not read by deltalake: {reason}")),
        Ok(read) => {
            let ours = rows(&database, "SELECT count(*) FROM raw.single").await;
            assert_eq!([read.len().to_string()], ours[..]);
        }
    }
}

/// Single rows until told to stop: which were acknowledged, and which had no answer.
async fn insert(stop: Arc<AtomicBool>, address: SocketAddr, first: i64) -> (Vec<i64>, Vec<i64>) {
    let database = PgDatabase::connect(address).await.unwrap();
    let mut acknowledged = Vec::new();
    for id in first.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let sql = format!("INSERT INTO raw.single VALUES ({id})");
        match database.client().batch_execute(&sql).await {
            Ok(()) => acknowledged.push(id),
            Err(error) => {
                assert!(error.as_db_error().is_none(), "while the server lived: {error:?}");
                return (acknowledged, vec![id]);
            }
        }
    }
    (acknowledged, Vec::new())
}
