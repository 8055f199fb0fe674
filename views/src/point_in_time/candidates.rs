//! What a merge remembers of the right side: the rows of one key that left rows may still choose.
//!
//! Where nothing but time decides, that is the newest row. Where the best row must satisfy further
//! comparisons as well, an older row may be chosen while a newer one is not yet known, and stays
//! until a newer one satisfies all that it satisfies. With a single comparison the remembered rows
//! therefore ask for more and more from old to new, and are searched by halves.
//!
//! Never: remembers rows of two keys.

use std::cmp::Ordering;
use std::collections::VecDeque;

use datafusion::error::Result;

use super::columns::Points;
use super::gather::{History, RowRef};
use super::plan::{Plan, reaches};
use super::ties::Ties;

/// The right rows of one key that left rows may still choose.
pub(super) enum Candidates {
    /// Nothing but time decides: the newest row.
    Newest(RowRef),
    /// Newest last. A row goes when a newer one satisfies every cut that it satisfies.
    Known(VecDeque<RowRef>),
}

impl Candidates {
    /// No rows so far.
    pub(super) fn new(plan: &Plan) -> Self {
        match plan.cuts_strict.is_empty() {
            true => Self::Newest(RowRef::NONE),
            false => Self::Known(VecDeque::new()),
        }
    }

    /// All rows that are remembered.
    pub(super) fn rows(&self) -> Vec<RowRef> {
        match self {
            Self::Newest(row) => vec![*row],
            Self::Known(rows) => rows.iter().copied().collect(),
        }
    }

    /// The same rows at other places.
    pub(super) fn replace(&mut self, places: &[RowRef]) {
        match self {
            Self::Newest(row) => *row = places.first().copied().unwrap_or(RowRef::NONE),
            Self::Known(rows) => *rows = places.iter().copied().collect(),
        }
    }

    /// Adds a row that is not older than those added before, unless these have another key.
    pub(super) fn offer(
        &mut self,
        history: &History<Points>,
        ties: &mut Ties,
        row: RowRef,
    ) -> Result<()> {
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
    pub(super) fn find(
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
