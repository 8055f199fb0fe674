//! What INSERT's planner sees in place of the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use catalog::DEFAULT_KEY;
use datafusion::catalog::Session as DfSession;
use datafusion::common::DFSchema;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::error::Result as DfResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;

use super::user_schema;
use crate::error::{Error, Result};
use crate::plan;

/// A table as INSERT's planner sees it: only the columns that clients supply, with defaults.
#[derive(Debug)]
pub(crate) struct InsertTarget {
    schema: SchemaRef,
    defaults: BTreeMap<String, Expr>,
}

impl InsertTarget {
    pub(crate) fn new(state: &SessionState, table: &SchemaRef) -> Result<Self> {
        // NULLs are refused where the rows are checked, with the column's name in the message.
        let nullable = user_schema(table);
        let nullable = nullable.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
        let mut defaults = BTreeMap::new();
        for field in schema.fields() {
            if let Some(text) = field.metadata().get(DEFAULT_KEY) {
                let expr = plan::expression(state, text, &DFSchema::empty())?;
                defaults.insert(field.name().clone(), expr);
            }
        }
        Ok(Self { schema, defaults })
    }
}

#[async_trait]
impl TableProvider for InsertTarget {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.defaults.get(column)
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Unsupported; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn DfSession,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Err(Error::internal("the target of an INSERT cannot be read").into())
    }
}
