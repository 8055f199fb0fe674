//! Arrays in PostgreSQL's text form, `{a,"b c",NULL}`: the texts of their elements.
//!
//! Never: more than one dimension; such a text is left to whoever reads it next.

use std::iter::Peekable;
use std::str::Chars;

/// The elements of an array, NULL as none; `None` for what is not an array of one dimension.
pub(crate) fn elements(text: &str) -> Option<Vec<Option<String>>> {
    let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut found = Vec::new();
    let mut rest = inside.chars().peekable();
    skip_spaces(&mut rest);
    if rest.peek().is_none() {
        return Some(found);
    }
    loop {
        skip_spaces(&mut rest);
        found.push(match rest.next_if_eq(&'"') {
            Some(_) => Some(quoted(&mut rest)?),
            None => plain(&mut rest)?,
        });
        skip_spaces(&mut rest);
        match rest.next() {
            None => return Some(found),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

fn skip_spaces(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
}

/// What stands before the closing quote.
fn quoted(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut element = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(element),
            '\\' => element.push(rest.next()?),
            other => element.push(other),
        }
    }
}

/// What stands before the next comma; the word NULL is none.
fn plain(rest: &mut Peekable<Chars<'_>>) -> Option<Option<String>> {
    let mut element = String::new();
    let mut escaped = false;
    while let Some(character) = rest.next_if(|c| *c != ',') {
        match character {
            '{' | '}' | '"' => return None,
            '\\' => {
                escaped = true;
                element.push(rest.next()?);
            }
            other => element.push(other),
        }
    }
    let element = element.trim_end();
    if element.is_empty() {
        return None;
    }
    let null = !escaped && element.eq_ignore_ascii_case("null");
    Some((!null).then(|| element.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::elements;

    /// PostgreSQL: `SELECT x, x IS NULL FROM unnest('...'::text[]) x`, and its errors.
    #[test]
    fn elements_are_read_as_postgresql_reads_them() {
        let some = |texts: &[&str]| Some(texts.iter().map(|t| Some((*t).to_owned())).collect());
        assert_eq!(elements("{}"), some(&[]));
        assert_eq!(elements("{ }"), some(&[]));
        assert_eq!(elements("{a,b}"), some(&["a", "b"]));
        assert_eq!(elements(" { a , b c } "), some(&["a", "b c"]));
        assert_eq!(
            elements(r#"{"null","a,b","say \"x\"",c\,d}"#),
            some(&["null", "a,b", "say \"x\"", "c,d"])
        );
        assert_eq!(elements("{NULL,1}"), Some(vec![None, Some("1".to_owned())]));
        assert_eq!(elements(r#"{""}"#), some(&[""]));
        for text in ["a", "{a", "{a,}", "{,a}", "{{a},{b}}", r#"{"a"#, r#"{"a"b}"#] {
            assert_eq!(elements(text), None, "{text}");
        }
    }
}
