//! A scanner over one JSON text. It checks the grammar and yields extents, never copies.
//!
//! Never: a tree; the callers that need one build their own.

use crate::text::ValueError;

type Result<T> = std::result::Result<T, ValueError>;

/// Deeper values are refused, so that no input can use up the stack.
const DEPTH_MAX: usize = 500;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Number,
    /// The extent lies within the quotes.
    String {
        escaped: bool,
    },
    Array,
    Object,
}

/// A value: what it is and where its text lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A position in a JSON text.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, depth: 0 }
    }

    /// The text of a value, without the quotes of a string.
    pub(crate) fn text(&self, value: Value) -> &'a str {
        &self.text[value.start..value.end]
    }

    /// The next byte that is not white space.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("end of input")),
        }
    }

    /// Passes over one value of any kind.
    pub(crate) fn value(&mut self) -> Result<Value> {
        let first = self.peek();
        let start = self.at;
        let kind = match first {
            Some(b'"') => return self.string(),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'{') => {
                self.members(|scanner, _| scanner.value().map(drop))?;
                Kind::Object
            }
            Some(b'[') => {
                self.elements(|scanner| scanner.value().map(drop))?;
                Kind::Array
            }
            Some(b't') => self.word("true", Kind::Boolean)?,
            Some(b'f') => self.word("false", Kind::Boolean)?,
            Some(b'n') => self.word("null", Kind::Null)?,
            _ => return Err(self.expected("JSON value")),
        };
        Ok(Value { kind, start, end: self.at })
    }

    /// Passes over an object; `member` is given each key and has to pass over its value.
    pub(crate) fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, Value) -> Result<()>,
    ) -> Result<()> {
        self.open(b'{', "\"{\"")?;
        if self.take(b'}') {
            return self.close();
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.expected("string"));
            }
            let key = self.string()?;
            if !self.take(b':') {
                return Err(self.expected("\":\""));
            }
            member(self, key)?;
            if self.take(b'}') {
                return self.close();
            }
            if !self.take(b',') {
                return Err(self.expected("\",\" or \"}\""));
            }
        }
    }

    /// Passes over an array; `element` has to pass over one value.
    pub(crate) fn elements(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.open(b'[', "\"[\"")?;
        if self.take(b']') {
            return self.close();
        }
        loop {
            element(self)?;
            if self.take(b']') {
                return self.close();
            }
            if !self.take(b',') {
                return Err(self.expected("\",\" or \"]\""));
            }
        }
    }

    fn open(&mut self, bracket: u8, name: &str) -> Result<()> {
        if !self.take(bracket) {
            return Err(self.expected(name));
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ValueError::json_depth(DEPTH_MAX));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.depth -= 1;
        Ok(())
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Passes over a string; the scanner stands at its opening quote.
    fn string(&mut self) -> Result<Value> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(control @ ..=0x1f) => {
                    return Err(invalid(format!(
                        "Character with value 0x{control:02x} must be escaped."
                    )));
                }
                Some(_) => self.at += 1,
                None => return Err(self.invalid_from(start - 1)),
            }
        }
        let end = self.at;
        self.at += 1;
        Ok(Value { kind: Kind::String { escaped }, start, end })
    }

    fn escape(&mut self) -> Result<()> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self.bytes[self.at + 2..].iter().take(4);
                if digits.filter(|digit| digit.is_ascii_hexdigit()).count() < 4 {
                    return Err(invalid(
                        "\"\\u\" must be followed by four hexadecimal digits.".to_owned(),
                    ));
                }
                self.at += 6;
            }
            Some(_) => {
                let found = self.text[self.at + 1..].chars().next().unwrap_or(' ');
                return Err(invalid(format!("Escape sequence \"\\{found}\" is invalid.")));
            }
            None => return Err(ended()),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Kind> {
        let start = self.at;
        self.at += usize::from(self.bytes[self.at] == b'-');
        let leading_zero = self.bytes.get(self.at) == Some(&b'0');
        let whole = self.digits();
        let mut valid = whole > 0 && !(leading_zero && whole > 1);
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            valid &= self.digits() > 0;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'-' | b'+')));
            valid &= self.digits() > 0;
        }
        if !valid || self.bytes.get(self.at).copied().is_some_and(in_word) {
            self.at = start;
            return Err(self.invalid_token());
        }
        Ok(Kind::Number)
    }

    fn digits(&mut self) -> usize {
        let rest = &self.bytes[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<Kind> {
        let end = self.at + word.len();
        if self.bytes[self.at..].starts_with(word.as_bytes())
            && !self.bytes.get(end).copied().is_some_and(in_word)
        {
            self.at = end;
            return Ok(kind);
        }
        Err(self.invalid_token())
    }

    /// The word, number or character at the position, as an error shows it.
    fn token(&self) -> &'a str {
        let rest = &self.text[self.at..];
        let word = rest.bytes().take_while(|byte| in_word(*byte));
        match if rest.starts_with(['+', '.']) { 0 } else { word.count() } {
            0 => &rest[..rest.chars().next().map_or(0, char::len_utf8)],
            length => &rest[..length],
        }
    }

    #[cold]
    fn invalid_token(&self) -> ValueError {
        invalid(format!("Token \"{}\" is invalid.", self.token()))
    }

    /// From this position on, the text is no token.
    #[cold]
    fn invalid_from(&self, start: usize) -> ValueError {
        invalid(format!("Token \"{}\" is invalid.", &self.text[start..]))
    }

    /// Something else stands here than the grammar wants, if it is a token at all.
    #[cold]
    fn expected(&mut self, what: &str) -> ValueError {
        let start = self.at;
        let end = match self.peek() {
            None => return ended(),
            Some(b'{' | b'}' | b'[' | b']' | b',' | b':') => start + 1,
            Some(b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => match self.value() {
                Ok(_) => self.at,
                Err(error) => return error,
            },
            Some(_) => return self.invalid_token(),
        };
        invalid(format!("Expected {what}, but found \"{}\".", &self.text[start..end]))
    }
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'.') || !byte.is_ascii()
}

fn invalid(detail: String) -> ValueError {
    ValueError::json("json", detail)
}

#[cold]
fn ended() -> ValueError {
    invalid("The input string ended unexpectedly.".to_owned())
}

/// Appends the characters that the inside of a checked string stands for.
pub(crate) fn unescape(inside: &str, out: &mut String) -> Result<()> {
    let mut rest = inside;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes()[at + 1];
        let mut length = 2;
        match escape {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let (character, consumed) = unicode(&rest[at..])?;
                out.push(character);
                length = consumed;
            }
            itself => out.push(char::from(itself)),
        }
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    Ok(())
}

/// The character of `\u` with four digits, or of two of them that form a surrogate pair, and their length.
fn unicode(text: &str) -> Result<(char, usize)> {
    let code = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let unit = code(0).unwrap_or(0);
    match unit {
        0 => Err(ValueError::json_nul()),
        0xd800..0xdc00 => match code(6) {
            Some(low @ 0xdc00..0xe000) => {
                let point = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                Ok((char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER), 12))
            }
            _ => Err(lone_surrogate()),
        },
        _ => match char::from_u32(unit) {
            Some(character) => Ok((character, 6)),
            None => Err(lone_surrogate()),
        },
    }
}

fn lone_surrogate() -> ValueError {
    invalid("Unicode low surrogate must follow a high surrogate.".to_owned())
}
