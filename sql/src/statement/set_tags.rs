//! `ALTER TABLE | VIEW | MATERIALIZED VIEW | SCHEMA name [ALTER COLUMN name] SET TAGS | UNSET TAGS`.
//!
//! Tags stand in the catalog's entry, those of columns too: they are no part of the table's versions.
//! Never: a tag of a column that is not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Fields;
use catalog::{Change, Definition, Entry, Kind};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::dml;
use crate::error::{Error, Result, nearest, state};
use crate::output::{Notice, Output};
use crate::parser::{self, expect_word, parse_word, parse_words, syntax_error};
use crate::resolve::{fold, split_name};
use crate::session::Session;

/// Tags that one object or column may have.
const TAGS_MAX: usize = 50;
/// Characters of a tag's name.
const NAME_CHARS_MAX: usize = 255;
/// Characters of its value.
const VALUE_CHARS_MAX: usize = 1_000;

/// Tags to be put or taken away.
#[derive(Debug, Clone)]
pub(crate) struct SetTags {
    object: Altered,
    column: Option<ast::Ident>,
    change: TagChange,
}

/// What an ALTER is about.
#[derive(Debug, Clone)]
pub(super) struct Altered {
    kind: Kind,
    name: ast::ObjectName,
    if_exists: bool,
}

#[derive(Debug, Clone)]
enum TagChange {
    Set(Vec<(String, String)>),
    Unset { names: Vec<String>, if_exists: bool },
}

/// Whether the words of an ALTER say `SET TAGS (` or `UNSET TAGS [IF EXISTS] (`.
pub(crate) fn is_meant(words: &[String]) -> bool {
    let changes = |pair: &[String]| matches!(&*pair[0], "SET" | "UNSET") && pair[1] == "TAGS";
    words.first().is_some_and(|word| word == "ALTER") && words.windows(2).any(changes)
}

/// From `ALTER` on.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<SetTags> {
    let object = Altered::parse(parser)?;
    let column = if object.kind != Kind::Schema && parse_word(parser, "ALTER") {
        parse_word(parser, "COLUMN");
        Some(parser.parse_identifier().map_err(syntax_error)?)
    } else {
        None
    };
    let change = if parse_word(parser, "SET") {
        expect_word(parser, "TAGS")?;
        TagChange::Set(list(parser, tag)?)
    } else {
        expect_word(parser, "UNSET")?;
        expect_word(parser, "TAGS")?;
        let if_exists = parse_words(parser, &["IF", "EXISTS"]);
        TagChange::Unset { names: list(parser, text)?, if_exists }
    };
    Ok(SetTags { object, column, change })
}

fn list<T>(parser: &mut Parser<'_>, item: impl Fn(&mut Parser<'_>) -> Result<T>) -> Result<Vec<T>> {
    parser.expect_token(&Token::LParen).map_err(syntax_error)?;
    let mut items = vec![item(parser)?];
    while parser.consume_token(&Token::Comma) {
        items.push(item(parser)?);
    }
    parser.expect_token(&Token::RParen).map_err(syntax_error)?;
    Ok(items)
}

/// `'name' = 'value'`, or `'name'` alone.
fn tag(parser: &mut Parser<'_>) -> Result<(String, String)> {
    let name = text(parser)?;
    let value = if parser.consume_token(&Token::Eq) { text(parser)? } else { String::new() };
    Ok((name, value))
}

fn text(parser: &mut Parser<'_>) -> Result<String> {
    parser.parse_literal_string().map_err(syntax_error)
}

/// Keeps the tags with the object.
pub(crate) async fn run(session: &Session, tags: &SetTags) -> Result<Output> {
    session.refuse_read_only()?;
    let done = tags.object.done();
    let Some(entry) = tags.object.find(session, "tags")? else { return Ok(done) };
    let mut changed = entry.as_ref().clone();
    match &tags.column {
        None => apply(session, &mut changed.tags, &tags.change, &described(&entry, None))?,
        Some(column) => {
            let column = fold(column);
            refuse_unknown(session, &entry, &column).await?;
            let known = changed.column_tags.entry(column.clone()).or_default();
            apply(session, known, &tags.change, &described(&entry, Some(&column)))?;
            if known.is_empty() {
                changed.column_tags.remove(&column);
            }
        }
    }
    if changed != *entry {
        session.change(vec![Change::Put(changed)], None).await?;
    }
    Ok(done)
}

impl Altered {
    /// `ALTER TABLE | VIEW | MATERIALIZED VIEW | SCHEMA [IF EXISTS] name`.
    pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Self> {
        expect_word(parser, "ALTER")?;
        let kind = match () {
            () if parse_word(parser, "TABLE") => Kind::Table,
            () if parse_word(parser, "VIEW") => Kind::View,
            () if parse_words(parser, &["MATERIALIZED", "VIEW"]) => Kind::MaterializedView,
            () if parse_word(parser, "SCHEMA") => Kind::Schema,
            () => return parser::expected(parser, "TABLE, VIEW, MATERIALIZED VIEW or SCHEMA"),
        };
        let if_exists = parse_words(parser, &["IF", "EXISTS"]);
        let name = parser.parse_object_name(false).map_err(syntax_error)?;
        Ok(Self { kind, name, if_exists })
    }

    /// The end of the statement.
    pub(super) fn done(&self) -> Output {
        Output::done(match self.kind {
            Kind::View => "ALTER VIEW",
            Kind::MaterializedView => "ALTER MATERIALIZED VIEW",
            Kind::Schema => "ALTER SCHEMA",
            _ => "ALTER TABLE",
        })
    }

    /// Its entry, which is to get `what`. None, after a notice, where it need not exist and does not.
    pub(super) fn find(&self, session: &Session, what: &str) -> Result<Option<Arc<Entry>>> {
        match self.existing(session, what) {
            Err(error) if self.if_exists && error.is_of_unknown_name() => {
                let note = format!("{} \"{}\" does not exist, skipping", self.kind, self.name);
                session.notice(Notice::note(note));
                Ok(None)
            }
            found => found.map(Some),
        }
    }

    fn existing(&self, session: &Session, what: &str) -> Result<Arc<Entry>> {
        let (schema, name) = split_name(&self.name)?;
        if self.kind == Kind::Schema {
            let found = session.snapshot().schema(&name).map(Arc::clone);
            return found.ok_or_else(|| {
                let message = format!("schema \"{name}\" does not exist");
                Error::new(state::INVALID_SCHEMA_NAME, message)
            });
        }
        if schema.as_deref().is_none_or(|s| s == "pg_temp")
            && session.temporary_table(&name).is_some()
        {
            return Err(Error::unsupported(format!("temporary tables have no {what}"))
                .with_detail(format!("\"{name}\" is a temporary table.")));
        }
        let entry = dml::existing(session, schema.as_deref(), &name)?;
        // To clients an external table is a table.
        let is_table = self.kind == Kind::Table && entry.kind() == Kind::ExternalTable;
        if entry.kind() == self.kind || is_table {
            return Ok(entry);
        }
        let message = format!("\"{name}\" is a {}, not a {}", entry.kind(), self.kind);
        let error = Error::new(state::WRONG_OBJECT_TYPE, message);
        Err(match entry.kind() {
            Kind::Table | Kind::ExternalTable => error.with_hint("Use ALTER TABLE."),
            Kind::View => error.with_hint("Use ALTER VIEW."),
            Kind::MaterializedView => error.with_hint("Use ALTER MATERIALIZED VIEW."),
            _ => error,
        })
    }
}

/// What has the tags, for messages.
fn described(entry: &Entry, column: Option<&str>) -> String {
    let object = format!("{} \"{}\"", entry.kind(), entry.qualified_name());
    column.map_or_else(|| object.clone(), |column| format!("column \"{column}\" of {object}"))
}

async fn refuse_unknown(session: &Session, entry: &Arc<Entry>, column: &str) -> Result<()> {
    let names: Vec<String> = match &entry.definition {
        Definition::View { columns, .. } => columns.iter().map(|c| c.name.clone()).collect(),
        Definition::ExternalTable(table) => table.columns.iter().map(|c| c.name.clone()).collect(),
        _ => names_of(session.pin(entry).await?.snapshot.schema.fields()),
    };
    if names.iter().any(|name| name == column) {
        return Ok(());
    }
    let message = format!("column \"{column}\" of relation \"{}\" does not exist", entry.name);
    let error = Error::new(state::UNDEFINED_COLUMN, message);
    Err(match nearest(column, names.iter().map(String::as_str)) {
        Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
        None => error,
    })
}

fn names_of(fields: &Fields) -> Vec<String> {
    fields.iter().map(|field| field.name().clone()).collect()
}

fn apply(
    session: &Session,
    tags: &mut BTreeMap<String, String>,
    change: &TagChange,
    of: &str,
) -> Result<()> {
    match change {
        TagChange::Set(pairs) => {
            for (at, (name, value)) in pairs.iter().enumerate() {
                refuse_text(name, value)?;
                if pairs[..at].iter().any(|(other, _)| other == name) {
                    let message = format!("tag \"{name}\" is set twice");
                    return Err(Error::new(state::INVALID_PARAMETER_VALUE, message));
                }
                tags.insert(name.clone(), value.clone());
            }
            if tags.len() > TAGS_MAX {
                let message = format!("{of} cannot have more than {TAGS_MAX} tags");
                return Err(Error::new(state::PROGRAM_LIMIT_EXCEEDED, message));
            }
        }
        TagChange::Unset { names, if_exists } => {
            for name in names {
                if tags.remove(name).is_some() {
                    continue;
                }
                let message = format!("{of} has no tag \"{name}\"");
                if !if_exists {
                    return Err(Error::new(state::UNDEFINED_OBJECT, message)
                        .with_hint("tarn.tags lists the tags; UNSET TAGS IF EXISTS passes over."));
                }
                session.notice(Notice::note(format!("{message}, skipping")));
            }
        }
    }
    Ok(())
}

fn refuse_text(name: &str, value: &str) -> Result<()> {
    let too_long = |what: &str, text: &str, most: usize| {
        let message =
            format!("the {what} of a tag has {} characters, at most {most}", text.chars().count());
        Error::new(state::INVALID_PARAMETER_VALUE, message)
    };
    if name.trim().is_empty() {
        let message = "a tag has a name: it cannot be empty";
        return Err(Error::new(state::INVALID_PARAMETER_VALUE, message));
    }
    if name.chars().count() > NAME_CHARS_MAX {
        return Err(too_long("name", name, NAME_CHARS_MAX));
    }
    if value.chars().count() > VALUE_CHARS_MAX {
        return Err(too_long("value", value, VALUE_CHARS_MAX));
    }
    Ok(())
}
