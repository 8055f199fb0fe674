//! What there is: catalogs, schemas, tables, keys, and what the server can do.
//!
//! The answers come from `information_schema`, by statements like everybody's.
//! Never: a second way to look into the catalog.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTableTypes,
    CommandGetTables, SqlInfo, SqlSupportedCaseSensitivity, SqlSupportedTransaction,
};
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use sql::Output;
use tonic::Status;

use super::sessions::{Client, DATABASE};
use super::{statement, status};

/// Kinds of tables, as clients name them.
const TABLE_TYPES: [&str; 4] = ["LOCAL TEMPORARY", "MATERIALIZED VIEW", "TABLE", "VIEW"];

/// The one catalog.
pub(super) fn catalogs(command: CommandGetCatalogs) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    builder.append(DATABASE);
    builder.build().map_err(status::unreadable)
}

/// Schemas that fit the client's pattern.
pub(super) async fn schemas(
    client: &Client,
    command: CommandGetDbSchemas,
) -> Result<RecordBatch, Status> {
    let patterns = vec![pattern(command.db_schema_filter_pattern.as_deref())];
    let mut builder = command.into_builder();
    let text = "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE $1";
    for [schema] in strings(client, text, patterns).await? {
        builder.append(DATABASE, schema);
    }
    builder.build().map_err(status::unreadable)
}

/// Tables that fit the client's patterns, with their columns where it wants them.
pub(super) async fn tables(
    client: &Client,
    command: CommandGetTables,
) -> Result<RecordBatch, Status> {
    let with_columns = command.include_schema;
    // The builder filters, too; but columns are looked up for what is asked for only.
    let patterns = vec![
        pattern(command.db_schema_filter_pattern.as_deref()),
        pattern(command.table_name_filter_pattern.as_deref()),
    ];
    let mut builder = command.into_builder();
    let text = "SELECT table_schema, table_name, table_type FROM information_schema.tables \
                WHERE table_schema LIKE $1 AND table_name LIKE $2";
    for [schema, table, kind] in strings(client, text, patterns).await? {
        let columns = if with_columns {
            table_columns(client, &schema, &table).await
        } else {
            Arc::new(Schema::empty())
        };
        let kind = table_type(&kind);
        builder.append(DATABASE, schema, table, kind, &columns).map_err(status::unreadable)?;
    }
    builder.build().map_err(status::unreadable)
}

fn pattern(filter: Option<&str>) -> ScalarValue {
    ScalarValue::Utf8(Some(filter.unwrap_or("%").to_owned()))
}

/// The columns of a table as a query would return them. None for a view that no longer can be
/// read: it must not hide all others.
async fn table_columns(client: &Client, schema: &str, table: &str) -> SchemaRef {
    let text = format!("SELECT * FROM {}.{}", quoted(schema), quoted(table));
    match statement::prepare(client, &text, &[]).await {
        Ok(prepared) => statement::columns(prepared.as_deref()),
        Err(status) => {
            tracing::debug!(%status, schema, table, "could not tell the columns");
            statement::columns(None)
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn table_type(kind: &str) -> &str {
    if kind == "BASE TABLE" { "TABLE" } else { kind }
}

/// Kinds of tables.
pub(super) fn table_types(command: CommandGetTableTypes) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    TABLE_TYPES.iter().for_each(|kind| builder.append(kind));
    builder.build().map_err(status::unreadable)
}

/// The columns of a list of primary keys. Tables have no keys: the list is empty.
pub(super) fn primary_keys() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
}

/// The columns of a list of foreign keys, in any direction. Tables have none.
pub(super) fn foreign_keys() -> SchemaRef {
    let mut fields = Vec::new();
    for side in ["pk", "fk"] {
        fields.extend([
            Field::new(format!("{side}_catalog_name"), DataType::Utf8, true),
            Field::new(format!("{side}_db_schema_name"), DataType::Utf8, true),
            Field::new(format!("{side}_table_name"), DataType::Utf8, false),
            Field::new(format!("{side}_column_name"), DataType::Utf8, false),
        ]);
    }
    fields.extend([
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("fk_key_name", DataType::Utf8, true),
        Field::new("pk_key_name", DataType::Utf8, true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]);
    Arc::new(Schema::new(fields))
}

/// What the server says about itself.
pub(super) fn server() -> Result<SqlInfoData, Status> {
    let mut about = SqlInfoDataBuilder::new();
    about.append(SqlInfo::FlightSqlServerName, "Tarn");
    about.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    about.append(SqlInfo::FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
    about.append(SqlInfo::FlightSqlServerReadOnly, false);
    about.append(SqlInfo::FlightSqlServerSql, true);
    about.append(SqlInfo::FlightSqlServerSubstrait, false);
    let transaction = SqlSupportedTransaction::Transaction as i32;
    about.append(SqlInfo::FlightSqlServerTransaction, transaction);
    about.append(SqlInfo::FlightSqlServerCancel, true);
    about.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    about.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, true);
    about.append(SqlInfo::FlightSqlServerStatementTimeout, 0_i32);
    about.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
    let case = SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i64;
    about.append(SqlInfo::SqlIdentifierCase, case);
    about.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    about.build().map_err(status::unreadable)
}

/// What the server says about itself, of that which the client asks for.
pub(super) fn sql_info(command: CommandGetSqlInfo) -> Result<RecordBatch, Status> {
    command.into_builder(&server()?).build().map_err(status::unreadable)
}

/// The rows of a short answer whose columns are all text.
async fn strings<const N: usize>(
    client: &Client,
    text: &str,
    parameters: Vec<ScalarValue>,
) -> Result<Vec<[String; N]>, Status> {
    let output = client.session.execute(text, parameters).await.map_err(status::failed)?;
    let Output::Rows(stream) = output else { return Ok(Vec::new()) };
    let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(status::broken)?;
    let mut rows = Vec::new();
    for batch in &batches {
        let columns: Vec<StringArray> =
            batch.columns().iter().map(text_of).collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let value = |column: usize| {
                columns.get(column).filter(|column| column.is_valid(row)).map(|c| c.value(row))
            };
            rows.push(std::array::from_fn(|column| value(column).unwrap_or_default().to_owned()));
        }
    }
    Ok(rows)
}

fn text_of(column: &ArrayRef) -> Result<StringArray, Status> {
    let cast = arrow::compute::cast(column, &DataType::Utf8);
    cast.map(|text| text.as_string::<i32>().clone())
        .map_err(|error| status::failed(sql::Error::from(error)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use sql::{Engine, EngineConfig};
    use tonic::Request;

    use super::super::sessions::Sessions;
    use super::*;

    #[tokio::test]
    async fn patterns_are_parameters() {
        let config = EngineConfig { warehouse: "memory://".to_owned(), ..EngineConfig::default() };
        let sessions = Sessions::new(Engine::open(config).await.unwrap(), 1);
        let client = sessions.of(&Request::new(())).unwrap();
        statement::command(&client, "CREATE TABLE t (a text, b text)").await.unwrap();
        let rows = "INSERT INTO t VALUES ('it''s', 'x'), ('its', NULL), ('other', 'y')";
        statement::command(&client, rows).await.unwrap();
        let text = "SELECT a, b FROM t WHERE a LIKE $1 ORDER BY a";
        let found = strings(&client, text, vec![pattern(Some("it%s"))]).await.unwrap();
        assert_eq!(found, [["it's", "x"], ["its", ""]]);
        assert_eq!(strings::<2>(&client, text, vec![pattern(None)]).await.unwrap().len(), 3);
        let columns = table_columns(&client, "public", "t").await;
        assert_eq!(columns.fields().len(), 2);
        assert!(table_columns(&client, "public", "gone").await.fields().is_empty());
    }
}
