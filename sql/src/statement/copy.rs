//! `COPY table FROM STDIN | 'location'`, `COPY table | (query) TO STDOUT`: many rows at once.
//!
//! Reading is a pipeline: the client's bytes are cut into chunks of whole records, chunks become
//! batches on other threads, batches go through the table's one `Writer`, and the one commit is
//! the last step. A COPY that ends early leaves nothing.

mod options;
mod receive;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use futures::{StreamExt, TryStreamExt};
use ingest::text::Zone;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::dml;
use crate::error::{Error, Result, state};
use crate::output::{CopyFormat, CopyIn, CopyOut, Output};
use crate::parser::{expect_word, expected, parse_word, syntax_error};
use crate::resolve::{Pinned, fold};
use crate::session::Session;
use crate::statement::select;
use options::{FileFormat, Options};
pub(crate) use receive::Receiver;

/// A COPY in either direction.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    what: What,
    from: bool,
    /// None is the client: STDIN or STDOUT.
    location: Option<String>,
    options: Options,
}

#[derive(Debug, Clone)]
enum What {
    Table { name: ast::ObjectName, columns: Vec<String> },
    Query(Box<ast::Query>),
}

/// Reads `COPY`.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<Copy> {
    expect_word(parser, "COPY")?;
    let what = if parser.peek_token().token == Token::LParen {
        parser.next_token();
        let query = parser.parse_query().map_err(syntax_error)?;
        expect_token(parser, &Token::RParen)?;
        What::Query(query)
    } else {
        let name = parser.parse_object_name(false).map_err(syntax_error)?;
        What::Table { name, columns: parse_columns(parser)? }
    };
    let from = if parse_word(parser, "FROM") {
        true
    } else if parse_word(parser, "TO") {
        false
    } else {
        return expected(parser, "FROM or TO");
    };
    if from && matches!(what, What::Query(_)) {
        return Err(Error::syntax("syntax error: COPY (query) goes TO, not FROM"));
    }
    let location = if parse_word(parser, if from { "STDIN" } else { "STDOUT" }) {
        None
    } else if parse_word(parser, "PROGRAM") {
        return Err(Error::unsupported("COPY ... PROGRAM is not supported"));
    } else {
        Some(parser.parse_literal_string().map_err(syntax_error)?)
    };
    let options = options::parse(parser, from, location.as_deref())?;
    Ok(Copy { what, from, location, options })
}

pub(super) fn parse_columns(parser: &mut Parser<'_>) -> Result<Vec<String>> {
    if parser.peek_token().token != Token::LParen {
        return Ok(Vec::new());
    }
    parser.next_token();
    let columns = parser.parse_comma_separated(Parser::parse_identifier).map_err(syntax_error)?;
    expect_token(parser, &Token::RParen)?;
    Ok(columns.iter().map(fold).collect())
}

pub(super) fn expect_token(parser: &mut Parser<'_>, token: &Token) -> Result<()> {
    if parser.peek_token().token == *token {
        parser.next_token();
        return Ok(());
    }
    expected(parser, &token.to_string())
}

/// Opens a COPY from the client, or carries one out.
pub(crate) async fn run(session: &Session, copy: &Copy) -> Result<Output> {
    match (&copy.what, copy.from, &copy.location) {
        (What::Table { name, columns }, true, None) => {
            let (target, receiver) = open(session, name, columns, &copy.options, "stdin").await?;
            Ok(Output::CopyIn(CopyIn {
                columns: target,
                format: CopyFormat::Text,
                receiver,
                state: None,
            }))
        }
        (What::Table { name, columns }, true, Some(location)) => {
            from_location(session, name, columns, location, &copy.options).await
        }
        (What::Table { name, columns }, false, None) => {
            let query = table_query(name, columns)?;
            to_stdout(session, &query, &copy.options).await
        }
        (What::Query(query), false, None) => to_stdout(session, query, &copy.options).await,
        (_, false, Some(_)) => Err(Error::unsupported("COPY TO a location is not supported")
            .with_hint("Use COPY ... TO STDOUT.")),
        (What::Query(_), true, _) => Err(Error::internal("COPY (query) FROM")),
    }
}

/// The pipeline into a table, and how many columns the input has.
async fn open(
    session: &Session,
    name: &ast::ObjectName,
    columns: &[String],
    options: &Options,
    source: &str,
) -> Result<(usize, Receiver)> {
    let pinned = dml::target(session, name).await?;
    let input = input_schema(&pinned, columns)?;
    let decoder = options.decoder(&input, zone(session))?;
    let complete = Complete::new(session, &pinned, &input)?;
    let job = dml::AppendJob::new(session, &pinned, source)?;
    Ok((
        input.fields().len(),
        Receiver::start(decoder, complete, job, session.engine().config.threads),
    ))
}

/// The session's zone, in which times without an offset are read.
pub(crate) fn zone(session: &Session) -> Zone {
    session.setting("TimeZone").and_then(|name| zone_of(&name)).unwrap_or(Zone::UTC)
}

/// A zone as the setting spells it: an IANA name, or `+HH:MM`.
pub(crate) fn zone_of(name: &str) -> Option<Zone> {
    let Some((hours, minutes)) = name.get(1..).and_then(|rest| rest.split_once(':')) else {
        return Zone::named(name);
    };
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds = hours * 3_600 + minutes * 60;
    Zone::fixed(if name.starts_with('-') { -seconds } else { seconds })
}

/// The columns of the input: those named, or all that clients supply.
fn input_schema(pinned: &Pinned, columns: &[String]) -> Result<SchemaRef> {
    let schema = dml::user_schema(&pinned.snapshot.schema);
    if columns.is_empty() {
        return Ok(schema);
    }
    super::create_table::refuse_double_names(columns.iter().map(String::as_str))?;
    let fields = columns.iter().map(|column| match schema.field_with_name(column) {
        Ok(field) => Ok(field.clone()),
        Err(_) => Err(Error::new(
            state::UNDEFINED_COLUMN,
            format!("column \"{column}\" of relation \"{}\" does not exist", pinned.name.name),
        )),
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// Fills the columns that the input lacks with their defaults.
pub(crate) struct Complete {
    target: SchemaRef,
    /// For each column of the target: where it is in the input, or its default.
    places: Vec<Place>,
}

enum Place {
    Input(usize),
    Default(datafusion::scalar::ScalarValue),
}

impl Complete {
    fn new(session: &Session, pinned: &Pinned, input: &SchemaRef) -> Result<Self> {
        let target = dml::user_schema(&pinned.snapshot.schema);
        let planner = session.planning_state();
        let places = target.fields().iter().map(|field| {
            if let Ok(at) = input.index_of(field.name()) {
                return Ok(Place::Input(at));
            }
            let default = dml::default_expression(field).to_string();
            let value = crate::plan::constant(&planner, &default).map_err(|_| {
                Error::unsupported(format!(
                    "COPY cannot fill column \"{}\": its default is not a constant",
                    field.name()
                ))
                .with_hint("Name the column in the COPY and supply its values.")
            })?;
            Ok(Place::Default(value.cast_to(field.data_type())?))
        });
        let places = places.collect::<Result<Vec<_>>>()?;
        let nullable = target.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        Ok(Self { target: Arc::new(Schema::new(nullable.collect::<Vec<_>>())), places })
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.target)
    }

    pub(crate) fn apply(
        &self,
        batch: &arrow::array::RecordBatch,
    ) -> datafusion::error::Result<arrow::array::RecordBatch> {
        let columns = self.places.iter().map(|place| match place {
            Place::Input(at) => Ok(Arc::clone(batch.column(*at))),
            Place::Default(value) => value.to_array_of_size(batch.num_rows()),
        });
        let columns = columns.collect::<datafusion::error::Result<Vec<_>>>()?;
        Ok(arrow::array::RecordBatch::try_new(Arc::clone(&self.target), columns)?)
    }
}

/// Files of a declared location, one commit for all of them.
async fn from_location(
    session: &Session,
    name: &ast::ObjectName,
    columns: &[String],
    location: &str,
    options: &Options,
) -> Result<Output> {
    let place = session.engine().catalog.stores().resolve(location)?;
    if location.contains(['*', '?', '[']) {
        return Err(Error::unsupported("COPY FROM takes one file, not a pattern"));
    }
    if options.format == FileFormat::Parquet {
        return from_parquet(session, name, columns, &place, location).await;
    }
    let (_, mut receiver) = open(session, name, columns, options, location).await?;
    let mut bytes = place.store.get(&place.path).await?.into_stream();
    while let Some(piece) = bytes.try_next().await? {
        receiver.send(piece).await?;
    }
    Ok(Output::counted("COPY", receiver.finish().await?))
}

async fn from_parquet(
    session: &Session,
    name: &ast::ObjectName,
    columns: &[String],
    place: &catalog::Location,
    location: &str,
) -> Result<Output> {
    use datafusion::parquet::arrow::ParquetRecordBatchStreamBuilder;
    use datafusion::parquet::arrow::async_reader::ParquetObjectReader;
    let pinned = dml::target(session, name).await?;
    let input = input_schema(&pinned, columns)?;
    let size = place.store.head(&place.path).await?.size;
    let reader =
        ParquetObjectReader::new(Arc::clone(&place.store), place.path.clone()).with_file_size(size);
    let builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(|error| {
        Error::new(state::DATA_CORRUPTED, format!("could not read \"{location}\": {error}"))
    })?;
    let rows = builder.build().map_err(|error| {
        Error::new(state::DATA_CORRUPTED, format!("could not read \"{location}\": {error}"))
    })?;
    let found = Arc::clone(rows.schema());
    let rows = rows.map_err(datafusion::error::DataFusionError::from);
    let rows = datafusion::physical_plan::stream::RecordBatchStreamAdapter::new(found, rows);
    let rows = super::ingest::conform(Box::pin(rows), &input, &pinned.name.name)?;
    let complete = Complete::new(session, &pinned, &input)?;
    let schema = complete.schema();
    let rows = rows.map(move |batch| complete.apply(&batch?));
    let rows = datafusion::physical_plan::stream::RecordBatchStreamAdapter::new(schema, rows);
    let added = dml::append(session, &pinned, Box::pin(rows), location).await?;
    Ok(Output::counted("COPY", added))
}

fn table_query(name: &ast::ObjectName, columns: &[String]) -> Result<Box<ast::Query>> {
    let quoted = |c: &String| format!("\"{}\"", c.replace('"', "\"\""));
    let list = match columns {
        [] => "*".to_owned(),
        columns => columns.iter().map(quoted).collect::<Vec<_>>().join(", "),
    };
    crate::parser::parse_query(&format!("SELECT {list} FROM {name}"))
}

async fn to_stdout(session: &Session, query: &ast::Query, options: &Options) -> Result<Output> {
    let rows = select::stream(session, query, &[]).await?;
    let mut encoder = options.encoder(&rows.schema(), zone(session))?;
    let columns = rows.schema().fields().len();
    let counted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&counted);
    let header = encoder.header();
    let body = rows.map(move |batch| -> Result<Bytes> {
        let batch = batch?;
        count.fetch_add(u64::try_from(batch.num_rows()).unwrap_or(u64::MAX), Ordering::Relaxed);
        encoder.encode(&batch)
    });
    let header = futures::stream::iter(header.map(Ok));
    Ok(Output::CopyOut(CopyOut {
        columns,
        format: CopyFormat::Text,
        stream: header.chain(body).boxed(),
        rows: counted,
    }))
}
