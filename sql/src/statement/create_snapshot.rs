//! `CREATE SNAPSHOT [IF NOT EXISTS] name [FOR TABLE table [, ...]]`: versions of tables under one name.
//!
//! The versions are those that one statement reads, so that no transaction is in them by half. VACUUM keeps
//! their files.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{Change, Definition, Entry, Kind};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;

use crate::dml;
use crate::error::{Error, Result, state};
use crate::output::{Notice, Output};
use crate::parser::{expect_word, parse_word, parse_words, syntax_error};
use crate::resolve::fold;
use crate::session::Session;

/// A snapshot to be made.
#[derive(Debug, Clone)]
pub(crate) struct CreateSnapshot {
    name: ast::Ident,
    if_not_exists: bool,
    /// None: all.
    tables: Vec<ast::ObjectName>,
}

/// Reads `CREATE SNAPSHOT`.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<CreateSnapshot> {
    expect_word(parser, "CREATE")?;
    expect_word(parser, "SNAPSHOT")?;
    let if_not_exists = parse_words(parser, &["IF", "NOT", "EXISTS"]);
    let name = parser.parse_identifier().map_err(syntax_error)?;
    let mut tables = Vec::new();
    if parse_word(parser, "FOR") {
        if !parse_word(parser, "TABLES") {
            expect_word(parser, "TABLE")?;
        }
        tables =
            parser.parse_comma_separated(|p| p.parse_object_name(false)).map_err(syntax_error)?;
    }
    Ok(CreateSnapshot { name, if_not_exists, tables })
}

/// Pins the versions and names them.
pub(crate) async fn run(session: &Session, create: &CreateSnapshot) -> Result<Output> {
    session.refuse_read_only()?;
    session.refuse_in_transaction("CREATE SNAPSHOT")?;
    let name = fold(&create.name);
    let snapshot = session.snapshot();
    if snapshot.global(Kind::Snapshot, &name).is_some() {
        if create.if_not_exists {
            session.notice(Notice::note(format!("snapshot \"{name}\" already exists, skipping")));
            return Ok(Output::done("CREATE SNAPSHOT"));
        }
        let message = format!("snapshot \"{name}\" already exists");
        return Err(Error::new(state::DUPLICATE_OBJECT, message));
    }
    let entries: Vec<Arc<Entry>> = match create.tables.is_empty() {
        true => snapshot.entries().filter(|entry| entry.table().is_some()).cloned().collect(),
        false => {
            let named = create.tables.iter().map(|name| dml::existing_with_files(session, name));
            named.collect::<Result<_>>()?
        }
    };
    let mut versions = BTreeMap::new();
    for entry in entries {
        versions.insert(entry.id, session.pin(&entry).await?.snapshot.version);
    }
    let now = session.engine().now_micros();
    let definition = Definition::Snapshot { versions };
    let entry = Entry::new("", name, session.user(), now, definition);
    session.change(vec![Change::Put(entry)], None).await?;
    Ok(Output::done("CREATE SNAPSHOT"))
}
