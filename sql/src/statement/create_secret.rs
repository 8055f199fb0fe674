//! `CREATE SECRET name AS 'text'`.
//!
//! The text is sealed at once and kept in the catalog. Nothing reads it back but the server itself.
//!
//! Never: the text in an error, a log, a debug form, or the statement's own text.

use std::fmt;

use catalog::{Change, Definition, Entry, Kind};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::error::{Error, Result, state};
use crate::output::{Notice, Output};
use crate::parser::parse_words;
use crate::resolve::fold;
use crate::session::Session;

/// A secret to be kept.
#[derive(Clone)]
pub(crate) struct CreateSecret {
    name: ast::Ident,
    if_not_exists: bool,
    text: String,
}

impl fmt::Display for CreateSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CREATE SECRET {} AS '...'", self.name)
    }
}

impl fmt::Debug for CreateSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads `CREATE SECRET`. Its errors do not say what was found instead: that may be the secret.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<CreateSecret> {
    let malformed = || Error::syntax("syntax error in CREATE SECRET").with_hint(SHAPE);
    parse_words(parser, &["CREATE", "SECRET"]);
    let if_not_exists = parse_words(parser, &["IF", "NOT", "EXISTS"]);
    let name = parser.parse_identifier().map_err(|_| malformed())?;
    if !parse_words(parser, &["AS"]) {
        return Err(malformed());
    }
    let text = match parser.next_token().token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => text,
        Token::DollarQuotedString(quoted) => quoted.value,
        _ => return Err(malformed()),
    };
    match parser.peek_token().token {
        Token::EOF => Ok(CreateSecret { name, if_not_exists, text }),
        _ => Err(malformed()),
    }
}

const SHAPE: &str = "Write CREATE SECRET [IF NOT EXISTS] name AS 'text'.";

/// Whether another statement begins that has a CREATE SECRET in it: `EXPLAIN`, `PREPARE ... AS`.
pub(crate) fn is_within(lead: &[&str]) -> bool {
    lead.windows(2).any(|words| words == ["CREATE", "SECRET"])
}

/// The error for it.
pub(crate) fn refused_within(first: &str) -> Error {
    Error::unsupported(format!("{first} does not take CREATE SECRET"))
}

/// Seals the text and names it.
pub(crate) async fn run(session: &Session, create: &CreateSecret) -> Result<Output> {
    session.refuse_read_only()?;
    let name = fold(&create.name);
    if session.snapshot().global(Kind::Secret, &name).is_some() {
        if create.if_not_exists {
            session.notice(Notice::note(format!("secret \"{name}\" already exists, skipping")));
            return Ok(Output::done("CREATE SECRET"));
        }
        let message = format!("secret \"{name}\" already exists");
        return Err(Error::new(state::DUPLICATE_OBJECT, message)
            .with_hint("DROP SECRET removes it; a location that names it must go first."));
    }
    let engine = session.engine();
    let key = engine.catalog.stores().secret_key()?;
    let id = uuid::Uuid::new_v4();
    let definition = Definition::Secret { sealed: key.seal(id, &create.text)? };
    let entry = Entry::new("", name, session.user(), engine.now_micros(), definition);
    session.change(vec![Change::Put(Entry { id, ..entry })], None).await?;
    Ok(Output::done("CREATE SECRET"))
}
