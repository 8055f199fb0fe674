//! One statement: planned, run, and its outcome in Flight's terms.
//!
//! A statement with rows runs when its ticket is redeemed. One without rows runs when its
//! FlightInfo is asked for: clients send DDL that way too, and may never redeem a ticket.
//! Never: a statement without rows that runs twice, or a write that is cut off because the client
//! hung up.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use sql::{Output, Prepared, TransactionStatus};
use tonic::Status;

use super::rows::{self, Answer};
use super::sessions::{Client, Running};
use super::{prepared, status};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// What statements are run with.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    pub(super) metrics: Arc<Metrics>,
    pub(super) shutdown: Shutdown,
}

/// Plans the one statement of a text; none where there is nothing in it.
pub(super) async fn prepare(
    client: &Client,
    text: &str,
    parameters: &[Option<FieldRef>],
) -> Result<Option<Arc<Prepared>>, Status> {
    let mut statements = client.session.parse(text).map_err(status::failed)?;
    let Some(statement) = statements.pop() else { return Ok(None) };
    if !statements.is_empty() {
        let several = "syntax error: expected one statement, but several came";
        return Err(status::failed(sql::Error::syntax(several)));
    }
    client.session.prepare(statement, parameters).await.map(Some).map_err(status::failed)
}

/// The columns that a statement announces.
pub(super) fn columns(prepared: Option<&Prepared>) -> SchemaRef {
    let columns = prepared.and_then(Prepared::columns);
    columns.map_or_else(|| Arc::new(Schema::empty()), |columns| rows::sent_schema(&columns))
}

/// Where the rows of a statement are.
pub(super) fn rows_at(
    ticket: Bytes,
    schema: &Schema,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, Status> {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
    Ok(described(schema, descriptor)?.with_endpoint(endpoint))
}

/// The outcome of a statement without rows: nothing to redeem. The number of rows that it changed
/// stands where clients take their row count from.
pub(super) fn no_rows(
    changed: Option<u64>,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, Status> {
    Ok(described(&Schema::empty(), descriptor)?.with_total_records(count(changed)))
}

fn described(schema: &Schema, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
    let described = FlightInfo::new().with_descriptor(descriptor).try_with_schema(schema);
    described.map_err(|error| status::failed(sql::Error::from(error)))
}

/// How many rows, as Flight says it: -1 where a statement has no such number.
pub(super) fn count(rows: Option<u64>) -> i64 {
    rows.and_then(|rows| i64::try_from(rows).ok()).unwrap_or(-1)
}

impl Surroundings {
    /// The rows of a statement.
    pub(super) async fn query(
        &self,
        client: &Arc<Client>,
        prepared: &Arc<Prepared>,
        values: Vec<ScalarValue>,
        running: Running,
    ) -> Result<Answer, Status> {
        let cancel = running.cancel.clone();
        let run = {
            let (client, prepared) = (Arc::clone(client), Arc::clone(prepared));
            async move {
                let _turn = client.turn.read().await;
                client.session.run(&prepared, values).await.map_err(status::failed)
            }
        };
        let output = if prepared.changes_rows() {
            self.to_the_end(run).await?
        } else {
            self.metrics.statements.add(1);
            let output = tokio::select! {
                biased;
                () = cancel.cancelled() => Err(status::cancelled()),
                () = self.shutdown.kill.cancelled() => Err(status::stopping()),
                output = run => output,
            };
            output.inspect_err(|_| self.metrics.statement_errors.add(1))?
        };
        match output {
            Output::Rows(stream) => {
                let schema = columns(Some(prepared));
                Ok(rows::stream(stream, schema, running, self.shutdown.kill.clone()))
            }
            Output::Done { .. } => Ok(rows::ready(RecordBatch::new_empty(columns(None)))),
            Output::CopyIn(_) | Output::CopyOut(_) => Err(copy_refused()),
        }
    }

    /// Runs a statement whose rows, if any, nobody wants. Returns how many rows it changed.
    pub(super) async fn update(
        &self,
        client: &Arc<Client>,
        prepared: &Arc<Prepared>,
        values: Vec<ScalarValue>,
    ) -> Result<Option<u64>, Status> {
        let (client, prepared) = (Arc::clone(client), Arc::clone(prepared));
        self.to_the_end(async move {
            let _turn = client.turn.read().await;
            changed(&client, &prepared, values).await
        })
        .await
    }

    /// Runs a statement once for each row of parameters, all in one transaction.
    pub(super) async fn update_each<S>(
        &self,
        client: &Arc<Client>,
        prepared: Arc<Prepared>,
        batches: S,
    ) -> Result<Option<u64>, Status>
    where
        S: Stream<Item = Result<RecordBatch, Status>> + Send + 'static,
    {
        let client = Arc::clone(client);
        self.to_the_end(async move {
            let _turn = client.turn.write().await;
            let mut batches = batches.boxed();
            let Some(first) = batches.next().await.transpose()? else { return Ok(Some(0)) };
            let prepared = prepared::with_types(&client, prepared, &first).await?;
            let second = batches.next().await.transpose()?;
            let several = first.num_rows() > 1 || second.is_some();
            let ahead = futures::stream::iter([Some(first), second].into_iter().flatten().map(Ok));
            let batches = ahead.chain(batches).boxed();
            let ours = several && client.session.transaction_status() == TransactionStatus::Idle;
            if !ours {
                return each(&client, &prepared, batches).await;
            }
            command(&client, "BEGIN").await?;
            match each(&client, &prepared, batches).await {
                Ok(count) => command(&client, "COMMIT").await.map(|_| count),
                Err(status) => {
                    // The first error is the one to tell.
                    let _ = command(&client, "ROLLBACK").await;
                    Err(status)
                }
            }
        })
        .await
    }

    /// Work with effects: it goes on when the call ends early, and ends with the process only.
    pub(super) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status> {
        self.metrics.statements.add(1);
        let kill = self.shutdown.kill.clone();
        let task = self.shutdown.connections.spawn(async move {
            tokio::select! {
                biased;
                () = kill.cancelled() => Err(status::stopping()),
                done = work => done,
            }
        });
        let done = task.await.unwrap_or_else(|_panic| {
            Err(status::refused("XX000", "the statement met a fault of the server"))
        });
        done.inspect_err(|_| self.metrics.statement_errors.add(1))
    }
}

async fn each(
    client: &Client,
    prepared: &Arc<Prepared>,
    mut batches: BoxStream<'static, Result<RecordBatch, Status>>,
) -> Result<Option<u64>, Status> {
    let mut total = Some(0);
    while let Some(batch) = batches.next().await.transpose()? {
        for row in 0..batch.num_rows() {
            let values = prepared::values(prepared, &batch, row)?;
            let count = changed(client, prepared, values).await?;
            total = total.zip(count).map(|(total, count)| total + count);
        }
    }
    Ok(total)
}

async fn changed(
    client: &Client,
    prepared: &Arc<Prepared>,
    values: Vec<ScalarValue>,
) -> Result<Option<u64>, Status> {
    match client.session.run(prepared, values).await.map_err(status::failed)? {
        Output::Done { rows, .. } => Ok(rows),
        Output::Rows(mut stream) => {
            let mut rows = 0;
            while let Some(batch) = stream.next().await {
                rows += batch.map_err(status::broken)?.num_rows() as u64;
            }
            Ok(Some(rows))
        }
        Output::CopyIn(_) | Output::CopyOut(_) => Err(copy_refused()),
    }
}

/// Runs a statement of the server's own; returns its tag.
pub(super) async fn command(client: &Client, text: &str) -> Result<String, Status> {
    match client.session.execute(text, Vec::new()).await.map_err(status::failed)? {
        Output::Done { tag, .. } => Ok(tag),
        _ => Ok(String::new()),
    }
}

fn copy_refused() -> Status {
    let error = sql::Error::unsupported("COPY from or to the client is for the Postgres wire");
    status::failed(error.with_hint("Use bulk ingest, or a SELECT."))
}
