//! One logged-in client: reads its messages one after the other and answers them.
//!
//! ```text
//! idle --Query------------------------------> simple.rs ---> ReadyForQuery
//!      --Parse, Bind, Describe, Execute ...-> extended.rs --> nothing until Sync or Flush
//!      --error in the extended protocol-----> skips to Sync
//! ```
//!
//! Never: a message that is answered before those ahead of it, or an error that ends more than the
//! statement, unless the byte stream itself can no longer be trusted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sql::{Session, TransactionStatus};
use tokio::io::{AsyncRead, AsyncWrite};

use super::extended::{Portal, PreparedStatement};
use super::frame::Frame;
use super::message::{Malformed, Message};
use super::reply::{Readiness, Severity};
use super::wire::{IfGone, Trouble, Wire};
use crate::error::Report;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// A client's session and everything that its messages speak of.
pub(crate) struct Connection<R, W> {
    pub(super) wire: Wire<R, W>,
    pub(super) session: Session,
    pub(super) metrics: Arc<Metrics>,
    pub(super) statements: HashMap<String, Arc<PreparedStatement>>,
    pub(super) portals: HashMap<String, Portal>,
    shutdown: Shutdown,
    /// Whether everything up to the next Sync is to be skipped.
    skipping: bool,
    /// Whether messages of the extended protocol came since the last Sync.
    in_batch: bool,
}

/// What the client did while the server waited for it.
enum Waited {
    Message(Message),
    /// A message that its frame holds whole, but that says nonsense.
    Nonsense {
        tag: u8,
        report: Report,
    },
    Left,
}

impl<R, W> Connection<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(crate) fn new(
        wire: Wire<R, W>,
        session: Session,
        metrics: Arc<Metrics>,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            wire,
            session,
            metrics,
            statements: HashMap::new(),
            portals: HashMap::new(),
            shutdown,
            skipping: false,
            in_batch: false,
        }
    }

    /// Serves the client until it leaves, or something ends its session.
    pub(crate) async fn run(&mut self) -> Result<(), Trouble> {
        self.ready().await?;
        loop {
            match self.wait().await? {
                Waited::Left | Waited::Message(Message::Terminate) => return Ok(()),
                Waited::Message(message) => self.answer(message).await?,
                Waited::Nonsense { tag, report } => self.refuse(tag, report).await?,
            }
        }
    }

    async fn wait(&mut self) -> Result<Waited, Trouble> {
        let frame = match self.wire.reader.buffered_frame()? {
            Some(frame) => frame,
            None => match self.wait_for_frame().await? {
                Some(frame) => frame,
                None => return Ok(Waited::Left),
            },
        };
        let tag = frame.tag;
        match Message::decode(frame) {
            Ok(message) => Ok(Waited::Message(message)),
            Err(Malformed::Body { sqlstate, message }) => {
                Ok(Waited::Nonsense { tag, report: Report::new(sqlstate, message) })
            }
            Err(Malformed::UnknownTag(tag)) => {
                Err(Trouble::fatal("08P01", format!("invalid frontend message type {tag}")))
            }
        }
    }

    async fn wait_for_frame(&mut self) -> Result<Option<Frame>, Trouble> {
        let status = self.session.transaction_status();
        let at_rest = status == TransactionStatus::Idle && !self.in_batch;
        let (patience, impatience) = self.idle_limit(status);
        tokio::select! {
            biased;
            frame = self.wire.reader.frame() => Ok(frame?),
            () = self.shutdown.kill.cancelled() => Err(Trouble::shutdown()),
            () = self.shutdown.stop.cancelled(), if at_rest => Err(Trouble::shutdown()),
            () = after(patience) => Err(impatience),
        }
    }

    /// How long the client may be silent, and what it is told after that.
    fn idle_limit(&self, status: TransactionStatus) -> (Option<Duration>, Trouble) {
        let (setting, sqlstate, message) = match status {
            TransactionStatus::Idle => (
                "idle_session_timeout",
                "57P05",
                "terminating connection due to idle-session timeout",
            ),
            TransactionStatus::Open | TransactionStatus::Failed => (
                "idle_in_transaction_session_timeout",
                "25P03",
                "terminating connection due to idle-in-transaction timeout",
            ),
        };
        let milliseconds = self.session.setting(setting).and_then(|value| value.parse().ok());
        let patience = milliseconds.filter(|limit| *limit > 0).map(Duration::from_millis);
        (patience, Trouble::fatal(sqlstate, message))
    }

    async fn answer(&mut self, message: Message) -> Result<(), Trouble> {
        match message {
            Message::Sync => {
                self.skipping = false;
                self.in_batch = false;
                return self.ready().await;
            }
            _ if self.skipping => return Ok(()),
            // What is left of a COPY that ended with an error.
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_) => return Ok(()),
            Message::Query(text) => return self.query(&text).await,
            Message::FunctionCall => {
                let report = Report::new("0A000", "function calls by message are not supported");
                self.report(Severity::Error, &report.with_hint("Call the function in a SELECT."));
                return self.ready().await;
            }
            Message::Flush => return self.wire.flush().await,
            _ => self.in_batch = true,
        }
        self.wire.begin();
        let done = self.extended(message).await;
        self.wire.end();
        match done {
            Err(Trouble::Statement(report)) => {
                self.skipping = true;
                self.statement_failed(&report);
                Ok(())
            }
            other => other,
        }
    }

    async fn query(&mut self, text: &str) -> Result<(), Trouble> {
        self.wire.begin();
        let done = self.simple(text).await;
        self.wire.end();
        match done {
            Err(Trouble::Statement(report)) => self.statement_failed(&report),
            other => other?,
        }
        self.ready().await
    }

    /// A message whose body makes no sense: an error like any other.
    async fn refuse(&mut self, tag: u8, report: Report) -> Result<(), Trouble> {
        const QUERY: u8 = b'Q';
        if self.skipping && tag != b'S' {
            return Ok(());
        }
        self.statement_failed(&report);
        if tag == QUERY || tag == b'S' {
            self.skipping = false;
            self.in_batch = false;
            return self.ready().await;
        }
        self.skipping = true;
        self.in_batch = true;
        Ok(())
    }

    fn statement_failed(&mut self, report: &Report) {
        // What the engine has not seen itself (a cancel, a wrong Bind) fails the transaction too.
        self.session.fail();
        self.metrics.statement_errors.add(1);
        self.report(Severity::Error, report);
    }

    /// Says what went wrong, after what was noted on the way there.
    pub(crate) fn report(&mut self, severity: Severity, report: &Report) {
        self.tell_news();
        self.wire.replies.error(severity, report);
    }

    /// Tells notices, and settings that changed.
    pub(super) fn tell_news(&mut self) {
        for notice in self.session.take_notices() {
            let (severity, unwanted) = match notice.severity {
                sql::Severity::Notice => ("NOTICE", &["warning", "error"][..]),
                sql::Severity::Warning => ("WARNING", &["error"][..]),
            };
            let least = self.session.setting("client_min_messages").unwrap_or_default();
            if !unwanted.contains(&least.as_str()) {
                self.wire.replies.notice(severity, &notice.into());
            }
        }
        for (name, value) in self.session.take_changed_settings() {
            self.wire.replies.parameter_status(&name, &value);
        }
    }

    /// The server waits for the client: everything said so far goes out, in one write.
    async fn ready(&mut self) -> Result<(), Trouble> {
        match self.end_implicit().await {
            Err(Trouble::Statement(report)) => self.statement_failed(&report),
            other => other?,
        }
        let readiness = match self.session.transaction_status() {
            TransactionStatus::Idle => Readiness::Idle,
            TransactionStatus::Open => Readiness::InTransaction,
            TransactionStatus::Failed => Readiness::InFailedTransaction,
        };
        if readiness == Readiness::Idle {
            // Portals live as long as their transaction.
            self.portals.clear();
        }
        self.tell_news();
        self.wire.replies.ready(readiness);
        self.wire.flush().await?;
        self.wire.replies.shrink();
        Ok(())
    }

    /// Ends the transaction of statements that came together, if there is one.
    pub(super) async fn end_implicit(&mut self) -> Result<(), Trouble> {
        let ending = Box::pin(self.session.end_implicit());
        Ok(self.wire.attend(IfGone::Finish, ending).await??)
    }

    /// The last words to a client, for which it gets only so long.
    pub(crate) async fn farewell(&mut self, report: &Report) {
        const FAREWELL: Duration = Duration::from_millis(500);
        self.wire.replies.error(Severity::Fatal, report);
        // Whether the client still listens makes no difference any more.
        let _ = tokio::time::timeout(FAREWELL, self.wire.replies.flush()).await;
    }

    /// Gives back what the session holds.
    pub(crate) async fn close(&mut self) {
        self.portals.clear();
        self.session.close().await;
    }
}

async fn after(patience: Option<Duration>) {
    match patience {
        Some(patience) => tokio::time::sleep(patience).await,
        None => std::future::pending().await,
    }
}
