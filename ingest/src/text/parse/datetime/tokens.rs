//! A date, time or interval as a list of tokens, by PostgreSQL's rules for where one ends.
//!
//! Never: a meaning. `1-2` is one token whether it will be a date or an interval.

/// One token, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::text::parse) enum Token {
    /// Digits, perhaps with one point among or before them.
    Number(String),
    /// Digits, colons and points: `10:20:30.5`.
    Time(String),
    /// Parts with a separator: `2020-01-31`, `jan/5/2020`, also `america/new_york`.
    Date(String),
    /// A sign and digits, which may contain colons, points and hyphens: `+05:30`, `-1.5`.
    Signed(String),
    Word(String),
    /// A sign and a word: `-infinity`.
    SignedWord(String),
}

/// More tokens or longer texts than these are no dates.
const TOKENS_MAX: usize = 25;
const LENGTH_MAX: usize = 128;

/// Splits a text; `None` if it has a character that no token can have, or is too long.
pub(in crate::text::parse) fn split(text: &str) -> Option<Vec<Token>> {
    if text.len() > LENGTH_MAX {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let mut cursor = Cursor { rest: &lower };
    let mut tokens = Vec::new();
    while let Some(first) = cursor.peek() {
        if matches!(first, b' ' | b'\t'..=b'\r') {
            cursor.rest = &cursor.rest[1..];
            continue;
        }
        let token = match first {
            b'0'..=b'9' => cursor.numeric(),
            b'.' => Token::Number(cursor.while_first(|byte| byte.is_ascii_digit())),
            b'a'..=b'z' => cursor.word(),
            b'+' | b'-' => cursor.signed()?,
            _ if first.is_ascii_punctuation() => {
                cursor.rest = &cursor.rest[1..];
                continue;
            }
            _ => return None,
        };
        if tokens.len() == TOKENS_MAX {
            return None;
        }
        tokens.push(token);
    }
    Some(tokens)
}

/// The words that end before a digit or a plus instead of taking it in: `t040506`, `utc+2`.
fn ends_before_digit(word: &str) -> bool {
    matches!(word, "t" | "z" | "j" | "y" | "m" | "d" | "h" | "mm" | "s" | "bc" | "ad" | "am" | "pm")
        || super::rules::month(word).is_some()
        || super::rules::weekday(word)
}

struct Cursor<'a> {
    rest: &'a str,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.bytes().next()
    }

    fn take_while(&mut self, mut matches: impl FnMut(u8) -> bool) -> &str {
        let end = self.rest.bytes().position(|byte| !matches(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// The first byte whatever it is, and those after it that match.
    fn while_first(&mut self, matches: impl Fn(u8) -> bool) -> String {
        let mut first = true;
        self.take_while(|byte| std::mem::replace(&mut first, false) || matches(byte)).to_owned()
    }

    /// A token that starts with a digit.
    fn numeric(&mut self) -> Token {
        let mut text = self.take_while(|byte| byte.is_ascii_digit()).to_owned();
        let separator = match self.peek() {
            Some(b':') => {
                let rest = self.take_while(|byte| byte.is_ascii_digit() || b":.".contains(&byte));
                return Token::Time(text + rest);
            }
            Some(separator @ (b'-' | b'/' | b'.')) => separator,
            _ => return Token::Number(text),
        };
        text.push(char::from(separator));
        self.rest = &self.rest[1..];
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            let matches = |byte: u8| byte.is_ascii_alphanumeric() || byte == separator;
            return Token::Date(text + self.take_while(matches));
        }
        text += self.take_while(|byte| byte.is_ascii_digit());
        // A second separator of the same kind makes it a date of three parts.
        if self.peek() == Some(separator) {
            text += self.take_while(|byte| byte.is_ascii_digit() || byte == separator);
            return Token::Date(text);
        }
        if separator == b'.' { Token::Number(text) } else { Token::Date(text) }
    }

    /// A token that starts with a letter.
    fn word(&mut self) -> Token {
        let text = self.take_while(|byte| byte.is_ascii_lowercase()).to_owned();
        let joins = match self.peek() {
            Some(b'-' | b'/' | b'.') => true,
            Some(b'+' | b'0'..=b'9') => !ends_before_digit(&text),
            _ => false,
        };
        if !joins {
            return Token::Word(text);
        }
        let rest =
            self.take_while(|byte| byte.is_ascii_alphanumeric() || b"+-/_.:".contains(&byte));
        Token::Date(text + rest)
    }

    /// A token that starts with a sign.
    fn signed(&mut self) -> Option<Token> {
        let sign = self.rest[..1].to_owned();
        self.rest = self.rest[1..].trim_start();
        match self.peek()? {
            b'0'..=b'9' => {
                let matches = |byte: u8| byte.is_ascii_digit() || b":.-".contains(&byte);
                Some(Token::Signed(sign + self.take_while(matches)))
            }
            b'a'..=b'z' => {
                Some(Token::SignedWord(sign + self.take_while(|byte| byte.is_ascii_lowercase())))
            }
            _ => None,
        }
    }
}
