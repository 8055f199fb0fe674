//! `COPY table FROM STDIN | 'location'`, `COPY table | (query) TO STDOUT | 'location'`: many rows at
//! once.
//!
//! Reading is a pipeline: bytes are cut into chunks of whole records, chunks become batches on other
//! threads, batches go through the table's one `Writer`, and the one commit is the last step. A COPY
//! that ends early leaves nothing.

mod complete;
mod format;
pub(crate) mod from_files;
mod options;
mod receive;
mod to_client;
mod to_file;

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use ingest::decode::RESCUED;
use ingest::text::Zone;

use crate::dml;
use crate::error::{Error, Result, state};
use crate::lateral;
use crate::output::{CopyFormat, CopyIn, Notice, Output};
use crate::parser::{expect_word, expected, parse_word, syntax_error};
use crate::resolve::{Pinned, fold};
use crate::schema_evolution::{self, Mode};
use crate::session::Session;
use crate::statement::create_external_table;
use complete::Complete;
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
        lateral::refuse_misplaced(&*query)?;
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

/// What the `WITH` of an external table says of its files.
pub(crate) fn external_options(
    text: &str,
    url: &str,
    format: create_external_table::Format,
) -> Result<Options> {
    use create_external_table::Format as F;
    let format = match format {
        F::Csv => FileFormat::Csv,
        F::Text => FileFormat::Text,
        F::JsonLines => FileFormat::JsonLines,
        F::Parquet | F::Delta => FileFormat::Parquet,
        F::Avro => FileFormat::Avro,
    };
    options::of_external(text, url, format)
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

/// Opens a COPY from or to the client, or carries one out.
pub(crate) async fn run(session: &Session, copy: &Copy) -> Result<Output> {
    let Copy { what, from, location, options } = copy;
    let query = match (what, from) {
        (What::Table { name, columns }, true) => {
            return match location {
                None => from_client(session, name, columns, options).await,
                Some(location) => from_files::run(session, name, columns, location, options).await,
            };
        }
        (What::Query(_), true) => return Err(Error::internal("COPY (query) FROM")),
        (What::Table { name, columns }, false) => table_query(name, columns)?,
        (What::Query(query), false) => query.clone(),
    };
    match location {
        None => to_client::run(session, &query, options).await,
        Some(location) => to_file::run(session, &query, location, options).await,
    }
}

/// The pipeline that takes the client's bytes.
async fn from_client(
    session: &Session,
    name: &ast::ObjectName,
    columns: &[String],
    options: &Options,
) -> Result<Output> {
    let pinned = dml::target(session, name).await?;
    let input = input_schema(&pinned, columns)?;
    let binary = options.format == FileFormat::Binary;
    let mode = Mode::of(&pinned.snapshot.configuration);
    let read = if binary { Arc::clone(&input) } else { read_schema(&pinned, &input) };
    let decoder = (!binary).then(|| options.decoder(&read, zone(session), mode)).transpose()?;
    let complete = Complete::new(session, &dml::user_schema(&pinned.snapshot.schema), &read)?;
    let job = dml::AppendJob::new(session, &pinned, "stdin")?;
    let threads = session.engine().config.threads;
    Ok(Output::CopyIn(CopyIn {
        columns: input.fields().len(),
        format: if binary { CopyFormat::Binary } else { CopyFormat::Text },
        schema: input,
        receiver: Receiver::start(decoder, options.skipped(), complete, job, threads),
        state: None,
        deadline: None,
    }))
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
    let schema = schema_evolution::loaded_schema(&pinned.snapshot);
    if columns.is_empty() {
        return Ok(schema);
    }
    super::create_table::refuse_double_names(columns.iter().map(String::as_str))?;
    let fields = columns.iter().map(|column| match schema.field_with_name(column) {
        Ok(field) => Ok(field.clone()),
        Err(_) if column == RESCUED && pinned.snapshot.schema.index_of(RESCUED).is_ok() => {
            let message = format!("cannot load column \"{column}\"");
            Err(Error::new("428C9", message)
                .with_detail("COPY keeps in it what the other columns do not take."))
        }
        Err(_) => Err(Error::new(
            state::UNDEFINED_COLUMN,
            format!("column \"{column}\" of relation \"{}\" does not exist", pinned.name.name),
        )),
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// The columns that the reader of the input gives: those of the input, and what it rescues.
pub(super) fn read_schema(pinned: &Pinned, input: &SchemaRef) -> SchemaRef {
    if Mode::of(&pinned.snapshot.configuration) != Mode::Rescue {
        return Arc::clone(input);
    }
    let rescued = Arc::new(schema_evolution::rescued_column());
    let fields = input.fields().iter().map(Arc::clone).chain([rescued]);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn table_query(name: &ast::ObjectName, columns: &[String]) -> Result<Box<ast::Query>> {
    let quoted = |c: &String| format!("\"{}\"", c.replace('"', "\"\""));
    let list = match columns {
        [] => "*".to_owned(),
        columns => columns.iter().map(quoted).collect::<Vec<_>>().join(", "),
    };
    crate::parser::parse_query(&format!("SELECT {list} FROM {name}"))
}

/// What the client is told of rows that were left out, in PostgreSQL's words.
pub(crate) fn rows_skipped(count: u64) -> Option<Notice> {
    let rows = match count {
        0 => return None,
        1 => "row was",
        _ => "rows were",
    };
    Some(Notice::note(format!("{count} {rows} skipped due to data type incompatibility")))
}
