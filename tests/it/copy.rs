//! COPY compared with a real PostgreSQL, byte for byte, and files that are loaded at the same time.

use std::fs;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{SinkExt, TryStreamExt};
use libtest_mimic::{Completion, Failed, Trial};
use tests::{PgDatabase, SqlError, components};

use crate::shared::Shared;
use crate::{run, skipped, trial};

/// Types that both know under the same name, and values in the form of a COPY.
const COLUMNS: [(&str, [&str; 5]); 19] = [
    ("smallint", ["0", "-32768", "32767", "7", "1"]),
    ("integer", ["0", "-2147483648", "2147483647", "7", "1"]),
    ("bigint", ["0", "-9223372036854775808", "9223372036854775807", "7", "1"]),
    ("real", ["0", "-0", "3.4028235e+38", "1e-45", "NaN"]),
    ("double precision", ["0.1", "-Infinity", "1.7976931348623157e+308", "5e-324", "1e+16"]),
    ("numeric(20,4)", ["0", "-1234567890123456.7891", "0.0001", "12", "99.9"]),
    ("boolean", ["t", "f", "true", "no", "1"]),
    ("text", ["plain", "", "tab\\tline\\nreturn\\rback\\\\slash", "\\\\.", "\"quoted\", 'so'"]),
    ("varchar(10)", ["ten", "", "abcdefghij", " ", "Zürich ☃"]),
    ("bytea", ["\\\\x", "\\\\x00ff", "\\\\xdeadbeef", "\\\\x5c", "\\\\x0a0d09"]),
    ("date", ["1970-01-01", "0001-01-01", "9999-12-31", "2000-02-29", "1582-10-15"]),
    (
        "timestamp",
        [
            "1970-01-01 00:00:00",
            "2024-02-29 23:59:59.999999",
            "0001-01-01 00:00:00",
            "2024-06-01 12:00:00.5",
            "9999-12-31 00:00:00",
        ],
    ),
    (
        "timestamptz",
        [
            "1970-01-01 00:00:00+00",
            "2024-03-31 01:30:00+00",
            "2024-10-27 01:30:00.25+00",
            "1890-01-01 00:00:00+00",
            "2024-06-01 12:00:00+05:30",
        ],
    ),
    ("time", ["00:00:00", "23:59:59.999999", "12:30:00.5", "01:02:03", "11:11:11.000001"]),
    (
        "uuid",
        [
            "00000000-0000-0000-0000-000000000000",
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ],
    ),
    ("json", ["{\"a\" : [1, 2]}", "null", "\"text\"", "[]", "1.50"]),
    ("jsonb", ["{\"b\" : 1, \"a\": [1,2]}", "null", "\"text\"", "[]", "1.50"]),
    ("integer[]", ["{}", "{1,2,3}", "{NULL,-1}", "{7}", "{0,0}"]),
    (
        "text[]",
        ["{}", "{a,\"b c\"}", "{NULL,\"NULL\"}", "{\"\"}", "{\"with \\\\\"quotes\\\\\"\",\"a,b\"}"],
    ),
];

/// Ways to write them: the text format and csv, each as it comes and with options.
const FORMS: [&str; 5] = [
    "",
    "(DELIMITER '|', NULL 'none')",
    "(FORMAT csv)",
    "(FORMAT csv, HEADER, FORCE_QUOTE *)",
    "(FORMAT csv, DELIMITER ';', NULL '-', QUOTE '''', ESCAPE '!')",
];

pub(crate) fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    let (oracle, concurrent) = (Arc::clone(shared), Arc::clone(shared));
    vec![
        Trial::ignorable_test("copy::every_type_is_written_as_postgresql_writes_it", move || {
            if !components::has_postgresql() {
                return Ok(skipped("PostgreSQL is not installed"));
            }
            run(every_type(&oracle))
        }),
        trial("copy::files_loaded_at_the_same_time_are_loaded_once", move || async move {
            loaded_at_the_same_time(&concurrent).await;
        }),
    ]
}

async fn every_type(shared: &Shared) -> Result<Completion, Failed> {
    let theirs = PgDatabase::connect_as(shared.oracle()?, "postgres", "postgres").await?;
    let ours = PgDatabase::connect(shared.tarn(tests::TestServer::pg)).await?;
    for database in [&ours, &theirs] {
        fill(database).await?;
    }
    let mut wrong = Vec::new();
    for zone in ["UTC", "Europe/Berlin", "America/New_York"] {
        for database in [&ours, &theirs] {
            database.client().batch_execute(&format!("SET TimeZone = '{zone}'")).await?;
        }
        for form in FORMS {
            wrong.extend(differences(&ours, &theirs, form).await?);
        }
    }
    wrong.extend(differences(&ours, &theirs, "(FORMAT binary)").await?);
    // What they wrote in binary is read as what it was.
    let binary = messages(&theirs, "COPY t TO STDOUT (FORMAT binary)").await?.concat();
    ours.client().batch_execute("TRUNCATE t").await?;
    send(&ours, "COPY t FROM STDIN (FORMAT binary)", &binary).await?;
    wrong.extend(differences(&ours, &theirs, "").await?);
    if wrong.is_empty() { Ok(Completion::Completed) } else { Err(wrong.join("\n").into()) }
}

/// A table with a column of each type, and a row of NULLs after the values.
async fn fill(database: &PgDatabase) -> Result<(), SqlError> {
    let columns = COLUMNS.iter().enumerate().map(|(nth, (name, _))| format!("c{nth} {name}"));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let create = format!(
        "CREATE SCHEMA copied; SET search_path = copied; CREATE TABLE t (n integer, {columns})"
    );
    database.client().batch_execute(&create).await?;
    let mut lines = String::new();
    for row in 0..5 {
        let values: Vec<&str> = COLUMNS.iter().map(|(_, values)| values[row]).collect();
        lines += &format!("{row}\t{}\n", values.join("\t"));
    }
    lines += &format!("5{}\n", "\t\\N".repeat(COLUMNS.len()));
    send(database, "COPY t FROM STDIN", lines.as_bytes()).await
}

async fn send(database: &PgDatabase, sql: &str, bytes: &[u8]) -> Result<(), SqlError> {
    let mut sink = pin!(database.client().copy_in(sql).await?);
    for piece in bytes.chunks(100) {
        sink.send(Bytes::copy_from_slice(piece)).await?;
    }
    assert_eq!(sink.finish().await?, 6);
    Ok(())
}

/// Columns that the two do not write alike.
async fn differences(
    ours: &PgDatabase,
    theirs: &PgDatabase,
    form: &str,
) -> Result<Vec<String>, SqlError> {
    let mut wrong = Vec::new();
    for (nth, (name, _)) in COLUMNS.iter().enumerate() {
        let sql = format!("COPY (SELECT c{nth}, n FROM t ORDER BY n) TO STDOUT {form}");
        let (ours, theirs) = (messages(ours, &sql).await?, messages(theirs, &sql).await?);
        if ours != theirs {
            wrong.push(format!("{name} {form}:\n  {ours:?}\n  {theirs:?}"));
        }
    }
    Ok(wrong)
}

/// The messages of a COPY TO STDOUT, one for each row.
async fn messages(database: &PgDatabase, sql: &str) -> Result<Vec<Bytes>, SqlError> {
    Ok(database.client().copy_out(sql).await?.try_collect().await?)
}

async fn loaded_at_the_same_time(shared: &Shared) {
    const CLIENTS: usize = 8;
    const FILES: usize = 5;
    let (address, folder) = shared.tarn(|tarn| (tarn.pg(), tarn.files().join("at_once")));
    fs::create_dir_all(&folder).unwrap();
    for file in 0..FILES {
        let rows: String = (0..100).map(|row| format!("{file},{row}\n")).collect();
        fs::write(folder.join(format!("{file}.csv")), rows).unwrap();
    }
    let setup = PgDatabase::connect(address).await.unwrap();
    let create = "CREATE SCHEMA at_once; CREATE TABLE at_once.t (file bigint, n bigint)";
    setup.client().batch_execute(create).await.unwrap();
    let loads = (0..CLIENTS).map(|nth| {
        // Their files overlap, and are not the same.
        let pattern = if nth % 2 == 0 { "*" } else { "[0-2]" };
        let sql = format!("COPY at_once.t FROM '{}/{pattern}.csv'", folder.display());
        tokio::spawn(async move {
            let client = PgDatabase::connect(address).await.unwrap();
            client.client().execute(&sql, &[]).await.unwrap()
        })
    });
    let mut loaded = 0;
    for load in loads.collect::<Vec<_>>() {
        loaded += load.await.unwrap();
    }
    assert_eq!(loaded, 100 * FILES as u64);
    let sql = "SELECT count(*), count(DISTINCT file * 1000 + n) FROM at_once.t";
    let row = setup.client().query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (500, 500));
}
