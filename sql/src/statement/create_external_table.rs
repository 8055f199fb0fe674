//! `CREATE EXTERNAL TABLE [IF NOT EXISTS] name [(column type, ...)] STORED AS format LOCATION 'url'
//! [PARTITIONED BY (column [type], ...)] [WITH (option value, ...)]`.
//!
//! The files stay where they are and are read anew by every statement. Nothing is copied, and nothing is
//! ever written.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use catalog::{Change, ColumnEntry, Definition, Entry, ExternalTable};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use ingest::files::{self, ReadOptions};

use crate::error::{Error, Result, state};
use crate::external::Files;
use crate::output::{Notice, Output};
use crate::parser::{expect_word, expected, parse_word, parse_words, syntax_error};
use crate::resolve::{fold, split_name};
use crate::schema_evolution::Mode;
use crate::session::Session;
use crate::statement::{copy, create_table};
use crate::types;

/// How the files look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    Delta,
    Avro,
    Csv,
    Text,
    JsonLines,
}

impl Format {
    /// By its name, whatever its case.
    pub(crate) fn named(name: &str) -> Result<Self> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "parquet" => Self::Parquet,
            "delta" => Self::Delta,
            "avro" => Self::Avro,
            "csv" => Self::Csv,
            "text" => Self::Text,
            "json" | "jsonl" | "ndjson" => Self::JsonLines,
            format @ ("orc" | "iceberg" | "arrow") => {
                return Err(Error::unsupported(format!("STORED AS {format} is not supported"))
                    .with_hint("Formats are parquet, delta, avro, csv, text and json."));
            }
            other => {
                let message = format!("format \"{other}\" not recognized");
                return Err(Error::new(state::INVALID_PARAMETER_VALUE, message)
                    .with_hint("Formats are parquet, delta, avro, csv, text and json."));
            }
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Delta => "delta",
            Self::Avro => "avro",
            Self::Csv => "csv",
            Self::Text => "text",
            Self::JsonLines => "json",
        }
    }
}

/// A table to be declared.
#[derive(Debug, Clone)]
pub(crate) struct CreateExternalTable {
    name: ast::ObjectName,
    if_not_exists: bool,
    columns: Vec<ast::ColumnDef>,
    format: Format,
    url: String,
    /// Columns whose values folders tell, with their types unless those are among the columns.
    partitioned_by: Vec<(ast::Ident, Option<ast::DataType>)>,
    options: String,
}

/// Reads the statement.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<CreateExternalTable> {
    for word in ["CREATE", "EXTERNAL", "TABLE"] {
        expect_word(parser, word)?;
    }
    let if_not_exists = parse_words(parser, &["IF", "NOT", "EXISTS"]);
    let name = parser.parse_object_name(false).map_err(syntax_error)?;
    let (columns, constraints) = parser.parse_columns().map_err(syntax_error)?;
    if let Some(constraint) = constraints.first() {
        return Err(unchecked(&constraint.to_string()));
    }
    if !parse_words(parser, &["STORED", "AS"]) {
        return expected(parser, "STORED AS");
    }
    let format = Format::named(&fold(&parser.parse_identifier().map_err(syntax_error)?))?;
    expect_word(parser, "LOCATION")?;
    let url = parser.parse_literal_string().map_err(syntax_error)?;
    let partitioned_by = if parse_words(parser, &["PARTITIONED", "BY"]) {
        parse_partitioned_by(parser)?
    } else {
        Vec::new()
    };
    let options = if parse_word(parser, "WITH") {
        parser.prev_token();
        let text = rest_of(parser);
        copy::external_options(&text, &url, format)?;
        while parser.peek_token().token != Token::EOF {
            parser.next_token();
        }
        text
    } else {
        String::new()
    };
    Ok(CreateExternalTable { name, if_not_exists, columns, format, url, partitioned_by, options })
}

fn parse_partitioned_by(
    parser: &mut Parser<'_>,
) -> Result<Vec<(ast::Ident, Option<ast::DataType>)>> {
    copy::expect_token(parser, &Token::LParen)?;
    let column = |parser: &mut Parser<'_>| {
        let name = parser.parse_identifier()?;
        let is_named = matches!(parser.peek_token().token, Token::Comma | Token::RParen);
        let data_type = (!is_named).then(|| parser.parse_data_type()).transpose()?;
        Ok((name, data_type))
    };
    let columns = parser.parse_comma_separated(column).map_err(syntax_error)?;
    copy::expect_token(parser, &Token::RParen)?;
    Ok(columns)
}

/// A token as it reads back the same.
fn text_of(token: Token) -> String {
    match token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        Token::Word(word) if word.quote_style == Some('"') => {
            format!("\"{}\"", word.value.replace('"', "\"\""))
        }
        token => token.to_string(),
    }
}

/// The tokens that are left, as text.
fn rest_of(parser: &Parser<'_>) -> String {
    let tokens = (0..).map(|nth| parser.peek_nth_token(nth).token);
    let texts = tokens.take_while(|token| *token != Token::EOF).map(text_of);
    texts.collect::<Vec<_>>().join(" ")
}

/// Finds the columns, where the statement does not say them, and names the table.
pub(crate) async fn run(session: &Session, create: &CreateExternalTable) -> Result<Output> {
    session.refuse_read_only()?;
    let (schema, name) = split_name(&create.name)?;
    let name = create_table::new_name(session, schema, name)?;
    let snapshot = session.snapshot();
    if create.if_not_exists && snapshot.entry(&name.schema, &name.name).is_some() {
        let note = format!("relation \"{}\" already exists, skipping", name.name);
        session.notice(Notice::note(note));
        return Ok(Output::done("CREATE EXTERNAL TABLE"));
    }
    create_table::refuse_taken(session, &name, false)?;
    let mut table = ExternalTable {
        format: create.format.name().to_owned(),
        url: create.url.clone(),
        columns: Vec::new(),
        partition_columns: Vec::new(),
        options: create.options.clone(),
    };
    let mut fields = declared(create)?;
    if create.format == Format::Delta {
        refuse_for_delta(create)?;
    } else {
        // A location that cannot be read, or has no such file, is found out now.
        let found = Files::find(session, &create.url, !create.partitioned_by.is_empty()).await?;
        found.refuse_delta().await?;
        if fields.is_empty() {
            fields = inferred(session, create, &found).await?;
        }
    }
    partition(create, &mut fields, &mut table.partition_columns)?;
    create_table::refuse_double_names(fields.iter().map(|field| field.name().as_str()))?;
    table.columns = fields.iter().map(ColumnEntry::from).collect();
    let definition = Definition::ExternalTable(table);
    let now = session.engine().now_micros();
    let mut entry = Entry::new(name.schema, name.name, session.user(), now, definition);
    if create.format == Format::Delta {
        let delta = crate::external::delta(session, &entry).await?;
        if let Definition::ExternalTable(table) = &mut entry.definition {
            let schema = Arc::clone(&delta.current().schema);
            table.columns = schema.fields().iter().map(|f| ColumnEntry::from(f.as_ref())).collect();
        }
    }
    let id = entry.id;
    session.change(vec![Change::Put(entry)], Some(id)).await?;
    Ok(Output::done("CREATE EXTERNAL TABLE"))
}

/// The columns that the statement says.
fn declared(create: &CreateExternalTable) -> Result<Vec<Field>> {
    let field = |column: &ast::ColumnDef| {
        for option in &column.options {
            if !matches!(option.option, ast::ColumnOption::Null) {
                return Err(unchecked(&option.to_string()));
            }
        }
        Ok(types::field_of_sql_type(&column.data_type, &fold(&column.name), true)?)
    };
    create.columns.iter().map(field).collect()
}

fn unchecked(clause: &str) -> Error {
    Error::unsupported(format!("CREATE EXTERNAL TABLE does not support this clause: {clause}"))
        .with_detail("What others write into the files is not checked.")
}

/// The columns that the first file says; JSON lines say them by what they hold.
async fn inferred(
    session: &Session,
    create: &CreateExternalTable,
    found: &Files,
) -> Result<Vec<Field>> {
    let Some(first) = found.files.first() else { return Ok(Vec::new()) };
    let options = copy::external_options(&create.options, &create.url, create.format)?;
    let none = Arc::new(Schema::empty());
    let read = ReadOptions {
        format: options.read_format(&none, copy::zone(session), Mode::Strict)?,
        compression: options.compression(),
        threads: session.engine().config.threads,
        origin: None,
    };
    let Some(found) = files::found_columns(std::slice::from_ref(first), &read).await? else {
        let message =
            format!("{} files do not say the types of their columns", create.format.name());
        return Err(Error::new(state::INVALID_TABLE_DEFINITION, message)
            .with_hint("Declare the columns: CREATE EXTERNAL TABLE name (column type, ...) ..."));
    };
    let fields = found.into_iter().map(|column| Arc::new(column.field));
    fields.map(|field| create_table::stored_field(&field, field.name())).collect()
}

/// Settles which columns folders tell.
fn partition(
    create: &CreateExternalTable,
    fields: &mut Vec<Field>,
    names: &mut Vec<String>,
) -> Result<()> {
    if !matches!(create.format, Format::Parquet | Format::Delta)
        && !create.partitioned_by.is_empty()
    {
        let what =
            format!("PARTITIONED BY is not supported with STORED AS {}", create.format.name());
        return Err(Error::unsupported(what));
    }
    for (name, data_type) in &create.partitioned_by {
        let name = fold(name);
        let known = fields.iter().position(|field| *field.name() == name);
        let field = match (known, data_type) {
            (Some(at), None) => fields.remove(at),
            (None, Some(data_type)) => types::field_of_sql_type(data_type, &name, true)?,
            (None, None) => types::field_of_sql_type(&ast::DataType::Text, &name, true)?,
            (Some(_), Some(_)) => {
                return Err(Error::new(
                    state::DUPLICATE_COLUMN,
                    format!("column \"{name}\" is declared twice"),
                ));
            }
        };
        fields.push(field);
        names.push(name);
    }
    if names.len() == fields.len() && create.format != Format::Delta {
        let message = format!("table \"{}\" has no columns in its files", create.name);
        return Err(Error::new(state::INVALID_TABLE_DEFINITION, message));
    }
    Ok(())
}

/// A Delta log says all of it.
fn refuse_for_delta(create: &CreateExternalTable) -> Result<()> {
    let clause = match () {
        () if !create.columns.is_empty() => "a list of columns",
        () if !create.partitioned_by.is_empty() => "PARTITIONED BY",
        () if !create.options.is_empty() => "WITH",
        () => return Ok(()),
    };
    Err(Error::unsupported(format!("STORED AS delta does not take {clause}"))
        .with_detail("The log of the Delta table says its columns and how it is partitioned."))
}
