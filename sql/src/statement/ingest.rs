//! Rows that come as Arrow batches, such as Flight's bulk ingest: matched by name, assigned as an
//! INSERT assigns them, added in one commit.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use catalog::{Change, Commit, Definition, Entry, TableSpec, Zone};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result as DfResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use ingest::decode::{FoundColumn, RESCUED};

use crate::dml;
use crate::error::{Error, Result, state};
use crate::plan;
use crate::resolve::{Pinned, QualifiedName};
use crate::schema_evolution::{self, Mode};
use crate::semantics;
use crate::session::{IngestTarget, Session};
use crate::statement::alter_table::Evolution;
use crate::statement::{create_table, drop};

/// Adds the rows, makes the table where the client asked for it; returns how many came.
pub(crate) async fn run(
    session: &Session,
    target: IngestTarget,
    rows: SendableRecordBatchStream,
) -> Result<u64> {
    session.refuse_read_only()?;
    let found = find(session, &target).await?;
    match found {
        Some(_) if !target.append && !target.replace => Err(Error::new(
            state::DUPLICATE_TABLE,
            format!("relation \"{}\" already exists", target.table),
        )),
        Some(pinned) if target.append => match follow(session, &pinned, &rows.schema()).await? {
            None => {
                let rows = rescue(&pinned, rows)?;
                let schema = dml::user_schema(&pinned.snapshot.schema);
                let rows = conform(session, rows, &schema, &target.table)?;
                dml::append(session, &pinned, rows, "flight", None).await
            }
            Some((evolved, commit)) => {
                let schema = dml::user_schema(&evolved.snapshot.schema);
                let rows = conform(session, rows, &schema, &target.table)?;
                dml::append_evolved(session, &pinned, &evolved, commit, rows, "flight").await
            }
        },
        None if !target.create => Err(Error::new(
            state::UNDEFINED_TABLE,
            format!("relation \"{}\" does not exist", target.table),
        )),
        other => make(session, &target, rows, other.is_some()).await,
    }
}

/// The table as rows with these columns make it, and the commit that does; as far as its mode goes.
async fn follow(
    session: &Session,
    pinned: &Pinned,
    came: &SchemaRef,
) -> Result<Option<(Pinned, Commit)>> {
    if !Mode::of(&pinned.snapshot.configuration).follows() {
        return Ok(None);
    }
    let found = came.fields().iter().map(|field| FoundColumn::declared(field.as_ref().clone()));
    let mut evolution = Evolution::new(session, pinned);
    evolution.follow(&found.collect::<Vec<_>>())?;
    Ok(Box::pin(evolution.prepare()).await?.map(|(spec, commit)| {
        let snapshot = Arc::new(pinned.snapshot.with_definition(&spec));
        (Pinned { snapshot, ..pinned.clone() }, commit)
    }))
}

/// Columns that the table lacks as the one that keeps them, where it has that.
fn rescue(pinned: &Pinned, rows: SendableRecordBatchStream) -> Result<SendableRecordBatchStream> {
    if Mode::of(&pinned.snapshot.configuration) != Mode::Rescue {
        return Ok(rows);
    }
    let (came, table) = (rows.schema(), &pinned.snapshot.schema);
    let known = |at: &usize| {
        let name = came.field(*at).name();
        name != RESCUED && table.index_of(name).is_ok()
    };
    let (known, unknown): (Vec<usize>, Vec<usize>) = (0..came.fields().len()).partition(known);
    let rescued = schema_evolution::rescued_column();
    let fields = known.iter().map(|at| came.field(*at).clone()).chain([rescued.clone()]);
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let out = Arc::clone(&schema);
    let rows = rows.map(move |batch| -> DfResult<RecordBatch> {
        let batch = batch?;
        let mut columns: Vec<ArrayRef> =
            known.iter().map(|at| Arc::clone(batch.column(*at))).collect();
        columns.push(ingest::decode::rescued_of(&batch, &unknown, &rescued)?);
        Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(out, rows)))
}

async fn find(session: &Session, target: &IngestTarget) -> Result<Option<Pinned>> {
    let mut parts = Vec::new();
    parts.extend(target.schema.as_ref().map(|s| ast::Ident::with_quote('"', s)));
    if target.temporary && parts.is_empty() {
        parts.push(ast::Ident::new("pg_temp"));
    }
    parts.push(ast::Ident::with_quote('"', &target.table));
    match dml::target(session, &ast::ObjectName::from(parts)).await {
        Ok(pinned) => Ok(Some(pinned)),
        Err(error) if error.sqlstate() == state::UNDEFINED_TABLE => Ok(None),
        Err(error) => Err(error),
    }
}

/// A new table under the name; one that was there gives its name up in the same commit.
async fn make(
    session: &Session,
    target: &IngestTarget,
    rows: SendableRecordBatchStream,
    replaces: bool,
) -> Result<u64> {
    let name = if target.temporary {
        QualifiedName { schema: "pg_temp".to_owned(), name: target.table.clone() }
    } else {
        create_table::new_name(session, target.schema.clone(), target.table.clone())?
    };
    let came = rows.schema();
    let fields = came.fields().iter().map(|f| create_table::stored_field(f, f.name()));
    let fields = fields.collect::<Result<Vec<_>>>()?;
    create_table::refuse_double_names(fields.iter().map(|f| f.name().as_str()))?;
    let mut spec = TableSpec::new(Arc::new(Schema::new(fields)));
    if !target.temporary && create_table::zone(session, &name) == Some(Zone::Raw) {
        spec.schema = create_table::with_raw_columns(&spec.schema)?;
    }
    let mut changes = Vec::new();
    if replaces && !target.temporary {
        let entry = dml::existing(session, Some(&name.schema), &name.name)?;
        drop::refuse_dependents(&session.snapshot(), &entry)?;
        changes.push(Change::Drop(entry.id));
    }
    let (made, reference) = create_table::make(session, &name, target.temporary, spec).await?;
    let schema = dml::user_schema(&made.snapshot.schema);
    let rows = conform(session, rows, &schema, &target.table)?;
    let count = dml::append_unnamed(session, &made, rows).await?;
    match reference {
        None => {
            session.drop_temporary_table(&name.name);
            session.add_temporary_table(name.name, made.table)?;
        }
        Some(reference) => {
            let entry = Entry::new(
                name.schema,
                name.name,
                session.user(),
                session.engine().now_micros(),
                Definition::Table(reference),
            );
            let id = entry.id;
            changes.push(Change::Put(entry));
            session.change(changes, Some(id)).await?;
        }
    }
    Ok(count)
}

/// Columns by name, in the table's order, by the rules of INSERT; one that does not come has its default.
fn conform(
    session: &Session,
    rows: SendableRecordBatchStream,
    schema: &SchemaRef,
    table: &str,
) -> Result<SendableRecordBatchStream> {
    let came = rows.schema();
    for field in came.fields() {
        if schema.field_with_name(field.name()).is_err() {
            return Err(Error::new(
                state::UNDEFINED_COLUMN,
                format!("column \"{}\" of relation \"{table}\" does not exist", field.name()),
            ));
        }
    }
    create_table::refuse_double_names(came.fields().iter().map(|f| f.name().as_str()))?;
    let planner = session.planning_state();
    let columns = DFSchema::try_from(Arc::clone(&came))?;
    let values = schema.fields().iter().map(|field| {
        let value = match came.field_with_name(field.name()) {
            Ok(_) => Expr::Column(Column::new_unqualified(field.name())),
            Err(_) => {
                let default = dml::default_expression(field).to_string();
                plan::expression(&planner, &default, &columns)?
            }
        };
        let (_, source) = ExprSchemable::to_field(&value, &columns)?;
        let assigned = semantics::assign(value, &source, field)?;
        let assigned = plan::simplify(&planner, assigned, &columns)?;
        Ok(planner.create_physical_expr(assigned, &columns)?)
    });
    let values = values.collect::<Result<Vec<Arc<dyn PhysicalExpr>>>>()?;
    let nullable = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
    let target: SchemaRef = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let out = Arc::clone(&target);
    let rows = rows.map(move |batch| -> DfResult<RecordBatch> {
        let batch = batch?;
        let columns = values.iter().map(|v| v.evaluate(&batch)?.into_array(batch.num_rows()));
        let columns = columns.collect::<DfResult<Vec<ArrayRef>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&target), columns)?)
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(out, rows)))
}
