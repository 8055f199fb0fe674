//! Statements that come together are one transaction: those of one text, and those of a pipeline up
//! to its Sync. What PostgreSQL documents in its chapters on the two protocols.

use super::*;

/// A client with an empty table `t`.
async fn client() -> (Arc<Server>, Client) {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    assert_eq!(tags(&client.query("CREATE TABLE t (a bigint)").await), "CZ");
    (server, client)
}

/// The rows of `t` as another session sees them.
async fn rows(server: &Arc<Server>) -> String {
    let mut other = Client::connect(server).await;
    let replies = other.query("SELECT string_agg(a::text, ',' ORDER BY a) FROM t").await;
    let value = replies[1].row().remove(0).unwrap_or_default();
    String::from_utf8(value).unwrap()
}

/// A notice or error's code.
fn codes(replies: &[Reply]) -> Vec<String> {
    let told = replies.iter().filter(|reply| matches!(reply.tag, b'E' | b'N'));
    told.map(|reply| reply.field(b'C').unwrap()).collect()
}

/// Messages that run a statement; the Sync is the caller's.
fn step(text: &str) -> Vec<u8> {
    [parse("", text, &[]), bind("", "", &[], 0), execute("", 0)].concat()
}

#[tokio::test]
async fn an_error_undoes_the_statements_before_it() {
    let (server, mut client) = client().await;
    let text = "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); SELECT * FROM nowhere";
    let replies = client.query(text).await;
    assert_eq!((tags(&replies).as_str(), status(&replies)), ("CCEZ", 'I'));
    assert_eq!(rows(&server).await, "");
    let replies = client.query("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)").await;
    assert_eq!((tags(&replies).as_str(), status(&replies)), ("CCZ", 'I'));
    assert_eq!(rows(&server).await, "1,2");
}

#[tokio::test]
async fn definitions_and_settings_are_undone_as_well() {
    let (server, mut client) = client().await;
    let text = "CREATE TABLE u (a bigint); SET application_name = 'gone'; SELECT * FROM nowhere";
    assert_eq!(tags(&client.query(text).await).replace('S', ""), "CCEZ");
    let replies = client.query("SELECT * FROM u").await;
    assert_eq!(sqlstate(&replies), "42P01");
    assert_eq!(client.query("SHOW application_name").await[1].row(), [Some(Vec::new())]);
    drop(server);
}

#[tokio::test]
async fn a_begin_among_them_keeps_those_before_it_in_its_transaction() {
    let (server, mut client) = client().await;
    let replies = client.query("INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2)").await;
    assert_eq!((tags(&replies).as_str(), status(&replies)), ("CCCZ", 'T'));
    assert_eq!(rows(&server).await, "");
    assert_eq!(status(&client.query("ROLLBACK").await), 'I');
    assert_eq!(rows(&server).await, "");
    let text =
        "INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2); COMMIT; SELECT * FROM no";
    assert_eq!(tags(&client.query(text).await), "CCCCEZ");
    assert_eq!(rows(&server).await, "1,2");
}

#[tokio::test]
async fn a_commit_among_them_keeps_those_before_it_and_warns() {
    let (server, mut client) = client().await;
    let text = "INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2); SELECT * FROM nowhere";
    let replies = client.query(text).await;
    assert_eq!(tags(&replies), "CNCCEZ");
    assert_eq!(codes(&replies), ["25P01", "42P01"]);
    assert_eq!(rows(&server).await, "1");
    let replies =
        client.query("INSERT INTO t VALUES (3); ROLLBACK; INSERT INTO t VALUES (4)").await;
    assert_eq!(tags(&replies), "CNCCZ");
    assert_eq!(rows(&server).await, "1,4");
}

#[tokio::test]
async fn what_needs_a_block_or_no_block_says_so() {
    let (_server, mut client) = client().await;
    assert_eq!(sqlstate(&client.query("SELECT 1; SAVEPOINT s").await), "25P01");
    assert_eq!(sqlstate(&client.query("SELECT 1; DISCARD ALL").await), "25001");
    let view = "CREATE MATERIALIZED VIEW v AS SELECT a FROM t";
    assert_eq!(tags(&client.query(view).await), "CZ");
    let refresh = "REFRESH MATERIALIZED VIEW v";
    assert_eq!(sqlstate(&client.query(&format!("SELECT 1; {refresh}")).await), "25001");
    // Alone it needs no Sync close behind it.
    client.send(&step(refresh)).await;
    client.send(&flush()).await;
    for tag in [b'1', b'2', b'C'] {
        client.expect(tag).await;
    }
    client.send(&sync()).await;
    client.expect(b'Z').await;
    client.assert_usable().await;
}

#[tokio::test]
async fn a_pipeline_is_one_transaction_up_to_its_sync() {
    let (server, mut client) = client().await;
    let [one, two] = ["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"].map(step);
    client.send(&[one.clone(), two.clone(), step("SELECT * FROM nowhere"), sync()].concat()).await;
    let replies = client.until_ready().await;
    assert_eq!((tags(&replies).as_str(), status(&replies)), ("12C12CEZ", 'I'));
    assert_eq!(rows(&server).await, "");
    client.send(&[one, sync(), two, step("SELECT * FROM nowhere"), sync()].concat()).await;
    assert_eq!(tags(&client.until_ready().await), "12CZ");
    assert_eq!(tags(&client.until_ready().await), "12CEZ");
    assert_eq!(rows(&server).await, "1");
}

#[tokio::test]
async fn a_pipeline_is_not_visible_before_its_sync() {
    let (server, mut client) = client().await;
    client.send(&[step("INSERT INTO t VALUES (1)"), flush()].concat()).await;
    for tag in [b'1', b'2', b'C'] {
        client.expect(tag).await;
    }
    assert_eq!(rows(&server).await, "");
    client.send(&sync()).await;
    assert_eq!(status(&client.until_ready().await), 'I');
    assert_eq!(rows(&server).await, "1");
}

#[tokio::test]
async fn a_silent_client_is_told_to_leave_when_its_time_is_over() {
    let server = server().await;
    let mut idle = Client::connect(&server).await;
    idle.query("SET idle_session_timeout = '50ms'").await;
    idle.assert_fatal("57P05").await;
    let mut open = Client::connect(&server).await;
    open.query("CREATE TABLE t (a bigint)").await;
    open.query("SET idle_in_transaction_session_timeout = '50ms'").await;
    // Outside of a transaction it does not count.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(status(&open.query("BEGIN; INSERT INTO t VALUES (1)").await), 'T');
    open.assert_fatal("25P03").await;
    assert_eq!(rows(&server).await, "");
}
