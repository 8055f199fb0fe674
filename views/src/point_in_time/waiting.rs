//! Left rows in memory, and the best right row that each was given so far.
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
//! Right rows come with keys in no order, and to follow each at once would wait for memory each
//! time. So they are collected, and handed out in the order of their keys, roughly.
//!
//! Never: keeps a right row that no left row would choose, but for what sweeping leaves over.

use std::cmp::Ordering;

use datafusion::arrow::buffer::ScalarBuffer;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result;

use super::columns::{Ordinals, Points};
use super::gather::{History, RowRef, point_to_copies};
use super::index::{Index, NO_GROUP};
use super::plan::{HELD_BYTES_MAX, HELD_ROWS_RATIO, Plan};
use super::ties::Ties;

/// So many right rows are collected before they are handed out.
#[cfg(not(test))]
const OFFERS_MAX: usize = 128 << 10;

#[cfg(test)]
const OFFERS_MAX: usize = 10;

/// They are ordered by about so many ranges of keys: enough to walk through memory in one
/// direction, few enough to be counted in a processor's cache.
const PLACES_MAX: usize = 64 << 10;

/// The left rows, waiting for right rows.
pub(super) struct Waiting {
    index: Index,
    /// The best right row given to each slot.
    best: Vec<Best>,
    offers: Vec<Offer>,
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

/// A right row on its way to the left rows of its key.
#[derive(Clone, Copy)]
struct Offer {
    group: u32,
    /// Left rows see it from this time on.
    seen_from: i64,
    row: Best,
}

impl Waiting {
    pub(super) fn new(index: Index, plan: &Plan) -> Self {
        let best = vec![Best::NONE; index.slots()];
        let (history, ties) = (History::default(), Ties::new(plan.tie_columns.clone()));
        Self { index, best, offers: Vec::new(), history, ties }
    }

    /// Whether no left row can match anything.
    pub(super) fn is_empty(&self) -> bool {
        self.best.is_empty()
    }

    /// Memory beside that of the index.
    pub(super) fn bytes(&self) -> usize {
        let offers = 2 * self.offers.capacity() * size_of::<Offer>();
        self.best.len() * size_of::<Best>() + offers + self.history.bytes()
    }

    /// Takes the rows of a right batch for the left rows of their keys.
    pub(super) fn offer(&mut self, plan: &Plan, batch: RecordBatch) -> Result<()> {
        let points = plan.right.points(&batch)?;
        let Ordinals::Native(times) = &points.times else { return Ok(()) };
        let seen_from = seen_from(plan, &points);
        // A loop of its own, so that many keys are looked up at the same time.
        let groups = self.index.find(&points);
        let number = self.history.push(batch, (), 0);
        let before = self.offers.len();
        for (row, &group) in groups.iter().enumerate().filter(|(_, group)| **group != NO_GROUP) {
            let seen_from = seen_from[row];
            if seen_from == i64::MAX && never_seen(plan, &points, row) {
                continue;
            }
            let row_ref = RowRef { batch: number, row: row as u32 };
            let row = Best { time: times[row], row: row_ref };
            self.offers.push(Offer { group, seen_from, row });
        }
        if self.offers.len() == before {
            self.history.forget_last();
        }
        if self.offers.len() >= OFFERS_MAX {
            self.hand_out(plan)?;
            self.ties.clear();
            if self.history.bytes() > HELD_BYTES_MAX {
                self.make_room(plan, HELD_ROWS_RATIO)?;
            }
        }
        Ok(())
    }

    /// Gives the collected rows to the first left rows that see them.
    fn hand_out(&mut self, plan: &Plan) -> Result<()> {
        for Offer { group, seen_from, row } in self.take_offers_by_place() {
            let slots = self.index.slots_of(group);
            let times = &self.index.times()[slots.clone()];
            let place = times.partition_point(|time| *time < seen_from);
            let Some(&left_time) = times.get(place) else { continue };
            let best = &mut self.best[slots.start + place];
            if !plan.too_old(left_time, row.time)
                && beats(&self.history, &mut self.ties, row, *best)?
            {
                *best = row;
            }
        }
        Ok(())
    }

    /// The collected rows, ordered so that neighbours go to slots that are not far apart.
    fn take_offers_by_place(&mut self) -> Vec<Offer> {
        let groups = self.index.groups().len();
        let shift = (groups / PLACES_MAX).next_power_of_two().trailing_zeros();
        let mut next = vec![0_u32; (groups >> shift) + 2];
        for offer in &self.offers {
            next[(offer.group >> shift) as usize + 1] += 1;
        }
        for place in 1..next.len() {
            next[place] += next[place - 1];
        }
        let mut ordered = self.offers.clone();
        for offer in self.offers.drain(..) {
            let place = &mut next[(offer.group >> shift) as usize];
            ordered[*place as usize] = offer;
            *place += 1;
        }
        ordered
    }

    /// Lets go of right rows that lost their place, if this many times more rows are held than can
    /// be kept.
    pub(super) fn make_room(&mut self, plan: &Plan, rows_ratio: usize) -> Result<()> {
        if self.history.rows() <= rows_ratio * self.best.len() {
            return Ok(());
        }
        let copies = self.copy_kept(plan)?;
        self.ties.clear();
        self.history.sweep(std::iter::empty());
        let number = self.history.push(copies, (), 0);
        point_to_copies(self.best.iter_mut().map(|best| &mut best.row), number);
        Ok(())
    }

    /// The right rows that were kept: all others can go.
    pub(super) fn copy_kept(&mut self, plan: &Plan) -> Result<RecordBatch> {
        self.hand_out(plan)?;
        let rows = self.best.iter().map(|best| best.row).collect::<Vec<_>>();
        self.history.copy_out(&rows, &plan.output.right_schema)
    }

    /// Hands the best rows on, and lists them by left row.
    pub(super) fn finish(
        mut self,
        plan: &Plan,
        left: &[RecordBatch],
    ) -> Result<(Matches, History<()>)> {
        self.hand_out(plan)?;
        let mut matches = Matches::new(left);
        for slots in self.index.groups() {
            let mut newest = Best::NONE;
            for slot in slots {
                if beats(&self.history, &mut self.ties, self.best[slot], newest)? {
                    newest = self.best[slot];
                }
                if !plan.too_old(self.index.times()[slot], newest.time) {
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
pub(super) struct Matches {
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

    /// The right rows of the next left rows.
    pub(super) fn take(&mut self, rows: usize) -> &[RowRef] {
        self.position += rows;
        &self.rows[self.position - rows..self.position]
    }
}
