//! Rows that come as Arrow batches, such as Flight's bulk ingest: matched by name, cast, added in
//! one commit.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use catalog::{Change, Definition, Entry, TableSpec};
use datafusion::error::Result as DfResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;

use crate::dml;
use crate::error::{Error, Result, state};
use crate::resolve::{Pinned, QualifiedName};
use crate::session::{IngestTarget, Session};
use crate::statement::create_table;

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
        Some(pinned) if target.append => {
            let rows = conform(rows, &dml::user_schema(&pinned.snapshot.schema), &target.table)?;
            dml::append(session, &pinned, rows, "flight").await
        }
        None if !target.create => Err(Error::new(
            state::UNDEFINED_TABLE,
            format!("relation \"{}\" does not exist", target.table),
        )),
        other => make(session, &target, rows, other.is_some()).await,
    }
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
    let spec = TableSpec::new(Arc::new(Schema::new(fields)));
    let (made, reference) = create_table::make(session, &name, target.temporary, spec).await?;
    let rows = conform(rows, &made.snapshot.schema, &target.table)?;
    let count = dml::append_unnamed(session, &made, rows).await?;
    match reference {
        None => {
            session.drop_temporary_table(&name.name);
            session.add_temporary_table(name.name, made.table)?;
        }
        Some(reference) => {
            let mut changes = Vec::new();
            if replaces {
                changes
                    .push(Change::Drop(dml::existing(session, Some(&name.schema), &name.name)?.id));
            }
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

/// Columns by name, in the table's order; one that does not come is NULL.
pub(super) fn conform(
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
    let places: Vec<Option<usize>> =
        schema.fields().iter().map(|f| came.index_of(f.name()).ok()).collect();
    let nullable = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
    let target: SchemaRef = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let out = Arc::clone(&target);
    let rows = rows.map(move |batch| -> DfResult<RecordBatch> {
        let batch = batch?;
        let strict = arrow::compute::CastOptions { safe: false, ..Default::default() };
        let columns = places.iter().zip(target.fields()).map(|(place, field)| match place {
            Some(at) => {
                arrow::compute::cast_with_options(batch.column(*at), field.data_type(), &strict)
            }
            None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&target), columns)?)
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(out, rows)))
}
