//! An S3 that loses answers, refuses, resets and dawdles: nothing doubled, nothing lost, no false
//! error, and an end within a bounded time.
//!
//! `TARN_TEST_SEED` repeats a run's random faults, `TARN_TEST_CASES` sets the cases of each fault.

use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tests::{Fault, FaultProxy, PgDatabase, TestServer};

use super::place::{Place, connect, execute, rows};

/// How long the server waits for an answer of the store in these tests.
const TIMEOUT: &str = "2s";
/// How long a statement may take when one request of it goes wrong.
const ONE_FAULT_MAX: Duration = Duration::from_secs(30);
const CASES_DEFAULT: u64 = 5;

/// What can become of the one request that decides.
const FAULTS: [(&str, Fault); 10] = [
    ("lost behind a 500", Fault::LostBehind(500)),
    ("lost behind a 503", Fault::LostBehind(503)),
    ("lost behind a 409", Fault::LostBehind(409)),
    ("lost by a reset", Fault::LostByReset),
    ("lost for ever", Fault::LostForever),
    ("lost in its middle", Fault::Short),
    ("refused by a 503", Fault::Refused(503)),
    ("refused by a 429", Fault::Refused(429)),
    ("refused by a 409", Fault::Refused(409)),
    ("reset before", Fault::Reset),
];

/// A proxy before the store, and a server that knows the proxy alone.
fn behind_a_proxy(place: &mut Place, arguments: &[&str]) -> (Arc<FaultProxy>, TestServer) {
    let proxy = Arc::new(FaultProxy::start(place.address()));
    place.through = Some(proxy.address());
    place.extra.push(("AWS_TIMEOUT", TIMEOUT.to_owned()));
    let server = place.start(arguments);
    (proxy, server)
}

/// Each fault at the first put of a log entry of each kind of statement.
pub(super) async fn lost_answers(mut place: Place) {
    let (proxy, server) = behind_a_proxy(&mut place, &[]);
    let database = connect(&server).await;
    let cases =
        tests::setting("TARN_TEST_CASES").map_or(CASES_DEFAULT, |text| text.parse().unwrap());
    execute(&database, "CREATE TABLE raw.t (id bigint NOT NULL, changed bigint)").await;
    let (mut id, mut worst) = (0, Duration::ZERO);
    for (name, fault) in FAULTS {
        for case in 0..cases {
            id += 1;
            let table = format!("raw.t_{id}");
            for statement in [
                format!("INSERT INTO raw.t VALUES ({id}, 0)"),
                format!("UPDATE raw.t SET changed = changed + 1 WHERE id = {id}"),
                format!("CREATE TABLE {table} (id bigint)"),
                format!(
                    "INSERT INTO {table} SELECT id FROM raw.t; DELETE FROM {table} WHERE id < {id}"
                ),
                format!("DROP TABLE {table}"),
            ] {
                strike_once(&proxy, fault);
                let begun = Instant::now();
                let answer = database.client().batch_execute(&statement).await;
                let time = begun.elapsed();
                worst = worst.max(time);
                assert!(answer.is_ok(), "{statement}: {name}, case {case}: {answer:?}");
                assert!(time < ONE_FAULT_MAX, "{statement}: {name} took {time:?}");
            }
            proxy.heal();
            let found =
                rows(&database, "SELECT count(*), count(DISTINCT id), sum(changed) FROM raw.t");
            assert_eq!(found.await, [format!("{id}|{id}|{id}")], "{name}, case {case}");
        }
    }
    tests::note(&format!("stores: {id} rounds of lost answers, the slowest statement {worst:?}"));
    // What the server remembers may be kinder than what the store has.
    drop(server);
    let other = place.start(&[]);
    let found = "SELECT count(*), count(DISTINCT id), sum(changed) FROM raw.t";
    assert_eq!(rows(&connect(&other).await, found).await, [format!("{id}|{id}|{id}")]);
}

/// The next put of a log entry meets the fault, and no other.
fn strike_once(proxy: &FaultProxy, fault: Fault) {
    let mut armed = true;
    proxy.set(move |request| {
        let strikes = armed && request.puts_log_entry();
        armed &= !strikes;
        strikes.then_some(fault)
    });
}

/// Writers on two servers while every fifth put of a log entry loses its answer.
pub(super) async fn race_with_lost_answers(mut place: Place) {
    const WRITERS: i64 = 4;
    const INSERTS: i64 = 25;
    let (proxy, one) = behind_a_proxy(&mut place, &[]);
    let other = place.start(&[]);
    let setup = connect(&one).await;
    execute(&setup, "CREATE TABLE raw.race (id bigint NOT NULL)").await;
    let mut random = Random::new("the race");
    proxy.set(move |request| {
        let faults = [Fault::LostBehind(500), Fault::LostByReset, Fault::Refused(503)];
        let strikes = request.puts_log_entry() && random.next().is_multiple_of(5);
        strikes.then(|| faults[usize::try_from(random.next() % 3).unwrap()])
    });
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
    proxy.heal();
    let fresh = place.start(&[]);
    let all = WRITERS * INSERTS;
    let database = connect(&fresh).await;
    let found = rows(&database, "SELECT count(*), count(DISTINCT id) FROM raw.race").await;
    assert_eq!(found, [format!("{all}|{all}")]);
}

/// Bad weather at every request: files are loaded whole, once, without an error.
pub(super) async fn bad_weather(mut place: Place) {
    const FILES: i64 = 200;
    const ROWS: i64 = 50;
    for file in 0..FILES {
        let lines = (0..ROWS).map(|row| format!("{},row {row} of {file}\n", file * ROWS + row));
        put(place.address(), &format!("/landing/in/{file:03}.csv"), &lines.collect::<String>());
    }
    let (proxy, server) = behind_a_proxy(&mut place, &[]);
    let database = connect(&server).await;
    execute(&database, "CREATE TABLE raw.loaded (id bigint NOT NULL, name text)").await;
    let mut random = Random::new("the weather");
    let struck = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&struck);
    proxy.set(move |_| {
        let fault = match random.next() % 100 {
            0..10 => Fault::Refused(503),
            10..15 => Fault::Refused(429),
            15..22 => Fault::Reset,
            22..30 => Fault::LostByReset,
            30..60 => Fault::Slow(Duration::from_millis(300)),
            _ => return None,
        };
        counted.fetch_add(1, Ordering::Relaxed);
        Some(fault)
    });
    let begun = Instant::now();
    execute(&database, "COPY raw.loaded FROM 's3://landing/in/*.csv'").await;
    let took = begun.elapsed();
    // The whole load again brings nothing.
    execute(&database, "COPY raw.loaded FROM 's3://landing/in/*.csv'").await;
    proxy.heal();
    let struck = struck.load(Ordering::Relaxed);
    tests::note(&format!("stores: {FILES} files in {took:?} through {struck} faults"));
    let all = FILES * ROWS;
    let found =
        rows(&database, "SELECT count(*), count(DISTINCT id), min(id), max(id) FROM raw.loaded");
    assert_eq!(found.await, [format!("{all}|{all}|0|{}", all - 1)]);
}

/// An upload in parts whose last answer is lost is there, whole.
pub(super) async fn lost_uploads(mut place: Place) {
    let (proxy, server) = behind_a_proxy(&mut place, &[]);
    let database = connect(&server).await;
    for (name, fault) in [("500", Fault::LostBehind(500)), ("reset", Fault::LostByReset)] {
        let mut armed = true;
        proxy.set(move |request| {
            // The request that makes one object of the parts.
            let completes = request.method == "POST" && request.target.contains("uploadId=");
            let strikes = armed && completes;
            armed &= !strikes;
            strikes.then_some(fault)
        });
        proxy.take_seen();
        let url = format!("s3://landing/in/large-{name}.csv");
        let query = "SELECT i, repeat('x', 200) FROM generate_series(1, 90000) AS t(i)";
        execute(&database, &format!("COPY ({query}) TO '{url}' (FORMAT csv)")).await;
        let seen = proxy.take_seen();
        let completed =
            seen.iter().filter(|r| r.method == "POST" && r.target.contains("uploadId=")).count();
        assert!(completed >= 1, "it went up in one piece: nothing was tested");
        proxy.heal();
        execute(&database, &format!("CREATE TABLE raw.large_{name} (i bigint, text text)")).await;
        execute(&database, &format!("COPY raw.large_{name} FROM '{url}' (FORMAT csv)")).await;
        let found = format!("SELECT count(*), sum(i) FROM raw.large_{name}");
        assert_eq!(rows(&database, &found).await, ["90000|4050045000"], "{name}");
    }
}

/// A store that is away: an error that says so, in time, and no half of anything afterwards.
pub(super) async fn a_store_that_is_away(mut place: Place) {
    let (proxy, server) = behind_a_proxy(&mut place, &[]);
    let database = connect(&server).await;
    execute(&database, "CREATE TABLE raw.t (id bigint); INSERT INTO raw.t VALUES (1)").await;
    proxy.set(|_| Some(Fault::Refused(503)));
    let begun = Instant::now();
    execute(&database, "SET statement_timeout = '5s'").await;
    assert_eq!(rows(&database, "SHOW statement_timeout").await, ["5s"]);
    assert!(begun.elapsed() < Duration::from_secs(1), "settings do not ask the store");
    let error = database.client().batch_execute("INSERT INTO raw.t VALUES (2)").await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(90), "{:?}", begun.elapsed());
    assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("57014"), "{error:?}");
    proxy.heal();
    execute(&database, "SET statement_timeout = 0; INSERT INTO raw.t VALUES (3)").await;
    assert_eq!(rows(&database, "SELECT count(*), sum(id) FROM raw.t").await, ["2|4"]);
}

/// Puts an object without the server. The S3 server of the tests takes it unsigned.
pub(super) fn put(address: SocketAddr, path: &str, body: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A small generator (splitmix64) whose seed is told.
struct Random(u64);

impl Random {
    fn new(what: &str) -> Self {
        let seed = tests::setting("TARN_TEST_SEED")
            .map_or_else(|| RandomState::new().hash_one("seed"), |text| text.parse().unwrap());
        tests::note(&format!("stores: {what} has TARN_TEST_SEED={seed}"));
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
