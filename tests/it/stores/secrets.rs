//! Locations and secrets that SQL declares: they work, and the secrets show nowhere.

use std::fs;

use tests::{FaultProxy, TestServer};
use tokio_postgres::error::SqlState;

use super::place::{Place, connect, execute, rows};
use super::weather::put;

const CANARY: &str = "canaryCANARYcanary0123456789";

/// A server that allows SQL to declare locations in `landing`, with a key for secrets.
fn start(place: &Place, key: &str) -> TestServer {
    let roots = ["--location-root", "s3://landing/sql", "--secret-key-file", key, "--log", "debug"];
    place.start(&roots)
}

/// A location that SQL declares is read and written as one of the operator's, by its own keys.
pub(super) async fn locations_of_sql(mut place: Place) {
    let proxy = FaultProxy::start(place.address());
    place.through = Some(proxy.address());
    let folder_of_key = tempfile::tempdir().unwrap();
    let key = folder_of_key.path().join("key");
    fs::write(&key, "0123456789abcdef".repeat(4)).unwrap();
    let key = key.to_str().unwrap();
    let mut server = start(&place, key);
    let database = connect(&server).await;
    put(place.address(), "/landing/sql/a/1.csv", "1,one\n2,two\n");
    execute(&database, "CREATE TABLE raw.t (id bigint, name text)").await;
    let refused =
        database.client().batch_execute("COPY raw.t FROM 's3://landing/sql/a/*.csv'").await;
    assert_eq!(refused.unwrap_err().code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    let declare = format!(
        "CREATE SECRET landing_key AS '{CANARY}'; \
         CREATE LOCATION landing URL 's3://landing/sql' WITH (region = 'us-east-1', \
         access_key_id = 'AKIALANDING', secret_access_key = SECRET landing_key)"
    );
    execute(&database, &declare).await;
    execute(&database, "COPY raw.t FROM 's3://landing/sql/a/*.csv'").await;
    execute(&database, "COPY (SELECT 3, 'three') TO 's3://landing/sql/b/2.csv'").await;
    execute(&database, "COPY raw.t FROM 's3://landing/sql/b/2.csv'").await;
    assert_eq!(rows(&database, "SELECT count(*), sum(id) FROM raw.t").await, ["3|6"]);
    let external = "COPY (SELECT 5 AS id) TO 's3://landing/sql/c/1.parquet' (FORMAT parquet); \
         CREATE EXTERNAL TABLE raw.columns STORED AS parquet LOCATION 's3://landing/sql/c/'; \
         CREATE EXTERNAL TABLE raw.lines (id bigint, name text) STORED AS csv \
         LOCATION 's3://landing/sql/a/'";
    execute(&database, external).await;
    let both = "SELECT c.id, l.name FROM raw.columns AS c, raw.lines AS l WHERE l.id = 2";
    assert_eq!(rows(&database, both).await, ["5|two"]);
    let seen = proxy.take_seen();
    let by_sql =
        seen.iter().filter(|request| request.target.contains("/landing")).collect::<Vec<_>>();
    let own = |authorization: &str| authorization.contains("AKIALANDING");
    assert!(!by_sql.is_empty() && by_sql.iter().all(|r| own(&r.authorization)), "{by_sql:?}");
    assert!(
        seen.iter().any(|request| !own(&request.authorization)),
        "the warehouse has its own keys"
    );

    // What SQL may not do.
    for (sql, code) in [
        ("CREATE LOCATION x URL 's3://landing'", "42501"),
        ("CREATE LOCATION x URL 's3://landing/in'", "42501"),
        ("CREATE LOCATION x URL 's3://landing/sql/../in'", "42501"),
        ("CREATE LOCATION x URL 's3://landing/sql/%2e%2e/in'", "42501"),
        ("CREATE LOCATION x URL 's3://lake/warehouse'", "42501"),
        ("CREATE LOCATION x URL 's3://lake'", "42501"),
        ("CREATE LOCATION x URL 's3://other/sql'", "42501"),
        (
            "CREATE LOCATION x URL 's3://landing/sql/x' WITH (endpoint = 'http://127.0.0.1:1')",
            "22023",
        ),
        (
            "CREATE LOCATION x URL 's3://landing/sql/x' WITH (proxy_url = 'http://127.0.0.1:1')",
            "22023",
        ),
        (
            "CREATE LOCATION x URL 's3://landing/sql/x' WITH (web_identity_token_file = '/etc/passwd')",
            "22023",
        ),
        ("CREATE LOCATION x URL 's3://landing/sql/x' WITH (region = '127.0.0.1/#')", "22023"),
        ("CREATE LOCATION x URL 's3://landing/sql/x' WITH (secret_access_key = 'open')", "22023"),
        (
            "CREATE LOCATION x URL 's3://landing/sql/x' WITH (session_token = SECRET nothing)",
            "42704",
        ),
        ("CREATE SECRET landing_key AS 'other'", "42710"),
        ("DROP SECRET landing_key", "2BP01"),
        ("COPY raw.t FROM 's3://landing/other/1.csv'", "42501"),
        ("COPY (SELECT 1) TO 's3://lake/warehouse/x.csv'", "42501"),
    ] {
        let error = database.client().batch_execute(sql).await.err();
        let error = error.unwrap_or_else(|| panic!("it succeeded: {sql}"));
        assert_eq!(error.code().map(SqlState::code), Some(code), "{sql}: {error:?}");
        assert!(!format!("{error:?}").contains(CANARY), "{error:?}");
    }

    // Nobody sees the secret.
    nothing_shows(&place, &server).await;
    drop(database);
    server.start_again();
    let database = connect(&server).await;
    put(place.address(), "/landing/sql/a/2.csv", "4,four\n");
    execute(&database, "COPY raw.t FROM 's3://landing/sql/a/*.csv'").await;
    assert_eq!(rows(&database, "SELECT count(*), sum(id) FROM raw.t").await, ["4|10"]);
    assert!(!server.log().contains(CANARY), "the log");

    // Another key, and none: the secret cannot be read, which is told, and names no secret.
    let other = folder_of_key.path().join("other");
    fs::write(&other, "f".repeat(64)).unwrap();
    for (server, message) in [
        (start(&place, other.to_str().unwrap()), "it was sealed under another key"),
        (place.start(&["--location-root", "s3://landing/sql"]), "the server has no secret key"),
    ] {
        let database = connect(&server).await;
        let load = database.client().batch_execute("COPY raw.t FROM 's3://landing/sql/a/*.csv'");
        let error = format!("{:?}", load.await.unwrap_err());
        assert!(error.contains(message) && !error.contains(CANARY), "{error}");
    }
    // The operator takes the root away: what SQL declared is worth nothing.
    let server = place.start(&["--secret-key-file", key]);
    let database = connect(&server).await;
    for sql in ["COPY raw.t FROM 's3://landing/sql/a/*.csv'", "SELECT * FROM raw.columns"] {
        let error = database.client().batch_execute(sql).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{sql}");
    }
    execute(&database, "DROP LOCATION landing; DROP SECRET landing_key").await;
}

/// Looks for the secret wherever a client, an operator or a reader of the bucket could.
async fn nothing_shows(place: &Place, server: &TestServer) {
    let database = connect(server).await;
    let client = database.client();
    for sql in
        ["SHOW ALL", "SELECT * FROM pg_stat_activity", "SELECT * FROM pg_prepared_statements"]
    {
        let text = format!("{:?}", client.simple_query(sql).await);
        assert!(!text.contains(CANARY), "{sql}: {text}");
    }
    let relations = "SELECT table_schema || '.' || table_name FROM information_schema.tables";
    let catalogs = "SELECT 'pg_catalog.' || relname FROM pg_class WHERE relnamespace = 11";
    for list in [relations, catalogs] {
        for relation in rows(&database, list).await {
            let text =
                format!("{:?}", client.simple_query(&format!("SELECT * FROM {relation}")).await);
            assert!(!text.contains(CANARY), "{relation}: {text}");
        }
    }
    for sql in [
        format!("EXPLAIN CREATE SECRET x AS '{CANARY}'"),
        format!("CREATE SECRET x '{CANARY}'"),
        format!("CREATE SECRET x AS '{CANARY}' '{CANARY}'"),
        format!("CREATE SECRET landing_key AS '{CANARY}'"),
        format!("PREPARE p AS CREATE SECRET x AS '{CANARY}'"),
    ] {
        let error = format!("{:?}", client.batch_execute(&sql).await.unwrap_err());
        assert!(!error.contains(CANARY), "{error}");
    }
    assert!(!server.log().contains(CANARY), "the log");
    // The catalog's own files, uncompressed by a reader that is not ours.
    match place.read_by_python("_tarn/catalog", &["name", "definition"]) {
        Err(reason) => tests::note(&format!("the catalog was not read: {reason}")),
        Ok(read) => {
            assert!(read.iter().any(|row| row.contains("landing_key")), "{read:?}");
            assert!(!read.iter().any(|row| row.contains(CANARY)), "the catalog");
        }
    }
}
