//! The join with one side held in memory, by key and time. The other side streams past, in any
//! order, and neither is sorted as a whole.
//!
//! With the left side held, right rows are given to left rows, and the left rows come out in the
//! end. With the right side held, left rows find their right rows as they come, and go on at once.
//!
//! If what is held passes the memory that the query may use, the join goes on as a merge. Right
//! rows that no held left row kept cannot win any more, so the kept ones and the rest of the right
//! side are enough for it.
//!
//! Never: sorts what fits.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::{BaselineMetrics, Count};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::columns::{Ordinals, Points};
use super::gather::{History, RowRef, slice_bytes};
use super::index::{Index, IndexBuilder, NO_GROUP};
use super::merge::Merge;
use super::plan::{Plan, reaches};
use super::sort::Sorts;
use super::ties::Ties;
use super::waiting::{Matches, Waiting};

/// More rows are not numbered.
const SLOTS_MAX: usize = u32::MAX as usize / 2;

type Joined = BoxStream<'static, Result<RecordBatch>>;

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
    /// The joined batches, with the left side held.
    pub(super) fn hold_left(self) -> Joined {
        stream::once(self.read_left_then_right()).try_flatten().boxed()
    }

    /// The joined batches, with the right side held. The condition must have no cuts.
    pub(super) fn hold_right(self) -> Joined {
        stream::once(self.read_right()).try_flatten().boxed()
    }

    /// Reads both sides, and returns the batches that are then to come.
    async fn read_left_then_right(mut self) -> Result<Joined> {
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
                return self.merge(held, Vec::new());
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
                // Twice the rows that can be kept: it pays to drop the others first.
                waiting.make_room(&self.plan, 2)?;
            }
            if self.reservation.try_resize(bytes + waiting.bytes()).is_err() {
                let kept = waiting.copy_kept(&self.plan)?;
                return self.merge(held, vec![kept]);
            }
        }
        let _timer = compute.timer();
        let (matches, history) = waiting.finish(&self.plan, &held)?;
        let Self { plan, reservation, metrics, .. } = self;
        let left = held.into();
        let found = Found { plan, left, matches, history, metrics, _reservation: reservation };
        Ok(stream::iter(found).boxed())
    }

    /// Reads the right side, and returns the left rows with what they find there.
    async fn read_right(mut self) -> Result<Joined> {
        let compute = self.metrics.elapsed_compute().clone();
        let (mut history, mut builder) = (History::default(), IndexBuilder::default());
        let mut held = Vec::new();
        while let Some(batch) = self.right.next().await.transpose()? {
            let _timer = compute.timer();
            if batch.num_rows() == 0 {
                continue;
            }
            let points = self.plan.right.points(&batch)?;
            held.push(batch.clone());
            builder.add(history.push(batch, (), 0), &points);
            let fits = self.reservation.try_resize(history.bytes() + builder.bytes()).is_ok();
            if !fits || builder.rows() > SLOTS_MAX {
                drop((builder, history));
                return self.merge(Vec::new(), held);
            }
        }
        let _timer = compute.timer();
        let mut ties = Ties::new(self.plan.tie_columns.clone());
        let mut index = builder.build();
        index.put_best_last(|a, b| ties.compare(&history, a, b))?;
        let Self { plan, left, reservation, metrics, .. } = self;
        let seeking = Seeking { plan, index, history, metrics, _reservation: reservation };
        let seeking = Arc::new(seeking);
        let joined = left.map_ok(move |batch| {
            let (seeking, rows) = (Arc::clone(&seeking), batch.num_rows());
            let step = seeking.plan.batch_rows_max;
            let slice = move |start| seeking.join(&batch.slice(start, step.min(rows - start)));
            stream::iter((0..rows).step_by(step).map(slice))
        });
        Ok(joined.try_flatten().boxed())
    }

    /// Goes on as a merge of what was read and what is still to come.
    fn merge(self, left_read: Vec<RecordBatch>, right_read: Vec<RecordBatch>) -> Result<Joined> {
        let Self { plan, left, right, sorts, reservation, metrics, merges } = self;
        merges.add(1);
        // The sorts get the memory that the lookup had.
        drop(reservation);
        let left = sorts.left(left_read, left)?;
        let right = sorts.right(right_read, right)?;
        Ok(Merge::new(plan, left, right, sorts.reservation(), metrics).stream())
    }
}

/// The right rows, for left rows that come by.
struct Seeking {
    plan: Plan,
    index: Index,
    history: History<()>,
    metrics: BaselineMetrics,
    _reservation: MemoryReservation,
}

impl Seeking {
    fn join(&self, left: &RecordBatch) -> Result<RecordBatch> {
        let compute = self.metrics.elapsed_compute().clone();
        let _timer = compute.timer();
        let points = self.plan.left.points(left)?;
        let groups = self.index.find(&points);
        let find = |(row, group): (usize, &u32)| self.find(&points, row, *group);
        let matches = groups.iter().enumerate().map(find).collect::<Vec<_>>();
        let output = &self.plan.output;
        let columns = self.history.gather(&matches, &output.of_right(), &output.right_schema)?;
        let joined = output.assemble(left, &[columns])?;
        self.metrics.record_output(joined.num_rows());
        Ok(joined)
    }

    /// The newest row of a group that a left row sees.
    fn find(&self, points: &Points, row: usize, group: u32) -> RowRef {
        let Ordinals::Native(left_times) = &points.times else { return RowRef::NONE };
        if group == NO_GROUP {
            return RowRef::NONE;
        }
        let (slots, left_time) = (self.index.slots_of(group), left_times[row]);
        let times = &self.index.times()[slots.clone()];
        let seen = times.partition_point(|time| reaches(time.cmp(&left_time), self.plan.strict));
        match seen.checked_sub(1) {
            Some(place) if !self.plan.too_old(left_time, times[place]) => {
                self.index.rows()[slots.start + place]
            }
            _ => RowRef::NONE,
        }
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
