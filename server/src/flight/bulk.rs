//! What clients send as Arrow batches: rows for a table, and values for parameters.
//!
//! Never: more than a batch in memory, or a stream that ended early and is taken for the whole.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sql::{IngestTarget, state};
use tonic::Status;

use super::sessions::DATABASE;
use super::status;

/// The batches that a client sends after its command.
pub(super) fn batches(
    data: PeekableFlightDataStream,
) -> BoxStream<'static, Result<RecordBatch, Status>> {
    decoded(data).map_err(status::unreadable).boxed()
}

/// A client that sends a command alone sends a message without a schema or rows.
fn decoded(data: PeekableFlightDataStream) -> FlightRecordBatchStream {
    let messages = data.try_filter(|data| std::future::ready(!data.data_header.is_empty()));
    FlightRecordBatchStream::new_from_flight_data(messages.map_err(FlightError::from))
}

/// The rows that a client sends, with their schema.
pub(super) async fn rows(
    data: PeekableFlightDataStream,
) -> Result<SendableRecordBatchStream, Status> {
    let mut batches = decoded(data);
    // The schema is known once the stream has been asked for its first batch.
    let first = batches.try_next().await.map_err(status::unreadable)?;
    let schema = batches.schema().map(Arc::clone);
    let schema = schema.ok_or_else(|| status::refused("08P01", "no schema came with the rows"))?;
    let rest = batches.map_err(|error| match error {
        FlightError::Arrow(error) => DataFusionError::from(error),
        other => {
            let message = format!("the rows did not come to their end: {other}");
            sql::Error::new("08006", message).into()
        }
    });
    let rows = futures::stream::iter(first.map(Ok)).chain(rest);
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

/// Where rows go, and what may be there already.
pub(super) fn target(command: CommandStatementIngest) -> Result<IngestTarget, Status> {
    if command.catalog.as_deref().is_some_and(|catalog| catalog != DATABASE) {
        let message = format!("there is no other database than \"{DATABASE}\"");
        return Err(status::unsupported(message));
    }
    if let Some(option) = command.options.keys().min() {
        return Err(status::unsupported(format!("unknown option \"{option}\" of the ingest")));
    }
    let options = command.table_definition_options.unwrap_or_default();
    let create = match TableNotExistOption::try_from(options.if_not_exist) {
        Ok(TableNotExistOption::Create) => true,
        // What a client leaves out is the careful choice.
        Ok(TableNotExistOption::Fail | TableNotExistOption::Unspecified) => false,
        Err(_) => return Err(unknown("if_not_exist", options.if_not_exist)),
    };
    let (append, replace) = match TableExistsOption::try_from(options.if_exists) {
        Ok(TableExistsOption::Append) => (true, false),
        Ok(TableExistsOption::Replace) => (false, true),
        Ok(TableExistsOption::Fail | TableExistsOption::Unspecified) => (false, false),
        Err(_) => return Err(unknown("if_exists", options.if_exists)),
    };
    let (table, temporary) = (command.table, command.temporary);
    Ok(IngestTarget { schema: command.schema, table, create, append, replace, temporary })
}

fn unknown(option: &str, value: i32) -> Status {
    let message = format!("{option} of the ingest cannot be {value}");
    status::refused(state::INVALID_PARAMETER_VALUE, message)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use arrow_flight::sql::TableDefinitionOptions;

    use super::*;

    fn command(missing: TableNotExistOption, there: TableExistsOption) -> CommandStatementIngest {
        CommandStatementIngest {
            table_definition_options: Some(TableDefinitionOptions {
                if_not_exist: missing.into(),
                if_exists: there.into(),
            }),
            table: "t".to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn modes() {
        let create = command(TableNotExistOption::Create, TableExistsOption::Fail);
        let of = |target: IngestTarget| (target.create, target.append, target.replace);
        assert_eq!(of(target(create).unwrap()), (true, false, false));
        let append = command(TableNotExistOption::Fail, TableExistsOption::Append);
        assert_eq!(of(target(append).unwrap()), (false, true, false));
        let replace = command(TableNotExistOption::Create, TableExistsOption::Replace);
        assert_eq!(of(target(replace).unwrap()), (true, false, true));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let mut other = command(TableNotExistOption::Create, TableExistsOption::Fail);
        other.catalog = Some("elsewhere".to_owned());
        assert_eq!(target(other).unwrap_err().code(), tonic::Code::Unimplemented);
        let mut option = command(TableNotExistOption::Create, TableExistsOption::Fail);
        option.options.insert("speed".to_owned(), "high".to_owned());
        assert_eq!(target(option).unwrap_err().code(), tonic::Code::Unimplemented);
    }
}
