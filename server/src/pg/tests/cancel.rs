//! Stopping statements: by request, because the client left, because the server ends.

use super::*;

const ENDLESS_ROWS: &str = "SELECT value FROM generate_series(1, 1000000000000)";
const ENDLESS_WORK: &str = "SELECT count(*) FROM generate_series(1, 1000000000000)";

/// Sends a cancel with the key that a client was told.
async fn cancel(server: &Arc<Server>, told: &[Reply]) {
    let key = told.iter().find(|reply| reply.tag == b'K').unwrap();
    let mut other = Client::open(server);
    other.send(&startup(80_877_102, &key.body)).await;
    // The server hangs up without a word.
    let mut byte = [0];
    let read = timeout(PATIENCE, other.stream.read(&mut byte)).await.unwrap();
    assert!(matches!(read, Ok(0)));
}

async fn running(server: &Arc<Server>, statements: u64) {
    eventually("the statement runs", || server.metrics.statements.get() == statements).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_without_rows_is_stopped() {
    let server = server().await;
    let (mut client, told) = Client::login(&server).await;
    client.send(&query(ENDLESS_WORK)).await;
    running(&server, 1).await;
    cancel(&server, &told).await;
    assert_eq!(sqlstate(&client.until_ready().await), "57014");
    client.assert_usable().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_nobody_reads_are_stopped_and_leave_whole_messages() {
    let server = server().await;
    let (mut client, told) = Client::login(&server).await;
    client.send(&query(ENDLESS_ROWS)).await;
    running(&server, 1).await;
    // The pipe is full now, in the middle of a row.
    cancel(&server, &told).await;
    let replies = client.until_ready().await;
    assert_eq!(sqlstate(&replies), "57014");
    let rows = replies.iter().filter(|reply| reply.tag == b'D').count();
    assert!((100..1_000_000).contains(&rows), "{rows} rows");
    client.assert_usable().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_fails_the_transaction() {
    let server = server().await;
    let (mut client, told) = Client::login(&server).await;
    client.query("BEGIN").await;
    let batch = [parse("", ENDLESS_WORK, &[]), bind("", "", &[], 0), execute("", 0), sync()];
    client.send(&batch.concat()).await;
    running(&server, 2).await;
    cancel(&server, &told).await;
    let replies = client.until_ready().await;
    assert_eq!((sqlstate(&replies).as_str(), status(&replies)), ("57014", 'E'));
}

#[tokio::test]
async fn a_wrong_key_and_an_idle_session_feel_nothing() {
    let server = server().await;
    let (mut client, mut told) = Client::login(&server).await;
    cancel(&server, &told).await;
    client.assert_usable().await;
    let key = told.iter_mut().find(|reply| reply.tag == b'K').unwrap();
    key.body[5] ^= 1;
    client.send(&query("SELECT value FROM generate_series(1, 100000)")).await;
    cancel(&server, &told).await;
    assert_eq!(client.until_ready().await.len(), 100_003);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_takes_its_query_with_it() {
    let server = server().await;
    for text in [ENDLESS_ROWS, ENDLESS_WORK] {
        let mut client = Client::connect(&server).await;
        let before = server.metrics.statements.get();
        client.send(&query(text)).await;
        running(&server, before + 1).await;
        drop(client);
        eventually("the session ends", || server.metrics.connections.get() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_bytes_wait_in_bounded_memory_while_a_statement_runs() {
    let server = server().await;
    let (mut client, told) = Client::login(&server).await;
    client.send(&query(ENDLESS_WORK)).await;
    running(&server, 1).await;
    // More than the server reads ahead: the rest stays with the client.
    let many = query("SELECT 1").repeat(40_000);
    let all = timeout(Duration::from_millis(200), client.stream.write_all(&many)).await;
    assert!(all.is_err(), "the server took {} bytes", many.len());
    cancel(&server, &told).await;
    assert_eq!(sqlstate(&client.until_ready().await), "57014");
}
