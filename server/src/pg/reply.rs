//! What the server says: every message is appended to one buffer, which is written out when it is
//! full or when the client waits for an answer, so that a round trip costs one write.
//!
//! Never: a message that is written half and then forgotten. Writing can be interrupted at any byte
//! and goes on from there.

use std::io;

use sql::types::PgType;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::message::Format;
use crate::error::Report;

/// How full the buffer gets before it is written while more rows follow.
const BUFFER_BYTES: usize = 64 << 10;
/// Capacity that an idle session keeps.
const IDLE_BYTES: usize = 4 << 10;

/// A result column as clients are told of it.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) pg_type: PgType,
    pub(crate) format: Format,
}

/// How bad a report is, and so what the client does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The statement ended; the session goes on.
    Error,
    /// The session ends.
    Fatal,
}

/// The state that the client is told with every "ready for query".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    Idle,
    InTransaction,
    InFailedTransaction,
}

/// The messages on their way to one client.
#[derive(Debug)]
pub(crate) struct Replies<W> {
    output: W,
    buffer: Vec<u8>,
    /// How much of the buffer has been written.
    written: usize,
}

impl<W> Replies<W> {
    pub(crate) const fn new(output: W) -> Self {
        Self { output, buffer: Vec::new(), written: 0 }
    }

    /// Whether it is time to write before more is appended.
    pub(crate) fn full(&self) -> bool {
        self.buffer.len() - self.written >= BUFFER_BYTES
    }

    /// The buffer, for what appends whole messages by itself.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(crate) fn parse_complete(&mut self) {
        self.empty(b'1');
    }

    pub(crate) fn bind_complete(&mut self) {
        self.empty(b'2');
    }

    pub(crate) fn close_complete(&mut self) {
        self.empty(b'3');
    }

    pub(crate) fn no_data(&mut self) {
        self.empty(b'n');
    }

    pub(crate) fn empty_query(&mut self) {
        self.empty(b'I');
    }

    pub(crate) fn portal_suspended(&mut self) {
        self.empty(b's');
    }

    pub(crate) fn copy_done(&mut self) {
        self.empty(b'c');
    }

    pub(crate) fn ready(&mut self, readiness: Readiness) {
        let status = match readiness {
            Readiness::Idle => b'I',
            Readiness::InTransaction => b'T',
            Readiness::InFailedTransaction => b'E',
        };
        self.message(b'Z', |out| out.push(status));
    }

    pub(crate) fn command_complete(&mut self, tag: &str) {
        self.message(b'C', |out| text(out, tag));
    }

    pub(crate) fn parameter_status(&mut self, name: &str, value: &str) {
        self.message(b'S', |out| {
            text(out, name);
            text(out, value);
        });
    }

    pub(crate) fn parameter_description(&mut self, types: &[u32]) {
        self.message(b't', |out| {
            count(out, types.len());
            types.iter().for_each(|oid| out.extend(oid.to_be_bytes()));
        });
    }

    pub(crate) fn row_description(&mut self, columns: &[Column]) {
        self.message(b'T', |out| {
            count(out, columns.len());
            for column in columns {
                text(out, &column.name);
                // Neither the table nor the column's number in it: results are computed.
                out.extend([0; 6]);
                out.extend(column.pg_type.oid.to_be_bytes());
                out.extend(column.pg_type.length.to_be_bytes());
                out.extend(column.pg_type.modifier.to_be_bytes());
                out.extend(column.format.code().to_be_bytes());
            }
        });
    }

    pub(crate) fn copy_in(&mut self, columns: usize, format: Format) {
        self.copy_response(b'G', columns, format);
    }

    pub(crate) fn copy_out(&mut self, columns: usize, format: Format) {
        self.copy_response(b'H', columns, format);
    }

    /// The format of all, then that of each column; csv and JSON are text here.
    fn copy_response(&mut self, tag: u8, columns: usize, format: Format) {
        self.message(tag, |out| {
            out.push(u8::from(format == Format::Binary));
            count(out, columns);
            out.extend(std::iter::repeat_n(format.code().to_be_bytes(), columns).flatten());
        });
    }

    pub(crate) fn copy_data(&mut self, bytes: &[u8]) {
        self.message(b'd', |out| out.extend_from_slice(bytes));
    }

    pub(crate) fn error(&mut self, severity: Severity, report: &Report) {
        let severity = match severity {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        };
        self.message(b'E', |out| fields(out, severity, report));
    }

    pub(crate) fn notice(&mut self, severity: &str, report: &Report) {
        self.message(b'N', |out| fields(out, severity, report));
    }

    fn empty(&mut self, tag: u8) {
        self.buffer.extend([tag, 0, 0, 0, 4]);
    }

    fn message(&mut self, tag: u8, write_body: impl FnOnce(&mut Vec<u8>)) {
        self.buffer.push(tag);
        let start = self.buffer.len();
        self.buffer.extend([0; 4]);
        write_body(&mut self.buffer);
        set_length(&mut self.buffer, start);
    }
}

impl<W: AsyncWrite + Unpin + Send> Replies<W> {
    /// Writes everything that has been said. Dropping the future loses nothing and doubles nothing.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        while self.written < self.buffer.len() {
            let wrote = self.output.write(&self.buffer[self.written..]).await?;
            if wrote == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.written += wrote;
        }
        self.output.flush().await?;
        self.buffer.clear();
        self.written = 0;
        Ok(())
    }

    /// Gives back what a large result needed.
    pub(crate) fn shrink(&mut self) {
        if self.buffer.is_empty() {
            self.buffer.shrink_to(IDLE_BYTES);
        }
    }
}

/// Writes into a message its length, which counts itself and what follows.
pub(crate) fn set_length(out: &mut [u8], start: usize) {
    // A message is bounded by the rows and texts that it holds, far below 2 GiB.
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn count(out: &mut Vec<u8>, count: usize) {
    out.extend((count as u16).to_be_bytes());
}

/// A string with its end marked by a zero byte, which it cannot hold itself.
fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().filter(|byte| *byte != 0));
    out.push(0);
}

fn fields(out: &mut Vec<u8>, severity: &str, report: &Report) {
    let mut field = |name: u8, value: &str| {
        out.push(name);
        text(out, value);
    };
    field(b'S', severity);
    field(b'V', severity);
    field(b'C', report.sqlstate);
    field(b'M', &report.message);
    if let Some(detail) = &report.detail {
        field(b'D', detail);
    }
    if let Some(hint) = &report.hint {
        field(b'H', hint);
    }
    if let Some(position) = report.position {
        field(b'P', &position.to_string());
    }
    out.push(0);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;

    /// Takes one byte at a time, and only every other time that it is asked.
    #[derive(Default)]
    struct Reluctant {
        taken: Vec<u8>,
        willing: bool,
    }

    impl AsyncWrite for Reluctant {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.willing = !self.willing;
            if self.willing {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.taken.push(bytes[0]);
            Poll::Ready(Ok(1))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn an_interrupted_flush_goes_on_where_it_stopped() {
        let mut replies = Replies::new(Reluctant::default());
        replies.command_complete("SELECT 1");
        for _ in 0..5 {
            // Polled once each time, then dropped.
            let _ = futures::poll!(Box::pin(replies.flush()));
        }
        replies.ready(Readiness::Idle);
        replies.flush().await.unwrap();
        assert_eq!(replies.output.taken, b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I");
    }

    #[test]
    fn an_error_carries_its_fields_and_no_stray_zero() {
        let mut replies = Replies::new(());
        let report = Report {
            sqlstate: "22P02",
            message: "bad \0 byte".to_owned(),
            detail: None,
            hint: Some("Type less.".to_owned()),
            position: Some(8),
        };
        replies.error(Severity::Error, &report);
        let body = b"SERROR\0VERROR\0C22P02\0Mbad  byte\0HType less.\0P8\0\0";
        assert_eq!(&replies.buffer[5..], body);
        assert_eq!(replies.buffer[1..5], (body.len() as u32 + 4).to_be_bytes());
    }
}
