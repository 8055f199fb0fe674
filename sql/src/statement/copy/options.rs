//! What `COPY ... WITH (...)` may say, in the new and in the old spelling.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use ingest::decode::{Decoder, Format, Header, Options as DecodeOptions, UnknownFields};
use ingest::text::{Formatter, Zone};
use ingest::{Dialect, DialectOptions};

use crate::error::{Error, Result, nearest, state};
use crate::parser::{expected, parse_word, parse_words, syntax_error};
use crate::settings::parse_bool;
use crate::statement::copy::{expect_token, parse_columns};

/// How the rows look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileFormat {
    Text,
    Csv,
    JsonLines,
    Parquet,
}

/// Everything that `WITH` said.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) format: FileFormat,
    header: Header,
    delimiter: Option<String>,
    null: Option<String>,
    quote: Option<String>,
    escape: Option<String>,
    force_null: Vec<String>,
    force_not_null: Vec<String>,
    force_quote: Vec<String>,
    force_quote_all: bool,
}

const KNOWN: [&str; 11] = [
    "format",
    "header",
    "delimiter",
    "null",
    "quote",
    "escape",
    "encoding",
    "force_null",
    "force_not_null",
    "force_quote",
    "on_error",
];

/// Reads the options of a COPY. A location's suffix tells the format where nothing else does.
pub(super) fn parse(
    parser: &mut Parser<'_>,
    from: bool,
    location: Option<&str>,
) -> Result<Options> {
    let mut options = Options {
        format: by_suffix(location),
        header: Header::Absent,
        delimiter: None,
        null: None,
        quote: None,
        escape: None,
        force_null: Vec::new(),
        force_not_null: Vec::new(),
        force_quote: Vec::new(),
        force_quote_all: false,
    };
    parse_word(parser, "WITH");
    if parser.peek_token().token == Token::LParen {
        parser.next_token();
        loop {
            options.one(parser, from)?;
            if parser.peek_token().token == Token::Comma {
                parser.next_token();
            } else {
                break;
            }
        }
        expect_token(parser, &Token::RParen)?;
    } else {
        options.old_spelling(parser)?;
    }
    options.check(from)?;
    Ok(options)
}

fn by_suffix(location: Option<&str>) -> FileFormat {
    let suffix = location.and_then(|l| l.rsplit_once('.')).map(|(_, suffix)| suffix);
    match suffix.map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => FileFormat::Csv,
        Some("parquet") => FileFormat::Parquet,
        Some("json" | "jsonl" | "ndjson") => FileFormat::JsonLines,
        _ => FileFormat::Text,
    }
}

impl Options {
    fn one(&mut self, parser: &mut Parser<'_>, from: bool) -> Result<()> {
        let name = parser.parse_identifier().map_err(syntax_error)?.value.to_lowercase();
        match name.as_str() {
            "format" => self.format = format(&value(parser)?)?,
            "header" => self.header = header(&optional_value(parser)?, from)?,
            "delimiter" => self.delimiter = Some(value(parser)?),
            "null" => self.null = Some(value(parser)?),
            "quote" => self.quote = Some(value(parser)?),
            "escape" => self.escape = Some(value(parser)?),
            "encoding" => utf8(&value(parser)?)?,
            "force_null" if from => self.force_null = parse_columns(parser)?,
            "force_not_null" if from => self.force_not_null = parse_columns(parser)?,
            "force_quote" if !from => self.force_quote(parser)?,
            "on_error" if from => on_error(&value(parser)?)?,
            "freeze" => {
                if parse_bool(&optional_value(parser)?) != Some(false) {
                    return Err(Error::unsupported("COPY FREEZE is not supported"));
                }
            }
            known if KNOWN.contains(&known) => {
                let direction = if from { "COPY FROM" } else { "COPY TO" };
                return Err(Error::unsupported(format!("{direction} has no option \"{known}\"")));
            }
            other => {
                let error = Error::syntax(format!("option \"{other}\" not recognized"));
                return Err(match nearest(other, KNOWN) {
                    Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
                    None => error,
                });
            }
        }
        Ok(())
    }

    /// `CSV HEADER DELIMITER ',' NULL '' QUOTE '"' ESCAPE '"'`, in any order.
    fn old_spelling(&mut self, parser: &mut Parser<'_>) -> Result<()> {
        loop {
            if parse_word(parser, "CSV") {
                self.format = FileFormat::Csv;
            } else if parse_word(parser, "BINARY") {
                return Err(binary());
            } else if parse_word(parser, "HEADER") {
                self.header = Header::Skip;
            } else if parse_word(parser, "DELIMITER") {
                parse_word(parser, "AS");
                self.delimiter = Some(value(parser)?);
            } else if parse_word(parser, "NULL") {
                parse_word(parser, "AS");
                self.null = Some(value(parser)?);
            } else if parse_word(parser, "QUOTE") {
                parse_word(parser, "AS");
                self.quote = Some(value(parser)?);
            } else if parse_word(parser, "ESCAPE") {
                parse_word(parser, "AS");
                self.escape = Some(value(parser)?);
            } else if parse_words(parser, &["ENCODING"]) {
                utf8(&value(parser)?)?;
            } else {
                return Ok(());
            }
        }
    }

    fn force_quote(&mut self, parser: &mut Parser<'_>) -> Result<()> {
        if parser.peek_token().token == Token::Mul {
            parser.next_token();
            self.force_quote_all = true;
        } else {
            self.force_quote = parse_columns(parser)?;
        }
        Ok(())
    }

    fn check(&self, from: bool) -> Result<()> {
        let csv = self.format == FileFormat::Csv;
        let csv_only = [
            (!self.force_null.is_empty(), "FORCE_NULL"),
            (!self.force_not_null.is_empty(), "FORCE_NOT_NULL"),
            (!self.force_quote.is_empty() || self.force_quote_all, "FORCE_QUOTE"),
        ];
        if let Some((_, option)) = csv_only.iter().find(|(given, _)| *given && !csv) {
            return Err(Error::unsupported(format!("COPY {option} is available only in CSV mode")));
        }
        let delimited = matches!(self.format, FileFormat::Text | FileFormat::Csv);
        let any = self.delimiter.is_some() || self.null.is_some() || self.header != Header::Absent;
        if !delimited && any {
            return Err(Error::unsupported(
                "DELIMITER, NULL and HEADER are available only in text and csv mode",
            ));
        }
        if !from && !delimited {
            return Err(Error::unsupported("COPY TO STDOUT writes text or csv"));
        }
        if delimited {
            self.dialect()?;
        }
        Ok(())
    }

    fn dialect(&self) -> Result<Dialect> {
        let options = DialectOptions {
            delimiter: self.delimiter.as_deref(),
            null: self.null.as_deref(),
            quote: self.quote.as_deref(),
            escape: self.escape.as_deref(),
        };
        Ok(if self.format == FileFormat::Csv {
            Dialect::csv(options)?
        } else {
            Dialect::text(options)?
        })
    }

    /// A reader of rows with these columns.
    pub(super) fn decoder(&self, schema: &SchemaRef, zone: Zone) -> Result<Decoder> {
        let format = match self.format {
            FileFormat::Text | FileFormat::Csv => Format::Delimited(self.dialect()?),
            FileFormat::JsonLines => Format::JsonLines(UnknownFields::Refuse),
            FileFormat::Parquet => {
                return Err(Error::unsupported("COPY FROM STDIN reads text, csv and json")
                    .with_hint("Parquet is read from a location."));
            }
        };
        let options = DecodeOptions {
            header: self.header,
            force_null: self.force_null.clone(),
            force_not_null: self.force_not_null.clone(),
            zone,
            ..DecodeOptions::new(format)
        };
        Ok(Decoder::new(schema, options)?)
    }

    /// A writer of rows with these columns.
    pub(super) fn encoder(&self, schema: &SchemaRef, zone: Zone) -> Result<Encoder> {
        let one = |text: &Option<String>, default: u8| {
            text.as_ref().and_then(|t| t.bytes().next()).unwrap_or(default)
        };
        let csv = self.format == FileFormat::Csv;
        let quote = one(&self.quote, b'"');
        for column in &self.force_quote {
            if schema.field_with_name(column).is_err() {
                return Err(Error::new(
                    state::UNDEFINED_COLUMN,
                    format!("FORCE_QUOTE column \"{column}\" is not one that COPY writes"),
                ));
            }
        }
        let forced = schema
            .fields()
            .iter()
            .map(|field| self.force_quote_all || self.force_quote.contains(field.name()));
        Ok(Encoder {
            csv,
            delimiter: one(&self.delimiter, if csv { b',' } else { b'\t' }),
            null: self.null.clone().unwrap_or_else(|| if csv { "" } else { "\\N" }.to_owned()),
            quote,
            escape: one(&self.escape, quote),
            forced: forced.collect(),
            names: (self.header != Header::Absent)
                .then(|| schema.fields().iter().map(|f| f.name().clone()).collect()),
            zone,
        })
    }
}

/// Batches to the bytes of COPY TO.
pub(super) struct Encoder {
    csv: bool,
    delimiter: u8,
    null: String,
    quote: u8,
    escape: u8,
    forced: Vec<bool>,
    names: Option<Vec<String>>,
    zone: Zone,
}

impl Encoder {
    /// The line of names, where HEADER asks for it.
    pub(super) fn header(&mut self) -> Option<Bytes> {
        let names = self.names.take()?;
        let mut out = Vec::new();
        for (at, name) in names.iter().enumerate() {
            if at > 0 {
                out.push(self.delimiter);
            }
            self.put(name.as_bytes(), false, &mut out);
        }
        out.push(b'\n');
        Some(out.into())
    }

    /// The lines of a batch.
    pub(super) fn encode(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        let columns = batch.columns().iter();
        let columns = columns
            .map(|c| Formatter::new(c.as_ref(), &self.zone))
            .collect::<ingest::Result<Vec<_>>>()?;
        let mut out = Vec::with_capacity(batch.num_rows() * columns.len() * 8);
        let mut text = Vec::new();
        for row in 0..batch.num_rows() {
            for (at, column) in columns.iter().enumerate() {
                if at > 0 {
                    out.push(self.delimiter);
                }
                if column.is_null(row) {
                    out.extend_from_slice(self.null.as_bytes());
                    continue;
                }
                text.clear();
                column.write(row, &mut text);
                self.put(&text, self.forced.get(at).copied().unwrap_or(false), &mut out);
            }
            out.push(b'\n');
        }
        Ok(out.into())
    }

    fn put(&self, text: &[u8], forced: bool, out: &mut Vec<u8>) {
        if self.csv { self.put_csv(text, forced, out) } else { self.put_text(text, out) }
    }

    fn put_csv(&self, text: &[u8], forced: bool, out: &mut Vec<u8>) {
        let special = |b: &u8| [self.delimiter, self.quote, b'\n', b'\r'].contains(b);
        // A value that reads as NULL, or as the end of the data, has to be told apart.
        let ambiguous = text == self.null.as_bytes() || text == b"\\.";
        if !forced && !ambiguous && !text.iter().any(special) {
            out.extend_from_slice(text);
            return;
        }
        out.push(self.quote);
        for byte in text {
            if *byte == self.quote || *byte == self.escape {
                out.push(self.escape);
            }
            out.push(*byte);
        }
        out.push(self.quote);
    }

    fn put_text(&self, text: &[u8], out: &mut Vec<u8>) {
        for byte in text {
            let escaped = match byte {
                b'\\' => b'\\',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0x08 => b'b',
                0x0b => b'v',
                0x0c => b'f',
                other if *other == self.delimiter => *other,
                other => {
                    out.push(*other);
                    continue;
                }
            };
            out.extend_from_slice(&[b'\\', escaped]);
        }
    }
}

fn value(parser: &mut Parser<'_>) -> Result<String> {
    match parser.next_token().token {
        Token::SingleQuotedString(text) | Token::Number(text, _) => Ok(text),
        Token::EscapedStringLiteral(text) => Ok(text),
        Token::Word(word) => Ok(word.value),
        _ => {
            parser.prev_token();
            expected(parser, "a value")
        }
    }
}

/// A boolean option without a value is on.
fn optional_value(parser: &mut Parser<'_>) -> Result<String> {
    match parser.peek_token().token {
        Token::Comma | Token::RParen => Ok("true".to_owned()),
        _ => value(parser),
    }
}

fn format(name: &str) -> Result<FileFormat> {
    match name.to_ascii_lowercase().as_str() {
        "text" => Ok(FileFormat::Text),
        "csv" => Ok(FileFormat::Csv),
        "json" | "jsonl" | "ndjson" => Ok(FileFormat::JsonLines),
        "parquet" => Ok(FileFormat::Parquet),
        "binary" => Err(binary()),
        other => Err(Error::new(
            state::INVALID_PARAMETER_VALUE,
            format!("COPY format \"{other}\" not recognized"),
        )
        .with_hint("A format is text, csv, json or parquet.")),
    }
}

fn binary() -> Error {
    Error::unsupported("COPY with FORMAT binary is not supported").with_hint("Use csv or text.")
}

fn header(value: &str, from: bool) -> Result<Header> {
    if value.eq_ignore_ascii_case("match") && from {
        return Ok(Header::Match);
    }
    match parse_bool(value) {
        Some(true) => Ok(Header::Skip),
        Some(false) => Ok(Header::Absent),
        None => Err(Error::syntax(format!("header requires a Boolean value, not \"{value}\""))),
    }
}

fn utf8(value: &str) -> Result<()> {
    match value.to_ascii_lowercase().as_str() {
        "utf8" | "utf-8" | "unicode" => Ok(()),
        other => Err(Error::unsupported(format!("COPY reads and writes UTF8, not \"{other}\""))),
    }
}

fn on_error(value: &str) -> Result<()> {
    match value.to_ascii_lowercase().as_str() {
        "stop" => Ok(()),
        other => Err(Error::unsupported(format!("ON_ERROR {other} is not supported"))
            .with_hint("Use ON_ERROR stop.")),
    }
}
