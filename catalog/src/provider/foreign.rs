//! Tables that others wrote with deletion vectors or column mapping, read by delta-rs' scan.
//!
//! Slower than our own: it goes through the log again, and knows no statistics. The server makes no
//! such tables.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use deltalake_core::{DeltaTable, DeltaTableBuilder};
use url::Url;

use crate::error::Error;
use crate::stores::Location;

/// A plan that yields the columns of `wanted` at a version of the table.
pub(super) async fn scan(
    location: &Location,
    version: i64,
    state: &dyn Session,
    wanted: &SchemaRef,
    filters: &[Expr],
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let table = open(location, version).await?;
    table.update_datafusion_session(state).map_err(external)?;
    let provider: Arc<dyn TableProvider> = table.table_provider().await.map_err(external)?;
    let theirs = provider.schema();
    let indices = wanted
        .fields()
        .iter()
        .map(|field| theirs.index_of(field.name()))
        .collect::<Result<Vec<_>, _>>()?;
    let plan = provider.scan(state, Some(&indices), filters, limit).await?;
    as_wanted(plan, wanted)
}

async fn open(location: &Location, version: i64) -> Result<DeltaTable> {
    let url = Url::parse(&format!("{location}/")).map_err(external)?;
    let version = u64::try_from(version).map_err(external)?;
    DeltaTableBuilder::from_url(url.clone())
        .map_err(external)?
        .with_storage_backend(Arc::clone(&location.store), url)
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
