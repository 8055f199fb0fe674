//! A table's life on an object store, and two servers that share it.

use std::fmt::Write;
use std::pin::pin;

use bytes::Bytes;
use futures::SinkExt;
use tests::{PgDatabase, WAIT_MAX};

use super::place::{Place, connect, execute, folder, rows};

const COPIED: i64 = 10_000;
const SUMMARY: &str = "SELECT count(*), sum(id), min(name), max(amount) FROM raw.sales";
const ALL: &str = "SELECT id, name, amount FROM raw.sales ORDER BY id";

/// Create, load, change, travel in time, restart; what comes out is the same each time.
pub(super) async fn tell(place: Place) {
    let mut server = place.start(&[]);
    let database = connect(&server).await;
    execute(
        &database,
        "CREATE TABLE raw.sales (id bigint NOT NULL, name text, amount numeric(12,2))",
    )
    .await;
    copy_in(&database).await;
    execute(&database, "INSERT INTO raw.sales VALUES (10001, 'last', 3.50), (10002, NULL, NULL)")
        .await;
    let before = rows(&database, SUMMARY).await;
    assert_eq!(before, ["10002|50025003|last|5000.00"]);
    execute(&database, "UPDATE raw.sales SET name = 'changed' WHERE id <= 10").await;
    execute(&database, "DELETE FROM raw.sales WHERE id % 2 = 0").await;
    let after = rows(&database, SUMMARY).await;
    assert_eq!(after, ["5001|25010001|changed|4999.50"]);
    let versions = rows(&database, "SELECT count(*) FROM raw.sales VERSION AS OF 2").await;
    assert_eq!(versions, ["10002"]);

    // Files beside the warehouse: written, found by a pattern, loaded once.
    let out = place.url("landing", "in/part-1.parquet");
    execute(&database, &format!("COPY (SELECT id, name, amount FROM raw.sales) TO '{out}'")).await;
    execute(&database, "CREATE TABLE raw.again (id bigint, name text, amount numeric(12,2))").await;
    let load = format!("COPY raw.again FROM '{}'", place.url("landing", "in/*.parquet"));
    for _ in 0..2 {
        execute(&database, &load).await;
    }
    assert_eq!(rows(&database, "SELECT count(*), sum(id) FROM raw.again").await, ["5001|25010001"]);

    // A transaction that is undone, one that is not, and a name that moves.
    execute(&database, "BEGIN; DELETE FROM raw.again; ROLLBACK").await;
    execute(&database, "BEGIN; DROP TABLE raw.again; CREATE SCHEMA staging; COMMIT").await;
    execute(
        &database,
        "ALTER TABLE raw.sales RENAME TO sold; ALTER TABLE raw.sold RENAME TO sales",
    )
    .await;
    if !place.is_durable() {
        return;
    }
    let all = rows(&database, ALL).await;
    let folder = folder(&database, "raw.sales").await;
    drop(database);

    server.start_again();
    let database = connect(&server).await;
    assert_eq!(rows(&database, ALL).await, all);
    let versions = rows(&database, "SELECT count(*) FROM raw.sales VERSION AS OF 2").await;
    assert_eq!(versions, ["10002"]);
    match place.read_by_python(&folder, &["id", "name", "amount"]) {
        Err(reason) => tests::note(&format!("not read by deltalake: {reason}")),
        Ok(read) => {
            let mut ours: Vec<String> = all.iter().map(|row| as_json(row)).collect();
            ours.sort();
            let mut read = read;
            read.sort();
            assert_eq!(read, ours);
        }
    }
}

/// A row as `read_table.py` prints it.
fn as_json(row: &str) -> String {
    let values: Vec<Option<&str>> =
        row.split('|').map(|value| (value != "NULL").then_some(value)).collect();
    let texts: Vec<String> = values
        .iter()
        .map(|value| value.map_or_else(|| "null".to_owned(), |text| format!("\"{text}\"")))
        .collect();
    format!("[{}]", texts.join(", "))
}

async fn copy_in(database: &PgDatabase) {
    let mut sink =
        pin!(database.client().copy_in("COPY raw.sales FROM STDIN (FORMAT csv)").await.unwrap());
    let mut text = String::new();
    for id in 1..=COPIED {
        writeln!(text, "{id},name {id},{}.{}0", id / 2, id % 2 * 5).unwrap();
    }
    sink.send(Bytes::from(text)).await.unwrap();
    assert_eq!(sink.finish().await.unwrap(), u64::try_from(COPIED).unwrap());
}

/// What one server commits, the other sees; a name that both create is one's.
pub(super) async fn two_servers(place: Place) {
    let (one, other) = (place.start(&[]), place.start(&[]));
    let (one, other) = (connect(&one).await, connect(&other).await);
    execute(&one, "CREATE TABLE raw.shared (id bigint); INSERT INTO raw.shared VALUES (1), (2)")
        .await;
    // A name that is not known is looked up before it is called unknown.
    execute(&other, "INSERT INTO raw.shared VALUES (3)").await;
    let deadline = std::time::Instant::now() + WAIT_MAX;
    while rows(&one, "SELECT sum(id) FROM raw.shared").await != ["6"] {
        assert!(std::time::Instant::now() < deadline, "the other server's row does not come");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let create = "CREATE TABLE raw.contested (id bigint)";
    let (first, second) =
        tokio::join!(one.client().batch_execute(create), other.client().batch_execute(create));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    let error = first.err().or_else(|| second.err()).unwrap();
    let code = error.code().unwrap().code();
    assert!(["42P07", "40001"].contains(&code), "{error:?}");
    execute(&one, "UPDATE raw.shared SET id = id + 10").await;
    execute(&other, "SELECT 1").await;
    execute(&other, "DELETE FROM raw.shared WHERE id = 11").await;
}
