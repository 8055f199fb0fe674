//! The join with the left rows held in memory, by key and time: the right side streams past, in
//! any order, and neither side is sorted as a whole.
//!
//! If the left rows, or what they keep, pass the memory that the query may use, the join goes on
//! as a merge: right rows that nobody kept cannot win any more, so the kept ones and the rest of
//! the right side are enough.
//!
//! Never: sorts what fits.

use std::collections::VecDeque;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::{BaselineMetrics, Count};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::gather::{History, slice_bytes};
use super::index::IndexBuilder;
use super::merge::Merge;
use super::plan::Plan;
use super::sort::Sorts;
use super::waiting::{Matches, Waiting};

/// More left rows are not numbered.
const SLOTS_MAX: usize = u32::MAX as usize / 2;

/// A join that is about to read its inputs.
pub(super) struct Lookup {
    pub(super) plan: Plan,
    pub(super) left: SendableRecordBatchStream,
    pub(super) right: SendableRecordBatchStream,
    pub(super) sorts: Sorts,
    pub(super) reservation: MemoryReservation,
    pub(super) metrics: BaselineMetrics,
    /// Counts the lookups that went on as merges.
    pub(super) merges: Count,
}

impl Lookup {
    /// The joined batches.
    pub(super) fn stream(self) -> BoxStream<'static, Result<RecordBatch>> {
        stream::once(self.run()).try_flatten().boxed()
    }

    /// Reads both sides, and returns the batches that are then to come.
    async fn run(mut self) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let compute = self.metrics.elapsed_compute().clone();
        let (mut held, mut builder, mut bytes) = (Vec::new(), IndexBuilder::default(), 0);
        while let Some(batch) = self.left.next().await.transpose()? {
            let _timer = compute.timer();
            if batch.num_rows() == 0 {
                continue;
            }
            builder.add(held.len() as u32, &self.plan.left.points(&batch)?);
            bytes += slice_bytes(&batch);
            held.push(batch);
            let fits = self.reservation.try_resize(bytes + builder.bytes()).is_ok();
            if !fits || builder.rows() > SLOTS_MAX {
                drop(builder);
                return self.merge(held, None);
            }
        }
        let timer = compute.timer();
        bytes += builder.bytes();
        let mut waiting = Waiting::new(builder.build(), &self.plan);
        timer.done();
        while !waiting.is_empty()
            && let Some(batch) = self.right.next().await.transpose()?
        {
            let _timer = compute.timer();
            waiting.offer(&self.plan, batch)?;
            if self.reservation.try_resize(bytes + waiting.bytes()).is_err() {
                let kept = waiting.copy_kept(&self.plan)?;
                return self.merge(held, Some(kept));
            }
        }
        let _timer = compute.timer();
        let (matches, history) = waiting.finish(&self.plan, &held)?;
        let Self { plan, reservation, metrics, .. } = self;
        let left = held.into();
        let found = Found { plan, left, matches, history, metrics, _reservation: reservation };
        Ok(stream::iter(found).boxed())
    }

    /// Goes on as a merge of what was read and what is still to come.
    fn merge(
        self,
        held: Vec<RecordBatch>,
        kept: Option<RecordBatch>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let Self { plan, left, right, sorts, reservation, metrics, merges } = self;
        merges.add(1);
        // The sorts get the memory that the lookup had.
        drop(reservation);
        let left = sorts.left(held, left)?;
        let right = sorts.right(kept.into_iter().collect(), right)?;
        Ok(Merge::new(plan, left, right, sorts.reservation(), metrics).stream())
    }
}

/// Left rows that have found their right rows.
struct Found {
    plan: Plan,
    left: VecDeque<RecordBatch>,
    matches: Matches,
    history: History<()>,
    metrics: BaselineMetrics,
    _reservation: MemoryReservation,
}

impl Found {
    /// The next left rows, at most as many as a batch may have, with their right columns.
    fn join(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows().min(self.plan.batch_rows_max);
        if rows < batch.num_rows() {
            self.left.push_front(batch.slice(rows, batch.num_rows() - rows));
        }
        let output = &self.plan.output;
        let matches = self.matches.take(rows);
        let columns = self.history.gather(matches, &output.of_right(), &output.right_schema)?;
        output.assemble(&batch.slice(0, rows), &[columns])
    }
}

impl Iterator for Found {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let compute = self.metrics.elapsed_compute().clone();
        let _timer = compute.timer();
        let batch = self.left.pop_front()?;
        let joined = self.join(&batch);
        Some(joined.inspect(|batch| self.metrics.record_output(batch.num_rows())))
    }
}
