//! System relations as tables of the planner: computed when they are scanned.
//!
//! Never: a condition that is left to this file. It only spares work; the plan filters again.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::ScalarValue;
use datafusion::datasource::TableProvider;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType,
};
use datafusion::physical_plan::ExecutionPlan;

use super::context::{SystemContext, Wanted};
use super::relations::{self, SystemRelation};
use super::rows::Rows;
use super::tables::{self, Details, Source};

/// A table of `pg_catalog` or `information_schema`; none for any other name.
///
/// An unqualified name is one of `pg_catalog`, which stands first in every search path.
pub(crate) fn system_table(
    schema: Option<&str>,
    name: &str,
    context: &Arc<SystemContext>,
) -> Option<Arc<dyn TableProvider>> {
    let relation = relations::find(schema.unwrap_or("pg_catalog"), name)?;
    let context = Arc::clone(context);
    Some(Arc::new(SystemTable { relation, source: tables::source(relation)?, context }))
}

/// Whether [`system_table`] knows the name.
pub(crate) fn is_system_relation(schema: Option<&str>, name: &str) -> bool {
    relations::find(schema.unwrap_or("pg_catalog"), name).is_some()
}

/// Whether a table is one of the system's own.
pub(crate) fn is_system(table: &Arc<dyn TableProvider>) -> bool {
    table.downcast_ref::<SystemTable>().is_some()
}

struct SystemTable {
    relation: &'static SystemRelation,
    source: Source,
    context: Arc<SystemContext>,
}

impl fmt::Debug for SystemTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SystemTable").field(&self.relation.name).finish()
    }
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.relation.columns)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut rows = Rows::new(self.schema());
        if let Source::Computed { compute, keys, details } = self.source {
            let wanted = wanted(filters, keys);
            match details {
                Details::Histories => self.context.load_histories(&wanted).await?,
                Details::CatalogHistory => self.context.load_catalog_history().await?,
                _ if details.needed(&self.relation.columns, projection) => {
                    self.context.load(&wanted).await?;
                }
                _ => {}
            }
            compute(&self.context, &wanted, &mut rows)?;
        }
        let batch = rows.batch(projection)?;
        let schema = batch.schema();
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None)?)
    }
}

/// Columns by which a relation's rows tell the relation that they speak of.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Keys {
    pub(crate) oid: Option<&'static str>,
    pub(crate) schema: Option<&'static str>,
    pub(crate) name: Option<&'static str>,
}

/// What the conditions of a scan say of the relations that it can speak of.
fn wanted(filters: &[Expr], keys: Keys) -> Wanted {
    let values = |key: Option<&str>| -> Option<BTreeSet<String>> {
        let key = key?;
        filters.iter().find_map(|filter| equal_to(filter, key))
    };
    let oids =
        values(keys.oid).and_then(|texts| texts.iter().map(|text| text.parse().ok()).collect());
    Wanted { oids, schemas: values(keys.schema), names: values(keys.name) }
}

/// The values that a condition allows for a column, as text: `column = 1`, `column IN (1, 2)`.
fn equal_to(filter: &Expr, column: &str) -> Option<BTreeSet<String>> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let value = match (column_of(left), column_of(right)) {
                (Some(name), _) if name == column => literal(right),
                (_, Some(name)) if name == column => literal(left),
                _ => None,
            };
            Some(BTreeSet::from([value?]))
        }
        Expr::InList(InList { expr, list, negated: false }) if column_of(expr) == Some(column) => {
            list.iter().map(literal).collect()
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (mut left, right) = (equal_to(left, column)?, equal_to(right, column)?);
            left.extend(right);
            Some(left)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            equal_to(left, column).or_else(|| equal_to(right, column))
        }
        _ => None,
    }
}

fn column_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(&column.name),
        Expr::Cast(cast) => column_of(&cast.expr),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(value, _) if !value.is_null() => match value {
            ScalarValue::Utf8(Some(text))
            | ScalarValue::LargeUtf8(Some(text))
            | ScalarValue::Utf8View(Some(text)) => Some(text.clone()),
            number if number.data_type().is_integer() => Some(number.to_string()),
            _ => None,
        },
        Expr::Cast(cast) => literal(&cast.expr),
        _ => None,
    }
}
