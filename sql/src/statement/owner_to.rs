//! `ALTER TABLE | VIEW | MATERIALIZED VIEW | SCHEMA name OWNER TO name`.
//!
//! There are no roles: an owner is whom the catalog names for an object, and has no right that others lack.

use catalog::{Change, Entry};
use datafusion::sql::sqlparser::parser::Parser;

use crate::error::Result;
use crate::output::Output;
use crate::parser::{expect_word, syntax_error};
use crate::resolve::fold;
use crate::session::Session;
use crate::statement::set_tags::Altered;

/// An object and its new owner.
#[derive(Debug, Clone)]
pub(crate) struct OwnerTo {
    object: Altered,
    /// None is whoever runs the statement.
    owner: Option<String>,
}

/// Whether the words of an ALTER say `OWNER TO`.
pub(crate) fn is_meant(words: &[String]) -> bool {
    words.windows(2).any(|pair| pair[0] == "OWNER" && pair[1] == "TO")
}

/// From `ALTER` on.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<OwnerTo> {
    let object = Altered::parse(parser)?;
    expect_word(parser, "OWNER")?;
    expect_word(parser, "TO")?;
    let owner = parser.parse_identifier().map_err(syntax_error)?;
    let word = owner.value.to_uppercase();
    let is_user = owner.quote_style.is_none()
        && matches!(&*word, "CURRENT_USER" | "CURRENT_ROLE" | "SESSION_USER");
    Ok(OwnerTo { object, owner: (!is_user).then(|| fold(&owner)) })
}

/// Keeps the name with the object.
pub(crate) async fn run(session: &Session, statement: &OwnerTo) -> Result<Output> {
    session.refuse_read_only()?;
    let done = statement.object.done();
    let Some(entry) = statement.object.find(session, "owner")? else { return Ok(done) };
    let owner = statement.owner.clone().unwrap_or_else(|| session.user().to_owned());
    if entry.owner != owner {
        let entry = Entry { owner, ..entry.as_ref().clone() };
        session.change(vec![Change::Put(entry)], None).await?;
    }
    Ok(done)
}
