//! Both steps over a stream of bytes, with the second on several threads at once.
//!
//! Never: results out of order, or more chunks in memory than threads work on.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, future, stream};
use tokio::task::spawn_blocking;

use super::Decoder;
use super::chunk::{Chunk, Decoded};
use crate::error::{Error, Result};

/// Decodes a stream of bytes on up to so many blocking threads of the runtime. Gives the results
/// in the input's order, with rejected rows numbered within the input, and ends after an error.
pub fn decode_stream(
    input: impl Stream<Item = Result<Bytes>> + Send + Unpin,
    decoder: Decoder,
    threads: usize,
) -> impl Stream<Item = Result<Decoded>> + Send {
    let cutter = Cutter { input, decoder, ready: VecDeque::new(), finished: false };
    let chunks = stream::unfold(cutter, |mut cutter| async {
        let chunk = cutter.next().await.transpose()?;
        // What comes after an error is not of interest.
        cutter.finished |= chunk.is_err();
        Some((chunk, cutter))
    });
    // An error of the first step waits its turn behind the chunks that were cut before it.
    let decoded = chunks.map(|chunk| match chunk {
        Ok(chunk) => spawn_blocking(move || chunk.decode())
            .map(|joined| joined.unwrap_or_else(|_| Err(Error::Interrupted)))
            .left_future(),
        Err(error) => future::ready(Err(error)).right_future(),
    });
    decoded.buffered(threads.max(1)).scan((0, false), |(rows, over), decoded| {
        if *over {
            return future::ready(None);
        }
        let decoded = decoded.map(|decoded| decoded.after(*rows));
        match &decoded {
            Ok(decoded) => {
                *rows += decoded.rows;
                *over = decoded.ended;
            }
            Err(_) => *over = true,
        }
        future::ready(Some(decoded))
    })
}

/// The first step over a stream.
struct Cutter<S> {
    input: S,
    decoder: Decoder,
    ready: VecDeque<Chunk>,
    finished: bool,
}

impl<S: Stream<Item = Result<Bytes>> + Send + Unpin> Cutter<S> {
    async fn next(&mut self) -> Result<Option<Chunk>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(Some(chunk));
            }
            if self.finished {
                return Ok(None);
            }
            match self.input.next().await {
                Some(bytes) => self.ready.extend(self.decoder.split(&bytes?)?),
                None => {
                    self.finished = true;
                    self.ready.extend(self.decoder.split_finish()?);
                }
            }
        }
    }
}
