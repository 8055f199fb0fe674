//! Facts of the Postgres wire that `.slt` files cannot state: the extended protocol, portals,
//! cancellation, COPY streams, what a session keeps after an error. The client is tokio-postgres.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{SinkExt, StreamExt, TryStreamExt};
use libtest_mimic::Trial;
use tests::{PgDatabase, WAIT_MAX};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::shared::Shared;
use crate::trial;

pub(crate) fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![
        with(shared, "prepared_statement_with_parameters", prepared_statement_with_parameters),
        with(shared, "binary_values_of_common_types", binary_values_of_common_types),
        with(shared, "null_parameters_keep_their_place", null_parameters_keep_their_place),
        with(shared, "portal_with_fetch_size", portal_with_fetch_size),
        with(shared, "errors_leave_the_session_usable", errors_leave_the_session_usable),
        with(shared, "failed_transaction_refuses_until_rollback", failed_transaction),
        with(shared, "cancel_stops_a_running_query", cancel_stops_a_running_query),
        with(shared, "copy_in_and_out", copy_in_and_out),
        with(shared, "copy_in_that_fails_leaves_nothing", copy_in_that_fails_leaves_nothing),
        with(shared, "copy_in_given_up_leaves_nothing", copy_in_given_up_leaves_nothing),
        with(shared, "several_statements_in_one_message", several_statements_in_one_message),
        with(shared, "pipelined_statements", pipelined_statements),
        with(shared, "settings_belong_to_a_session", settings_belong_to_a_session),
        with(shared, "oversized_start_is_refused", oversized_start_is_refused),
    ]
}

/// A test that gets two clients of its own.
fn with<T>(shared: &Arc<Shared>, name: &str, test: fn(Two) -> T) -> Trial
where
    T: Future<Output = ()> + 'static,
{
    let shared = Arc::clone(shared);
    let schema = format!("protocol_{name}");
    trial(format!("protocol::{name}"), move || async move {
        let address = shared.tarn(tests::TestServer::pg);
        let first = PgDatabase::connect(address).await.unwrap();
        let second = PgDatabase::connect(address).await.unwrap();
        run(&first, &format!("CREATE SCHEMA {schema}")).await;
        for client in [&first, &second] {
            run(client, &format!("SET search_path = {schema}")).await;
        }
        test(Two { first, second, address }).await;
    })
}

struct Two {
    first: PgDatabase,
    second: PgDatabase,
    address: std::net::SocketAddr,
}

async fn run(database: &PgDatabase, sql: &str) {
    database.client().batch_execute(sql).await.unwrap();
}

async fn count(client: &Client, table: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

fn state(error: &tokio_postgres::Error) -> &str {
    error.code().map_or("no SQLSTATE", SqlState::code)
}

async fn prepared_statement_with_parameters(two: Two) {
    let client = two.first.client();
    run(&two.first, "CREATE TABLE t (a bigint, b text)").await;
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2)").await.unwrap();
    assert_eq!(insert.params(), [Type::INT8, Type::TEXT]);
    assert!(insert.columns().is_empty());
    for (a, b) in [(1_i64, "one"), (2, "two"), (3, "three")] {
        assert_eq!(client.execute(&insert, &[&a, &b]).await.unwrap(), 1);
    }
    let select = client.prepare("SELECT b, a FROM t WHERE a >= $1 ORDER BY a").await.unwrap();
    let columns: Vec<_> = select.columns().iter().map(|one| (one.name(), one.type_())).collect();
    assert_eq!(columns, [("b", &Type::TEXT), ("a", &Type::INT8)]);
    let rows = client.query(&select, &[&2_i64]).await.unwrap();
    let rows: Vec<(&str, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [("two", 2), ("three", 3)]);
}

async fn binary_values_of_common_types(two: Two) {
    let client = two.first.client();
    let sql = "SELECT true, CAST(7 AS smallint), 7, CAST(7 AS bigint), CAST(1.5 AS real), \
               CAST(2.5 AS double precision), 'x', CAST(NULL AS text), CAST('\\x00ff' AS bytea)";
    let row = client.query_one(sql, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0));
    assert_eq!(row.get::<_, i16>(1), 7);
    assert_eq!(row.get::<_, i32>(2), 7);
    assert_eq!(row.get::<_, i64>(3), 7);
    assert_eq!(row.get::<_, f32>(4), 1.5);
    assert_eq!(row.get::<_, f64>(5), 2.5);
    assert_eq!(row.get::<_, &str>(6), "x");
    assert_eq!(row.get::<_, Option<&str>>(7), None);
    assert_eq!(row.get::<_, &[u8]>(8), [0, 255]);
}

async fn null_parameters_keep_their_place(two: Two) {
    let sql = "SELECT CAST($1 AS text), CAST($2 AS bigint), CAST($3 AS text)";
    let absent: Option<&str> = None;
    let row = two.first.client().query_one(sql, &[&absent, &5_i64, &"last"]).await.unwrap();
    assert_eq!(row.get::<_, Option<&str>>(0), None);
    assert_eq!(row.get::<_, i64>(1), 5);
    assert_eq!(row.get::<_, &str>(2), "last");
}

async fn portal_with_fetch_size(two: Two) {
    run(&two.first, "CREATE TABLE t AS SELECT value AS a FROM generate_series(1, 10) AS g(value)")
        .await;
    let (host, port) = (two.address.ip(), two.address.port());
    let parameters = format!("host={host} port={port} user=tarn dbname=tarn");
    let (mut client, connection) = tokio_postgres::connect(&parameters, NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    let transaction = client.transaction().await.unwrap();
    let sql = "SELECT a FROM protocol_portal_with_fetch_size.t ORDER BY a";
    let statement = transaction.prepare(sql).await.unwrap();
    let portal = transaction.bind(&statement, &[]).await.unwrap();
    let mut seen = Vec::new();
    for expected in [4, 4, 2, 0] {
        let rows = transaction.query_portal(&portal, 4).await.unwrap();
        assert_eq!(rows.len(), expected);
        seen.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
    }
    assert_eq!(seen, (1..=10).collect::<Vec<i64>>());
    transaction.rollback().await.unwrap();
}

async fn errors_leave_the_session_usable(two: Two) {
    let client = two.first.client();
    run(&two.first, "CREATE TABLE t (a bigint NOT NULL, CONSTRAINT positive CHECK (a > 0))").await;
    let cases = [
        ("SELEC 1", "42601"),
        ("SELECT 1 +", "42601"),
        ("SELECT * FROM nowhere", "42P01"),
        ("SELECT missing FROM t", "42703"),
        ("SELECT no_such_function(1)", "42883"),
        ("SELECT CAST('x' AS bigint)", "22P02"),
        ("INSERT INTO t VALUES (0)", "23514"),
        ("INSERT INTO t VALUES (NULL)", "23502"),
        ("CREATE TABLE t (a bigint)", "42P07"),
        ("SET no_such_setting = 1", "42704"),
        ("SELECT 1 / 0", "22012"),
        ("LISTEN somewhere", "0A000"),
    ];
    for (sql, expected) in cases {
        let error = client.batch_execute(sql).await.unwrap_err();
        assert_eq!(state(&error), expected, "simple protocol: {sql}: {error:?}");
        let error = client.query(sql, &[]).await.unwrap_err();
        assert_eq!(state(&error), expected, "extended protocol: {sql}: {error:?}");
        let row = client.query_one("SELECT CAST(1 AS integer)", &[]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), 1, "after {sql}");
    }
    assert_eq!(count(client, "t").await, 0);
}

async fn failed_transaction(two: Two) {
    let client = two.first.client();
    run(&two.first, "CREATE TABLE t (a bigint)").await;
    run(&two.first, "BEGIN; INSERT INTO t VALUES (1)").await;
    client.batch_execute("SELECT * FROM nowhere").await.unwrap_err();
    let error = client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap_err();
    assert_eq!(state(&error), "25P02");
    // In a failed transaction COMMIT rolls back.
    run(&two.first, "COMMIT").await;
    assert_eq!(count(client, "t").await, 0);
    assert_eq!(count(two.second.client(), "t").await, 0);
}

async fn cancel_stops_a_running_query(two: Two) {
    let client = two.first.client();
    let token = client.cancel_token();
    let started = Instant::now();
    let long = "SELECT count(*) FROM generate_series(1, 100000000) AS a(x), generate_series(1, 1000) AS b(y) \
                WHERE (x * y) % 7 = 3";
    let mut query = pin!(client.batch_execute(long));
    let early = tokio::time::timeout(Duration::from_millis(500), &mut query).await;
    assert!(early.is_err(), "the query ended on its own: {early:?}");
    token.cancel_query(NoTls).await.unwrap();
    let answer = tokio::time::timeout(WAIT_MAX, query).await.expect("the query did not stop");
    assert_eq!(state(&answer.unwrap_err()), "57014");
    assert!(started.elapsed() < Duration::from_secs(10), "it took {:?}", started.elapsed());
    assert_eq!(
        client.query_one("SELECT CAST(1 AS integer)", &[]).await.unwrap().get::<_, i32>(0),
        1
    );
}

async fn copy_in_and_out(two: Two) {
    let client = two.first.client();
    run(&two.first, "CREATE TABLE t (a bigint, b text)").await;
    let sink = client.copy_in("COPY t FROM STDIN WITH (FORMAT csv)").await.unwrap();
    let mut sink = pin!(sink);
    // Cut in the middle of a record, of a quoted field and of a letter of two bytes.
    let text = "1,plain\n2,\"quoted, \u{e4}\"\n3,\n4,\"\"\n".as_bytes();
    for piece in text.chunks(3) {
        sink.send(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 4);
    let out = client.copy_out("COPY (SELECT * FROM t ORDER BY a) TO STDOUT").await.unwrap();
    let bytes: Vec<Bytes> = out.try_collect().await.unwrap();
    let text = String::from_utf8(bytes.concat()).unwrap();
    assert_eq!(text, "1\tplain\n2\tquoted, \u{e4}\n3\t\\N\n4\t\n");
}

async fn copy_in_that_fails_leaves_nothing(two: Two) {
    let client = two.first.client();
    run(&two.first, "CREATE TABLE t (a bigint)").await;
    let mut sink =
        pin!(client.copy_in::<_, Bytes>("COPY t FROM STDIN WITH (FORMAT csv)").await.unwrap());
    sink.send(Bytes::from_static(b"1\n2\nthree\n4\n")).await.unwrap();
    let error = sink.finish().await.unwrap_err();
    assert_eq!(state(&error), "22P02", "{error:?}");
    assert_eq!(count(client, "t").await, 0);
}

async fn copy_in_given_up_leaves_nothing(two: Two) {
    let client = two.first.client();
    run(&two.first, "CREATE TABLE t (a bigint)").await;
    {
        let mut sink =
            pin!(client.copy_in::<_, Bytes>("COPY t FROM STDIN WITH (FORMAT csv)").await.unwrap());
        sink.send(Bytes::from_static(b"1\n2\n")).await.unwrap();
        sink.flush().await.unwrap();
        // Dropping it without `finish` sends CopyFail.
    }
    assert_eq!(count(client, "t").await, 0);
}

async fn several_statements_in_one_message(two: Two) {
    let client = two.first.client();
    let sql = "CREATE TABLE t (a bigint); INSERT INTO t VALUES (1), (2); SELECT a FROM t ORDER BY a; SELECT 'x'";
    let messages = client.simple_query(sql).await.unwrap();
    let value = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(ToOwned::to_owned),
        _ => None,
    };
    let values: Vec<String> = messages.iter().filter_map(value).collect();
    assert_eq!(values, ["1", "2", "x"]);
    // As in PostgreSQL, the statements of one message are one transaction: the insert is undone.
    let sql = "INSERT INTO t VALUES (3); SELECT * FROM nowhere; INSERT INTO t VALUES (4)";
    let error = client.simple_query(sql).await.unwrap_err();
    assert_eq!(state(&error), "42P01");
    assert_eq!(count(client, "t").await, 2);
}

async fn pipelined_statements(two: Two) {
    let client = two.first.client();
    let ask = |number: i32| async move {
        let row = client.query_one("SELECT CAST($1 AS integer) * 2", &[&number]).await.unwrap();
        row.get::<_, i32>(0)
    };
    let answers: Vec<i32> = futures::stream::iter(0..50).map(ask).buffered(50).collect().await;
    assert_eq!(answers, (0..50).map(|number| number * 2).collect::<Vec<_>>());
}

async fn settings_belong_to_a_session(two: Two) {
    run(&two.first, "SET TimeZone = 'Europe/Berlin'").await;
    let shown = |client: PgDatabase| async move {
        let sql = "SELECT CAST(TIMESTAMPTZ '2024-06-01 00:00:00+00' AS text)";
        client.client().query_one(sql, &[]).await.unwrap().get::<_, String>(0)
    };
    assert_eq!(shown(two.first).await, "2024-06-01 02:00:00+02");
    assert_eq!(shown(two.second).await, "2024-06-01 00:00:00+00");
}

/// Whoever has not logged in may not make the server hold a large message.
async fn oversized_start_is_refused(two: Two) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(two.address).await.unwrap();
    let announced = 512_u32 * 1024 * 1024;
    stream.write_all(&announced.to_be_bytes()).await.unwrap();
    stream.write_all(&0x0003_0000_u32.to_be_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(WAIT_MAX, stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection stays open");
    assert!(answer.is_empty() || answer[0] == b'E', "unexpected answer: {answer:?}");
}
