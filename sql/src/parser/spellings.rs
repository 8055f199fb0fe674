//! Standard SQL that sqlparser does not read, put into words that it does: `FETCH FIRST n ROWS ONLY`,
//! `TABLE name`, the column names of `CREATE TABLE name (names) AS`, and MERGE's `DO NOTHING`.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::{leading_words, upper};
use crate::error::{Error, Result};

/// In place of a column's name: the action of MERGE that gives this a value does nothing.
pub(crate) const NOTHING: &str = "__tarn_nothing";

/// Rewrites `FETCH FIRST`, `TABLE` and `DO NOTHING`; takes the names of a `CREATE TABLE ... AS` out, and gives them.
pub(super) fn rewrite(tokens: &mut Vec<TokenWithSpan>) -> Result<Vec<ast::Ident>> {
    let is = |token: &TokenWithSpan, word: &str| is_word(token, word);
    if tokens.iter().skip(1).any(|token| is(token, "FETCH")) {
        fetch_first(tokens)?;
    }
    if tokens.iter().any(|token| is(token, "MERGE")) {
        do_nothing(tokens);
    }
    if tokens.iter().any(|token| is(token, "TABLE")) {
        whole_tables(tokens);
        return Ok(names_of_query(tokens));
    }
    Ok(Vec::new())
}

fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

fn any_word(token: Option<&TokenWithSpan>, words: &[&str]) -> bool {
    token.is_some_and(|token| words.iter().any(|word| is_word(token, word)))
}

/// `FETCH FIRST n ROWS ONLY` is `LIMIT n`; without `n`, `LIMIT 1`.
fn fetch_first(tokens: &mut Vec<TokenWithSpan>) -> Result<()> {
    let mut at = 1;
    while at + 1 < tokens.len() {
        if !is_word(&tokens[at], "FETCH") || !any_word(tokens.get(at + 1), &["FIRST", "NEXT"]) {
            at += 1;
            continue;
        }
        let after = &tokens[at + 2..];
        let Some(count) = after.iter().position(|t| any_word(Some(t), &["ROW", "ROWS"])) else {
            return Ok(());
        };
        let end = at + 2 + count;
        if !any_word(tokens.get(end + 1), &["ONLY"]) {
            if any_word(tokens.get(end + 1), &["WITH"]) {
                return Err(Error::unsupported("FETCH FIRST ... WITH TIES is not supported")
                    .with_hint("Use rank() OVER (ORDER BY ...) in a subquery, and WHERE on it."));
            }
            return Ok(());
        }
        let span = tokens[at].span;
        let mut limit = vec![keyword("LIMIT", span)];
        match count {
            0 => limit.push(TokenWithSpan::new(Token::Number("1".to_owned(), false), span)),
            _ => limit.extend_from_slice(&tokens[at + 2..end]),
        }
        let length = limit.len();
        tokens.splice(at..end + 2, limit);
        at += length;
    }
    Ok(())
}

/// `THEN DO NOTHING` gives a value to [`NOTHING`], by an action that its WHEN allows.
fn do_nothing(tokens: &mut Vec<TokenWithSpan>) {
    let mut inserts = false;
    let mut at = 0;
    while at < tokens.len() {
        let follows = |words: &[&str]| {
            words.iter().enumerate().all(|(nth, word)| any_word(tokens.get(at + nth), &[word]))
        };
        if follows(&["WHEN"]) {
            inserts = follows(&["WHEN", "NOT", "MATCHED"])
                && !follows(&["WHEN", "NOT", "MATCHED", "BY", "SOURCE"]);
        }
        if !follows(&["THEN", "DO", "NOTHING"]) {
            at += 1;
            continue;
        }
        let span = tokens[at + 1].span;
        let token = |token| TokenWithSpan::new(token, span);
        let name = token(Token::make_word(NOTHING, Some('"')));
        let (open, close) = (token(Token::LParen), token(Token::RParen));
        let null = keyword("NULL", span);
        let action = match inserts {
            true => vec![
                keyword("INSERT", span),
                open.clone(),
                name,
                close.clone(),
                keyword("VALUES", span),
                open,
                null,
                close,
            ],
            false => {
                vec![keyword("UPDATE", span), keyword("SET", span), name, token(Token::Eq), null]
            }
        };
        tokens.splice(at + 1..at + 3, action);
        at += 1;
    }
}

/// `TABLE name` where a query may stand is `SELECT * FROM name`.
fn whole_tables(tokens: &mut Vec<TokenWithSpan>) {
    let lead = leading_words(tokens);
    let made = matches!(lead.first().map(String::as_str), Some("CREATE" | "PREPARE"));
    let mut at = 0;
    while at < tokens.len() {
        let before = at.checked_sub(1).map(|before| &tokens[before]);
        let stands = match before {
            None => true,
            Some(token) if token.token == Token::LParen => true,
            Some(token) if is_word(token, "AS") => made,
            Some(token) => {
                let words = ["UNION", "ALL", "EXCEPT", "INTERSECT", "EXPLAIN", "ANALYZE", "FOR"];
                any_word(Some(token), &words)
            }
        };
        let named = matches!(tokens.get(at + 1).map(|t| &t.token), Some(Token::Word(_)));
        if stands && named && is_word(&tokens[at], "TABLE") {
            let span = tokens[at].span;
            let star = TokenWithSpan::new(Token::Mul, span);
            tokens.splice(at..=at, [keyword("SELECT", span), star, keyword("FROM", span)]);
            at += 3;
        } else {
            at += 1;
        }
    }
}

/// The names in `CREATE TABLE name (names) AS`. Columns that are defined have types, names alone do not.
fn names_of_query(tokens: &mut Vec<TokenWithSpan>) -> Vec<ast::Ident> {
    if !any_word(tokens.first(), &["CREATE"]) {
        return Vec::new();
    }
    let Some(open) = tokens.iter().position(|token| token.token == Token::LParen) else {
        return Vec::new();
    };
    let is_of_table = tokens[..open].iter().any(|token| is_word(token, "TABLE"))
        && !tokens[..open].iter().any(|token| any_word(Some(token), &["AS", "FROM", "VIEW"]));
    if !is_of_table {
        return Vec::new();
    }
    let mut names = Vec::new();
    let mut at = open + 1;
    loop {
        let (Some(Token::Word(word)), Some(next)) =
            (tokens.get(at).map(|t| &t.token), tokens.get(at + 1))
        else {
            return Vec::new();
        };
        names.push(word.to_ident(tokens[at].span));
        at += 2;
        match next.token {
            Token::Comma => {}
            Token::RParen => break,
            _ => return Vec::new(),
        }
    }
    if !tokens[at..].iter().any(|token| is_word(token, "AS")) {
        return Vec::new();
    }
    tokens.drain(open..at);
    names
}

fn keyword(word: &str, span: Span) -> TokenWithSpan {
    debug_assert_eq!(upper(&Token::make_keyword(word)), word);
    TokenWithSpan::new(Token::make_keyword(word), span)
}
