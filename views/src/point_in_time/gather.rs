//! The right rows that may still come out, and how they are put beside left rows.
//!
//! Never: holds a right batch that no candidate and no pending output row refers to, once swept.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, UInt32Array, new_null_array};
use datafusion::arrow::compute::{concat, interleave, take};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::error::Result;

/// A right row, by the number of its batch and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowRef {
    pub(super) batch: u32,
    pub(super) row: u32,
}

impl RowRef {
    /// No row: its columns come out as NULL.
    pub(super) const NONE: Self = Self { batch: u32::MAX, row: u32::MAX };

    #[inline]
    pub(super) fn is_none(self) -> bool {
        self.batch == u32::MAX
    }
}

/// A right batch, with what else is needed of it.
pub(super) struct Held<P> {
    pub(super) batch: RecordBatch,
    pub(super) points: P,
    bytes: usize,
}

/// The right batches that are still needed, numbered in the order in which they came.
pub(super) struct History<P> {
    first: u32,
    batches: VecDeque<Option<Held<P>>>,
    bytes: usize,
    rows: usize,
}

impl<P> Default for History<P> {
    fn default() -> Self {
        Self { first: 0, batches: VecDeque::new(), bytes: 0, rows: 0 }
    }
}

impl<P> History<P> {
    /// Adds a batch; `points_bytes` is the memory of `points`.
    pub(super) fn push(&mut self, batch: RecordBatch, points: P, points_bytes: usize) -> u32 {
        let number = self.first + self.batches.len() as u32;
        let bytes = slice_bytes(&batch) + points_bytes;
        self.bytes += bytes;
        self.rows += batch.num_rows();
        self.batches.push_back(Some(Held { batch, points, bytes }));
        number
    }

    /// A batch that is referred to, and so has not been swept.
    pub(super) fn held(&self, number: u32) -> &Held<P> {
        let slot = self.batches.get((number - self.first) as usize);
        slot.and_then(Option::as_ref).expect("a batch stays as long as a row of it is referred to")
    }

    /// Estimated memory of what is held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Rows of what is held, needed or not.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Drops all batches but those of the given rows.
    pub(super) fn sweep(&mut self, needed: impl Iterator<Item = RowRef>) {
        let needed: HashSet<u32> =
            needed.filter(|row| !row.is_none()).map(|row| row.batch).collect();
        for (slot, number) in self.batches.iter_mut().zip(self.first..) {
            if !needed.contains(&number)
                && let Some(held) = slot.take()
            {
                self.bytes -= held.bytes;
                self.rows -= held.batch.num_rows();
            }
        }
        while matches!(self.batches.front(), Some(None)) {
            self.batches.pop_front();
            self.first += 1;
        }
    }

    /// Copies the given rows into one batch of their own.
    pub(super) fn copy_out(&self, rows: &[RowRef], schema: &SchemaRef) -> Result<RecordBatch> {
        let present = rows.iter().copied().filter(|row| !row.is_none()).collect::<Vec<_>>();
        let columns = (0..schema.fields().len()).collect::<Vec<_>>();
        let gathered = self.gather(&present, &columns, schema)?;
        let options = RecordBatchOptions::new().with_row_count(Some(present.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), gathered, &options)?)
    }

    /// Drops the batch that came last.
    pub(super) fn forget_last(&mut self) {
        if let Some(Some(held)) = self.batches.pop_back() {
            self.bytes -= held.bytes;
            self.rows -= held.batch.num_rows();
        }
    }

    /// The values of some columns in the given rows.
    pub(super) fn gather(
        &self,
        rows: &[RowRef],
        columns: &[usize],
        schema: &SchemaRef,
    ) -> Result<Vec<ArrayRef>> {
        let mut places = vec![0; self.batches.len()];
        let mut batches = Vec::new();
        for row in rows.iter().filter(|row| !row.is_none()) {
            let place = &mut places[(row.batch - self.first) as usize];
            if *place == 0 {
                batches.push(row.batch);
                *place = batches.len();
            }
        }
        match batches.as_slice() {
            [] => Ok(self.absent(rows.len(), columns, schema)),
            [one] => self.gather_from_one(*one, rows, columns),
            many => self.gather_from_many(many, &places, rows, columns),
        }
    }

    fn absent(&self, rows: usize, columns: &[usize], schema: &SchemaRef) -> Vec<ArrayRef> {
        let null = |&column: &usize| new_null_array(schema.field(column).data_type(), rows);
        columns.iter().map(null).collect()
    }

    fn gather_from_one(
        &self,
        number: u32,
        rows: &[RowRef],
        columns: &[usize],
    ) -> Result<Vec<ArrayRef>> {
        let batch = &self.held(number).batch;
        let place = |row: &RowRef| (!row.is_none()).then_some(row.row);
        let indices = match rows.iter().any(|row| row.is_none()) {
            true => rows.iter().map(place).collect::<UInt32Array>(),
            false => UInt32Array::from_iter_values(rows.iter().map(|row| row.row)),
        };
        columns.iter().map(|&column| Ok(take(batch.column(column), &indices, None)?)).collect()
    }

    fn gather_from_many(
        &self,
        numbers: &[u32],
        places: &[usize],
        rows: &[RowRef],
        columns: &[usize],
    ) -> Result<Vec<ArrayRef>> {
        // The first of the interleaved arrays is a single NULL, for rows that are absent.
        let place = |row: &RowRef| match row.is_none() {
            true => (0, 0),
            false => (places[(row.batch - self.first) as usize], row.row as usize),
        };
        let indices = rows.iter().map(place).collect::<Vec<_>>();
        let column = |&column: &usize| {
            let arrays = numbers.iter().map(|&number| self.held(number).batch.column(column));
            let arrays = arrays.map(AsRef::as_ref).collect::<Vec<&dyn Array>>();
            let absent = new_null_array(arrays[0].data_type(), 1);
            let arrays = std::iter::once(absent.as_ref()).chain(arrays).collect::<Vec<_>>();
            Ok(interleave(&arrays, &indices)?)
        };
        columns.iter().map(column).collect()
    }
}

/// Makes rows point to their copies in the batch that was copied out of theirs.
pub(super) fn point_to_copies<'a>(rows: impl Iterator<Item = &'a mut RowRef>, batch: u32) {
    let present = rows.filter(|row| !row.is_none());
    for (row, place) in present.zip(0..) {
        *row = RowRef { batch, row: place };
    }
}

/// Which columns come out: positions among the left input's columns, then the right one's.
#[derive(Debug, Clone)]
pub(super) struct OutputColumns {
    pub(super) schema: SchemaRef,
    pub(super) right_schema: SchemaRef,
    pub(super) positions: Vec<usize>,
    pub(super) left_width: usize,
}

impl OutputColumns {
    /// The right columns that come out.
    pub(super) fn of_right(&self) -> Vec<usize> {
        self.positions.iter().filter_map(|position| position.checked_sub(self.left_width)).collect()
    }

    /// Left rows beside the right columns gathered for them, in parts.
    pub(super) fn assemble(
        &self,
        left: &RecordBatch,
        parts: &[Vec<ArrayRef>],
    ) -> Result<RecordBatch> {
        let mut of_right = 0;
        let mut column = |&position: &usize| -> Result<ArrayRef> {
            if position < self.left_width {
                return Ok(Arc::clone(left.column(position)));
            }
            let index = of_right;
            of_right += 1;
            match parts {
                [one] => Ok(Arc::clone(&one[index])),
                many => {
                    let arrays = many.iter().map(|part| part[index].as_ref()).collect::<Vec<_>>();
                    Ok(concat(&arrays)?)
                }
            }
        };
        let columns = self.positions.iter().map(&mut column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(left.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// Memory of the rows of a batch, were they alone in their buffers.
pub(super) fn slice_bytes(batch: &RecordBatch) -> usize {
    let bytes = |column: &ArrayRef| {
        column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(bytes).sum()
}
