//! Tables that others wrote with deletion vectors or column mapping, read by delta-rs' scan.
//!
//! Slower than our own: it goes through the log again, and knows no statistics. The server makes no
//! such tables.
//!
//! Never: a file outside the folder of the table is read, whatever its log says, or through another store
//! than its own, whichever credentials others have for the same bucket.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use deltalake_core::{DeltaTable, DeltaTableBuilder};
use object_store::ObjectStore;
use url::{Position, Url};

use crate::error::Error;
use crate::stores::{Confined, Location};
use crate::table::DataFile;

/// A plan that yields the columns of `wanted` at a version of the table.
pub(super) async fn scan(
    location: &Location,
    version: i64,
    state: &dyn Session,
    wanted: &SchemaRef,
    filters: &[Expr],
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let own: Arc<dyn ObjectStore> = Confined::to(location.clone());
    let table = open(location, &own, version).await?;
    let Some(state) = state.as_any().downcast_ref::<SessionState>() else {
        return internal_err!("a scan is planned by another session than ours");
    };
    let store: Arc<dyn ObjectStoreRegistry> =
        Arc::new(OneStore { url: location.url.clone(), store: own });
    let state = &SessionStateBuilder::new_from_existing(state.clone())
        .with_runtime_env(with_store(state.runtime_env(), &store))
        .build();
    let provider: Arc<dyn TableProvider> = table.table_provider().await.map_err(external)?;
    let theirs = provider.schema();
    let indices = wanted
        .fields()
        .iter()
        .map(|field| theirs.index_of(field.name()))
        .collect::<Result<Vec<_>, _>>()?;
    let plan = provider.scan(state, Some(&indices), filters, limit).await?;
    Ok(Arc::new(OwnStoreExec { inner: as_wanted(plan, wanted)?, store }))
}

/// Refuses a deletion vector in a file that the log names by its whole path: it may be anybody's.
pub(super) fn check_vector(file: &DataFile) -> Result<()> {
    let told = |key| file.add().deletion_vector.as_ref()?.get(key)?.as_str();
    if told("storageType") == Some("p") {
        let location = told("pathOrInlineDv").unwrap_or_default().to_owned();
        return Err(DataFusionError::from(Error::LocationRefused { location }));
    }
    Ok(())
}

/// What is below one table, and nothing else.
#[derive(Debug)]
struct OneStore {
    url: ObjectStoreUrl,
    store: Arc<dyn ObjectStore>,
}

impl ObjectStoreRegistry for OneStore {
    /// Leaves things as they are.
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let own: &Url = self.url.as_ref();
        if url[..Position::BeforePath] == own[..Position::BeforePath] {
            return Ok(Arc::clone(&self.store));
        }
        Err(DataFusionError::from(Error::LocationRefused { location: url.to_string() }))
    }
}

/// Runs a plan with stores of its own.
#[derive(Debug)]
struct OwnStoreExec {
    inner: Arc<dyn ExecutionPlan>,
    store: Arc<dyn ObjectStoreRegistry>,
}

/// The same memory, disk and caches, and other stores.
fn with_store(runtime: &RuntimeEnv, store: &Arc<dyn ObjectStoreRegistry>) -> Arc<RuntimeEnv> {
    let object_store_registry = Arc::clone(store);
    Arc::new(RuntimeEnv { object_store_registry, ..runtime.clone() })
}

impl DisplayAs for OwnStoreExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnStoreExec")
    }
}

impl ExecutionPlan for OwnStoreExec {
    fn name(&self) -> &'static str {
        "OwnStoreExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.inner]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(inner), true) => Ok(Arc::new(Self { inner, store: Arc::clone(&self.store) })),
            _ => internal_err!("an OwnStoreExec has one input"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let context = TaskContext::new(
            context.task_id(),
            context.session_id(),
            context.session_config().clone(),
            context.scalar_functions().clone(),
            context.higher_order_functions().clone(),
            context.aggregate_functions().clone(),
            context.window_functions().clone(),
            with_store(&context.runtime_env(), &self.store),
        );
        self.inner.execute(partition, Arc::new(context))
    }
}

async fn open(location: &Location, own: &Arc<dyn ObjectStore>, version: i64) -> Result<DeltaTable> {
    let url = Url::parse(&format!("{location}/")).map_err(external)?;
    let version = u64::try_from(version).map_err(external)?;
    DeltaTableBuilder::from_url(url.clone())
        .map_err(external)?
        .with_storage_backend(Arc::clone(own), url)
        .with_version(version)
        .load()
        .await
        .map_err(external)
}

/// The same columns as the types that the table promised to the planner.
fn as_wanted(plan: Arc<dyn ExecutionPlan>, wanted: &SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
    let theirs = plan.schema();
    let columns = wanted
        .fields()
        .iter()
        .map(|field| {
            let index = theirs.index_of(field.name())?;
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
            let same = theirs.field(index).data_type() == field.data_type();
            let column = if same {
                column
            } else {
                Arc::new(CastExpr::new(column, field.data_type().clone(), None))
            };
            Ok((column, field.name().clone()))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    let what = format!("cannot read a table that another program wrote: {error}");
    DataFusionError::from(Error::Unsupported { what })
}
