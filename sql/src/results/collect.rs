//! A stream of rows that keeps them on their way.
//!
//! Never: anything is kept of a stream that was not taken to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::{Stream, StreamExt};
use parking_lot::Mutex;

use super::{Kept, Key, Room, Under};
use crate::statement::select::QueryPlan;

/// Bytes that a batch may hold on to beside its own rows before they are copied.
const SLACK_BYTES: usize = 1 << 10;

/// Rows on their way to a client.
pub(super) struct Collecting {
    rows: SendableRecordBatchStream,
    /// None once it is clear that they will not be kept.
    collected: Option<Collected>,
}

struct Collected {
    key: Arc<Key>,
    under: Under,
    plan: Arc<QueryPlan>,
    batches: Vec<RecordBatch>,
    room: Room,
}

impl Collecting {
    pub(super) fn over(
        rows: SendableRecordBatchStream,
        key: Arc<Key>,
        under: Under,
        plan: Arc<QueryPlan>,
        room: Room,
    ) -> SendableRecordBatchStream {
        let collected = Collected { key, under, plan, batches: Vec::new(), room };
        Box::pin(Self { rows, collected: Some(collected) })
    }
}

impl Collected {
    /// False where there is no room for the batch.
    fn add(&mut self, batch: &RecordBatch) -> bool {
        let Ok(batch) = compacted(batch) else { return false };
        let fits = self.room.grow(batch.get_array_memory_size());
        if fits {
            self.batches.push(batch);
        }
        fits
    }

    fn keep(self, schema: SchemaRef) {
        let Self { key, under, plan, batches, room } = self;
        let results = Arc::clone(&room.results);
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let under = Mutex::new(Arc::new(under));
        results.insert(key, Arc::new(Kept { under, plan, schema, batches, rows, room }));
    }
}

/// The batch without what it holds on to beside its rows: a few of many, say.
fn compacted(batch: &RecordBatch) -> Result<RecordBatch> {
    let own = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size());
    let own: usize = own.sum::<std::result::Result<_, _>>()?;
    if batch.get_array_memory_size() <= own * 2 + SLACK_BYTES {
        return Ok(batch.clone());
    }
    let rows = u32::try_from(batch.num_rows()).unwrap_or(u32::MAX);
    Ok(take_record_batch(batch, &UInt32Array::from_iter_values(0..rows))?)
}

impl Stream for Collecting {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.rows.poll_next_unpin(cx));
        match (&next, self.collected.take()) {
            (_, None) | (Some(Err(_)), _) => {}
            (Some(Ok(batch)), Some(mut collected)) => {
                self.collected = collected.add(batch).then_some(collected);
            }
            (None, Some(collected)) => collected.keep(self.rows.schema()),
        }
        Poll::Ready(next)
    }
}

impl RecordBatchStream for Collecting {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}
