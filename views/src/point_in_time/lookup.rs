//! The join with the left rows held in memory, by key and time: the right side streams past, in
//! any order, and neither side is sorted as a whole.
//!
//! Each right row goes to the first left row of its key that may see it; that left row keeps the
//! best of those it was given. What the first may see, all later ones may see too, so in the end
//! one pass per key, in the order of time, hands the best row on from left row to left row.
//!
//! ```text
//! left rows of a key, by time      1    4    4    9
//! right rows given to them        {0}  {3}   -   {7,5}
//! best, handed on                  0    3    3    7
//! ```
//!
//! If the left rows, or what they keep, pass the memory that the query may use, the join goes on
//! as a merge: right rows that nobody kept cannot win any more, so the kept ones and the rest of
//! the right side are enough.
//!
//! Never: keeps a right row that no left row would choose, but for what sweeping leaves over.

use std::cmp::Ordering;
use std::collections::VecDeque;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::{BaselineMetrics, Count};
use futures::StreamExt;

use super::columns::{Ordinals, Points};
use super::gather::{History, RowRef, slice_bytes};
use super::index::{Index, IndexBuilder, NO_GROUP};
use super::merge::Merge;
use super::plan::{Plan, reaches};
use super::sort::Sorts;
use super::ties::Ties;

/// Kept right rows are copied out of their batches when these pass this size ...
const HELD_BYTES_MAX: usize = 32 << 20;

/// ... and hold this many times more rows than are kept.
const COPIED_ROWS_RATIO: usize = 4;

/// Stands for no slot where there is one per row.
const NO_SLOT: usize = usize::MAX;

/// More left rows are not numbered.
const SLOTS_MAX: usize = u32::MAX as usize / 2;

/// A running lookup; [`Lookup::next`] yields the joined batches.
pub(super) struct Lookup {
    plan: Plan,
    state: State,
    reservation: MemoryReservation,
    metrics: BaselineMetrics,
    merges: Count,
}

enum State {
    /// Nothing was read so far.
    Start { left: SendableRecordBatchStream, right: SendableRecordBatchStream, sorts: Sorts },
    /// Every left row has its right row.
    Found { left: VecDeque<RecordBatch>, matches: Matches, history: History },
    /// The left rows did not fit.
    Merging(Box<Merge>),
    Done,
}

impl Lookup {
    pub(super) fn new(
        plan: Plan,
        (left, right): (SendableRecordBatchStream, SendableRecordBatchStream),
        sorts: Sorts,
        reservation: MemoryReservation,
        metrics: BaselineMetrics,
        merges: Count,
    ) -> Self {
        let state = State::Start { left, right, sorts };
        Self { plan, state, reservation, metrics, merges }
    }

    /// The next joined batch.
    pub(super) async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        if let State::Start { left, right, sorts } = self.state {
            self.state = State::Done;
            self = self.run(left, right, sorts).await?;
        }
        let joined = match &mut self.state {
            State::Merging(merge) => merge.next().await?,
            State::Found { left, matches, history } => {
                let compute = self.metrics.elapsed_compute().clone();
                let _timer = compute.timer();
                let joined = emit(&self.plan, left, matches, history)?;
                joined.inspect(|batch| self.metrics.record_output(batch.num_rows()))
            }
            State::Start { .. } | State::Done => None,
        };
        Ok(joined.map(|batch| (batch, self)))
    }

    /// Reads both sides.
    async fn run(
        mut self,
        mut left: SendableRecordBatchStream,
        mut right: SendableRecordBatchStream,
        sorts: Sorts,
    ) -> Result<Self> {
        let compute = self.metrics.elapsed_compute().clone();
        let (mut held, mut builder, mut bytes) = (Vec::new(), IndexBuilder::default(), 0);
        while let Some(batch) = left.next().await.transpose()? {
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
                return self.merge((held, Some(left)), (None, right), sorts);
            }
        }
        let timer = compute.timer();
        bytes += builder.bytes();
        let mut waiting = Waiting::new(builder.build(), &self.plan);
        timer.done();
        while waiting.index.slots() > 0
            && let Some(batch) = right.next().await.transpose()?
        {
            let _timer = compute.timer();
            waiting.offer(&self.plan, batch)?;
            waiting.make_room(&self.plan)?;
            if self.reservation.try_resize(bytes + waiting.bytes()).is_err() {
                let kept = waiting.into_kept(&self.plan)?;
                return self.merge((held, None), (Some(kept), right), sorts);
            }
        }
        let _timer = compute.timer();
        let (matches, history) = waiting.finish(&self.plan, &held)?;
        self.state = State::Found { left: held.into(), matches, history };
        Ok(self)
    }

    /// Goes on as a merge of what was read and what is still to come.
    fn merge(
        mut self,
        (held, left): (Vec<RecordBatch>, Option<SendableRecordBatchStream>),
        (kept, right): (Option<RecordBatch>, SendableRecordBatchStream),
        sorts: Sorts,
    ) -> Result<Self> {
        self.merges.add(1);
        self.reservation.free();
        let left = sorts.left(held, left)?;
        let right = sorts.right(kept.into_iter().collect(), Some(right))?;
        let plan = self.plan.clone();
        let reservation = self.reservation.new_empty();
        let merge = Merge::new(plan, left, right, reservation, self.metrics.clone());
        self.state = State::Merging(Box::new(merge));
        Ok(self)
    }
}

/// The left rows, waiting for right rows.
struct Waiting {
    index: Index,
    /// The best right row given to each slot, with its encoded time.
    best: Vec<(i64, RowRef)>,
    history: History,
    ties: Ties,
}

impl Waiting {
    fn new(index: Index, plan: &Plan) -> Self {
        let best = vec![(i64::MIN, RowRef::NONE); index.slots()];
        Self { index, best, history: History::default(), ties: Ties::new(plan.tie_columns.clone()) }
    }

    fn bytes(&self) -> usize {
        self.best.len() * size_of::<(i64, RowRef)>() + self.history.bytes()
    }

    /// Gives the rows of a right batch to the first left rows that may see them.
    fn offer(&mut self, plan: &Plan, batch: RecordBatch) -> Result<()> {
        let points = plan.right.points(&batch)?;
        let number = self.history.push(batch, points);
        let Self { index, best, history, ties } = self;
        let points = &history.held(number).points;
        let Ordinals::Native(times) = &points.times else { return Ok(()) };
        // Three short loops: the memory that one row waits for is fetched while others compute.
        let groups = index.find(points);
        let first = |(row, group): (usize, &u32)| match *group {
            NO_GROUP => NO_SLOT,
            group => first_to_see(plan, index, group, points, row).unwrap_or(NO_SLOT),
        };
        let slots = groups.iter().enumerate().map(first).collect::<Vec<_>>();
        let mut kept = false;
        for (row, &slot) in slots.iter().enumerate().filter(|(_, slot)| **slot != NO_SLOT) {
            let time = times[row];
            let newer = RowRef { batch: number, row: row as u32 };
            let (best_time, best_row) = &mut best[slot];
            let wins = match time.cmp(best_time) {
                _ if best_row.is_none() => true,
                Ordering::Equal => ties.compare(history, newer, *best_row)?.is_gt(),
                order => order.is_gt(),
            };
            if wins {
                (*best_time, *best_row, kept) = (time, newer, true);
            }
        }
        if !kept {
            self.ties.clear();
            self.history.forget_last();
        }
        Ok(())
    }

    /// Lets go of right rows that lost their place.
    fn make_room(&mut self, plan: &Plan) -> Result<()> {
        if self.history.bytes() <= HELD_BYTES_MAX
            || self.history.rows() <= COPIED_ROWS_RATIO * self.best.len()
        {
            return Ok(());
        }
        self.ties.clear();
        let mut rows = self.best.iter().map(|(_, row)| *row).collect::<Vec<_>>();
        self.history.copy_out(&mut rows, &plan.right, &plan.output.right_schema)?;
        self.history.sweep(rows.iter().copied());
        for ((_, row), copied) in self.best.iter_mut().zip(rows) {
            *row = copied;
        }
        Ok(())
    }

    /// The right rows that were kept.
    fn into_kept(mut self, plan: &Plan) -> Result<RecordBatch> {
        let mut rows = self.best.iter().map(|(_, row)| *row).collect::<Vec<_>>();
        let number =
            self.history.copy_out(&mut rows, &plan.right, &plan.output.right_schema)?;
        Ok(self.history.held(number).batch.clone())
    }

    /// Hands the best rows on, and lists them by left row.
    fn finish(mut self, plan: &Plan, left: &[RecordBatch]) -> Result<(Matches, History)> {
        let mut matches = Matches::new(left);
        for slots in self.index.groups() {
            let (mut newest_time, mut newest) = (i64::MIN, RowRef::NONE);
            for slot in slots {
                let (time, row) = self.best[slot];
                let order = time.cmp(&newest_time);
                if !row.is_none()
                    && (newest.is_none()
                        || order.is_gt()
                        || order.is_eq() && self.ties.compare(&self.history, row, newest)?.is_gt())
                {
                    (newest_time, newest) = (time, row);
                }
                let age = self.index.times()[slot].saturating_sub(newest_time);
                if plan.age_max.is_none_or(|age_max| age <= age_max) {
                    matches.set(self.index.rows()[slot], newest);
                }
            }
        }
        Ok((matches, self.history))
    }
}

/// The first of a key's left rows that may see a right row; `None` if none may, or if the row is
/// too old even for that one.
#[inline]
fn first_to_see(
    plan: &Plan,
    index: &Index,
    group: u32,
    points: &Points,
    row: usize,
) -> Option<usize> {
    let slots = index.slots_of(group);
    let times = &index.times()[slots.clone()];
    let first = |ordinals: &Ordinals, strict: bool| match ordinals {
        Ordinals::Native(values) => {
            times.partition_point(|left| !reaches(values[row].cmp(left), strict))
        }
        Ordinals::Rows(_) => times.len(),
    };
    // Every cut compares with the left time, too: seen is seen for all later ones.
    let cuts = points.cuts.iter().zip(&plan.cuts_strict);
    let by_cuts = cuts.map(|(cut, strict)| first(cut, *strict));
    let place = by_cuts.fold(first(&points.times, plan.strict), usize::max);
    let left_time = *times.get(place)?;
    let Ordinals::Native(right_times) = &points.times else { return None };
    let age = left_time.saturating_sub(right_times[row]);
    plan.age_max.is_none_or(|age_max| age <= age_max).then_some(slots.start + place)
}

/// The right row of each left row, in the order of the left rows.
struct Matches {
    /// Where each left batch begins.
    starts: Vec<usize>,
    rows: Vec<RowRef>,
    /// How many were handed out.
    position: usize,
}

impl Matches {
    fn new(left: &[RecordBatch]) -> Self {
        let mut total = 0;
        let starts = left.iter().map(|batch| {
            total += batch.num_rows();
            total - batch.num_rows()
        });
        let starts = starts.collect();
        Self { starts, rows: vec![RowRef::NONE; total], position: 0 }
    }

    fn set(&mut self, left: RowRef, right: RowRef) {
        self.rows[self.starts[left.batch as usize] + left.row as usize] = right;
    }

    fn take(&mut self, rows: usize) -> &[RowRef] {
        self.position += rows;
        &self.rows[self.position - rows..self.position]
    }
}

/// The next left rows with their right columns.
fn emit(
    plan: &Plan,
    left: &mut VecDeque<RecordBatch>,
    matches: &mut Matches,
    history: &History,
) -> Result<Option<RecordBatch>> {
    let Some(batch) = left.pop_front() else { return Ok(None) };
    let rows = batch.num_rows().min(plan.batch_rows_max);
    if rows < batch.num_rows() {
        left.push_front(batch.slice(rows, batch.num_rows() - rows));
    }
    let output = &plan.output;
    let columns = history.gather(matches.take(rows), &output.of_right(), &output.right_schema)?;
    Ok(Some(output.assemble(&batch.slice(0, rows), &[columns])?))
}
