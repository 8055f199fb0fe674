//! Many writers, two servers, one table on an object store: every acknowledged row is there once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::PgDatabase;

use super::place::{Place, connect, execute, folder, rows};

const WRITERS: i64 = 4;
const INSERTS: i64 = 50;
const KILLS_DEFAULT: u64 = 4;

/// Writers on two servers insert rows of their own; nobody is refused, nothing is lost or doubled.
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
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
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
