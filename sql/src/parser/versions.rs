//! `t VERSION AS OF 3`, `t TIMESTAMP AS OF '…'` and `t AS OF SNAPSHOT s` become `table_at('t', version =>
//! 3)` and its like.
//!
//! sqlparser reads these clauses only for dialects that cannot have aliases named `at` or
//! `changes`, and only with a number; the planner then drops them without a word. So the
//! clauses are rewritten on the tokens, before either sees them.
//! Never: a clause that is left for the planner to drop.

use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};

use crate::error::{Error, Result};
use crate::resolve::fold;

/// What `table_at` is called in a statement.
pub(crate) const TABLE_AT: &str = "table_at";

/// Rewrites every version clause of a statement, given without white space.
pub(super) fn rewrite(tokens: &mut Vec<TokenWithSpan>) -> Result<()> {
    let mut at = 0;
    while at + 2 < tokens.len() {
        let argument = match (word(&tokens[at]), word(&tokens[at + 1]), word(&tokens[at + 2])) {
            (Some("VERSION"), Some("AS"), Some("OF")) => "version",
            (Some("TIMESTAMP"), Some("AS"), Some("OF")) => "timestamp",
            (Some("AS"), Some("OF"), Some("SNAPSHOT")) => "snapshot",
            (Some("SYSTEM_TIME"), Some("AS"), Some("OF")) => {
                return Err(Error::unsupported("FOR SYSTEM_TIME AS OF is not supported")
                    .with_hint("Write TIMESTAMP AS OF '2026-01-31 12:00:00'."));
            }
            _ => {
                at += 1;
                continue;
            }
        };
        at = rewrite_at(tokens, at, argument)?;
    }
    Ok(())
}

fn rewrite_at(tokens: &mut Vec<TokenWithSpan>, at: usize, argument: &str) -> Result<usize> {
    let start = name_start(tokens, at).ok_or_else(|| {
        Error::syntax(format!("syntax error: expected a table before {argument} AS OF"))
    })?;
    let Some(mut value) = tokens.get(at + 3).cloned() else {
        return Err(Error::syntax("syntax error: expected a value after AS OF"));
    };
    if let (Token::Word(name), "snapshot") = (&value.token, argument) {
        value.token = Token::SingleQuotedString(fold(&name.to_ident(value.span)));
    }
    let usable = matches!(
        (&value.token, argument),
        (Token::Number(..) | Token::Placeholder(_), "version" | "timestamp")
            | (Token::SingleQuotedString(_), "timestamp" | "snapshot")
    );
    if !usable {
        return Err(Error::unsupported(format!(
            "AS OF takes a literal or a parameter, not \"{}\"",
            value.token
        )));
    }
    let name: String = tokens[start..at].iter().map(|t| t.token.to_string()).collect();
    let alias = tokens[at - 1].clone();
    let mut call = vec![
        Token::make_word(TABLE_AT, None),
        Token::LParen,
        Token::SingleQuotedString(name),
        Token::Comma,
        Token::make_word(argument, None),
        Token::RArrow,
        value.token,
        Token::RParen,
    ];
    if !has_alias(tokens, at + 4) {
        call.push(Token::make_keyword("AS"));
        call.push(alias.token);
    }
    let span = tokens[start].span;
    let end = start + call.len();
    tokens.splice(start..at + 4, call.into_iter().map(|token| spanned(token, span)));
    Ok(end)
}

/// Where `schema.table` begins that ends before `at`.
fn name_start(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    let is_name = |nth: usize| matches!(tokens[nth].token, Token::Word(_));
    let mut start = at.checked_sub(1).filter(|nth| is_name(*nth))?;
    while start >= 2 && tokens[start - 1].token == Token::Period && is_name(start - 2) {
        start -= 2;
    }
    Some(start)
}

/// Whether the statement names the table itself: `AS x`, or a word that cannot go on otherwise.
fn has_alias(tokens: &[TokenWithSpan], at: usize) -> bool {
    match tokens.get(at).map(|t| &t.token) {
        Some(Token::Word(Word { quote_style: Some(_), .. })) => true,
        Some(Token::Word(word)) => {
            word.keyword == datafusion::sql::sqlparser::keywords::Keyword::AS
                || !datafusion::sql::sqlparser::keywords::RESERVED_FOR_TABLE_ALIAS
                    .contains(&word.keyword)
        }
        _ => false,
    }
}

fn word(token: &TokenWithSpan) -> Option<&'static str> {
    let Token::Word(word) = &token.token else { return None };
    if word.quote_style.is_some() {
        return None;
    }
    ["VERSION", "TIMESTAMP", "SYSTEM_TIME", "AS", "OF", "SNAPSHOT"]
        .into_iter()
        .find(|known| word.value.eq_ignore_ascii_case(known))
}

fn spanned(token: Token, span: Span) -> TokenWithSpan {
    TokenWithSpan::new(token, span)
}
