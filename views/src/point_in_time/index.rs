//! Rows of one side, held in memory by key and in the order of their times.
//!
//! Never: compares anything but encoded keys and `i64` times; ties are for those who ask.

use std::cmp::Ordering;
use std::ops::Range;

use datafusion::common::HashMap;

use super::columns::{Ordinals, Points};
use super::gather::RowRef;

/// Stands for no group where there is one per row.
pub(super) const NO_GROUP: u32 = u32::MAX;

/// A number for each distinct key.
enum Groups {
    Native(HashMap<i64, u32>),
    Rows(HashMap<Vec<u8>, u32>),
}

impl Groups {
    fn like(keys: &Ordinals) -> Self {
        match keys {
            Ordinals::Native(_) => Self::Native(HashMap::new()),
            Ordinals::Rows(_) => Self::Rows(HashMap::new()),
        }
    }

    fn number(&mut self, keys: &Ordinals, row: usize) -> u32 {
        match (self, keys) {
            (Self::Native(groups), Ordinals::Native(keys)) => {
                let next = groups.len() as u32;
                *groups.entry(keys[row]).or_insert(next)
            }
            (Self::Rows(groups), Ordinals::Rows(keys)) => {
                let next = groups.len() as u32;
                *groups.entry_ref(keys.row(row).as_ref()).or_insert(next)
            }
            _ => unreachable!("all batches of a side share their encodings"),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Native(groups) => groups.len(),
            Self::Rows(groups) => groups.len(),
        }
    }
}

/// Collects rows for an [`Index`].
#[derive(Default)]
pub(super) struct IndexBuilder {
    groups: Option<Groups>,
    entries: Vec<Entry>,
    key_bytes: usize,
}

struct Entry {
    group: u32,
    row: RowRef,
    time: i64,
}

impl IndexBuilder {
    /// Adds the rows of a batch that can match at all. Their times must be native.
    pub(super) fn add(&mut self, batch: u32, points: &Points) {
        let Ordinals::Native(times) = &points.times else { return };
        let groups = self.groups.get_or_insert_with(|| Groups::like(&points.keys));
        for row in (0..points.rows).filter(|&row| !points.has_null(row)) {
            let known = groups.len();
            let group = groups.number(&points.keys, row);
            if let (true, Ordinals::Rows(keys)) = (groups.len() > known, &points.keys) {
                self.key_bytes += keys.row(row).as_ref().len();
            }
            let row_ref = RowRef { batch, row: row as u32 };
            self.entries.push(Entry { group, row: row_ref, time: times[row] });
        }
    }

    /// Memory of the index while and after it is built.
    pub(super) fn bytes(&self) -> usize {
        let groups = self.groups.as_ref().map_or(0, Groups::len);
        // A hash table keeps some room free; entries exist twice while they are sorted.
        self.key_bytes + groups * 2 * size_of::<(i64, u32)>() + self.entries.len() * 40
    }

    pub(super) fn rows(&self) -> usize {
        self.entries.len()
    }

    /// Puts the rows in order: by group, then by time.
    pub(super) fn build(self) -> Index {
        let groups = self.groups.unwrap_or_else(|| Groups::Native(HashMap::new()));
        let mut bounds = vec![0_u32; groups.len() + 1];
        for entry in &self.entries {
            bounds[entry.group as usize + 1] += 1;
        }
        for group in 1..bounds.len() {
            bounds[group] += bounds[group - 1];
        }
        let mut next = bounds.clone();
        let mut slots = vec![(0_i64, RowRef::NONE); self.entries.len()];
        for Entry { group, row, time } in self.entries {
            let slot = &mut next[group as usize];
            slots[*slot as usize] = (time, row);
            *slot += 1;
        }
        for bounds in bounds.windows(2) {
            slots[bounds[0] as usize..bounds[1] as usize].sort_unstable_by_key(|(time, _)| *time);
        }
        let (times, rows) = slots.into_iter().unzip();
        Index { groups, bounds, times, rows }
    }
}

/// Rows by key and time. A *slot* is the place of a row in that order.
pub(super) struct Index {
    groups: Groups,
    bounds: Vec<u32>,
    times: Vec<i64>,
    rows: Vec<RowRef>,
}

impl Index {
    /// Among slots of one key and time, makes the last one that of the best row.
    pub(super) fn put_best_last<E>(
        &mut self,
        mut compare: impl FnMut(RowRef, RowRef) -> Result<Ordering, E>,
    ) -> Result<(), E> {
        for bounds in self.bounds.windows(2) {
            for slot in bounds[0] as usize + 1..bounds[1] as usize {
                if self.times[slot - 1] == self.times[slot]
                    && compare(self.rows[slot - 1], self.rows[slot])?.is_gt()
                {
                    self.rows.swap(slot - 1, slot);
                }
            }
        }
        Ok(())
    }

    pub(super) fn slots(&self) -> usize {
        self.rows.len()
    }

    /// The rows of all slots.
    pub(super) fn rows(&self) -> &[RowRef] {
        &self.rows
    }

    /// The encoded times of all slots; ascending within a group.
    pub(super) fn times(&self) -> &[i64] {
        &self.times
    }

    /// The slots of each group.
    pub(super) fn groups(&self) -> impl ExactSizeIterator<Item = Range<usize>> {
        self.bounds.windows(2).map(|bounds| bounds[0] as usize..bounds[1] as usize)
    }

    /// The slots of a group.
    #[inline]
    pub(super) fn slots_of(&self, group: u32) -> Range<usize> {
        let group = group as usize;
        self.bounds[group] as usize..self.bounds[group + 1] as usize
    }

    /// The group of each row of a batch; [`NO_GROUP`] where it has a NULL, or its key is not held.
    pub(super) fn find(&self, points: &Points) -> Vec<u32> {
        let find = |row: usize| match (&self.groups, &points.keys) {
            (Groups::Native(groups), Ordinals::Native(keys)) => groups.get(&keys[row]),
            (Groups::Rows(groups), Ordinals::Rows(keys)) => groups.get(keys.row(row).as_ref()),
            // An index without rows does not know how keys are encoded.
            _ => None,
        };
        let group = |row: usize| match points.has_null(row) {
            true => NO_GROUP,
            false => find(row).copied().unwrap_or(NO_GROUP),
        };
        (0..points.rows).map(group).collect()
    }
}
