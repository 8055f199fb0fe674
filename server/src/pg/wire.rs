//! One client's byte stream in both directions, and how the server waits: never for its own work
//! alone, always also for a cancel, the client's leaving, and the server's end.
//!
//! Never: a statement that goes on for nobody, or one that is cut off in the middle of a write to
//! the lake because a client hung up: what changes data runs to its end.

use std::future::Future;
use std::io;
use std::sync::Arc;

use sql::{Commitment, Prepared};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::cancel::Running;
use super::frame::{Frame, FrameError, FrameReader};
use super::reply::Replies;
use crate::error::Report;
use crate::shutdown::Shutdown;

/// What ends a statement, or more.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The statement ends with an error; the session goes on.
    Statement(Report),
    /// The session ends, and the client is told why.
    Fatal(Report),
    /// The client cannot be told anything any more.
    Lost(io::Error),
}

impl Trouble {
    pub(crate) fn statement(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self::Statement(Report::new(sqlstate, message))
    }

    pub(crate) fn fatal(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self::Fatal(Report::new(sqlstate, message))
    }

    /// The server is going down.
    pub(crate) fn shutdown() -> Self {
        Self::fatal("57P01", "terminating connection due to administrator command")
    }
}

impl From<sql::Error> for Trouble {
    fn from(error: sql::Error) -> Self {
        Self::Statement(error.into())
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

impl From<FrameError> for Trouble {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(error) => Self::Lost(error),
            FrameError::Violation { sqlstate, message } => Self::fatal(sqlstate, message),
        }
    }
}

/// What a client that leaves does to the work in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfGone {
    /// Nobody is left to read the answer: stop.
    Stop,
    /// The work has effects: bring it to its end.
    Finish,
}

impl IfGone {
    /// What becomes of a statement while it runs.
    pub(crate) fn of(prepared: &Prepared) -> Self {
        if prepared.returns_rows() && !prepared.changes_rows() { Self::Stop } else { Self::Finish }
    }
}

/// Both directions of one client's connection.
#[derive(Debug)]
pub(crate) struct Wire<R, W> {
    pub(crate) reader: FrameReader<R>,
    pub(crate) replies: Replies<W>,
    running: Arc<Running>,
    /// Of the statement in hand, if there is one.
    token: Option<CancellationToken>,
    /// Whether that statement can still be given up.
    commitment: Commitment,
    shutdown: Shutdown,
}

impl<R: AsyncRead + Unpin + Send, W: AsyncWrite + Unpin + Send> Wire<R, W> {
    pub(crate) fn new(
        reader: FrameReader<R>,
        replies: Replies<W>,
        running: Arc<Running>,
        commitment: Commitment,
        shutdown: Shutdown,
    ) -> Self {
        Self { reader, replies, running, token: None, commitment, shutdown }
    }

    /// From now on a cancel hits the statement in hand.
    pub(crate) fn begin(&mut self) {
        self.token = Some(self.running.begin());
    }

    /// The statement in hand is over; a cancel that comes too late does nothing.
    pub(crate) fn end(&mut self) {
        self.running.end();
        self.token = None;
    }

    /// Whether the statement in hand may go on: asked where there is nothing to wait for.
    pub(crate) fn check(&self) -> Result<(), Trouble> {
        if self.token.as_ref().is_some_and(CancellationToken::is_cancelled) {
            Err(cancelled())
        } else if self.shutdown.kill.is_cancelled() {
            Err(Trouble::shutdown())
        } else {
            Ok(())
        }
    }

    /// Waits for work; a cancel or the server's end drops it, unless it commits.
    pub(crate) async fn attend<T: Send>(
        &mut self,
        if_gone: IfGone,
        work: impl Future<Output = T> + Send,
    ) -> Result<T, Trouble> {
        let (token, shutdown, reader) = (self.token.as_ref(), &self.shutdown, &mut self.reader);
        let interruption = async move {
            tokio::select! {
                biased;
                () = tripped(token) => cancelled(),
                () = shutdown.kill.cancelled() => Trouble::shutdown(),
                () = reader.gone(), if if_gone == IfGone::Stop => gone(),
            }
        };
        self.commitment.unless(interruption, work).await
    }

    /// The next message in the middle of a statement.
    pub(crate) async fn next_frame(&mut self) -> Result<Option<Frame>, Trouble> {
        tokio::select! {
            biased;
            frame = self.reader.frame() => Ok(frame?),
            () = tripped(self.token.as_ref()) => Err(cancelled()),
            () = self.shutdown.kill.cancelled() => Err(Trouble::shutdown()),
        }
    }

    /// Writes what has been said to a client that may read slowly.
    pub(crate) async fn flush(&mut self) -> Result<(), Trouble> {
        tokio::select! {
            biased;
            written = self.replies.flush() => Ok(written?),
            () = tripped(self.token.as_ref()) => Err(cancelled()),
            () = self.shutdown.kill.cancelled() => Err(Trouble::shutdown()),
        }
    }
}

/// Returns when the token is tripped; never, without one.
async fn tripped(token: Option<&CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}

fn cancelled() -> Trouble {
    Trouble::statement("57014", "canceling statement due to user request")
}

fn gone() -> Trouble {
    Trouble::Lost(io::ErrorKind::ConnectionReset.into())
}
