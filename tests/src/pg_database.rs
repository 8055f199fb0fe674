//! `.slt` records over the Postgres wire, in the simple protocol: values come as Postgres text.

use std::fmt;
use std::net::SocketAddr;

use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// An error as either protocol reports it. It prints as `SQLSTATE: message`, which is what the
/// `.slt` files expect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// Five characters, empty when the server gave none.
    pub sqlstate: String,
    /// The message alone, without detail and hint.
    pub message: String,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sqlstate, self.message)
    }
}

impl std::error::Error for SqlError {}

impl From<tokio_postgres::Error> for SqlError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(reported) = error.as_db_error() else {
            return Self { sqlstate: String::new(), message: error.to_string() };
        };
        let sqlstate = reported.code().code().to_owned();
        Self { sqlstate, message: reported.message().to_owned() }
    }
}

/// One connection.
pub struct PgDatabase {
    client: Client,
    connection: tokio::task::AbortHandle,
}

impl PgDatabase {
    /// Connects as user and database `tarn`.
    pub async fn connect(address: SocketAddr) -> Result<Self, SqlError> {
        Self::connect_as(address, "tarn", "tarn").await
    }

    /// Connects under any name.
    pub async fn connect_as(address: SocketAddr, user: &str, name: &str) -> Result<Self, SqlError> {
        let (host, port) = (address.ip(), address.port());
        let parameters = format!("host={host} port={port} user={user} dbname={name}");
        let (client, connection) = tokio_postgres::connect(&parameters, NoTls).await?;
        // It ends with the client; what it could say, the client's calls say too.
        let connection = tokio::spawn(connection).abort_handle();
        Ok(Self { client, connection })
    }

    /// Hangs up, even in the middle of a statement.
    pub fn disconnect(self) {
        self.connection.abort();
    }

    /// The client, for what `.slt` cannot say.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl fmt::Debug for PgDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgDatabase").finish_non_exhaustive()
    }
}

#[async_trait]
impl AsyncDB for PgDatabase {
    type Error = SqlError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, SqlError> {
        let mut columns = None;
        let mut rows = Vec::new();
        let mut affected = 0;
        for message in self.client.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::RowDescription(names) => columns = Some(names.len()),
                SimpleQueryMessage::Row(row) => {
                    rows.push((0..row.len()).map(|index| shown(row.get(index))).collect());
                }
                SimpleQueryMessage::CommandComplete(count) => affected = count,
                _ => {}
            }
        }
        Ok(match columns {
            Some(count) => DBOutput::Rows { types: vec![DefaultColumnType::Any; count], rows },
            None => DBOutput::StatementComplete(affected),
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "pg"
    }

    fn error_sql_state(error: &SqlError) -> Option<String> {
        Some(error.sqlstate.clone())
    }
}

/// How `.slt` files write a value: NULL and the empty text must not look alike.
pub(crate) fn shown(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => text.to_owned(),
    }
}
