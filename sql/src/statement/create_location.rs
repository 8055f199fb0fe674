//! `CREATE LOCATION [IF NOT EXISTS] name URL 'url' [WITH (key = value | SECRET name, ...)]`.
//!
//! What SQL may declare is the operator's decision: docs/decisions/007-secrets-and-locations.md.
//!
//! Never: a request is made. Whether the place can be reached shows when it is used.

use std::collections::BTreeMap;

use catalog::{Change, Definition, Entry, Kind, OptionValue};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::error::{Error, Result, state};
use crate::output::{Notice, Output};
use crate::parser::{expect_word, expected, parse_word, parse_words, syntax_error};
use crate::resolve::fold;
use crate::session::Session;

/// A location to be declared.
#[derive(Debug, Clone)]
pub(crate) struct CreateLocation {
    name: ast::Ident,
    if_not_exists: bool,
    url: String,
    options: BTreeMap<String, OptionValue>,
}

/// Reads `CREATE LOCATION`.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<CreateLocation> {
    expect_word(parser, "CREATE")?;
    expect_word(parser, "LOCATION")?;
    let if_not_exists = parse_words(parser, &["IF", "NOT", "EXISTS"]);
    let name = parser.parse_identifier().map_err(syntax_error)?;
    expect_word(parser, "URL")?;
    let url = parser.parse_literal_string().map_err(syntax_error)?;
    let options = match parse_word(parser, "WITH") {
        true => parse_options(parser)?,
        false => BTreeMap::new(),
    };
    Ok(CreateLocation { name, if_not_exists, url, options })
}

fn parse_options(parser: &mut Parser<'_>) -> Result<BTreeMap<String, OptionValue>> {
    if !parser.consume_token(&Token::LParen) {
        return expected(parser, "options in parentheses");
    }
    let mut options = BTreeMap::new();
    loop {
        let key = fold(&parser.parse_identifier().map_err(syntax_error)?).to_lowercase();
        if !parser.consume_token(&Token::Eq) {
            return expected(parser, "=");
        }
        let value = parse_value(parser, &key)?;
        if options.insert(key.clone(), value).is_some() {
            return Err(Error::syntax(format!("option \"{key}\" specified more than once")));
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    match parser.consume_token(&Token::RParen) {
        true => Ok(options),
        false => expected(parser, "a comma or a closing parenthesis"),
    }
}

/// A value; what is found in its place is not told, for it may be meant to be secret.
fn parse_value(parser: &mut Parser<'_>, key: &str) -> Result<OptionValue> {
    if parse_word(parser, "SECRET") {
        return Ok(OptionValue::Secret(fold(&parser.parse_identifier().map_err(syntax_error)?)));
    }
    let text = match parser.next_token().token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => text,
        Token::Word(word) if word.value.eq_ignore_ascii_case("true") => "true".to_owned(),
        Token::Word(word) if word.value.eq_ignore_ascii_case("false") => "false".to_owned(),
        _ => {
            let message =
                format!("option \"{key}\" takes a text in quotes, true, false or SECRET name");
            return Err(Error::syntax(message));
        }
    };
    Ok(OptionValue::Text(text))
}

/// Checks the location and names it.
pub(crate) async fn run(session: &Session, create: &CreateLocation) -> Result<Output> {
    session.refuse_read_only()?;
    let name = fold(&create.name);
    let snapshot = session.snapshot();
    if snapshot.global(Kind::Location, &name).is_some() {
        if create.if_not_exists {
            session.notice(Notice::note(format!("location \"{name}\" already exists, skipping")));
            return Ok(Output::done("CREATE LOCATION"));
        }
        let message = format!("location \"{name}\" already exists");
        return Err(Error::new(state::DUPLICATE_OBJECT, message));
    }
    let engine = session.engine();
    engine.catalog.check_location(&snapshot, &create.url, &create.options)?;
    let definition =
        Definition::Location { url: create.url.clone(), options: create.options.clone() };
    let entry = Entry::new("", name, session.user(), engine.now_micros(), definition);
    session.change(vec![Change::Put(entry)], None).await?;
    Ok(Output::done("CREATE LOCATION"))
}
