//! Splits a block into its statements, as psql does before it sends them one by one.

/// One statement without its semicolon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) text: String,
    /// The lines after `COPY ... FROM STDIN;` up to a line `\.`.
    pub(crate) data: Option<String>,
}

pub(crate) fn statements(mut text: &str) -> Vec<Statement> {
    let mut found = Vec::new();
    while let Some((statement, rest)) = next(text) {
        text = rest;
        let mut data = None;
        if reads_from_client(statement) {
            let (lines, rest) = copy_data(text);
            data = Some(lines.to_owned());
            text = rest;
        }
        found.push(Statement { text: statement.to_owned(), data });
    }
    found
}

/// The first statement and what follows its semicolon. None: only blanks and comments are left.
fn next(text: &str) -> Option<(&str, &str)> {
    let mut begin = None;
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let length = token(&text[..at], &text[at..]);
        let token = &text[at..at + length];
        let blank = first.is_whitespace() || token.starts_with("--") || token.starts_with("/*");
        match begin {
            Some(begin) if first == ';' => return Some((&text[begin..at], &text[at + 1..])),
            None if !blank && first != ';' => begin = Some(at),
            _ => {}
        }
        at += length;
    }
    Some((text[begin?..].trim_end(), ""))
}

/// The length of the text, comment or character that `rest` begins with.
fn token(before: &str, rest: &str) -> usize {
    let up_to = |end: Option<usize>| end.unwrap_or(rest.len());
    let after = |mark: &str, from: usize| rest[from..].find(mark).map(|at| from + at + mark.len());
    match rest.as_bytes()[0] {
        b'\'' if is_escaped_text(before) => up_to(escaped_end(rest)),
        b'\'' => up_to(after("'", 1)),
        b'"' => up_to(after("\"", 1)),
        b'-' if rest.starts_with("--") => up_to(after("\n", 2)),
        b'/' if rest.starts_with("/*") => comment_end(rest),
        b'$' if !ends_in_name(before) => match dollar_tag(rest) {
            Some(tag) => up_to(after(tag, tag.len())),
            None => 1,
        },
        _ => rest.chars().next().map_or(1, char::len_utf8),
    }
}

fn ends_in_name(text: &str) -> bool {
    text.ends_with(|last: char| last.is_alphanumeric() || last == '_' || last == '$')
}

/// Does the quote that follows open an `E'...'`?
fn is_escaped_text(before: &str) -> bool {
    before.strip_suffix(['e', 'E']).is_some_and(|before| !ends_in_name(before))
}

fn escaped_end(rest: &str) -> Option<usize> {
    let mut escaped = false;
    rest.char_indices().skip(1).find_map(|(at, one)| {
        let ends = one == '\'' && !escaped;
        escaped = one == '\\' && !escaped;
        ends.then_some(at + 1)
    })
}

/// Comments of this kind nest.
fn comment_end(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// `$$` or `$name$`.
fn dollar_tag(rest: &str) -> Option<&str> {
    let name = rest[1..].find('$').map(|end| &rest[1..=end])?;
    let begins = name.chars().next().is_none_or(|first| first.is_alphabetic() || first == '_');
    let goes_on = name.chars().all(|one| one.is_alphanumeric() || one == '_');
    (begins && goes_on).then(|| &rest[..name.len() + 2])
}

fn reads_from_client(statement: &str) -> bool {
    let words = statement.to_ascii_uppercase();
    words.starts_with("COPY ") && words.contains(" FROM STDIN")
}

fn copy_data(text: &str) -> (&str, &str) {
    let text = text.strip_prefix('\n').unwrap_or(text);
    if let Some(rest) = text.strip_prefix("\\.") {
        return ("", rest);
    }
    let end = text.find("\n\\.");
    end.map_or((text, ""), |end| (&text[..=end], &text[end + 3..]))
}
