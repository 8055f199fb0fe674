//! `VACUUM [table] [RETAIN n { HOURS | DAYS }] [DRY RUN]`: files that no version within the retention
//! holds are removed.
//!
//! Never: a version within the retention loses a file.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use catalog::{Entry, Vacuumed};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::dml;
use crate::error::{Error, Result, state};
use crate::output::{Notice, Output};
use crate::parser::{expect_word, expected, parse_word, parse_words, syntax_error};
use crate::session::Session;
use crate::statement::set::rows_of;

const HOUR_MICROS: i64 = 3600 * 1_000_000;
/// What is retained where the statement does not say: a week, as everywhere in Delta.
const RETAIN_HOURS: i64 = 7 * 24;

/// Files to be removed.
#[derive(Debug, Clone)]
pub(crate) struct Vacuum {
    /// None: every table.
    table: Option<ast::ObjectName>,
    retain_hours: i64,
    pub(crate) dry_run: bool,
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![text("table"), text("file")]))
});

/// The columns of a dry run.
pub(crate) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Reads `VACUUM`.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<Vacuum> {
    expect_word(parser, "VACUUM")?;
    for option in ["FULL", "FREEZE", "VERBOSE", "ANALYZE"] {
        if parse_word(parser, option) {
            return Err(Error::unsupported(format!("VACUUM {option} is not supported")).with_hint(
                "OPTIMIZE makes small files large; statistics are kept with the files.",
            ));
        }
    }
    if parser.peek_token().token == Token::LParen {
        return Err(Error::unsupported("VACUUM (options) is not supported")
            .with_hint("VACUUM table RETAIN 168 HOURS DRY RUN"));
    }
    let ends = parser.peek_token().token == Token::EOF;
    let is_clause = ["RETAIN", "DRY"].iter().any(|word| {
        matches!(&parser.peek_token().token, Token::Word(next)
            if next.quote_style.is_none() && next.value.eq_ignore_ascii_case(word))
    });
    let table = if ends || is_clause {
        None
    } else {
        Some(parser.parse_object_name(false).map_err(syntax_error)?)
    };
    let mut retain_hours = RETAIN_HOURS;
    if parse_word(parser, "RETAIN") {
        let count = parser.parse_literal_uint().map_err(syntax_error)?;
        let hours = match () {
            () if parse_word(parser, "HOURS") || parse_word(parser, "HOUR") => 1,
            () if parse_word(parser, "DAYS") || parse_word(parser, "DAY") => 24,
            () => return expected(parser, "HOURS or DAYS"),
        };
        let hours = i64::try_from(count).ok().and_then(|count| count.checked_mul(hours));
        retain_hours = hours.filter(|hours| *hours < i64::MAX / HOUR_MICROS).ok_or_else(|| {
            Error::new(state::INVALID_PARAMETER_VALUE, format!("{count} is too long a retention"))
        })?;
    }
    let dry_run = parse_words(parser, &["DRY", "RUN"]);
    Ok(Vacuum { table, retain_hours, dry_run })
}

/// Removes the files, or lists them.
pub(crate) async fn run(session: &Session, vacuum: &Vacuum) -> Result<Output> {
    session.refuse_read_only()?;
    session.refuse_in_transaction("VACUUM")?;
    let entries: Vec<Arc<Entry>> = match &vacuum.table {
        Some(table) => vec![dml::existing_with_files(session, table)?],
        None => {
            session.snapshot().entries().filter(|entry| entry.table().is_some()).cloned().collect()
        }
    };
    let retain_micros = vacuum.retain_hours * HOUR_MICROS;
    let mut all: Vec<(String, Vacuumed)> = Vec::new();
    for entry in entries {
        let table = session.engine().catalog.table(&entry).await?;
        // As they are now: a snapshot may have been made since the statement began.
        let catalog = session.engine().catalog.refresh().await?;
        let pinned: Vec<i64> = catalog.pinned_versions(entry.id).collect();
        let vacuumed = table.vacuum(retain_micros, &pinned, vacuum.dry_run).await?;
        all.push((entry.qualified_name(), vacuumed));
    }
    if vacuum.dry_run {
        return Ok(rows_of(batch(&all)?));
    }
    let files: usize = all.iter().map(|(_, vacuumed)| vacuumed.files.len()).sum();
    let bytes: u64 = all.iter().map(|(_, vacuumed)| vacuumed.bytes).sum();
    session.notice(Notice::note(format!("removed {files} files of {bytes} bytes")));
    Ok(Output::done("VACUUM"))
}

fn batch(all: &[(String, Vacuumed)]) -> Result<RecordBatch> {
    let rows = || all.iter().flat_map(|(table, v)| v.files.iter().map(move |file| (table, file)));
    let tables: StringArray = rows().map(|(table, _)| Some(table)).collect();
    let files: StringArray = rows().map(|(_, file)| Some(file)).collect();
    let (tables, files): (ArrayRef, ArrayRef) = (Arc::new(tables), Arc::new(files));
    Ok(RecordBatch::try_new(schema(), vec![tables, files])?)
}
