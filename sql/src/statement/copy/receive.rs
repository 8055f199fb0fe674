//! The client's bytes on their way to the writer: cut here, parsed on other threads, in order.
//!
//! Never: more chunks in flight than threads, so that a fast client waits for a slow disk.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use bytes::Bytes;
use datafusion::error::DataFusionError;
use ingest::decode::{Chunk, Decoded, Decoder, Skipped};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::dml::AppendJob;
use crate::error::{Error, Result};
use crate::statement::copy::complete::Complete;

type Parsed = JoinHandle<ingest::Result<Decoded>>;

/// A COPY that takes bytes. Dropped, its writer sees the input break off and commits nothing.
pub(crate) struct Receiver {
    /// None where the listener reads the rows.
    decoder: Option<Decoder>,
    skipped: Skipped,
    parsing: VecDeque<Parsed>,
    parsing_max: usize,
    batches: Option<mpsc::Sender<Result<RecordBatch, DataFusionError>>>,
    writing: Option<JoinHandle<Result<u64>>>,
    ended: bool,
}

impl Receiver {
    pub(super) fn start(
        decoder: Option<Decoder>,
        skipped: Skipped,
        complete: Complete,
        job: AppendJob,
        threads: usize,
    ) -> Self {
        let (batches, received) = mpsc::channel(2);
        let rows = futures::stream::unfold(received, |mut received| async move {
            received.recv().await.map(|batch| (batch, received))
        });
        let writing = tokio::spawn(job.run(complete.stream(rows)));
        Self {
            decoder,
            skipped,
            parsing: VecDeque::new(),
            parsing_max: threads.max(1),
            batches: Some(batches),
            writing: Some(writing),
            ended: false,
        }
    }

    /// Takes bytes, cut anywhere.
    pub(crate) async fn send(&mut self, bytes: Bytes) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let Some(decoder) = &mut self.decoder else {
            return Err(Error::internal("bytes came where rows were expected"));
        };
        for chunk in decoder.split(&bytes)? {
            self.parse(chunk).await?;
        }
        Ok(())
    }

    /// Takes rows that the listener has read.
    pub(crate) async fn send_rows(&mut self, rows: RecordBatch) -> Result<()> {
        self.write(rows).await
    }

    /// Ends the input; returns after the commit. Tells how many rows came, and how many were left
    /// out.
    pub(crate) async fn finish(mut self) -> Result<(u64, u64)> {
        let last = self.decoder.as_mut().map(Decoder::split_finish).transpose()?;
        if let Some(chunk) = last.flatten() {
            self.parse(chunk).await?;
        }
        while !self.parsing.is_empty() {
            self.pass_on().await?;
        }
        self.batches = None;
        Ok((self.written().await?, self.skipped.count()))
    }

    async fn parse(&mut self, chunk: Chunk) -> Result<()> {
        while self.parsing.len() >= self.parsing_max {
            self.pass_on().await?;
        }
        self.parsing.push_back(tokio::task::spawn_blocking(move || chunk.decode()));
        Ok(())
    }

    /// Hands the oldest chunk's rows to the writer.
    async fn pass_on(&mut self) -> Result<()> {
        let Some(parsed) = self.parsing.pop_front() else { return Ok(()) };
        let decoded = match parsed.await {
            Ok(decoded) => decoded?,
            Err(error) => {
                return Err(Error::internal(format!("reading rows ended early: {error}")));
            }
        };
        if self.ended {
            return Ok(());
        }
        self.skipped.add(&decoded)?;
        self.ended = decoded.ended;
        for batch in decoded.batches {
            self.write(batch).await?;
        }
        Ok(())
    }

    async fn write(&mut self, rows: RecordBatch) -> Result<()> {
        let Some(batches) = &self.batches else { return Ok(()) };
        if batches.send(Ok(rows)).await.is_ok() {
            return Ok(());
        }
        // The writer stopped before the end: it knows why.
        self.batches = None;
        self.written().await?;
        Err(Error::internal("the writer of a COPY stopped early"))
    }

    async fn written(&mut self) -> Result<u64> {
        match self.writing.take() {
            Some(writing) => match writing.await {
                Ok(rows) => rows,
                Err(error) => Err(Error::internal(format!("writing rows ended early: {error}"))),
            },
            None => Err(Error::internal("a COPY has ended already")),
        }
    }
}

impl Drop for Receiver {
    /// What did not end well must not look like the end of the input.
    fn drop(&mut self) {
        if let Some(writing) = &self.writing {
            writing.abort();
        }
    }
}
