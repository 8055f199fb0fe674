//! The protocol from the outside, with the client that arrow-flight ships.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    CommandStatementIngest, EndTransaction, SqlInfo, TableDefinitionOptions, TableExistsOption,
    TableNotExistOption,
};
use arrow_flight::{Action, CancelFlightInfoRequest, FlightInfo};
use futures::TryStreamExt;
use prost::Message;
use sql::{Engine, EngineConfig};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::*;

/// Nothing here should take this long; a test that waits in vain must end.
const PATIENCE: Duration = Duration::from_secs(20);

const ENDLESS: &str = "SELECT value FROM generate_series(1, 1000000000000)";

type FlightClient = FlightSqlServiceClient<Channel>;

/// A server on a port of its own.
struct Running {
    url: String,
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
}

impl Running {
    async fn start() -> Self {
        let config = EngineConfig { warehouse: "memory://".to_owned(), ..EngineConfig::default() };
        let engine = Engine::open(config).await.unwrap();
        let (shutdown, metrics) = (Shutdown::default(), Arc::new(Metrics::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::new(engine, Arc::clone(&metrics), 10, shutdown.clone());
        shutdown.connections.spawn(async move { server.serve(listener).await.unwrap() });
        Self { url, shutdown, metrics }
    }

    /// A client on a connection of its own, without a token.
    async fn connect(&self) -> FlightClient {
        let channel = Channel::from_shared(self.url.clone()).unwrap().connect().await.unwrap();
        FlightSqlServiceClient::new(channel)
    }
}

async fn rows(client: &mut FlightClient, info: FlightInfo) -> Result<Vec<i64>, FlightError> {
    let mut values = Vec::new();
    for endpoint in info.endpoint {
        let stream = client.do_get(endpoint.ticket.unwrap()).await?;
        let batches: Vec<RecordBatch> = stream.try_collect().await?;
        for batch in batches {
            values.extend(batch.column(0).as_primitive::<Int64Type>().values().iter().copied());
        }
    }
    Ok(values)
}

/// The first column of a query, of 64-bit integers.
async fn query(client: &mut FlightClient, text: &str) -> Result<Vec<i64>, FlightError> {
    let info = client.execute(text.to_owned(), None).await?;
    rows(client, info).await
}

async fn update(client: &mut FlightClient, text: &str) -> Result<i64, FlightError> {
    client.execute_update(text.to_owned(), None).await
}

fn status(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => panic!("{other}"),
    }
}

fn sqlstate(status: &Status) -> &str {
    status.metadata().get("x-sqlstate").map(|value| value.to_str().unwrap()).unwrap_or_default()
}

fn numbers(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let array = Arc::new(Int64Array::from_iter_values(values));
    RecordBatch::try_from_iter([("a", array as _)]).unwrap()
}

#[tokio::test]
async fn a_statement_without_rows_runs_once_when_its_info_is_asked_for() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    for (text, changed) in [
        ("CREATE TABLE t (a bigint)", -1),
        ("INSERT INTO t VALUES (1), (2)", 2),
        ("UPDATE t SET a = 3 WHERE a = 2", 1),
    ] {
        let info = client.execute(text.to_owned(), None).await.unwrap();
        assert!(info.endpoint.is_empty(), "{text}");
        assert_eq!(info.total_records, changed, "{text}");
    }
    assert_eq!(query(&mut client, "SELECT a FROM t ORDER BY a").await.unwrap(), [1, 3]);
    assert_eq!(update(&mut client, "DELETE FROM t").await.unwrap(), 2);
}

#[tokio::test]
async fn the_info_tells_the_columns_before_the_statement_runs() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let text = "SELECT 1::bigint AS a, 'x' AS b, NULL AS c, 1 / 0 AS d";
    let info = client.execute(text.to_owned(), None).await.unwrap();
    let schema = info.try_decode_schema().unwrap();
    let columns: Vec<String> =
        schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    assert_eq!(columns[..3], ["a Int64", "b Utf8", "c Utf8"]);
}

#[tokio::test]
async fn a_session_belongs_to_its_connection_or_its_token() {
    let server = Running::start().await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    update(&mut first, "CREATE TEMPORARY TABLE mine (a bigint)").await.unwrap();
    assert!(query(&mut first, "SELECT a FROM mine").await.unwrap().is_empty());
    let stranger = status(query(&mut second, "SELECT a FROM mine").await.unwrap_err());
    assert_eq!((stranger.code(), sqlstate(&stranger)), (Code::NotFound, "42P01"));

    first.handshake("ann", "secret").await.unwrap();
    update(&mut first, "CREATE TEMPORARY TABLE anns (a bigint)").await.unwrap();
    second.set_token(first.token().unwrap().clone());
    assert!(query(&mut second, "SELECT a FROM anns").await.unwrap().is_empty());

    second.set_token("unknown".to_owned());
    let refused = status(query(&mut second, "SELECT 1").await.unwrap_err());
    assert_eq!((refused.code(), sqlstate(&refused)), (Code::Unauthenticated, "28000"));
}

#[tokio::test]
async fn errors_have_code_text_and_sqlstate() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    update(&mut client, "CREATE TABLE t (a bigint)").await.unwrap();
    let cases = [
        ("SELECT * FROM nowhere", Code::NotFound, "42P01"),
        ("CREATE TABLE t (a bigint)", Code::AlreadyExists, "42P07"),
        ("SELEC 1", Code::InvalidArgument, "42601"),
        ("SELECT 1; SELECT 2", Code::InvalidArgument, "42601"),
        ("SELECT 1 / (a - a) FROM (SELECT 1::bigint AS a)", Code::InvalidArgument, "22012"),
        ("COPY t TO STDOUT", Code::Unimplemented, "0A000"),
    ];
    for (text, code, state) in cases {
        let status = status(query(&mut client, text).await.unwrap_err());
        assert_eq!((status.code(), sqlstate(&status)), (code, state), "{text}: {status}");
        assert!(status.message().contains(&format!(" (SQLSTATE {state})")), "{status}");
    }
    assert_eq!(query(&mut client, "SELECT 1::bigint").await.unwrap(), [1]);
}

#[tokio::test]
async fn prepared_statements_take_parameters() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    update(&mut client, "CREATE TABLE t (a bigint)").await.unwrap();
    let mut insert = client.prepare("INSERT INTO t VALUES ($1)".to_owned(), None).await.unwrap();
    insert.set_parameters(numbers(1..=5)).unwrap();
    assert_eq!(insert.execute_update().await.unwrap(), 5);
    let text = "SELECT a FROM t WHERE a > $1 ORDER BY a".to_owned();
    let mut select = client.prepare(text, None).await.unwrap();
    assert_eq!(select.parameter_schema().unwrap().fields().len(), 1);
    select.set_parameters(numbers([3])).unwrap();
    let info = select.execute().await.unwrap();
    assert_eq!(rows(&mut client, info).await.unwrap(), [4, 5]);
    select.set_parameters(numbers([1, 2])).unwrap();
    let info = select.execute().await.unwrap();
    let several = status(rows(&mut client, info).await.unwrap_err());
    assert_eq!((several.code(), sqlstate(&several)), (Code::Unimplemented, "0A000"));
    select.close().await.unwrap();
}

#[tokio::test]
async fn an_update_with_many_rows_is_all_or_nothing() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    update(&mut client, "CREATE TABLE t (a bigint, CHECK (a < 3))").await.unwrap();
    let mut insert = client.prepare("INSERT INTO t VALUES ($1)".to_owned(), None).await.unwrap();
    insert.set_parameters(numbers(1..=3)).unwrap();
    let refused = status(insert.execute_update().await.unwrap_err());
    assert_eq!(sqlstate(&refused), "23514");
    assert_eq!(query(&mut client, "SELECT count(*) FROM t").await.unwrap(), [0]);
}

#[tokio::test]
async fn ingest_makes_and_fills_tables() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let create = (TableNotExistOption::Create, TableExistsOption::Fail);
    let append = (TableNotExistOption::Fail, TableExistsOption::Append);
    let replace = (TableNotExistOption::Create, TableExistsOption::Replace);
    let refused = ingest(&mut client, append, vec![numbers([1])]).await.unwrap_err();
    assert_eq!(status(refused).code(), Code::NotFound);
    let came = ingest(&mut client, create, vec![numbers(1..=3), numbers(4..=6)]).await.unwrap();
    assert_eq!(came, 6);
    let refused = ingest(&mut client, create, vec![numbers([1])]).await.unwrap_err();
    assert_eq!(status(refused).code(), Code::AlreadyExists);
    assert_eq!(ingest(&mut client, append, vec![numbers([7])]).await.unwrap(), 1);
    assert_eq!(query(&mut client, "SELECT sum(a)::bigint FROM t").await.unwrap(), [28]);
    assert_eq!(ingest(&mut client, replace, vec![numbers([9])]).await.unwrap(), 1);
    assert_eq!(query(&mut client, "SELECT a FROM t").await.unwrap(), [9]);
}

#[tokio::test]
async fn ingest_assigns_as_insert_does() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let append = (TableNotExistOption::Fail, TableExistsOption::Append);
    let column = |values: ArrayRef| RecordBatch::try_from_iter([("a", values)]).unwrap();
    update(&mut client, "CREATE TABLE t (a integer, b bigint DEFAULT 7)").await.unwrap();
    let fraction = column(Arc::new(Float64Array::from(vec![2.7])));
    assert_eq!(ingest(&mut client, append, vec![fraction]).await.unwrap(), 1);
    assert_eq!(query(&mut client, "SELECT 10 * a + b FROM t").await.unwrap(), [37]);
    for data_type in ["uuid", "jsonb", "varchar(3)"] {
        update(&mut client, "DROP TABLE t").await.unwrap();
        update(&mut client, &format!("CREATE TABLE t (a {data_type})")).await.unwrap();
        let text = column(Arc::new(StringArray::from(vec!["neither"])));
        assert!(ingest(&mut client, append, vec![text]).await.is_err(), "{data_type}");
    }
    // What reads a table keeps it.
    let replace = (TableNotExistOption::Create, TableExistsOption::Replace);
    update(&mut client, "CREATE VIEW v AS SELECT a FROM t").await.unwrap();
    assert!(ingest(&mut client, replace, vec![numbers([1])]).await.is_err());
    // Raw tables know where their rows come from.
    update(&mut client, "SET search_path = raw").await.unwrap();
    assert_eq!(ingest(&mut client, replace, vec![numbers([1])]).await.unwrap(), 1);
    let told = query(&mut client, "SELECT count(*) FROM t WHERE _source_row = 1").await;
    assert_eq!(told.unwrap(), [1]);
}

async fn ingest(
    client: &mut FlightClient,
    (missing, there): (TableNotExistOption, TableExistsOption),
    batches: Vec<RecordBatch>,
) -> Result<i64, FlightError> {
    let options = TableDefinitionOptions { if_not_exist: missing.into(), if_exists: there.into() };
    let command = CommandStatementIngest {
        table_definition_options: Some(options),
        table: "t".to_owned(),
        ..Default::default()
    };
    client.execute_ingest(command, futures::stream::iter(batches.into_iter().map(Ok))).await
}

#[tokio::test]
async fn transactions_end_as_the_client_says() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let mut other = server.connect().await;
    update(&mut client, "CREATE TABLE t (a bigint)").await.unwrap();
    for (end, expected) in [(EndTransaction::Rollback, 0), (EndTransaction::Commit, 1)] {
        let id = client.begin_transaction().await.unwrap();
        update(&mut client, "INSERT INTO t VALUES (1)").await.unwrap();
        assert_eq!(query(&mut other, "SELECT count(*) FROM t").await.unwrap(), [0]);
        client.end_transaction(id, end).await.unwrap();
        assert_eq!(query(&mut other, "SELECT count(*) FROM t").await.unwrap(), [expected]);
    }
}

#[tokio::test]
async fn rows_stop_when_the_client_cancels() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let mut stream = client.do_get(ticket).await.unwrap();
    assert!(stream.try_next().await.unwrap().unwrap().num_rows() > 0);
    let body = CancelFlightInfoRequest::new(info.clone()).encode_to_vec();
    let mut told = client.do_action(Action::new("CancelFlightInfo", body.clone())).await.unwrap();
    assert!(told.message().await.unwrap().is_some());
    let end = timeout(PATIENCE, async {
        loop {
            match stream.try_next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended as if it were complete"),
                Err(error) => break status(error),
            }
        }
    });
    let end = end.await.unwrap();
    assert_eq!((end.code(), sqlstate(&end)), (Code::Cancelled, "57014"));
    let again = client.do_action(Action::new("CancelFlightInfo", body)).await.unwrap_err();
    assert_eq!(status(again).code(), Code::NotFound);
}

#[tokio::test]
async fn the_end_of_the_server_waits_only_so_long() {
    let server = Running::start().await;
    let mut idle = server.connect().await;
    assert_eq!(query(&mut idle, "SELECT 1::bigint").await.unwrap(), [1]);
    let mut client = server.connect().await;
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(stream.try_next().await.unwrap().is_some());
    let reading = tokio::spawn(async move {
        loop {
            match stream.try_next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended as if it were complete"),
                Err(error) => break status(error),
            }
        }
    });
    let drained = timeout(PATIENCE, server.shutdown.drain(Duration::from_millis(50)));
    assert!(!drained.await.unwrap(), "an endless statement cannot have finished");
    let end = timeout(PATIENCE, reading).await.unwrap().unwrap();
    assert_eq!((end.code(), sqlstate(&end)), (Code::Unavailable, "57P01"));
    assert!(server.shutdown.connections.is_empty());
    assert_eq!(server.metrics.flight_connections.get(), 0);
}

#[tokio::test]
async fn an_idle_connection_does_not_keep_the_server() {
    let server = Running::start().await;
    let mut idle = server.connect().await;
    assert_eq!(query(&mut idle, "SELECT 1::bigint").await.unwrap(), [1]);
    assert!(timeout(PATIENCE, server.shutdown.drain(PATIENCE)).await.unwrap());
}

#[tokio::test]
async fn the_server_says_what_it_is() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerName]).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let stream = client.do_get(ticket).await.unwrap();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    let value = batches[0].column(1).as_any().downcast_ref::<arrow::array::UnionArray>().unwrap();
    assert_eq!(value.value(0).as_string::<i32>().value(0), "Tarn");
}
