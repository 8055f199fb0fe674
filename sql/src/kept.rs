//! What planning a statement gave, kept for the next time that the statement runs.
//!
//! A plan was made over one catalog, some settings and the types of the parameters. It serves again
//! where all of these are as they were, and is made anew where they are not.
//!
//! Never: the version of a table is kept. Which rows there are is looked up at every run.

use std::sync::Arc;

use arrow::datatypes::DataType;
use catalog::Snapshot;
use datafusion::scalar::ScalarValue;
use parking_lot::Mutex;

use crate::session::Session;
use crate::statement::insert::InsertPlan;
use crate::statement::select::QueryPlan;

/// What a plan was made under.
#[derive(Debug)]
pub(crate) struct Circumstances {
    catalog: Arc<Snapshot>,
    settings: u64,
    parameters: Vec<DataType>,
}

impl Circumstances {
    /// Those of now. `None` where the session has tables of its own, which may hide others.
    pub(crate) fn of(session: &Session, parameters: &[ScalarValue]) -> Option<Self> {
        let settings =
            session.with(|s| s.has_no_temporary_table().then(|| s.settings.edition()))?;
        let parameters = parameters.iter().map(ScalarValue::data_type).collect();
        Some(Self { catalog: session.snapshot(), settings, parameters })
    }
}

impl PartialEq for Circumstances {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.catalog, &other.catalog)
            && self.settings == other.settings
            && self.parameters == other.parameters
    }
}

/// A plan that holds for any version of its tables with the same columns.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    Insert(Arc<InsertPlan>),
    Query(Arc<QueryPlan>),
}

/// The last plan of one statement.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Option<(Circumstances, Plan)>>);

impl Kept {
    /// The plan, if it was made under these circumstances.
    pub(crate) fn find(&self, circumstances: Option<&Circumstances>) -> Option<Plan> {
        let kept = self.0.lock();
        let (known, plan) = kept.as_ref()?;
        (Some(known) == circumstances).then(|| plan.clone())
    }

    /// Keeps a plan in place of the last one.
    pub(crate) fn keep(&self, circumstances: Option<Circumstances>, plan: Plan) {
        if let Some(circumstances) = circumstances {
            *self.0.lock() = Some((circumstances, plan));
        }
    }
}
