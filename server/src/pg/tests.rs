//! The protocol from the outside: bytes in, bytes out, over a pipe instead of a socket.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod cancel;
mod copy;
mod extended;
mod fuzz;
mod implicit;
mod lifecycle;
mod simple;

use std::sync::Arc;
use std::time::Duration;

use sql::{Engine, EngineConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

use super::*;

/// Nothing here should take this long; a test that waits in vain must end.
const PATIENCE: Duration = Duration::from_secs(20);
/// What fits into the pipe between client and server.
const PIPE_BYTES: usize = 32 << 10;

async fn server() -> Arc<Server> {
    server_with(|_| {}).await
}

async fn server_with(change: impl FnOnce(&mut Limits)) -> Arc<Server> {
    let config = EngineConfig { warehouse: "memory://".to_owned(), ..EngineConfig::default() };
    server_of_with(config, change).await
}

async fn server_of(config: EngineConfig) -> Arc<Server> {
    server_of_with(config, |_| {}).await
}

async fn server_of_with(config: EngineConfig, change: impl FnOnce(&mut Limits)) -> Arc<Server> {
    let engine = Engine::open(config).await.unwrap();
    let mut limits = Limits {
        sessions_max: 10,
        unauthenticated_max: 10,
        authentication_timeout: Duration::from_secs(5),
        message_bytes_max: 1 << 20,
    };
    change(&mut limits);
    Server::new(engine, Arc::default(), limits, Shutdown::default())
}

/// A message of the server.
#[derive(Clone, PartialEq, Eq)]
struct Reply {
    tag: u8,
    body: Vec<u8>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.tag as char, String::from_utf8_lossy(&self.body))
    }
}

impl Reply {
    /// A field of an error or a notice.
    fn field(&self, name: u8) -> Option<String> {
        assert!(matches!(self.tag, b'E' | b'N'), "{self:?}");
        let mut fields = self.body.split(|byte| *byte == 0).filter(|field| !field.is_empty());
        let value = fields.find(|field| field[0] == name)?;
        Some(String::from_utf8_lossy(&value[1..]).into_owned())
    }

    /// The text that the message begins with.
    fn text(&self) -> String {
        let end = self.body.iter().position(|byte| *byte == 0).unwrap_or(self.body.len());
        String::from_utf8_lossy(&self.body[..end]).into_owned()
    }

    /// The values of a row.
    fn row(&self) -> Vec<Option<Vec<u8>>> {
        assert_eq!(self.tag, b'D', "{self:?}");
        let mut rest = &self.body[2..];
        let mut values = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = i32::from_be_bytes(*length);
            let (value, after) = after.split_at(length.max(0) as usize);
            values.push((length >= 0).then(|| value.to_vec()));
            rest = after;
        }
        values
    }
}

/// A client that speaks the protocol byte by byte.
struct Client {
    stream: DuplexStream,
}

impl Client {
    /// A connection on which nothing has been said.
    fn open(server: &Arc<Server>) -> Self {
        let (stream, other) = tokio::io::duplex(PIPE_BYTES);
        let (input, output) = tokio::io::split(other);
        let server = Arc::clone(server);
        let connections = server.shutdown.connections.clone();
        connections.spawn(async move {
            let held = server.metrics.connections.hold();
            Box::pin(server.connection(input, output, None)).await;
            drop(held);
        });
        Self { stream }
    }

    /// A client that is logged in, and what it was told.
    async fn login(server: &Arc<Server>) -> (Self, Vec<Reply>) {
        let mut client = Self::open(server);
        client.send(&startup(3 << 16, b"user\0ann\0database\0lake\0\0")).await;
        let told = client.until_ready().await;
        (client, told)
    }

    async fn connect(server: &Arc<Server>) -> Self {
        Self::login(server).await.0
    }

    async fn send(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.unwrap().unwrap();
    }

    /// The next message; none when the server has hung up.
    async fn next(&mut self) -> Option<Reply> {
        let mut header = [0; 5];
        let read = timeout(PATIENCE, self.stream.read_exact(&mut header)).await;
        read.expect("the server should have answered").ok()?;
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let mut body = vec![0; length as usize - 4];
        timeout(PATIENCE, self.stream.read_exact(&mut body)).await.unwrap().unwrap();
        Some(Reply { tag: header[0], body })
    }

    async fn expect(&mut self, tag: u8) -> Reply {
        let reply = self.next().await.expect("the server hung up");
        assert_eq!(reply.tag as char, tag as char, "{reply:?}");
        reply
    }

    async fn until_ready(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        loop {
            let reply = self.next().await.unwrap_or_else(|| panic!("hung up after {replies:?}"));
            let ready = reply.tag == b'Z';
            replies.push(reply);
            if ready {
                return replies;
            }
        }
    }

    async fn query(&mut self, text: &str) -> Vec<Reply> {
        self.send(&query(text)).await;
        self.until_ready().await
    }

    /// The session still answers.
    async fn assert_usable(&mut self) {
        let replies = self.query("SELECT 41 + 1").await;
        assert_eq!(tags(&replies), "TDCZ", "{replies:?}");
        assert_eq!(replies[1].row(), [Some(b"42".to_vec())]);
    }

    /// The server says goodbye with this code and hangs up.
    async fn assert_fatal(&mut self, sqlstate: &str) {
        let reply = self.expect(b'E').await;
        assert_eq!(reply.field(b'C').as_deref(), Some(sqlstate), "{reply:?}");
        assert_eq!(reply.field(b'S').as_deref(), Some("FATAL"));
        assert_eq!(self.next().await, None);
    }
}

/// The type bytes of messages, in order.
fn tags(replies: &[Reply]) -> String {
    replies.iter().map(|reply| reply.tag as char).collect()
}

/// The one error among messages.
fn error(replies: &[Reply]) -> &Reply {
    let mut errors = replies.iter().filter(|reply| reply.tag == b'E');
    let error = errors.next().unwrap_or_else(|| panic!("no error in {replies:?}"));
    assert_eq!(errors.next(), None);
    error
}

fn sqlstate(replies: &[Reply]) -> String {
    error(replies).field(b'C').unwrap()
}

fn status(replies: &[Reply]) -> char {
    let ready = replies.last().unwrap();
    assert_eq!(ready.tag, b'Z');
    ready.body[0] as char
}

fn startup(version: u32, parameters: &[u8]) -> Vec<u8> {
    let length = 8 + parameters.len() as u32;
    [&length.to_be_bytes()[..], &version.to_be_bytes(), parameters].concat()
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32 + 4;
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn query(text: &str) -> Vec<u8> {
    message(b'Q', &[text.as_bytes(), b"\0"].concat())
}

fn parse(name: &str, text: &str, types: &[u32]) -> Vec<u8> {
    let mut body = [name.as_bytes(), b"\0", text.as_bytes(), b"\0"].concat();
    body.extend((types.len() as u16).to_be_bytes());
    types.iter().for_each(|oid| body.extend(oid.to_be_bytes()));
    message(b'P', &body)
}

/// A Bind with text parameters and results in one format.
fn bind(portal: &str, statement: &str, parameters: &[Option<&str>], result_format: u16) -> Vec<u8> {
    let mut body = [portal.as_bytes(), b"\0", statement.as_bytes(), b"\0", &[0, 0]].concat();
    body.extend((parameters.len() as u16).to_be_bytes());
    for parameter in parameters {
        match parameter {
            Some(text) => {
                body.extend((text.len() as u32).to_be_bytes());
                body.extend(text.as_bytes());
            }
            None => body.extend([0xff; 4]),
        }
    }
    body.extend([0, 1]);
    body.extend(result_format.to_be_bytes());
    message(b'B', &body)
}

fn describe(target: u8, name: &str) -> Vec<u8> {
    message(b'D', &[&[target][..], name.as_bytes(), b"\0"].concat())
}

fn execute(portal: &str, rows_max: u32) -> Vec<u8> {
    message(b'E', &[portal.as_bytes(), b"\0", &rows_max.to_be_bytes()].concat())
}

fn close(target: u8, name: &str) -> Vec<u8> {
    message(b'C', &[&[target][..], name.as_bytes(), b"\0"].concat())
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

fn flush() -> Vec<u8> {
    message(b'H', b"")
}

/// Waits until something holds, which must not take long.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
