//! Statements that a client prepared, with the values it bound to them.
//!
//! Never: a value that is bound under another type than the statement was planned with, uncast.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef};
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use sql::{Prepared, state};
use tonic::Status;
use uuid::Uuid;

use super::sessions::Client;
use super::{statement, status};

/// Statements that a session may hold at once.
const PREPARED_MAX: usize = 10_000;

/// Memory that the values bound to a statement may take.
const BOUND_BYTES_MAX: usize = 64 << 20;

/// A prepared statement and the rows of values for its next run.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// None: a text without a statement in it.
    pub(super) prepared: Option<Arc<Prepared>>,
    pub(super) bound: Vec<RecordBatch>,
}

impl Held {
    /// The values of a statement that runs once.
    pub(super) fn values(&self) -> Result<Vec<ScalarValue>, Status> {
        let rows: usize = self.bound.iter().map(RecordBatch::num_rows).sum();
        if rows > 1 {
            let message = format!("a query takes one row of parameters, but {rows} came");
            return Err(status::unsupported(message));
        }
        let row = self.bound.iter().find(|batch| batch.num_rows() == 1);
        match (&self.prepared, row) {
            (Some(prepared), Some(batch)) => values(prepared, batch, 0),
            _ => Ok(Vec::new()),
        }
    }

    /// The statement with the values that a client sends; as it was, where it sends none.
    pub(super) async fn bind(
        mut self,
        client: &Client,
        mut batches: BoxStream<'static, Result<RecordBatch, Status>>,
    ) -> Result<Self, Status> {
        let mut bound = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = batches.next().await.transpose()? {
            bytes += batch.get_array_memory_size();
            if bytes > BOUND_BYTES_MAX {
                let message = format!("bound values can take {BOUND_BYTES_MAX} bytes");
                let error = sql::Error::new(state::OUT_OF_MEMORY, message);
                return Err(status::failed(error.with_hint("Use bulk ingest for many rows.")));
            }
            bound.push(batch);
        }
        if let (Some(prepared), Some(first)) = (&self.prepared, bound.first()) {
            let prepared = with_types(client, Arc::clone(prepared), first).await?;
            self = Self { prepared: Some(prepared), bound };
        }
        Ok(self)
    }
}

/// The prepared statements of a session.
#[derive(Debug, Default)]
pub(super) struct PreparedStatements(Mutex<HashMap<Uuid, Held>>);

impl PreparedStatements {
    /// Keeps a statement; returns the handle by which the client names it.
    pub(super) fn add(&self, prepared: Option<Arc<Prepared>>) -> Result<Bytes, Status> {
        let mut held = self.0.lock();
        if held.len() >= PREPARED_MAX {
            let message = format!("a session can hold {PREPARED_MAX} prepared statements");
            return Err(status::refused(state::OUT_OF_MEMORY, message));
        }
        let id = Uuid::new_v4();
        held.insert(id, Held { prepared, bound: Vec::new() });
        Ok(Bytes::copy_from_slice(id.as_bytes()))
    }

    /// The statement of a handle.
    pub(super) fn get(&self, handle: &[u8]) -> Result<Held, Status> {
        let id = id(handle)?;
        self.0.lock().get(&id).cloned().ok_or_else(unknown)
    }

    /// Changes the statement of a handle.
    pub(super) fn put(&self, handle: &[u8], changed: Held) -> Result<(), Status> {
        let id = id(handle)?;
        *self.0.lock().get_mut(&id).ok_or_else(unknown)? = changed;
        Ok(())
    }

    /// Forgets the statement of a handle.
    pub(super) fn remove(&self, handle: &[u8]) -> Result<(), Status> {
        let id = id(handle)?;
        self.0.lock().remove(&id).map(drop).ok_or_else(unknown)
    }
}

fn id(handle: &[u8]) -> Result<Uuid, Status> {
    Uuid::from_slice(handle).map_err(|_| unknown())
}

fn unknown() -> Status {
    status::refused(state::INVALID_STATEMENT_NAME, "the prepared statement does not exist")
}

/// Plans the statement again where the types of its parameters are known only now.
pub(super) async fn with_types(
    client: &Client,
    prepared: Arc<Prepared>,
    batch: &RecordBatch,
) -> Result<Arc<Prepared>, Status> {
    let undecided = |prepared: &Prepared| {
        prepared.parameter_fields().iter().any(|field| *field.data_type() == DataType::Null)
    };
    if !undecided(&prepared) {
        return Ok(prepared);
    }
    let came = batch.schema();
    let fields: Vec<Option<FieldRef>> = prepared
        .parameter_fields()
        .iter()
        .zip(came.fields())
        .map(|(decided, came)| match decided.data_type() {
            DataType::Null => Some(Arc::clone(came)),
            _ => Some(Arc::new(decided.clone())),
        })
        .collect();
    let again = statement::prepare(client, prepared.text(), &fields).await?;
    Ok(again.unwrap_or(prepared))
}

/// The values of one row, in the types that the statement was planned with.
pub(super) fn values(
    prepared: &Prepared,
    batch: &RecordBatch,
    row: usize,
) -> Result<Vec<ScalarValue>, Status> {
    let wanted = prepared.parameter_fields();
    if batch.num_columns() != wanted.len() {
        let message = format!(
            "the statement takes {} parameters, but {} came",
            wanted.len(),
            batch.num_columns()
        );
        return Err(status::refused("08P01", message));
    }
    let columns = batch.columns().iter().zip(wanted);
    columns
        .map(|(column, wanted)| {
            let value = ScalarValue::try_from_array(column, row)?;
            match wanted.data_type() {
                DataType::Null => Ok(value),
                wanted if value.data_type() == *wanted => Ok(value),
                wanted if value.is_null() => ScalarValue::try_from(wanted),
                wanted => value.cast_to(wanted),
            }
        })
        .collect::<datafusion::error::Result<_>>()
        .map_err(status::broken)
}
