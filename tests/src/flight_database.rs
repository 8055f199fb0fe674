//! `.slt` records over Flight SQL. The Arrow values are printed as Postgres would print them, so
//! that one expected answer serves both protocols.

use std::fmt;
use std::net::SocketAddr;

use arrow::array::RecordBatch;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use async_trait::async_trait;
use futures::TryStreamExt;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType};
use tonic::transport::Channel;

use crate::pg_database::{SqlError, shown};
use crate::render;

/// Statements that answer with rows begin with one of these; all others are updates.
const WITH_ROWS: [&str; 10] = [
    "select",
    "with",
    "values",
    "table",
    "show",
    "describe",
    "explain",
    "fetch",
    "execute get",
    "(",
];

/// One session: the handshake's token names it.
pub struct FlightDatabase {
    client: FlightSqlServiceClient<Channel>,
}

impl FlightDatabase {
    /// Connects as user `tarn`.
    pub async fn connect(address: SocketAddr) -> Result<Self, SqlError> {
        let endpoint = Channel::from_shared(format!("http://{address}"));
        let endpoint = endpoint.expect("a socket address makes a valid URL");
        let channel = endpoint.connect().await.map_err(|error| plain(error.to_string()))?;
        let mut client = FlightSqlServiceClient::new(channel);
        client.handshake("tarn", "").await.map_err(reported)?;
        Ok(Self { client })
    }

    /// The client, for what `.slt` cannot say.
    pub fn client(&mut self) -> &mut FlightSqlServiceClient<Channel> {
        &mut self.client
    }

    /// The rows of a query.
    pub async fn query(&mut self, sql: &str) -> Result<(usize, Vec<RecordBatch>), SqlError> {
        let answer = self.client.execute(sql.to_owned(), None).await;
        let flight = answer.map_err(reported)?;
        let mut columns = 0;
        let mut batches = Vec::new();
        for endpoint in flight.endpoint {
            let ticket =
                endpoint.ticket.ok_or_else(|| plain("an endpoint has no ticket".into()))?;
            let answer = self.client.do_get(ticket).await;
            let mut stream = answer.map_err(reported)?;
            while let Some(batch) = stream.try_next().await.map_err(reported)? {
                batches.push(batch);
            }
            columns = stream.schema().map_or(columns, |schema| schema.fields().len());
        }
        Ok((columns, batches))
    }
}

impl fmt::Debug for FlightDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightDatabase").finish_non_exhaustive()
    }
}

#[async_trait]
impl AsyncDB for FlightDatabase {
    type Error = SqlError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, SqlError> {
        if !answers_with_rows(sql) {
            let answer = self.client.execute_update(sql.to_owned(), None).await;
            let count = answer.map_err(reported)?;
            return Ok(DBOutput::StatementComplete(u64::try_from(count).unwrap_or(0)));
        }
        let (columns, batches) = self.query(sql).await?;
        let rows = batches.iter().flat_map(rows).collect();
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "flight"
    }

    fn error_sql_state(error: &SqlError) -> Option<String> {
        Some(error.sqlstate.clone())
    }
}

fn answers_with_rows(sql: &str) -> bool {
    let words: Vec<&str> = sql.split_ascii_whitespace().collect();
    let text = words.join(" ").to_ascii_lowercase();
    let changes = [" insert into ", " update ", " delete from ", " merge into "];
    let is_change = text.starts_with("with") && changes.iter().any(|change| text.contains(change));
    text.contains(" returning ")
        || !is_change && WITH_ROWS.iter().any(|word| text.starts_with(word))
}

fn rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let value = |row| move |column| shown(render(column, row).as_deref());
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(value(row)).collect()).collect()
}

fn plain(message: String) -> SqlError {
    SqlError { sqlstate: String::new(), message }
}

/// The SQLSTATE travels in the metadata of the gRPC status. For clients that show the text alone, the
/// text names it too, with detail and hint after it.
fn reported(error: FlightError) -> SqlError {
    let FlightError::Tonic(status) = error else {
        return plain(error.to_string());
    };
    let state = status.metadata().get("sqlstate").and_then(|value| value.to_str().ok());
    let sqlstate = state.unwrap_or_default().to_owned();
    let message = status.message();
    let end = message.find(&format!(" (SQLSTATE {sqlstate})")).unwrap_or(message.len());
    SqlError { sqlstate, message: message[..end].to_owned() }
}
