//! Connections from first to last: limits before and after login, the server's end, panics.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::*;

const VERSION: u32 = 3 << 16;
const TLS: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

#[tokio::test]
async fn encryption_is_declined_and_the_client_may_go_on() {
    let mut client = Client::open(&server().await);
    for code in [GSS, TLS] {
        client.send(&startup(code, b"")).await;
        let mut answer = [0];
        timeout(PATIENCE, client.stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer, [b'N']);
    }
    client.send(&startup(VERSION, b"user\0ann\0\0")).await;
    assert_eq!(status(&client.until_ready().await), 'I');
    client.assert_usable().await;
}

#[tokio::test]
async fn bytes_smuggled_behind_an_encryption_request_end_the_connection() {
    let mut client = Client::open(&server().await);
    let injected = [startup(VERSION, b"user\0mallory\0\0"), query("SELECT 1")].concat();
    client.send(&[startup(TLS, b""), injected].concat()).await;
    client.assert_fatal("08P01").await;
}

#[tokio::test]
async fn a_long_start_is_refused_at_its_length() {
    for first in [&[0, 0, 0x27, 0x11][..], b"\x16\x03\x01\x02", b"GET ", &[0, 0, 0, 4]] {
        let mut client = Client::open(&server().await);
        client.send(first).await;
        client.assert_fatal("08P01").await;
    }
}

#[tokio::test]
async fn a_client_that_dawdles_is_shown_the_door() {
    let server =
        server_with(|limits| limits.authentication_timeout = Duration::from_millis(30)).await;
    let mut client = Client::open(&server);
    client.send(&[0, 0, 0]).await;
    client.assert_fatal("08006").await;
    eventually("the connection is gone", || server.metrics.connections.get() == 0).await;
}

#[tokio::test]
async fn one_session_too_many_is_told_so_and_a_free_place_is_free() {
    let server = server_with(|limits| limits.sessions_max = 2).await;
    let (first, mut second) = (Client::connect(&server).await, Client::connect(&server).await);
    let mut third = Client::open(&server);
    third.send(&startup(VERSION, b"user\0ann\0\0")).await;
    third.assert_fatal("53300").await;
    second.assert_usable().await;
    drop(first);
    eventually("a place is free", || server.metrics.sessions.get() == 1).await;
    Client::connect(&server).await.assert_usable().await;
}

#[tokio::test]
async fn a_setting_that_does_not_exist_keeps_a_client_out() {
    let mut client = Client::open(&server().await);
    client.send(&startup(VERSION, b"user\0ann\0serch_path\0x\0\0")).await;
    client.assert_fatal("42704").await;
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_the_session_before_it_is_read() {
    let mut client = Client::connect(&server().await).await;
    client.send(&[b'Q', 0x3f, 0xff, 0xff, 0xff]).await;
    client.assert_fatal("54000").await;
}

#[tokio::test]
async fn an_unknown_message_ends_the_session() {
    let mut client = Client::connect(&server().await).await;
    client.send(&message(b'?', b"")).await;
    client.assert_fatal("08P01").await;
}

#[tokio::test]
async fn a_message_cut_in_half_ends_quietly() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    client.send(&query("SELECT 1")[..7]).await;
    drop(client);
    eventually("the session ends", || server.metrics.connections.get() == 0).await;
}

#[tokio::test]
async fn a_server_that_stops_ends_idle_sessions_and_lets_transactions_finish() {
    let server = server().await;
    let mut idle = Client::connect(&server).await;
    let mut busy = Client::connect(&server).await;
    let mut undecided = Client::open(&server);
    busy.query("BEGIN").await;
    let draining = tokio::spawn({
        let shutdown = server.shutdown.clone();
        async move { shutdown.drain(PATIENCE).await }
    });
    idle.assert_fatal("57P01").await;
    undecided.assert_fatal("57P01").await;
    busy.assert_usable_in_transaction().await;
    assert!(!draining.is_finished());
    busy.send(&query("COMMIT")).await;
    assert_eq!(tags(&busy.until_ready().await), "CZ");
    busy.assert_fatal("57P01").await;
    assert!(timeout(PATIENCE, draining).await.unwrap().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_that_takes_too_long_stops_statements() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    client.send(&query("SELECT count(*) FROM generate_series(1, 1000000000000)")).await;
    eventually("the statement runs", || server.metrics.statements.get() == 1).await;
    let finished = timeout(PATIENCE, server.shutdown.drain(Duration::from_millis(50))).await;
    assert!(!finished.unwrap());
    client.expect(b'T').await;
    client.assert_fatal("57P01").await;
}

impl Client {
    async fn assert_usable_in_transaction(&mut self) {
        let replies = self.query("SELECT 1").await;
        assert_eq!((tags(&replies).as_str(), status(&replies)), ("TDCZ", 'T'));
    }
}

/// An output that counts how often it is written to, and panics at a certain word, once.
struct Watched<W> {
    output: W,
    armed: bool,
    writes: Arc<AtomicUsize>,
}

impl<W: AsyncWrite + Unpin + Send> AsyncWrite for Watched<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.armed && bytes.windows(8).any(|part| part == b"gunpower") {
            self.armed = false;
            panic!("asked for");
        }
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.output).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_shutdown(context)
    }
}

/// A client whose answers pass through a [`Watched`] output, and the session's task.
async fn watched(server: &Arc<Server>) -> (Client, tokio::task::JoinHandle<()>, Arc<AtomicUsize>) {
    let (stream, far) = tokio::io::duplex(PIPE_BYTES);
    let (input, output) = tokio::io::split(far);
    let writes = Arc::new(AtomicUsize::new(0));
    let output = Watched { output, armed: true, writes: Arc::clone(&writes) };
    let session = tokio::spawn(Arc::clone(server).connection(input, output, None));
    let mut client = Client { stream };
    client.send(&startup(VERSION, b"user\0ann\0\0")).await;
    client.until_ready().await;
    (client, session, writes)
}

#[tokio::test]
async fn a_round_trip_is_one_write() {
    let (mut client, _session, writes) = watched(&server().await).await;
    client.send(&[parse("s", "SELECT $1", &[20]), sync()].concat()).await;
    client.until_ready().await;
    for batch in [
        [bind("", "s", &[Some("1")], 1), describe(b'P', ""), execute("", 0), sync()].concat(),
        query("SELECT 1; SELECT 'two'; SELECT nothing_like_it"),
    ] {
        let before = writes.load(Ordering::Relaxed);
        client.send(&batch).await;
        client.until_ready().await;
        assert_eq!(writes.load(Ordering::Relaxed) - before, 1);
    }
}

#[tokio::test]
async fn a_panic_ends_its_own_session_and_no_other() {
    let server = server().await;
    let mut other = Client::connect(&server).await;
    let (mut client, session, _) = watched(&server).await;
    client.send(&query("SELECT 'gunpower'")).await;
    let last = loop {
        match client.next().await {
            Some(reply) if reply.tag == b'E' => break reply,
            Some(_) => {}
            None => panic!("no farewell"),
        }
    };
    assert_eq!(last.field(b'C').as_deref(), Some("XX000"));
    assert_eq!(last.field(b'S').as_deref(), Some("FATAL"));
    timeout(PATIENCE, session).await.unwrap().unwrap();
    assert_eq!(server.metrics.sessions.get(), 1);
    other.assert_usable().await;
}
