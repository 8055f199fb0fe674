//! The join of two inputs that are sorted by keys and time: one pass over both.
//!
//! Left rows pass through in their order. Before each of them the right side moves on to the last
//! row that is not later, and remembers what can still match: the newest row of the key, or, if
//! the best row must satisfy further comparisons, all rows of the key that a later left row could
//! still choose.
//!
//! Never: holds more than the current batches and the right batches of rows that are remembered.

use std::cmp::Ordering;
use std::collections::VecDeque;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::BaselineMetrics;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};

use super::columns::Points;
use super::gather::{History, RowRef, point_to_copies, slice_bytes};
use super::plan::{HELD_BYTES_MAX, HELD_ROWS_RATIO, Plan, reaches};
use super::ties::Ties;

/// A running merge.
pub(super) struct Merge {
    plan: Plan,
    left: SendableRecordBatchStream,
    right: SendableRecordBatchStream,
    rest_of_left: Option<RecordBatch>,
    matcher: Matcher,
    reservation: MemoryReservation,
    metrics: BaselineMetrics,
}

impl Merge {
    pub(super) fn new(
        plan: Plan,
        left: SendableRecordBatchStream,
        right: SendableRecordBatchStream,
        reservation: MemoryReservation,
        metrics: BaselineMetrics,
    ) -> Self {
        let matcher = Matcher::new(&plan);
        Self { plan, left, right, rest_of_left: None, matcher, reservation, metrics }
    }

    /// The joined batches.
    pub(super) fn stream(self) -> BoxStream<'static, Result<RecordBatch>> {
        let next = async |mut merge: Self| Ok(merge.next().await?.map(|batch| (batch, merge)));
        stream::try_unfold(self, next).boxed()
    }

    /// The next joined batch.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(left) = self.next_left().await? else { return Ok(None) };
        let compute = self.metrics.elapsed_compute().clone();
        let timer = compute.timer();
        let points = self.plan.left.points(&left)?;
        let mut parts = Vec::new();
        let mut progress = self.matcher.match_rows(&self.plan, &points)?;
        timer.done();
        while progress == Progress::NeedsRight {
            let right = self.next_right().await?;
            let _timer = compute.timer();
            self.matcher.accept(&self.plan, right)?;
            self.make_room(&left, &mut parts)?;
            progress = self.matcher.match_rows(&self.plan, &points)?;
        }
        let _timer = compute.timer();
        parts.push(self.matcher.take_matches(&self.plan)?);
        self.matcher.start_batch();
        let joined = self.plan.output.assemble(&left, &parts)?;
        self.metrics.record_output(joined.num_rows());
        Ok(Some(joined))
    }

    /// The next left rows, at most as many as a batch may have.
    async fn next_left(&mut self) -> Result<Option<RecordBatch>> {
        let batch = match self.rest_of_left.take() {
            Some(rest) => rest,
            None => loop {
                match self.left.next().await.transpose()? {
                    Some(batch) if batch.num_rows() == 0 => {}
                    Some(batch) => break batch,
                    None => return Ok(None),
                }
            },
        };
        let rows = batch.num_rows().min(self.plan.batch_rows_max);
        if rows < batch.num_rows() {
            self.rest_of_left = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        Ok(Some(batch.slice(0, rows)))
    }

    async fn next_right(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            match self.right.next().await.transpose()? {
                Some(batch) if batch.num_rows() == 0 => {}
                other => return Ok(other),
            }
        }
    }

    /// Lets go of right batches that only finished rows need, and accounts for the others.
    fn make_room(&mut self, left: &RecordBatch, parts: &mut Vec<Vec<ArrayRef>>) -> Result<()> {
        if self.matcher.history.bytes() > HELD_BYTES_MAX {
            if !self.matcher.matches.is_empty() {
                parts.push(self.matcher.take_matches(&self.plan)?);
            }
            self.matcher.sweep(&self.plan)?;
        }
        let copied = parts.iter().flatten().map(|array| array.get_array_memory_size());
        let bytes = slice_bytes(left) + copied.sum::<usize>() + self.matcher.history.bytes();
        // Sorts below leave nothing free, and a few batches are what any operator works on.
        match bytes <= HELD_BYTES_MAX {
            true => self.reservation.resize(bytes),
            false => self.reservation.try_resize(bytes)?,
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// All left rows of the batch have their match.
    Done,
    /// The right batch is used up.
    NeedsRight,
}

/// The part of a merge that waits for nothing.
struct Matcher {
    history: History<Points>,
    /// The right batch that is being read, and the next row there.
    right: Option<(u32, usize)>,
    right_ended: bool,
    candidates: Candidates,
    ties: Ties,
    /// The right rows of the left rows so far, but for those already copied out.
    matches: Vec<RowRef>,
    /// The next left row of the batch.
    position: usize,
}

impl Matcher {
    fn new(plan: &Plan) -> Self {
        Self {
            history: History::default(),
            right: None,
            right_ended: false,
            candidates: Candidates::new(plan),
            ties: Ties::new(plan.tie_columns.clone()),
            matches: Vec::new(),
            position: 0,
        }
    }

    /// Takes the next right batch, or learns that there is none.
    fn accept(&mut self, plan: &Plan, batch: Option<RecordBatch>) -> Result<()> {
        // Comparators hold batches, and rarely serve beyond the one they were made for.
        self.ties.clear();
        match batch {
            Some(batch) => {
                let points = plan.right.points(&batch)?;
                let bytes = points.bytes();
                self.right = Some((self.history.push(batch, points, bytes), 0));
            }
            None => (self.right, self.right_ended) = (None, true),
        }
        Ok(())
    }

    fn match_rows(&mut self, plan: &Plan, left: &Points) -> Result<Progress> {
        while self.position < left.rows {
            let found = match left.has_null(self.position) {
                true => RowRef::NONE,
                false => {
                    if self.advance(plan, left)? == Progress::NeedsRight {
                        return Ok(Progress::NeedsRight);
                    }
                    self.candidates.find(plan, &self.history, left, self.position)
                }
            };
            self.matches.push(found);
            self.position += 1;
        }
        Ok(Progress::Done)
    }

    /// Reads right rows up to the current left row.
    fn advance(&mut self, plan: &Plan, left: &Points) -> Result<Progress> {
        let Some((number, mut row)) = self.right else {
            return Ok(if self.right_ended { Progress::Done } else { Progress::NeedsRight });
        };
        let right = &self.history.held(number).points;
        let position = self.position;
        let mut progress = Progress::NeedsRight;
        while row < right.rows {
            if !right.has_null(row) {
                match right.keys.compare(row, &left.keys, position) {
                    // No left row has this key, or none that is still to come.
                    Ordering::Less => {}
                    Ordering::Equal
                        if reaches(
                            right.times.compare(row, &left.times, position),
                            plan.strict,
                        ) =>
                    {
                        let newer = RowRef { batch: number, row: row as u32 };
                        self.candidates.offer(&self.history, &mut self.ties, newer)?;
                    }
                    _ => {
                        progress = Progress::Done;
                        break;
                    }
                }
            }
            row += 1;
        }
        self.right = Some((number, row));
        Ok(progress)
    }

    /// The right columns of the rows matched so far, which are then forgotten.
    fn take_matches(&mut self, plan: &Plan) -> Result<Vec<ArrayRef>> {
        let output = &plan.output;
        let columns =
            self.history.gather(&self.matches, &output.of_right(), &output.right_schema)?;
        self.matches.clear();
        Ok(columns)
    }

    fn start_batch(&mut self) {
        self.position = 0;
    }

    /// Drops the right batches that nothing refers to; copies the candidates out of the others if
    /// they are few among many rows.
    fn sweep(&mut self, plan: &Plan) -> Result<()> {
        self.ties.clear();
        let current = self.right.map(|(batch, _)| RowRef { batch, row: 0 });
        let mut candidates = self.candidates.rows();
        self.history.sweep(candidates.iter().copied().chain(current));
        let reading = current.map_or(0, |row| self.history.held(row.batch).batch.num_rows());
        if self.history.rows() - reading > HELD_ROWS_RATIO * candidates.len() {
            let copies = self.history.copy_out(&candidates, &plan.output.right_schema)?;
            let points = plan.right.points(&copies)?;
            let bytes = points.bytes();
            point_to_copies(candidates.iter_mut(), self.history.push(copies, points, bytes));
            self.history.sweep(candidates.iter().copied().chain(current));
            self.candidates.replace(&candidates);
        }
        Ok(())
    }
}

/// The right rows of one key that left rows may still choose.
enum Candidates {
    /// Nothing but time decides: the newest row.
    Newest(RowRef),
    /// Newest last. A row goes when a newer one satisfies every cut that it satisfies.
    Known(VecDeque<RowRef>),
}

impl Candidates {
    fn new(plan: &Plan) -> Self {
        match plan.cuts_strict.is_empty() {
            true => Self::Newest(RowRef::NONE),
            false => Self::Known(VecDeque::new()),
        }
    }

    fn rows(&self) -> Vec<RowRef> {
        match self {
            Self::Newest(row) => vec![*row],
            Self::Known(rows) => rows.iter().copied().collect(),
        }
    }

    /// The same rows at other places.
    fn replace(&mut self, places: &[RowRef]) {
        match self {
            Self::Newest(row) => *row = places.first().copied().unwrap_or(RowRef::NONE),
            Self::Known(rows) => *rows = places.iter().copied().collect(),
        }
    }

    /// Adds a row that is not older than those added before, unless these have another key.
    fn offer(&mut self, history: &History<Points>, ties: &mut Ties, row: RowRef) -> Result<()> {
        match self {
            Self::Newest(newest) => {
                if newest.is_none()
                    || place(history, *newest, row) != (Ordering::Equal, Ordering::Equal)
                    || ties.compare(history, *newest, row)?.is_le()
                {
                    *newest = row;
                }
            }
            Self::Known(rows) => {
                if rows.back().is_some_and(|&newest| place(history, newest, row).0.is_ne()) {
                    rows.clear();
                }
                let at = insertion_point(rows, history, ties, row)?;
                let settled = rows.range(at..).any(|&newer| outlasts(history, newer, row));
                if !settled {
                    let kept = rows.range(..at).rev().skip_while(|&&r| outlasts(history, row, r));
                    let kept = kept.count();
                    rows.drain(kept..at);
                    rows.insert(kept, row);
                }
            }
        }
        Ok(())
    }

    /// The best row for a left row.
    fn find(
        &mut self,
        plan: &Plan,
        history: &History<Points>,
        left: &Points,
        position: usize,
    ) -> RowRef {
        let best = match self {
            Self::Newest(newest) => *newest,
            Self::Known(rows) => {
                let known = |row: &RowRef| satisfies_cuts(plan, history, *row, left, position);
                let place = match plan.cuts_strict.as_slice() {
                    // What a newer row needs, an older one of the remembered needs less.
                    [_] => rows.partition_point(known).checked_sub(1),
                    _ => rows.iter().rposition(known),
                };
                if let Some(place) = place
                    && plan.cuts_follow_time
                    && same_key(history, rows[place], left, position)
                {
                    // Later left rows of the key find this row too, or a newer one.
                    rows.drain(..place);
                    rows[0]
                } else {
                    place.map_or(RowRef::NONE, |place| rows[place])
                }
            }
        };
        let matches = !best.is_none()
            && same_key(history, best, left, position)
            && plan.age_max.is_none_or(|age_max| {
                let right = history.held(best.batch);
                let age = left.times.distance(position, &right.points.times, best.row as usize);
                age.is_some_and(|age| age <= age_max)
            });
        if matches { best } else { RowRef::NONE }
    }
}

fn same_key(history: &History<Points>, row: RowRef, left: &Points, position: usize) -> bool {
    let right = &history.held(row.batch).points;
    right.keys.compare(row.row as usize, &left.keys, position).is_eq()
}

/// How the keys and the times of two right rows stand to each other.
fn place(history: &History<Points>, a: RowRef, b: RowRef) -> (Ordering, Ordering) {
    let (of_a, of_b) = (&history.held(a.batch).points, &history.held(b.batch).points);
    let (a, b) = (a.row as usize, b.row as usize);
    (of_a.keys.compare(a, &of_b.keys, b), of_a.times.compare(a, &of_b.times, b))
}

/// Where a row belongs among the candidates of its key, which differ from it in ties only.
fn insertion_point(
    rows: &VecDeque<RowRef>,
    history: &History<Points>,
    ties: &mut Ties,
    row: RowRef,
) -> Result<usize> {
    let mut at = rows.len();
    while at > 0 {
        let previous = rows[at - 1];
        if place(history, previous, row).1.is_ne() || ties.compare(history, previous, row)?.is_le()
        {
            break;
        }
        at -= 1;
    }
    Ok(at)
}

/// Whether a newer row satisfies every cut that an older one satisfies.
fn outlasts(history: &History<Points>, newer: RowRef, older: RowRef) -> bool {
    let (of_newer, of_older) =
        (&history.held(newer.batch).points, &history.held(older.batch).points);
    let mut cuts = of_newer.cuts.iter().zip(&of_older.cuts);
    cuts.all(|(a, b)| a.compare(newer.row as usize, b, older.row as usize).is_le())
}

fn satisfies_cuts(
    plan: &Plan,
    history: &History<Points>,
    row: RowRef,
    left: &Points,
    position: usize,
) -> bool {
    let right = &history.held(row.batch).points;
    let cuts = right.cuts.iter().zip(&left.cuts).zip(&plan.cuts_strict);
    let mut satisfied = cuts.map(|((right, left), strict)| {
        reaches(right.compare(row.row as usize, left, position), *strict)
    });
    satisfied.all(|satisfied| satisfied)
}
