//! Cuts the byte stream of a client into frames, with a cap that holds before a frame is buffered.
//!
//! Never: memory for bytes that a client has only announced, or a look inside a frame.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest start-up packet, as in PostgreSQL.
const STARTUP_BYTES_MAX: usize = 10_000;
/// Longest message of a client that has not logged in yet.
const UNAUTHENTICATED_BYTES_MAX: usize = 64 << 10;
/// What one read asks for at first; it doubles while reads come back full.
const READ_BYTES_MIN: usize = 4 << 10;
const READ_BYTES_MAX: usize = 256 << 10;
/// What a read asks for when nothing is there yet: an idle client holds no more than this.
const IDLE_READ_BYTES_MAX: usize = 16 << 10;
/// How much of a pipelining client is taken in while a statement of it still runs.
const AHEAD_BYTES_MAX: usize = 64 << 10;

/// Why no frame could be read.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// The connection is broken, or ended inside a frame.
    Io(io::Error),
    /// The stream makes no sense, or asks for too much; nothing after it can be read.
    Violation { sqlstate: &'static str, message: String },
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One message: its type byte and its body.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) tag: u8,
    pub(crate) body: Bytes,
}

/// Reads frames from one client.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    input: R,
    buffer: BytesMut,
    read_bytes: usize,
    body_bytes_max: usize,
}

impl<R: AsyncRead + Unpin + Send> FrameReader<R> {
    /// A reader for a client that has not logged in.
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            buffer: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            body_bytes_max: UNAUTHENTICATED_BYTES_MAX,
        }
    }

    /// Allows longer messages: the client has logged in.
    pub(crate) fn allow(&mut self, body_bytes_max: usize) {
        self.body_bytes_max = body_bytes_max;
    }

    /// Whether bytes are there that no frame has taken yet.
    pub(crate) fn has_leftover(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// A packet of the start-up phase, which has a length but no type byte; the length is kept.
    ///
    /// `None` when the client went away instead.
    pub(crate) async fn startup_packet(&mut self) -> Result<Option<BytesMut>, FrameError> {
        loop {
            if let Some(mut header) = self.buffer.get(..4) {
                let length = header.get_u32() as usize;
                if !(8..=STARTUP_BYTES_MAX).contains(&length) {
                    return Err(violation("invalid length of startup packet".to_owned()));
                }
                if self.buffer.len() >= length {
                    return Ok(Some(self.buffer.split_to(length)));
                }
            }
            if self.fill().await? == 0 {
                return self.ended();
            }
        }
    }

    /// The next message. `None` when the client went away between two messages.
    pub(crate) async fn frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(frame) = self.buffered_frame()? {
                return Ok(Some(frame));
            }
            if self.fill().await? == 0 {
                return self.ended();
            }
        }
    }

    /// The next message, if all of it has arrived.
    pub(crate) fn buffered_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(mut header) = self.buffer.get(..5) else { return Ok(None) };
        let tag = header.get_u8();
        let length = header.get_u32() as usize;
        let Some(body_bytes) = length.checked_sub(4) else {
            return Err(violation(format!("invalid message length {length}")));
        };
        if body_bytes > self.body_bytes_max {
            return Err(FrameError::Violation {
                sqlstate: "54000",
                message: format!(
                    "message of {body_bytes} bytes is longer than the allowed {} bytes",
                    self.body_bytes_max
                ),
            });
        }
        if self.buffer.len() < 1 + length {
            return Ok(None);
        }
        self.buffer.advance(5);
        Ok(Some(Frame { tag, body: self.buffer.split_to(body_bytes).freeze() }))
    }

    /// The type byte of the next message, if all of it has arrived.
    pub(crate) fn buffered_tag(&self) -> Option<u8> {
        let mut header = self.buffer.get(..5)?;
        let tag = header.get_u8();
        let length = header.get_u32() as usize;
        (self.buffer.len() > length).then_some(tag)
    }

    /// Returns when the client has gone away; takes in what it still sends, up to a bound.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn gone(&mut self) {
        loop {
            if self.buffer.len() >= AHEAD_BYTES_MAX {
                // The bytes already here must be worked off before more are read.
                std::future::pending::<()>().await;
            }
            match self.fill().await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        let idle = self.buffer.is_empty();
        let asked = if idle { self.read_bytes.min(IDLE_READ_BYTES_MAX) } else { self.read_bytes };
        if idle && self.buffer.capacity() > IDLE_READ_BYTES_MAX {
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(asked);
        let read = (&mut self.input).take(asked as u64).read_buf(&mut self.buffer).await?;
        if read == asked {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        } else if idle && read < READ_BYTES_MIN {
            self.read_bytes = READ_BYTES_MIN;
        }
        Ok(read)
    }

    fn ended<T>(&self) -> Result<Option<T>, FrameError> {
        if self.buffer.is_empty() {
            Ok(None)
        } else {
            Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
        }
    }
}

fn violation(message: String) -> FrameError {
    FrameError::Violation { sqlstate: "08P01", message }
}

#[cfg(test)]
mod tests;
