//! The Postgres wire: accepts connections, lets clients in, and gives each a session of its own.
//!
//! ```text
//! accept ─> startup ─> admission ─> connection ─┬─> simple ───┬─> rows ─> row, binary
//!           (cancel ─> the key's session)       └─> extended ─┴─> copy
//! ```
//!
//! Never: more than a start-up packet's worth of memory for a client that has not logged in, or a
//! panic of one session that another one feels.

mod binary;
mod cancel;
mod connection;
mod copy;
mod extended;
mod frame;
mod message;
mod parameter;
mod reply;
mod row;
mod rows;
mod simple;
mod startup;
#[cfg(test)]
mod tests;
mod wire;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use sql::Engine;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use self::cancel::CancelKeys;
use self::connection::Connection;
use self::frame::FrameReader;
use self::reply::{Replies, Severity};
use self::startup::{Client, Opening};
use self::wire::{Trouble, Wire};
use crate::auth;
use crate::error::Report;
use crate::metrics::{Held, Metrics};
use crate::shutdown::Shutdown;

/// What one client, and all of them, may use.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Sessions that are logged in at once.
    pub(crate) sessions_max: u64,
    /// Connections that are not logged in yet, at once, beside those.
    pub(crate) unauthenticated_max: u64,
    /// How long a client may take to log in.
    pub(crate) authentication_timeout: Duration,
    /// Longest message of a client that is logged in.
    pub(crate) message_bytes_max: usize,
}

/// The listener's state, shared by its connections.
#[derive(Debug)]
pub(crate) struct Server {
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    limits: Limits,
    shutdown: Shutdown,
    cancel_keys: Arc<CancelKeys>,
}

impl Server {
    pub(crate) fn new(
        engine: Arc<Engine>,
        metrics: Arc<Metrics>,
        limits: Limits,
        shutdown: Shutdown,
    ) -> Arc<Self> {
        let cancel_keys = Arc::default();
        Arc::new(Self { engine, metrics, limits, shutdown, cancel_keys })
    }

    /// Accepts connections until the server stops.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.shutdown.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.accept(stream, peer),
                Err(error) => {
                    /// Most often the process is out of file descriptors: wait until some are free.
                    const PAUSE: Duration = Duration::from_millis(100);
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn accept(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let connections = self.metrics.connections.get();
        let waiting = connections.saturating_sub(self.metrics.sessions.get());
        if waiting >= self.limits.unauthenticated_max {
            // No answer: whoever opens that many at once does not deserve a write.
            self.metrics.connections_refused.add(1);
            return;
        }
        self.metrics.connections_accepted.add(1);
        let held = self.metrics.connections.hold();
        let server = Arc::clone(self);
        self.shutdown.connections.spawn(async move {
            // Answers are collected and written at once; waiting to fill a packet only delays them.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, %peer, "could not set TCP_NODELAY");
            }
            let (input, output) = stream.into_split();
            Box::pin(server.connection(input, output, Some(peer))).await;
            drop(held);
        });
    }

    /// One connection, from its first byte to its last.
    async fn connection<R, W>(self: Arc<Self>, input: R, output: W, peer: Option<SocketAddr>)
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let mut reader = FrameReader::new(input);
        let mut replies = Replies::new(output);
        let opening = tokio::select! {
            opening = tokio::time::timeout(
                self.limits.authentication_timeout,
                startup::negotiate(&mut reader, &mut replies),
            ) => opening,
            () = self.shutdown.stop.cancelled() => Ok(Err(Trouble::shutdown())),
        };
        let admitted = match opening {
            Ok(Ok(Opening::Client(client))) => self.admit(client, peer),
            Ok(Ok(Opening::Cancel { process, key })) => {
                self.metrics.cancel_requests.add(1);
                self.cancel_keys.cancel(process, &key);
                return;
            }
            Ok(Ok(Opening::Nobody)) => return,
            Ok(Err(trouble)) => Err(trouble),
            Err(_late) => Err(Trouble::fatal("08006", "canceling authentication due to timeout")),
        };
        match admitted {
            Ok(admitted) => self.session(reader, replies, admitted).await,
            Err(trouble) => refuse(&mut replies, &trouble).await,
        }
    }

    /// Lets a client in, if it may and there is room.
    fn admit(&self, client: Client, peer: Option<SocketAddr>) -> Result<Admitted, Trouble> {
        let principal = auth::admit(&client.start.user, peer).map_err(Trouble::Fatal)?;
        let held = self.metrics.sessions.hold();
        if self.metrics.sessions.get() > self.limits.sessions_max {
            self.metrics.connections_refused.add(1);
            return Err(Trouble::fatal("53300", "sorry, too many clients already"));
        }
        tracing::debug!(user = principal.user, ?peer, "session begins");
        let session =
            self.engine.session(client.start).map_err(|error| Trouble::Fatal(error.into()))?;
        Ok(Admitted { session, short_key: client.short_key, held })
    }

    async fn session<R, W>(
        &self,
        mut reader: FrameReader<R>,
        mut replies: Replies<W>,
        admitted: Admitted,
    ) where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let Admitted { session, short_key, held } = admitted;
        let key = self.cancel_keys.issue(short_key);
        reader.allow(self.limits.message_bytes_max);
        if let Err(trouble) = startup::welcome(&session.reported_settings(), &key, &mut replies) {
            return refuse(&mut replies, &trouble).await;
        }
        let shutdown = self.shutdown.clone();
        let running = Arc::clone(&key.running);
        let wire = Wire::new(reader, replies, running, session.commitment(), shutdown.clone());
        let metrics = Arc::clone(&self.metrics);
        let mut connection = Connection::new(wire, session, metrics, shutdown);
        let ended = AssertUnwindSafe(Box::pin(connection.run())).catch_unwind().await;
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(Trouble::Lost(error))) => tracing::debug!(%error, "a client went away"),
            Ok(Err(Trouble::Fatal(report) | Trouble::Statement(report))) => {
                connection.farewell(&report).await;
            }
            Err(_panic) => {
                let message = "the statement met a fault of the server; the session ends";
                connection.farewell(&Report::new("XX000", message)).await;
            }
        }
        connection.close().await;
        drop(held);
    }
}

/// A client that has been let in.
struct Admitted {
    session: sql::Session,
    short_key: bool,
    held: Held,
}

/// Tells a client that has not been let in why, if it still listens.
async fn refuse<W: AsyncWrite + Unpin + Send>(replies: &mut Replies<W>, trouble: &Trouble) {
    const FAREWELL: Duration = Duration::from_millis(500);
    let (Trouble::Fatal(report) | Trouble::Statement(report)) = trouble else { return };
    replies.error(Severity::Fatal, report);
    // Whether the client still listens makes no difference any more.
    let _ = tokio::time::timeout(FAREWELL, replies.flush()).await;
}
