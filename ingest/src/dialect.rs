//! How COPY's two character formats look: what separates, quotes and escapes values, and what
//! stands for NULL. Shared by reading and writing.
//!
//! Never: a combination that PostgreSQL refuses; the messages are its own.

use crate::error::{Error, Result};

/// A checked combination of COPY's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialect {
    pub(crate) delimiter: u8,
    pub(crate) null: String,
    /// Of the csv format; the text format escapes with backslashes instead.
    pub(crate) quoting: Option<Quoting>,
}

/// The characters around a csv value, and before a quote within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quoting {
    pub(crate) quote: u8,
    pub(crate) escape: u8,
}

/// COPY's options as a statement gives them; what is not given has the format's default.
#[derive(Debug, Clone, Copy, Default)]
pub struct DialectOptions<'a> {
    /// `DELIMITER`.
    pub delimiter: Option<&'a str>,
    /// `NULL`.
    pub null: Option<&'a str>,
    /// `QUOTE`, csv only.
    pub quote: Option<&'a str>,
    /// `ESCAPE`, csv only.
    pub escape: Option<&'a str>,
}

impl Dialect {
    /// `FORMAT text`.
    pub fn text(options: DialectOptions<'_>) -> Result<Self> {
        if options.quote.is_some() {
            return Err(unsupported("COPY quote available only in CSV mode"));
        }
        if options.escape.is_some() {
            return Err(unsupported("COPY escape available only in CSV mode"));
        }
        Self {
            delimiter: single(options.delimiter, b'\t', "delimiter")?,
            null: options.null.unwrap_or("\\N").to_owned(),
            quoting: None,
        }
        .checked()
    }

    /// `FORMAT csv`.
    pub fn csv(options: DialectOptions<'_>) -> Result<Self> {
        let quote = single(options.quote, b'"', "quote")?;
        Self {
            delimiter: single(options.delimiter, b',', "delimiter")?,
            null: options.null.unwrap_or("").to_owned(),
            quoting: Some(Quoting { quote, escape: single(options.escape, quote, "escape")? }),
        }
        .checked()
    }

    fn checked(self) -> Result<Self> {
        let delimiter = self.delimiter;
        if matches!(delimiter, b'\n' | b'\r') {
            return Err(invalid("COPY delimiter cannot be newline or carriage return".to_owned()));
        }
        if self.null.contains(['\n', '\r']) {
            let message = "COPY null representation cannot use newline or carriage return";
            return Err(invalid(message.to_owned()));
        }
        let reserved = delimiter.is_ascii_lowercase()
            || delimiter.is_ascii_digit()
            || matches!(delimiter, b'\\' | b'.');
        if self.quoting.is_none() && reserved {
            let shown = char::from(delimiter);
            return Err(invalid(format!("COPY delimiter cannot be \"{shown}\"")));
        }
        let quote = self.quoting.map(|quoting| quoting.quote);
        if quote == Some(delimiter) {
            return Err(invalid("COPY delimiter and quote must be different".to_owned()));
        }
        if self.null.as_bytes().contains(&delimiter) {
            let message = "COPY delimiter must not appear in the NULL specification";
            return Err(unsupported(message));
        }
        if quote.is_some_and(|quote| self.null.as_bytes().contains(&quote)) {
            let message = "CSV quote character must not appear in the NULL specification";
            return Err(unsupported(message));
        }
        Ok(self)
    }
}

fn single(given: Option<&str>, default: u8, option: &str) -> Result<u8> {
    match given.map(str::as_bytes) {
        None => Ok(default),
        Some([byte]) if *byte != 0 => Ok(*byte),
        Some(_) => Err(unsupported(&format!("COPY {option} must be a single one-byte character"))),
    }
}

fn unsupported(message: &str) -> Error {
    Error::Option { sqlstate: "0A000", message: message.to_owned() }
}

fn invalid(message: String) -> Error {
    Error::Option { sqlstate: "22023", message }
}
