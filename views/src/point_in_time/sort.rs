//! Sorts what a join could not hold in memory, on disk where needed.
//!
//! Never: sorts by itself; the engine's sort does, with its memory accounting and its spilling.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{StreamExt, stream};
use parking_lot::Mutex;

/// How both inputs of a join would be sorted.
pub(super) struct Sorts {
    pub(super) context: Arc<TaskContext>,
    pub(super) left: (SchemaRef, LexOrdering),
    pub(super) right: (SchemaRef, LexOrdering),
}

impl Sorts {
    /// The left rows read so far and those still to come, sorted.
    pub(super) fn left(
        &self,
        read: Vec<RecordBatch>,
        rest: SendableRecordBatchStream,
    ) -> Result<SendableRecordBatchStream> {
        self.sort(&self.left, read, rest)
    }

    /// The right rows read so far and those still to come, sorted.
    pub(super) fn right(
        &self,
        read: Vec<RecordBatch>,
        rest: SendableRecordBatchStream,
    ) -> Result<SendableRecordBatchStream> {
        self.sort(&self.right, read, rest)
    }

    /// Memory for the merge of what is sorted.
    pub(super) fn reservation(&self) -> MemoryReservation {
        MemoryConsumer::new("PointInTimeJoin").register(self.context.memory_pool())
    }

    fn sort(
        &self,
        (schema, ordering): &(SchemaRef, LexOrdering),
        read: Vec<RecordBatch>,
        rest: SendableRecordBatchStream,
    ) -> Result<SendableRecordBatchStream> {
        let read = stream::iter(read.into_iter().map(Ok));
        let rows = read.chain(rest);
        let rows = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), rows));
        let rows = Once { schema: Arc::clone(schema), rows: Mutex::new(Some(rows)) };
        let schema = Arc::clone(schema);
        let input =
            StreamingTableExec::try_new(schema, vec![Arc::new(rows)], None, [], false, None)?;
        let sort = SortExec::new(ordering.clone(), Arc::new(input));
        sort.execute(0, Arc::clone(&self.context))
    }
}

/// A stream as the partition of a plan, to be read once.
struct Once {
    schema: SchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        self.rows.lock().take().unwrap_or_else(|| {
            let twice = Err(internal_datafusion_err!("the rows of a join were read twice"));
            let schema = Arc::clone(&self.schema);
            Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter([twice])))
        })
    }
}
