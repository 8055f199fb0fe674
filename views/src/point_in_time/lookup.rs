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

use datafusion::arrow::buffer::ScalarBuffer;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::{BaselineMetrics, Count};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::columns::{Ordinals, Points};
use super::gather::{History, RowRef, point_to_copies, slice_bytes};
use super::index::{Index, IndexBuilder, NO_GROUP};
use super::merge::Merge;
use super::plan::{HELD_BYTES_MAX, HELD_ROWS_RATIO, Plan};
use super::sort::Sorts;
use super::ties::Ties;

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
        while waiting.index.slots() > 0
            && let Some(batch) = self.right.next().await.transpose()?
        {
            let _timer = compute.timer();
            waiting.offer(&self.plan, batch)?;
            waiting.make_room(&self.plan)?;
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

/// The left rows, waiting for right rows.
struct Waiting {
    index: Index,
    /// The best right row given to each slot, but for the slots under a cursor.
    best: Vec<Best>,
    /// One per group. Right rows mostly come in the order of time, and so to the same slot again.
    cursors: Vec<Cursor>,
    history: History<()>,
    ties: Ties,
}

/// A right row with its encoded time.
#[derive(Clone, Copy)]
struct Best {
    time: i64,
    row: RowRef,
}

impl Best {
    const NONE: Self = Self { time: i64::MIN, row: RowRef::NONE };
}

/// The slot of a group that was given a row last.
#[derive(Clone, Copy)]
struct Cursor {
    /// The slot is the first to see rows that are seen after this time ...
    after: i64,
    /// ... and up to its own.
    until: i64,
    best: Best,
    slot: u32,
}

/// Stands for the place behind the last slot of a group: nothing there sees a row.
const NO_SLOT: u32 = u32::MAX;

impl Cursor {
    const UNSET: Self = Self { after: i64::MAX, until: i64::MIN, best: Best::NONE, slot: NO_SLOT };

    fn store(&self, best: &mut [Best]) {
        if self.slot != NO_SLOT {
            best[self.slot as usize] = self.best;
        }
    }

    /// Moves to the first slot of the group that sees rows that are seen from a time on.
    #[inline(never)]
    fn move_to(&mut self, index: &Index, best: &mut [Best], group: u32, seen_from: i64) {
        self.store(best);
        let slots = index.slots_of(group);
        let times = &index.times()[slots.clone()];
        let place = times.partition_point(|time| *time < seen_from);
        let before = place.checked_sub(1).map(|before| times[before]);
        self.after = before.unwrap_or(i64::MIN);
        match times.get(place) {
            Some(time) => {
                self.slot = (slots.start + place) as u32;
                (self.until, self.best) = (*time, best[slots.start + place]);
            }
            None => (self.slot, self.until, self.best) = (NO_SLOT, i64::MAX, Best::NONE),
        }
    }
}

impl Waiting {
    fn new(index: Index, plan: &Plan) -> Self {
        let (slots, groups) = (index.slots(), index.groups().len());
        Self {
            index,
            best: vec![Best::NONE; slots],
            cursors: vec![Cursor::UNSET; groups],
            history: History::default(),
            ties: Ties::new(plan.tie_columns.clone()),
        }
    }

    fn bytes(&self) -> usize {
        let cursors = self.cursors.len() * size_of::<Cursor>();
        self.best.len() * size_of::<Best>() + cursors + self.history.bytes()
    }

    /// Gives the rows of a right batch to the first left rows that see them.
    fn offer(&mut self, plan: &Plan, batch: RecordBatch) -> Result<()> {
        let points = plan.right.points(&batch)?;
        let Ordinals::Native(times) = &points.times else { return Ok(()) };
        let seen_from = seen_from(plan, &points);
        // A loop of its own, so that many keys are looked up at the same time.
        let groups = self.index.find(&points);
        let number = self.history.push(batch, (), 0);
        let mut kept = false;
        for (row, &group) in groups.iter().enumerate().filter(|(_, group)| **group != NO_GROUP) {
            let cursor = &mut self.cursors[group as usize];
            let seen_from = seen_from[row];
            if seen_from <= cursor.after || seen_from > cursor.until {
                cursor.move_to(&self.index, &mut self.best, group, seen_from);
            }
            let time = times[row];
            if cursor.slot == NO_SLOT
                || too_old(plan, cursor.until, time)
                || seen_from == i64::MAX && never_seen(plan, &points, row)
            {
                continue;
            }
            let newer = Best { time, row: RowRef { batch: number, row: row as u32 } };
            if beats(&self.history, &mut self.ties, newer, cursor.best)? {
                (cursor.best, kept) = (newer, true);
            }
        }
        if !kept {
            self.ties.clear();
            self.history.forget_last();
        }
        Ok(())
    }

    fn store_cursors(&mut self) {
        self.cursors.iter().for_each(|cursor| cursor.store(&mut self.best));
        self.cursors.fill(Cursor::UNSET);
    }

    /// Lets go of right rows that lost their place.
    fn make_room(&mut self, plan: &Plan) -> Result<()> {
        if self.history.bytes() <= HELD_BYTES_MAX
            || self.history.rows() <= HELD_ROWS_RATIO * self.best.len()
        {
            return Ok(());
        }
        self.ties.clear();
        let copies = self.copy_kept(plan)?;
        self.history.sweep(std::iter::empty());
        let number = self.history.push(copies, (), 0);
        point_to_copies(self.best.iter_mut().map(|best| &mut best.row), number);
        Ok(())
    }

    /// The right rows that were kept.
    fn copy_kept(&mut self, plan: &Plan) -> Result<RecordBatch> {
        self.store_cursors();
        let rows = self.best.iter().map(|best| best.row).collect::<Vec<_>>();
        self.history.copy_out(&rows, &plan.output.right_schema)
    }

    /// Hands the best rows on, and lists them by left row.
    fn finish(mut self, plan: &Plan, left: &[RecordBatch]) -> Result<(Matches, History<()>)> {
        self.store_cursors();
        let mut matches = Matches::new(left);
        for slots in self.index.groups() {
            let mut newest = Best::NONE;
            for slot in slots {
                if beats(&self.history, &mut self.ties, self.best[slot], newest)? {
                    newest = self.best[slot];
                }
                if !too_old(plan, self.index.times()[slot], newest.time) {
                    matches.set(self.index.rows()[slot], newest.row);
                }
            }
        }
        Ok((matches, self.history))
    }
}

/// Whether a right row is to be preferred.
#[inline]
fn beats(history: &History<()>, ties: &mut Ties, row: Best, other: Best) -> Result<bool> {
    if row.row.is_none() || other.row.is_none() {
        return Ok(!row.row.is_none());
    }
    Ok(match row.time.cmp(&other.time) {
        Ordering::Equal => ties.compare(history, row.row, other.row)?.is_gt(),
        order => order.is_gt(),
    })
}

#[inline]
fn too_old(plan: &Plan, left_time: i64, right_time: i64) -> bool {
    plan.age_max.is_some_and(|age_max| left_time.saturating_sub(right_time) > age_max)
}

/// The pairs of encoded right values and whether a left time must be greater than them.
fn comparisons<'a>(
    plan: &'a Plan,
    points: &'a Points,
) -> impl Iterator<Item = (&'a ScalarBuffer<i64>, bool)> {
    let cuts = points.cuts.iter().zip(&plan.cuts_strict);
    let all = std::iter::once((&points.times, &plan.strict)).chain(cuts);
    all.filter_map(|(ordinals, strict)| match ordinals {
        Ordinals::Native(values) => Some((values, *strict)),
        Ordinals::Rows(_) => None,
    })
}

/// Whether a row would be seen only after the last time there is.
#[cold]
fn never_seen(plan: &Plan, points: &Points, row: usize) -> bool {
    comparisons(plan, points).any(|(values, strict)| strict && values[row] == i64::MAX)
}

/// The first time at which each right row is seen: its own, and not before any of its cuts, which
/// all compare with the left time, too.
fn seen_from(plan: &Plan, points: &Points) -> Vec<i64> {
    let mut seen_from = vec![i64::MIN; points.rows];
    for (values, strict) in comparisons(plan, points) {
        for (seen_from, value) in seen_from.iter_mut().zip(values) {
            *seen_from = (*seen_from).max(value.saturating_add(i64::from(strict)));
        }
    }
    seen_from
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
