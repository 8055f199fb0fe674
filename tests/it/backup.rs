//! `tarn backup`, `tarn restore` and `tarn check`: what was acknowledged before a backup is in it, whole
//! transactions alone, while writers go on; and what is damaged is found.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use libtest_mimic::Trial;
use tests::{PgDatabase, TestServer};

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("backup::a_backup_beside_writers_is_whole", beside_writers),
        trial("backup::what_cannot_be_backed_up_or_restored_says_so", refused),
        trial("backup::a_check_finds_what_is_damaged", damaged),
    ]
}

/// Runs the binary beside what else the test does.
async fn tarn(arguments: &[&str]) -> Output {
    let mut command = Command::new(tests::binary());
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// What a command said, which must have done its work.
async fn done(arguments: &[&str]) -> String {
    let output = tarn(arguments).await;
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out.into_owned()
}

async fn failed(arguments: &[&str]) -> String {
    let output = tarn(arguments).await;
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "{arguments:?} did not fail: {out}");
    format!("{out}{err}")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn execute(database: &PgDatabase, sql: &str) {
    database.client().batch_execute(sql).await.unwrap();
}

async fn number(database: &PgDatabase, sql: &str) -> i64 {
    database.client().query_one(sql, &[]).await.unwrap().get(0)
}

/// Puts the same number into two tables, in one transaction each time, until told to stop.
async fn write(address: SocketAddr, stop: Arc<AtomicBool>, acknowledged: Arc<AtomicI64>) {
    let database = PgDatabase::connect(address).await.unwrap();
    for number in 1.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let both = format!("INSERT INTO one VALUES ({number}); INSERT INTO two VALUES ({number})");
        execute(&database, &format!("BEGIN; {both}; COMMIT")).await;
        acknowledged.store(number, Ordering::Relaxed);
    }
}

async fn beside_writers() {
    let server = TestServer::start();
    let database = PgDatabase::connect(server.pg()).await.unwrap();
    for sql in [
        "CREATE TABLE one (n bigint); CREATE TABLE two (n bigint); CREATE TABLE old (n bigint)",
        "INSERT INTO old VALUES (1), (2), (3)",
        "CREATE SNAPSHOT before",
        "DELETE FROM old WHERE n > 1",
        "CREATE MATERIALIZED VIEW sums AS SELECT sum(n) AS n FROM old",
    ] {
        execute(&database, sql).await;
    }
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
    let writing = tokio::spawn(write(server.pg(), Arc::clone(&stop), Arc::clone(&acknowledged)));
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    let mut copied = Vec::new();
    for round in 0..3 {
        let before = acknowledged.load(Ordering::Relaxed);
        let warehouse = server.warehouse();
        let told = done(&["backup", "--warehouse", text(&warehouse), "--to", text(&backup)]).await;
        let restored = folder.path().join(format!("restored-{round}"));
        done(&["restore", "--from", text(&backup), "--warehouse", text(&restored)]).await;
        done(&["check", "--deep", "--warehouse", text(&restored)]).await;
        copied.push(told);
        let copy = TestServer::start_on(text(&restored), &[], &[]);
        let database = PgDatabase::connect(copy.pg()).await.unwrap();
        let rows = number(&database, "SELECT count(*) FROM one").await;
        let both = "SELECT count(*) FROM (SELECT n FROM one EXCEPT SELECT n FROM two \
             UNION ALL (SELECT n FROM two EXCEPT SELECT n FROM one)) AS of_one_alone";
        assert_eq!(number(&database, both).await, 0, "a transaction is there in part");
        assert_eq!(number(&database, "SELECT count(DISTINCT n) FROM two").await, rows);
        assert!(rows >= before, "{rows} rows of {before} that were acknowledged before");
        let pinned = "SELECT sum(n)::bigint FROM old AS OF SNAPSHOT before";
        assert_eq!(number(&database, pinned).await, 6);
        assert_eq!(number(&database, "SELECT sum(n)::bigint FROM old").await, 1);
        assert_eq!(number(&database, "SELECT n::bigint FROM sums").await, 1);
        // It is a warehouse as any other.
        execute(&database, "INSERT INTO one VALUES (-1)").await;
        execute(&database, "REFRESH MATERIALIZED VIEW sums").await;
        assert_eq!(number(&database, "SELECT count(*) FROM one").await, rows + 1);
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    assert!(acknowledged.load(Ordering::Relaxed) > 10, "nothing was written meanwhile");
    assert!(copied[2].contains("were there already"), "{copied:?}");
    assert!(!copied[2].contains("; 0 were there already"), "all was copied again: {copied:?}");
}

async fn refused() {
    let (server, other) = (TestServer::start(), TestServer::start());
    for server in [&server, &other] {
        let database = PgDatabase::connect(server.pg()).await.unwrap();
        execute(&database, "CREATE TABLE t (n bigint); INSERT INTO t VALUES (1)").await;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| -> PathBuf { folder.path().join(name) };
    let (warehouse, backup) = (server.warehouse(), place("backup"));
    let warehouse = text(&warehouse);
    done(&["backup", "--warehouse", warehouse, "--to", text(&backup)]).await;

    let others = other.warehouse();
    let error = failed(&["backup", "--warehouse", text(&others), "--to", text(&backup)]).await;
    assert!(error.contains("backup of another warehouse"), "{error}");
    let inside = server.warehouse().join("backup");
    let error = failed(&["backup", "--warehouse", warehouse, "--to", text(&inside)]).await;
    assert!(error.contains("overlaps"), "{error}");
    fs::create_dir(place("full")).unwrap();
    fs::write(place("full").join("letter"), "dear").unwrap();
    let full = place("full");
    let error = failed(&["backup", "--warehouse", warehouse, "--to", text(&full)]).await;
    assert!(error.contains("not empty"), "{error}");
    let error = failed(&["backup", "--warehouse", text(&full), "--to", text(&place("b2"))]).await;
    assert!(error.contains("there is no warehouse"), "{error}");

    let error = failed(&["restore", "--from", text(&backup), "--warehouse", text(&others)]).await;
    assert!(error.contains("not empty"), "{error}");
    let error =
        failed(&["restore", "--from", text(&full), "--warehouse", text(&place("new"))]).await;
    assert!(error.contains("no whole backup"), "{error}");
    let error = failed(&["check", "--warehouse", text(&full)]).await;
    assert!(error.contains("there is no warehouse"), "{error}");
    // Both go on.
    let database = PgDatabase::connect(server.pg()).await.unwrap();
    assert_eq!(number(&database, "SELECT count(*) FROM t").await, 1);
}

async fn damaged() {
    let server = TestServer::start();
    let database = PgDatabase::connect(server.pg()).await.unwrap();
    execute(
        &database,
        "CREATE TABLE cut (n bigint); CREATE TABLE gone (n bigint); CREATE TABLE hole (n bigint); \
         CREATE TABLE bytes (n bigint); CREATE TABLE fine (n bigint)",
    )
    .await;
    let mut places = Vec::new();
    for table in ["cut", "gone", "hole", "bytes", "fine"] {
        for n in 0..3 {
            execute(&database, &format!("INSERT INTO {table} VALUES ({n})")).await;
        }
        let path = format!("SELECT path FROM tarn.tables WHERE table_name = '{table}'");
        let path: String = database.client().query_one(&path, &[]).await.unwrap().get(0);
        places.push(server.warehouse().join(path));
    }
    let warehouse = server.warehouse();
    let told = done(&["check", "--deep", "--warehouse", text(&warehouse)]).await;
    assert!(told.contains("checked 6 tables"), "{told}");

    let data = |place: &Path| {
        let mut files: Vec<PathBuf> =
            fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "parquet"));
        files.sort();
        files
    };
    let [cut, gone, hole, bytes, _] = &places[..] else { panic!("five tables") };
    let file = &data(cut)[0];
    let whole = fs::read(file).unwrap();
    fs::write(file, &whole[..whole.len() - 1]).unwrap();
    fs::remove_file(&data(gone)[1]).unwrap();
    fs::remove_file(hole.join("_delta_log/00000000000000000002.json")).unwrap();
    let flipped = &data(bytes)[2];
    let mut whole = fs::read(flipped).unwrap();
    whole[10] ^= 0xff;
    whole[20] ^= 0xff;
    fs::write(flipped, whole).unwrap();

    let told = failed(&["check", "--warehouse", text(&warehouse)]).await;
    for (table, what) in
        [("cut", "bytes, not"), ("gone", "is missing"), ("hole", "entry 2 is missing")]
    {
        let found =
            told.lines().any(|line| line.contains(&format!(".{table}: ")) && line.contains(what));
        assert!(found, "{table} {what}: {told}");
    }
    assert!(!told.contains(".fine: ") && !told.contains(".bytes: "), "{told}");
    assert!(told.contains("3 problems"), "{told}");
    let deep = failed(&["check", "--deep", "--warehouse", text(&warehouse)]).await;
    assert!(deep.contains(".bytes: ") && !deep.contains(".fine: "), "{deep}");
}
