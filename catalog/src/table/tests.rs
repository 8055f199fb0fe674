//! Tables from outside: commits, races, faults, time travel.

#![expect(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod cleanup;
mod faults;
mod large;
mod ledger;
mod races;
mod rows;
mod statistics_of_writes;
mod vacuum;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use futures::stream;
use object_store::ObjectStore;
use object_store::memory::InMemory;

use crate::clock::ManualClock;
use crate::stores::{Location, Stores};
use crate::table::{Commit, LakeTable, TableSnapshot};
use crate::{Clock, Result, TableSpec};

/// 2026-01-01 00:00:00 UTC.
const START_MICROS: i64 = 1_767_225_600_000_000;

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(START_MICROS))
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// A table "t" in a store.
fn place(store: &Arc<dyn ObjectStore>) -> Location {
    Stores::from_store("memory://", Arc::clone(store)).unwrap().in_warehouse("t").unwrap()
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
    ]))
}

fn batch(ids: std::ops::Range<i64>) -> RecordBatch {
    let names: StringArray = ids.clone().map(|id| Some(format!("name {id}"))).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(names)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn streamed(batches: Vec<RecordBatch>) -> SendableRecordBatchStream {
    let schema = batches[0].schema();
    Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches.into_iter().map(Ok))))
}

/// A new table in memory.
async fn table() -> Arc<LakeTable> {
    LakeTable::create(place(&memory()), TableSpec::new(schema()), clock()).await.unwrap()
}

async fn append(table: &Arc<LakeTable>, ids: std::ops::Range<i64>) -> Result<Arc<TableSnapshot>> {
    let base = table.current();
    let adds = table.write_files(&base, streamed(vec![batch(ids)])).await?;
    table.commit(&base, Commit::append(adds)).await
}

/// A session that finds the stores of a table.
fn session(table: &LakeTable) -> SessionContext {
    let context = SessionContext::new();
    let location = table.location();
    context.runtime_env().register_object_store(location.url.as_ref(), Arc::clone(&location.store));
    context
}

/// The rows that a query over table "t" yields.
async fn query(
    table: &Arc<LakeTable>,
    snapshot: Arc<TableSnapshot>,
    sql: &str,
) -> Vec<RecordBatch> {
    let context = session(table);
    context.register_table("t", table.scan(snapshot)).unwrap();
    context.sql(sql).await.unwrap().collect().await.unwrap()
}

/// All ids, sorted.
async fn ids(table: &Arc<LakeTable>, snapshot: Arc<TableSnapshot>) -> Vec<i64> {
    let batches = query(table, snapshot, "SELECT id FROM t ORDER BY id").await;
    batches
        .iter()
        .flat_map(|batch| {
            batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()
        })
        .collect()
}
