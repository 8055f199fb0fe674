//! Text to statements: looks at the leading words, reads what is ours here and gives the rest to
//! sqlparser with its Postgres dialect. Pure: no catalog, no settings.
//!
//! Never: a clause that is parsed and then forgotten. What a statement does not carry out, its
//! module refuses by name.

mod spellings;
mod versions;

pub(crate) use spellings::NOTHING;
pub(crate) use versions::TABLE_AT;

use std::ops::Range;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::error::{Error, Result, state};
use crate::statement::{
    Kind, Statement, copy, create_external_table, create_location, create_model, create_secret,
    create_snapshot, cursor, optimize, owner_to, refresh, restore, set_tags, vacuum,
};

/// Expressions nested deeper than this are refused rather than risked.
const NESTING_MAX: usize = 128;

static DIALECT: PostgreSqlDialect = PostgreSqlDialect {};

/// Splits `text` at its semicolons and reads every statement. Empty statements are left out.
pub(crate) fn parse(text: &str, bytes_max: usize) -> Result<Vec<Statement>> {
    if text.len() > bytes_max {
        return Err(Error::new(
            state::PROGRAM_LIMIT_EXCEEDED,
            format!("the statement has {} bytes, more than the allowed {bytes_max}", text.len()),
        ));
    }
    let tokens = Tokenizer::new(&DIALECT, text)
        .tokenize_with_location()
        .map_err(|e| Error::syntax(format!("syntax error: {}", e.message)))?;
    let offsets = Offsets::new(text);
    let mut statements = Vec::new();
    for piece in tokens.split(|token| token.token == Token::SemiColon) {
        let words: Vec<&TokenWithSpan> =
            piece.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
        let (Some(first), Some(last)) = (words.first(), words.last()) else { continue };
        let range = offsets.of(first.span.start)..offsets.of(last.span.end);
        let source = text.get(range.clone()).unwrap_or(text);
        let words: Vec<TokenWithSpan> = words.into_iter().cloned().collect();
        let kind = parse_one(words).map_err(|error| place(error, &offsets, text, &range))?;
        let text = match &kind {
            // What is kept, logged or shown of it does not hold the secret.
            Kind::CreateSecret(create) => create.to_string(),
            _ => source.to_owned(),
        };
        statements.push(Statement::new(&text, kind));
    }
    Ok(statements)
}

/// Reads exactly one expression, such as a CHECK or a DEFAULT that is kept as text.
pub(crate) fn parse_expression(text: &str) -> Result<ast::Expr> {
    let mut parser = Parser::new(&DIALECT)
        .with_recursion_limit(NESTING_MAX)
        .try_with_sql(text)
        .map_err(syntax_error)?;
    let expression = parser.parse_expr().map_err(syntax_error)?;
    expect_end(&mut parser)?;
    Ok(expression)
}

/// Reads exactly one query, such as the one that a view keeps as text.
pub(crate) fn parse_query(text: &str) -> Result<Box<ast::Query>> {
    let mut statements = parse(text, usize::MAX)?;
    match (statements.pop().map(|s| s.kind), statements.is_empty()) {
        (Some(Kind::Query(query)), true) => Ok(query),
        _ => Err(Error::syntax("the text is not one query")),
    }
}

/// Reads exactly one name, such as the one in `table_at('raw.tx', …)`.
pub(crate) fn parse_object_name(text: &str) -> Result<ast::ObjectName> {
    let mut parser = Parser::new(&DIALECT).try_with_sql(text).map_err(syntax_error)?;
    let name = parser.parse_object_name(false).map_err(syntax_error)?;
    expect_end(&mut parser)?;
    Ok(name)
}

/// A parser over a part of a statement that is kept as text.
pub(crate) fn over(text: &str) -> Result<Parser<'static>> {
    Parser::new(&DIALECT).try_with_sql(text).map_err(syntax_error)
}

fn parse_one(mut tokens: Vec<TokenWithSpan>) -> Result<Kind> {
    let first = [0, 1].map(|nth| tokens.get(nth).map_or_else(String::new, |t| upper(&t.token)));
    // These say VERSION AS OF, TABLE or SET in words of their own.
    let own: Option<fn(&mut Parser<'_>) -> Result<Kind>> = match [&*first[0], &*first[1]] {
        ["RESTORE", _] => Some(|parser| Ok(Kind::Restore(restore::parse(parser)?))),
        ["CREATE", "SNAPSHOT"] => {
            Some(|parser| Ok(Kind::CreateSnapshot(create_snapshot::parse(parser)?)))
        }
        ["ALTER", _] if set_tags::is_meant(&words_of(&tokens)) => {
            Some(|parser| Ok(Kind::SetTags(set_tags::parse(parser)?)))
        }
        ["ALTER", _] if owner_to::is_meant(&words_of(&tokens)) => {
            Some(|parser| Ok(Kind::OwnerTo(owner_to::parse(parser)?)))
        }
        _ => None,
    };
    if let Some(parse) = own {
        let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens);
        let kind = parse(&mut parser)?;
        expect_end(&mut parser)?;
        return Ok(kind);
    }
    versions::rewrite(&mut tokens)?;
    let names = spellings::rewrite(&mut tokens)?;
    let lead = leading_words(&tokens);
    let lead: Vec<&str> = lead.iter().map(String::as_str).collect();
    let with_data =
        if matches!(lead.as_slice(), ["CREATE", ..]) { take_data(&mut tokens) } else { None };
    let with_no_data = with_data == Some(false);
    let mut parser =
        Parser::new(&DIALECT).with_recursion_limit(NESTING_MAX).with_tokens_with_locations(tokens);
    let mut kind = match lead.as_slice() {
        ["COPY", ..] => Kind::Copy(copy::parse(&mut parser)?),
        ["OPTIMIZE", ..] => Kind::Optimize(optimize::parse(&mut parser)?),
        ["VACUUM", ..] => Kind::Vacuum(vacuum::parse(&mut parser)?),
        ["REFRESH", ..] => Kind::Refresh(refresh::parse(&mut parser)?),
        ["DESCRIBE" | "DESC", "HISTORY", ..] => {
            Kind::DescribeHistory(describe_history(&mut parser)?)
        }
        ["CREATE", "MODEL", ..] | ["CREATE", "OR", "REPLACE", "MODEL", ..] => {
            Kind::CreateModel(create_model::parse(&mut parser)?)
        }
        ["DROP", "MODEL", ..] => {
            Kind::DropModel(create_model::parse_drop(&mut parser, catalog::Kind::Model)?)
        }
        ["CREATE", "EXTERNAL", "TABLE", ..] => {
            Kind::CreateExternalTable(Box::new(create_external_table::parse(&mut parser)?))
        }
        ["DROP", "EXTERNAL" | "FOREIGN", "TABLE", ..] => {
            let kind = catalog::Kind::ExternalTable;
            Kind::DropModel(create_model::parse_drop(&mut parser, kind)?)
        }
        ["CREATE", "LOCATION", ..] => Kind::CreateLocation(create_location::parse(&mut parser)?),
        ["DROP", "LOCATION", ..] => {
            Kind::DropModel(create_model::parse_drop(&mut parser, catalog::Kind::Location)?)
        }
        ["DROP", "SNAPSHOT", ..] => {
            Kind::DropModel(create_model::parse_drop(&mut parser, catalog::Kind::Snapshot)?)
        }
        ["CREATE", "SECRET", ..] => Kind::CreateSecret(create_secret::parse(&mut parser)?),
        ["DROP", "SECRET", ..] => {
            Kind::DropModel(create_model::parse_drop(&mut parser, catalog::Kind::Secret)?)
        }
        // Whatever hides a secret in itself is refused before an error could quote it.
        [first, ..] if *first != "CREATE" && create_secret::is_within(&lead) => {
            return Err(create_secret::refused_within(first));
        }
        ["COMMENT", "ON", "MODEL", ..] => Kind::Comment(comment_on_model(&mut parser)?),
        ["MOVE", ..] => Kind::Fetch(cursor::parse_move(&mut parser)?),
        ["FETCH", ..] => Kind::Fetch(cursor::parse_fetch(&mut parser)?),
        ["DECLARE", ..] => Kind::Declare(cursor::parse_declare(&mut parser)?),
        ["EXPLAIN", ..] => explain(&mut parser)?,
        _ => Kind::from_ast(parser.parse_statement().map_err(syntax_error)?, with_no_data)?,
    };
    expect_end(&mut parser)?;
    match &mut kind {
        Kind::CreateTable(create) if create.ast.query.is_some() => create.names = names,
        Kind::CreateView(create) if create.ast.materialized => {}
        _ if with_data.is_some() => {
            return Err(Error::syntax(
                "syntax error: WITH [NO] DATA is only for queries that are kept",
            )
            .with_hint("Use it after CREATE TABLE ... AS or CREATE MATERIALIZED VIEW."));
        }
        _ => {}
    }
    Ok(kind)
}

/// Where the explained statement does not parse, sqlparser takes its first word for a table.
fn explain(parser: &mut Parser<'_>) -> Result<Kind> {
    let start = parser.index();
    let statement = parser.parse_statement().map_err(syntax_error)?;
    if matches!(statement, ast::Statement::ExplainTable { .. }) {
        while parser.index() > start {
            parser.prev_token();
        }
        parser.next_token();
        parser.parse_statement().map_err(syntax_error)?;
    }
    Kind::from_ast(statement, false)
}

fn describe_history(parser: &mut Parser<'_>) -> Result<ast::ObjectName> {
    parser.next_token();
    parser.next_token();
    parser.parse_object_name(false).map_err(syntax_error)
}

fn comment_on_model(parser: &mut Parser<'_>) -> Result<crate::statement::comment::Comment> {
    for _ in 0..3 {
        parser.next_token();
    }
    let name = parser.parse_object_name(false).map_err(syntax_error)?;
    expect_word(parser, "IS")?;
    let text = match parser.peek_token().token {
        Token::Word(word) if word.value.eq_ignore_ascii_case("NULL") => {
            parser.next_token();
            None
        }
        _ => Some(parser.parse_literal_string().map_err(syntax_error)?),
    };
    Ok(crate::statement::comment::Comment::on_model(name, text))
}

/// Takes `WITH [NO] DATA` off the end, where it is there; sqlparser reads it for no statement of ours.
fn take_data(tokens: &mut Vec<TokenWithSpan>) -> Option<bool> {
    let tail: Vec<String> = tokens.iter().rev().take(3).map(|t| upper(&t.token)).collect();
    let tail: Vec<&str> = tail.iter().map(String::as_str).collect();
    match tail.as_slice() {
        ["DATA", "NO", "WITH"] => {
            tokens.truncate(tokens.len() - 3);
            Some(false)
        }
        ["DATA", "WITH", ..] => {
            tokens.truncate(tokens.len() - 2);
            Some(true)
        }
        _ => None,
    }
}

fn words_of(tokens: &[TokenWithSpan]) -> Vec<String> {
    tokens.iter().map(|token| upper(&token.token)).collect()
}

fn leading_words(tokens: &[TokenWithSpan]) -> Vec<String> {
    tokens.iter().take(5).map(|t| upper(&t.token)).collect()
}

fn upper(token: &Token) -> String {
    match token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    }
}

/// The next token must be this word, quoted or not as a keyword would be.
pub(crate) fn expect_word(parser: &mut Parser<'_>, word: &str) -> Result<()> {
    if parse_word(parser, word) { Ok(()) } else { expected(parser, word) }
}

/// Takes the next token if it is this word.
pub(crate) fn parse_word(parser: &mut Parser<'_>, word: &str) -> bool {
    let found = upper(&parser.peek_token().token) == word;
    if found {
        parser.next_token();
    }
    found
}

/// Takes the next tokens if they are these words.
pub(crate) fn parse_words(parser: &mut Parser<'_>, words: &[&str]) -> bool {
    let found = words
        .iter()
        .enumerate()
        .all(|(nth, word)| upper(&parser.peek_nth_token(nth).token) == *word);
    if found {
        for _ in words {
            parser.next_token();
        }
    }
    found
}

/// A syntax error at the next token.
pub(crate) fn expected<T>(parser: &Parser<'_>, what: &str) -> Result<T> {
    parser.expected(what, parser.peek_token()).map_err(syntax_error)
}

pub(crate) fn expect_end(parser: &mut Parser<'_>) -> Result<()> {
    match parser.peek_token().token {
        Token::EOF => Ok(()),
        _ => expected(parser, "end of statement"),
    }
}

/// sqlparser's error with its SQLSTATE.
pub(crate) fn syntax_error(error: ParserError) -> Error {
    match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            Error::syntax(format!("syntax error: {}", message.trim_end_matches('.')))
        }
        ParserError::RecursionLimitExceeded => Error::new(
            state::STATEMENT_TOO_COMPLEX,
            format!("the statement is nested more than {NESTING_MAX} levels deep"),
        ),
    }
}

/// sqlparser says where in words; Postgres' clients want a character count from the start.
fn place(error: Error, offsets: &Offsets<'_>, text: &str, range: &Range<usize>) -> Error {
    let message = error.message();
    let Some((before, at)) = message.split_once(" at Line: ") else { return error };
    let Some((line, column)) = at.split_once(", Column: ") else { return error };
    let (Ok(line), Ok(column)) = (line.trim().parse(), column.trim().parse()) else { return error };
    let offset = offsets.of(Location::new(line, column)).clamp(range.start, range.end);
    let position = text.get(..offset).map_or(0, |before| before.chars().count()) + 1;
    Error::new(error.sqlstate(), before).with_position(position)
}

/// Turns sqlparser's lines and columns into bytes.
struct Offsets<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, lines: std::iter::once(0).chain(after_breaks).collect() }
    }

    fn of(&self, location: Location) -> usize {
        let line = usize::try_from(location.line.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(start) = self.lines.get(line).copied() else { return self.text.len() };
        let characters = usize::try_from(location.column.saturating_sub(1)).unwrap_or(usize::MAX);
        self.text[start..]
            .char_indices()
            .nth(characters)
            .map_or(self.text.len(), |(at, _)| start + at)
    }
}

#[cfg(test)]
mod tests;
