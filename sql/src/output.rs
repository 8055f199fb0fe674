//! What a statement gives back: rows as a stream, a command tag, or a COPY in either direction.
//!
//! Never: rows that are collected before the first one leaves.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;
use datafusion::error::Result as DfResult;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, timeout_at};

use crate::error::{Error, Result, state};
use crate::session::{self, State};
use crate::statement::copy::{self, Receiver};

/// What a statement gives back.
pub enum Output {
    /// Rows, as they are computed.
    Rows(SendableRecordBatchStream),
    /// No rows: the whole command tag, such as `INSERT 0 5`, and how many rows it concerned.
    Done {
        /// The tag.
        tag: String,
        /// Rows inserted, changed or deleted.
        rows: Option<u64>,
    },
    /// The server waits for the client's bytes.
    CopyIn(CopyIn),
    /// Bytes for the client.
    CopyOut(CopyOut),
}

impl Output {
    /// A command tag that counts no rows.
    pub(crate) fn done(tag: &str) -> Self {
        Self::Done { tag: tag.to_owned(), rows: None }
    }

    /// A command tag with its count.
    pub(crate) fn counted(tag: &str, rows: u64) -> Self {
        Self::Done { tag: format!("{tag} {rows}"), rows: Some(rows) }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(stream) => write!(f, "Rows({})", stream.schema()),
            Self::Done { tag, .. } => write!(f, "Done({tag})"),
            Self::CopyIn(_) => f.write_str("CopyIn"),
            Self::CopyOut(_) => f.write_str("CopyOut"),
        }
    }
}

/// How the bytes of a COPY look, as the wire announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// Lines of text: text, csv or JSON. The server's part is [`CopyIn::send`].
    Text,
    /// Postgres' binary format, which the listener reads and writes, for it knows the values' forms:
    /// [`CopyIn::send_rows`].
    Binary,
}

/// A COPY FROM STDIN that waits for bytes. Dropped, it leaves nothing behind.
pub struct CopyIn {
    /// Columns in each row.
    pub columns: usize,
    /// How the bytes look.
    pub format: CopyFormat,
    /// The columns of the rows that [`Self::send_rows`] takes.
    pub schema: SchemaRef,
    pub(crate) receiver: Receiver,
    pub(crate) state: Option<Arc<Mutex<State>>>,
    /// Of the statement's time limit.
    pub(crate) deadline: Option<Instant>,
}

impl CopyIn {
    /// Takes the next bytes, cut anywhere. Waits while the writer is busy.
    pub async fn send(&mut self, bytes: Bytes) -> Result<()> {
        let sent = within(self.deadline, self.receiver.send(bytes)).await;
        sent.inspect_err(|_| self.fail())
    }

    /// Takes rows that the listener has read.
    pub async fn send_rows(&mut self, rows: RecordBatch) -> Result<()> {
        let sent = within(self.deadline, self.receiver.send_rows(rows)).await;
        sent.inspect_err(|_| self.fail())
    }

    /// No more bytes come: commits, and tells how many rows.
    pub async fn finish(self) -> Result<Output> {
        let state = self.state.clone();
        let (rows, skipped) = self.receiver.finish().await.inspect_err(|_| {
            state.as_deref().map(session::fail);
        })?;
        if let (Some(state), Some(notice)) = (&state, copy::rows_skipped(skipped)) {
            session::notice(state, notice);
        }
        Ok(Output::counted("COPY", rows))
    }

    /// The client gave up: nothing is kept.
    #[must_use]
    pub fn abort(self, reason: &str) -> Error {
        self.fail();
        Error::new(state::QUERY_CANCELED, format!("COPY from stdin failed: {reason}"))
    }

    /// When the statement's time is over, though the client may not have sent everything.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The time is over: nothing is kept.
    #[must_use]
    pub fn time_out(self) -> Error {
        self.fail();
        timed_out()
    }

    fn fail(&self) {
        self.state.as_deref().map(session::fail);
    }
}

/// A COPY TO STDOUT.
pub struct CopyOut {
    /// Columns in each row.
    pub columns: usize,
    /// How the bytes look.
    pub format: CopyFormat,
    /// The rows, as they are computed.
    pub body: CopyBody,
    pub(crate) rows: Arc<AtomicU64>,
    pub(crate) state: Option<Arc<Mutex<State>>>,
    /// Of the statement's time limit.
    pub(crate) deadline: Option<Instant>,
}

/// What the client gets.
pub enum CopyBody {
    /// Bytes.
    Text(BoxStream<'static, Result<CopyRows>>),
    /// Rows that the listener writes in Postgres' binary format.
    Binary(SendableRecordBatchStream),
}

/// Bytes of whole rows.
#[derive(Debug, Default)]
pub struct CopyRows {
    pub(crate) bytes: Vec<u8>,
    /// Where each row ends.
    pub(crate) ends: Vec<usize>,
}

impl CopyRows {
    pub(crate) fn one(bytes: Vec<u8>) -> Self {
        Self { ends: vec![bytes.len()], bytes }
    }

    /// Row by row.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, end)| self.bytes.get(start..*end))
    }
}

impl CopyOut {
    /// Runs the query to its end, for nobody.
    pub async fn drain(self) -> Result<()> {
        match self.body {
            CopyBody::Text(mut stream) => {
                while let Some(rows) = stream.next().await {
                    rows?;
                }
            }
            CopyBody::Binary(mut stream) => {
                while let Some(rows) = stream.next().await {
                    rows?;
                }
            }
        }
        Ok(())
    }

    /// Counts rows; final when the stream has ended.
    #[must_use]
    pub fn rows(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.rows)
    }

    /// When the statement's time is over, though the client may not have taken everything.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The time is over: the query stops.
    #[must_use]
    pub fn time_out(self) -> Error {
        self.state.as_deref().map(session::fail);
        timed_out()
    }

    /// The command tag, once the stream has ended.
    #[must_use]
    pub fn tag(rows: &AtomicU64) -> String {
        format!("COPY {}", rows.load(Ordering::Relaxed))
    }
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Severity {
    Notice,
    Warning,
}

/// Something told to the client beside the result.
#[derive(Debug, Clone)]
pub struct Notice {
    /// How much it matters.
    pub severity: Severity,
    /// Its code.
    pub sqlstate: &'static str,
    /// What happened.
    pub message: String,
    /// Full sentences that explain.
    pub detail: Option<String>,
    /// Something to type.
    pub hint: Option<String>,
}

impl Notice {
    pub(crate) fn note(message: impl Into<String>) -> Self {
        Self::of(Severity::Notice, "00000", message)
    }

    pub(crate) fn warning(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self::of(Severity::Warning, sqlstate, message)
    }

    fn of(severity: Severity, sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { severity, sqlstate, message: message.into(), detail: None, hint: None }
    }
}

/// The error of a statement that ran longer than `statement_timeout`.
pub(crate) fn timed_out() -> Error {
    Error::new(state::QUERY_CANCELED, "canceling statement due to statement timeout")
}

/// Holds an output to the session's rules: its time limit, and that an error while rows are
/// streamed fails the transaction as any other.
pub(crate) fn guard(
    output: Output,
    state: &Arc<Mutex<State>>,
    timeout: Option<Duration>,
) -> Output {
    let deadline = timeout.map(|limit| Instant::now() + limit);
    match output {
        Output::Rows(stream) => Output::Rows(guarded(stream, state, timeout)),
        Output::CopyOut(copy) => {
            let body = match copy.body {
                CopyBody::Text(stream) => {
                    let state = Arc::clone(state);
                    let failing = move |rows: &Result<CopyRows>| {
                        if rows.is_err() {
                            session::fail(&state);
                        }
                    };
                    CopyBody::Text(stream.inspect(failing).boxed())
                }
                CopyBody::Binary(stream) => CopyBody::Binary(guarded(stream, state, timeout)),
            };
            let state = Some(Arc::clone(state));
            Output::CopyOut(CopyOut { body, state, deadline, ..copy })
        }
        Output::CopyIn(copy) => {
            Output::CopyIn(CopyIn { state: Some(Arc::clone(state)), deadline, ..copy })
        }
        done @ Output::Done { .. } => done,
    }
}

fn guarded(
    stream: SendableRecordBatchStream,
    state: &Arc<Mutex<State>>,
    timeout: Option<Duration>,
) -> SendableRecordBatchStream {
    Box::pin(Guarded {
        schema: stream.schema(),
        inner: Some(stream),
        state: Arc::clone(state),
        deadline: timeout.map(|limit| Box::pin(tokio::time::sleep(limit))),
    })
}

/// The work, unless the statement's time is over before.
async fn within<T: Send>(
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    match deadline {
        None => work.await,
        Some(deadline) => timeout_at(deadline, work).await.unwrap_or_else(|_| Err(timed_out())),
    }
}

struct Guarded {
    schema: SchemaRef,
    /// None after an error: whatever computes the rows stops then.
    inner: Option<SendableRecordBatchStream>,
    state: Arc<Mutex<State>>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Stream for Guarded {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let late = match &mut self.deadline {
            Some(sleep) => sleep.as_mut().poll(cx).is_ready(),
            None => false,
        };
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let polled = if late {
            Poll::Ready(Some(Err(timed_out().into())))
        } else {
            inner.poll_next_unpin(cx)
        };
        if let Poll::Ready(Some(Err(_))) = &polled {
            session::fail(&self.state);
            self.inner = None;
        }
        polled
    }
}

impl RecordBatchStream for Guarded {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
/// Whether both types are the same to a client: how the planner lays values out is its own affair.
pub(crate) fn is_alike(known: &DataType, now: &DataType) -> bool {
    use DataType as T;
    let plain = |data_type: &DataType| match data_type {
        T::Utf8View | T::LargeUtf8 => T::Utf8,
        T::BinaryView | T::LargeBinary | T::FixedSizeBinary(_) => T::Binary,
        T::Dictionary(_, values) => values.as_ref().clone(),
        T::LargeList(element) | T::FixedSizeList(element, _) => T::List(Arc::clone(element)),
        T::Decimal256(..) => T::Decimal128(38, 0),
        other => other.clone(),
    };
    let (known, now) = (plain(known), plain(now));
    match (&known, &now) {
        (T::Null, _) | (_, T::Null) => true,
        (T::List(known), T::List(now)) => is_alike(known.data_type(), now.data_type()),
        (T::Timestamp(_, known), T::Timestamp(_, now)) => known.is_some() == now.is_some(),
        _ => std::mem::discriminant(&known) == std::mem::discriminant(&now),
    }
}
