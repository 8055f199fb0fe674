//! Where plans run: small ones on the thread of their session, all others on threads of their own.
//!
//! ```text
//! session's thread ── small plan ──> polled in place: a point lookup pays no change of threads
//!                 └── other plan ──> compute threads ── batches ──> session's thread
//! ```
//!
//! A session's threads carry every connection, so nothing may hold one of them for long. What a
//! plan that runs elsewhere does to its own threads is bounded by [`share`]. See
//! docs/decisions/004-compute-threads.md.
//!
//! Never: a plan that goes on computing for a statement that has ended.

mod share;
mod weight;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{FutureExt, Stream, StreamExt};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::share::Stop;

/// Batches that are computed before the one ahead of them has been taken.
const BATCHES_AHEAD: usize = 1;

/// Plans of deeply nested expressions recurse.
const STACK_BYTES: usize = 8 << 20;

/// The threads that compute; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(count.max(1))
            .thread_stack_size(STACK_BYTES)
            .thread_name("tarn-compute")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// The way for plans to these threads.
    pub(crate) fn compute(&self) -> Compute {
        Compute(self.0.as_ref().map(|runtime| runtime.handle().clone()))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Without waiting: the engine may be dropped where nothing may block.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Starts plans. An extension of DataFusion's session configuration.
#[derive(Debug)]
pub(crate) struct Compute(Option<Handle>);

impl Compute {
    /// Starts a plan where its context's configuration says.
    pub(crate) fn run(
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        Ok(Self::start(plan, context)?.rows)
    }

    /// The same, with the plan that runs: its metrics are those to look at.
    pub(crate) fn start(
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
    ) -> Result<Started> {
        let compute = context.session_config().get_extension::<Self>();
        match compute.as_ref().and_then(|compute| compute.0.as_ref()) {
            Some(threads) if !weight::is_small(&plan) => Remote::start(threads, plan, context),
            _ => Ok(Started { rows: execute_stream(Arc::clone(&plan), context)?, plan }),
        }
    }
}

/// A plan that runs.
pub(crate) struct Started {
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    pub(crate) rows: SendableRecordBatchStream,
}

impl Started {
    /// What the operators did, as text; of those that only share the threads, nothing.
    pub(crate) fn metrics(&self, verbose: bool) -> Vec<String> {
        let shown = DisplayableExecutionPlan::with_metrics(self.plan.as_ref());
        share::without_turns(&shown.indent(verbose).to_string())
    }
}

/// The rows of a plan that runs on other threads. Dropping it stops the plan.
struct Remote {
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch>>,
    /// None when its end has been told.
    task: Option<JoinHandle<()>>,
    stop: Stop,
}

impl Remote {
    fn start(
        threads: &Handle,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
    ) -> Result<Started> {
        let schema = plan.schema();
        let stop = Stop::default();
        let plan = share::fairly(plan, &stop)?;
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let task = Some(threads.spawn(drive(Arc::clone(&plan), context, sender)));
        Ok(Started { rows: Box::pin(Self { schema, batches, task, stop }), plan })
    }
}

async fn drive(
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    sender: mpsc::Sender<Result<RecordBatch>>,
) {
    let mut rows = match execute_stream(plan, context) {
        Ok(rows) => rows,
        Err(error) => {
            // Whoever asked may have gone; then nobody wants to know.
            let _ = sender.send(Err(error)).await;
            return;
        }
    };
    while let Some(batch) = rows.next().await {
        let failed = batch.is_err();
        if sender.send(batch).await.is_err() || failed {
            return;
        }
    }
}

impl Stream for Remote {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(batch) = ready!(self.batches.poll_recv(cx)) {
            return Poll::Ready(Some(batch));
        }
        let Some(task) = &mut self.task else { return Poll::Ready(None) };
        let ended = ready!(task.poll_unpin(cx));
        self.task = None;
        match ended {
            Ok(()) => Poll::Ready(None),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Poll::Ready(Some(Err(DataFusionError::External(Box::new(error))))),
        }
    }
}

impl RecordBatchStream for Remote {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.stop.set();
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
