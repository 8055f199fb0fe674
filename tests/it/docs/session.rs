//! Runs the blocks of a page in one session and says what they answered.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, TryStreamExt};
use tests::{PgDatabase, TestServer, components};
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::page::{Block, Language};
use super::psql::{self, Column};
use super::split::{self, Statement};

/// No block takes longer, on a slow and busy machine.
const BLOCK_MAX: Duration = Duration::from_secs(120);

/// What the texts of the documentation call the server's addresses.
const PG: &str = "127.0.0.1:5433";
const FLIGHT: &str = "127.0.0.1:50051";

/// A server and one session on it.
#[derive(Debug)]
pub(crate) struct Session {
    database: PgDatabase,
    pg: SocketAddr,
    flight: Option<SocketAddr>,
    /// The folder that holds `warehouse`.
    folder: PathBuf,
    python: Option<PathBuf>,
}

impl Session {
    /// Connects. Without a Python, its blocks are passed over.
    pub(crate) async fn open(server: &TestServer, python: Option<PathBuf>) -> Result<Self, String> {
        let database = PgDatabase::connect(server.pg()).await.map_err(|error| error.to_string())?;
        let folder = server.warehouse().parent().unwrap().to_path_buf();
        Ok(Self { database, pg: server.pg(), flight: server.flight_if_any(), folder, python })
    }

    /// What the block answers; None where nothing does. The error is one that the page cannot expect.
    pub(crate) async fn run(&self, block: &Block) -> Result<Option<String>, String> {
        match block.language {
            Language::Python => self.python(&block.text),
            Language::Sql => {
                let ran = sql(self.database.client(), &block.text, block.answer.is_some());
                tokio::time::timeout(BLOCK_MAX, ran)
                    .await
                    .map_err(|_| format!("it takes longer than {BLOCK_MAX:?}"))?
            }
        }
    }

    /// What the script prints.
    fn python(&self, text: &str) -> Result<Option<String>, String> {
        let Some(python) = &self.python else { return Ok(None) };
        let mut text = text.replace(PG, &self.pg.to_string());
        if let Some(flight) = self.flight {
            text = text.replace(FLIGHT, &flight.to_string());
        }
        let seconds = BLOCK_MAX.as_secs();
        let guard =
            format!("__import__('faulthandler').dump_traceback_later({seconds}, exit=True)");
        let mut command = Command::new(python);
        command.arg("-c").arg(format!("{guard}\n{text}")).current_dir(&self.folder);
        let output = components::run(command.env("PYTHONIOENCODING", "utf-8"))?;
        Ok(Some(String::from_utf8_lossy(&output.stdout).trim_end().to_owned()))
    }
}

/// The answer of the last statement that gives rows, or the error of the last statement where one is expected.
pub(crate) async fn sql(
    client: &Client,
    text: &str,
    error_expected: bool,
) -> Result<Option<String>, String> {
    let statements = split::statements(text);
    let mut answer = None;
    for (index, statement) in statements.iter().enumerate() {
        let last = index + 1 == statements.len();
        match one(client, statement).await {
            Ok(rows) => answer = rows.or(answer),
            Err(error) => {
                let reported = error.as_db_error().map(psql::error);
                let text = reported.unwrap_or_else(|| error.to_string());
                if !(last && error_expected) {
                    return Err(format!("{}\n{text}", statement.text));
                }
                answer = Some(text);
            }
        }
    }
    Ok(answer)
}

async fn one(client: &Client, statement: &Statement) -> Result<Option<String>, Error> {
    let text = &statement.text;
    if let Some(data) = &statement.data {
        let mut sink = pin!(client.copy_in::<_, Bytes>(text).await?);
        sink.send(Bytes::from(data.clone())).await?;
        sink.finish().await?;
        return Ok(None);
    }
    let words = text.to_ascii_uppercase();
    if words.starts_with("COPY ") && words.contains(" TO STDOUT") {
        let parts: Vec<Bytes> = client.copy_out(text).await?.try_collect().await?;
        return Ok(Some(String::from_utf8_lossy(&parts.concat()).trim_end().to_owned()));
    }
    let mut rows = None;
    for message in client.simple_query(text).await? {
        match message {
            SimpleQueryMessage::RowDescription(_) => rows = Some(Vec::new()),
            SimpleQueryMessage::Row(row) => {
                let values = (0..row.len()).map(|index| row.get(index).map(str::to_owned));
                rows.get_or_insert_default().push(values.collect());
            }
            _ => {}
        }
    }
    let Some(rows) = rows else { return Ok(None) };
    // The simple protocol's rows are text; only a prepared statement tells this driver the types.
    let prepared = client.prepare(text).await?;
    let columns = prepared.columns().iter();
    let columns: Vec<Column> = columns
        .map(|column| Column { name: column.name().to_owned(), kind: column.type_().clone() })
        .collect();
    Ok(Some(psql::table(&columns, &rows)))
}
