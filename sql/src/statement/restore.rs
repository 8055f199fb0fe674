//! `RESTORE [TABLE] table TO { VERSION AS OF n | TIMESTAMP AS OF 'time' | SNAPSHOT name }`: the table
//! becomes what it was, by a commit of its own; what came in between stays in the history.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;

use crate::dml;
use crate::error::{Error, Result, state};
use crate::output::Output;
use crate::parser::{expect_word, expected, parse_word, parse_words, syntax_error};
use crate::resolve::{At, fold, version_at};
use crate::session::Session;
use crate::statement::alter_table::carried;

/// A table, and the version to go back to.
#[derive(Debug, Clone)]
pub(crate) struct Restore {
    table: ast::ObjectName,
    to: At,
}

/// Reads `RESTORE`.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<Restore> {
    expect_word(parser, "RESTORE")?;
    parse_word(parser, "TABLE");
    let table = parser.parse_object_name(false).map_err(syntax_error)?;
    expect_word(parser, "TO")?;
    let to = if parse_words(parser, &["VERSION", "AS", "OF"]) {
        let number = parser.parse_literal_uint().map_err(syntax_error)?;
        At::Version(i64::try_from(number).unwrap_or(i64::MAX))
    } else if parse_words(parser, &["TIMESTAMP", "AS", "OF"]) {
        At::Timestamp(parser.parse_literal_string().map_err(syntax_error)?)
    } else if parse_word(parser, "SNAPSHOT") {
        At::Snapshot(fold(&parser.parse_identifier().map_err(syntax_error)?))
    } else {
        return expected(parser, "VERSION AS OF, TIMESTAMP AS OF or SNAPSHOT");
    };
    Ok(Restore { table, to })
}

/// Goes back, again and again while others are faster.
pub(crate) async fn run(session: &Session, restore: &Restore) -> Result<Output> {
    let mut attempt = 1;
    loop {
        let pinned = dml::target(session, &restore.table).await?;
        let state = session.planning_state();
        let name = pinned.name.to_string();
        let at = restore.to.of(&session.snapshot(), pinned.id, &name)?;
        let to = version_at(&state, &pinned.table, &at, &name).await?;
        let done = async {
            match pinned.table.restore(&pinned.snapshot, &to).await {
                Ok(None) => Ok(()),
                Ok(Some(commit)) => dml::land(session, &pinned, commit).await,
                Err(catalog::Error::VersionNotFound { version, .. }) => Err(Error::new(
                    state::INVALID_PARAMETER_VALUE,
                    format!("files of version {version} of table \"{name}\" are gone"),
                )
                .with_hint("VACUUM has removed them.")),
                Err(error) => Err(error.into()),
            }
        };
        match done.await {
            Err(error) => {
                if !dml::goes_again(session, &pinned, &error, &mut attempt).await? {
                    return Err(error);
                }
            }
            Ok(()) => {
                let has = |name: &str| to.schema.field_with_name(name).is_ok();
                carried::forget_others(session, pinned.id, has).await?;
                return Ok(Output::done("RESTORE"));
            }
        }
    }
}
