//! The join of two inputs that are sorted by keys and time: one pass over both.
//!
//! Left rows pass through in their order. Before each of them the right side moves on to the last
//! row that is not later, and remembers what can still match: the newest row of the key, or, if
//! the best row must satisfy further comparisons, all rows of the key that a later left row could
//! still choose.
//!
//! Never: holds more than the current batches and the right batches of rows that are remembered.

use std::cmp::Ordering;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::BaselineMetrics;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};

use super::candidates::Candidates;
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
