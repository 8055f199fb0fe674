//! Rows on their way out: in types that every client of Flight reads, one batch after the other.
//!
//! Never: a batch that is computed before the client has room for it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use datafusion::execution::SendableRecordBatchStream;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::sessions::Running;
use super::status;

/// The data of a call.
pub(super) type Answer = BoxStream<'static, Result<FlightData, Status>>;

/// The schema that a client is told of, and gets: views and dictionaries as plain arrays.
pub(super) fn sent_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().map(sent_field).collect();
    Arc::new(Schema::new(fields))
}

fn sent_field(field: &FieldRef) -> FieldRef {
    let sent = sent_type(field.data_type());
    if sent == *field.data_type() {
        return Arc::clone(field);
    }
    Arc::new(Field::clone(field).with_data_type(sent))
}

fn sent_type(data_type: &DataType) -> DataType {
    match data_type {
        // A type that nothing decides is text, as over the Postgres wire.
        DataType::Utf8View | DataType::Null => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => sent_type(values),
        DataType::List(item) => DataType::List(sent_field(item)),
        DataType::LargeList(item) => DataType::LargeList(sent_field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(sent_field).collect()),
        other => other.clone(),
    }
}

/// Rows that are there already, such as a list of schemas.
pub(super) fn ready(batch: RecordBatch) -> Answer {
    let schema = batch.schema();
    encode(schema, futures::stream::iter([Ok(batch)]))
}

/// Rows as they are computed, until the client or the server stops them.
pub(super) fn stream(
    rows: SendableRecordBatchStream,
    schema: SchemaRef,
    running: Running,
    kill: CancellationToken,
) -> Answer {
    let sent = Arc::clone(&schema);
    let rows = futures::stream::unfold(Some((rows, running, kill)), move |state| {
        let schema = Arc::clone(&sent);
        async move {
            let (mut rows, running, kill) = state?;
            let next = tokio::select! {
                biased;
                () = running.cancel.cancelled() => Some(Err(status::cancelled())),
                () = kill.cancelled() => Some(Err(status::stopping())),
                next = rows.next() => {
                    next.map(|batch| batch.map_err(status::broken).and_then(|b| fit(&b, &schema)))
                }
            };
            match next? {
                Ok(batch) => Some((Ok(batch), Some((rows, running, kill)))),
                Err(status) => Some((Err(status), None)),
            }
        }
    });
    encode(schema, rows)
}

fn encode<S>(schema: SchemaRef, batches: S) -> Answer
where
    S: Stream<Item = Result<RecordBatch, Status>> + Send + 'static,
{
    FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .build(batches.map_err(FlightError::from))
        .map_err(Status::from)
        .boxed()
}

/// A batch in the types that were announced.
fn fit(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Status> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            Ok(Arc::clone(column))
        } else {
            arrow::compute::cast(column, field.data_type())
        }
    });
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    columns
        .collect::<Result<Vec<_>, _>>()
        .and_then(|columns| {
            RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        })
        .map_err(|error| status::failed(sql::Error::from(error)))
}
