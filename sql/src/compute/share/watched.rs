//! The condition of a join, looked at between any two batches of pairs.

use std::cell::Cell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;

use super::{Stop, TURN};

thread_local! {
    /// When a thread last gave its other tasks away.
    static GIVEN_WAY_AT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// An expression that fails when its statement has ended.
#[derive(Debug)]
pub(super) struct Watched {
    inner: Arc<dyn PhysicalExpr>,
    stop: Stop,
}

impl Watched {
    pub(super) fn new(inner: Arc<dyn PhysicalExpr>, stop: Stop) -> Self {
        Self { inner, stop }
    }
}

/// Lets another thread go on with this one's tasks, every now and then: in the middle of a join's
/// work there is no other way to give way.
fn give_way() {
    let now = Instant::now();
    let due = GIVEN_WAY_AT.get().is_none_or(|at| now.duration_since(at) >= TURN);
    if due {
        GIVEN_WAY_AT.set(Some(now));
        tokio::task::block_in_place(|| ());
    }
}

impl PhysicalExpr for Watched {
    fn data_type(&self, input: &Schema) -> Result<DataType> {
        self.inner.data_type(input)
    }

    fn nullable(&self, input: &Schema) -> Result<bool> {
        self.inner.nullable(input)
    }

    fn return_field(&self, input: &Schema) -> Result<FieldRef> {
        self.inner.return_field(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.stop.is_set() {
            return Err(DataFusionError::Execution("the statement has ended".to_owned()));
        }
        give_way();
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        match (children.pop(), children.is_empty()) {
            (Some(inner), true) => Ok(Arc::new(Self::new(inner, self.stop.clone()))),
            _ => Err(DataFusionError::Internal("a watched expression has one input".to_owned())),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Watched {}

impl Hash for Watched {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}
