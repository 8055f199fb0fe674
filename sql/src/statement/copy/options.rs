//! What `COPY ... WITH (...)` may say, in the new and in the old spelling.
//!
//! Never: an option that is read and has no effect. What does not go together is refused here.

use std::collections::HashSet;

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use ingest::decode::Header;
use ingest::encode::ForceQuote;
use ingest::files::Compression;

use crate::error::{Error, Result, nearest, state};
use crate::parser::{self, expected, parse_word, parse_words, syntax_error};
use crate::resolve::fold;
use crate::settings::parse_bool;
use crate::statement::copy::{expect_token, parse_columns};

/// How the rows look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileFormat {
    Text,
    Csv,
    JsonLines,
    Parquet,
    /// Read only.
    Avro,
    /// Of the client's streams only.
    Binary,
}

/// What happens to a file that is not what it was when it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangedFile {
    Error,
    Load,
    Skip,
}

/// Everything that `WITH` said.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(super) format: FileFormat,
    pub(super) compression: Option<Compression>,
    pub(super) header: Header,
    pub(super) delimiter: Option<String>,
    pub(super) null: Option<String>,
    pub(super) quote: Option<String>,
    pub(super) escape: Option<String>,
    pub(super) force_null: ForceQuote,
    pub(super) force_not_null: ForceQuote,
    pub(super) force_quote: ForceQuote,
    /// `ON_ERROR ignore`.
    pub(super) skips_rows: bool,
    pub(super) reject_limit: Option<u64>,
    pub(super) changed_file: ChangedFile,
    /// Load files although they are loaded already.
    pub(super) force: bool,
    /// Replace a file that is there.
    pub(super) overwrite: bool,
}

/// Which statements have an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    All,
    From,
    To,
    FromFiles,
    ToFile,
    Files,
}

/// The options. Names are looked up and suggested here.
const KNOWN: [(&str, Of); 19] = [
    ("format", Of::All),
    ("header", Of::All),
    ("delimiter", Of::All),
    ("null", Of::All),
    ("quote", Of::All),
    ("escape", Of::All),
    ("encoding", Of::All),
    ("freeze", Of::From),
    ("force_null", Of::From),
    ("force_not_null", Of::From),
    ("force_quote", Of::To),
    ("on_error", Of::From),
    ("reject_limit", Of::From),
    ("log_verbosity", Of::From),
    ("compression", Of::Files),
    ("changed_file", Of::FromFiles),
    ("force", Of::FromFiles),
    ("overwrite", Of::ToFile),
    ("default", Of::From),
];

/// The direction and the other end of a COPY.
#[derive(Debug, Clone, Copy)]
struct Direction<'a> {
    from: bool,
    location: Option<&'a str>,
    /// The files are read where they are, as an external table.
    external: bool,
}

impl Direction<'_> {
    fn has(self, of: Of) -> bool {
        if self.external {
            return matches!(of, Of::All | Of::Files);
        }
        match of {
            Of::All => true,
            Of::From => self.from,
            Of::To => !self.from,
            Of::FromFiles => self.from && self.location.is_some(),
            Of::ToFile => !self.from && self.location.is_some(),
            Of::Files => self.location.is_some(),
        }
    }

    fn name(self) -> &'static str {
        match (self.from, self.location.is_some()) {
            _ if self.external => "CREATE EXTERNAL TABLE",
            (true, true) => "COPY FROM a location",
            (true, false) => "COPY FROM STDIN",
            (false, true) => "COPY TO a location",
            (false, false) => "COPY TO STDOUT",
        }
    }
}

/// Reads the options of a COPY. A location's suffixes tell what nothing else does.
pub(super) fn parse(
    parser: &mut Parser<'_>,
    from: bool,
    location: Option<&str>,
) -> Result<Options> {
    let direction = Direction { from, location, external: false };
    let mut options = Options::of(location);
    options.read(parser, direction)?;
    Ok(options)
}

/// The options of an external table, as its `WITH` says them.
pub(super) fn of_external(text: &str, url: &str, format: FileFormat) -> Result<Options> {
    let direction = Direction { from: true, location: Some(url), external: true };
    let mut options = Options { format, ..Options::of(Some(url)) };
    let mut parser = parser::over(text)?;
    if text.is_empty() {
        options.check(direction)?;
    } else {
        options.read(&mut parser, direction)?;
        parser::expect_end(&mut parser)?;
    }
    if options.format != format {
        return Err(Error::syntax("STORED AS says the format, FORMAT is not for external tables"));
    }
    Ok(options)
}

/// The format and the compression that the end of a name tells.
fn by_suffix(location: Option<&str>) -> (FileFormat, Compression) {
    let location = location.unwrap_or_default().to_ascii_lowercase();
    let compression = Compression::of(&location);
    let name = match compression {
        Compression::None => location.as_str(),
        _ => location.rsplit_once('.').map_or("", |(name, _)| name),
    };
    let format = match name.rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("csv") => FileFormat::Csv,
        Some("parquet") => FileFormat::Parquet,
        Some("avro") => FileFormat::Avro,
        Some("json" | "jsonl" | "ndjson") => FileFormat::JsonLines,
        _ => FileFormat::Text,
    };
    (format, compression)
}

impl Options {
    /// What holds where nothing is said.
    fn of(location: Option<&str>) -> Self {
        Self {
            format: by_suffix(location).0,
            compression: None,
            header: Header::Absent,
            delimiter: None,
            null: None,
            quote: None,
            escape: None,
            force_null: ForceQuote::None,
            force_not_null: ForceQuote::None,
            force_quote: ForceQuote::None,
            skips_rows: false,
            reject_limit: None,
            changed_file: ChangedFile::Error,
            force: false,
            overwrite: false,
        }
    }

    fn read(&mut self, parser: &mut Parser<'_>, direction: Direction<'_>) -> Result<()> {
        parse_word(parser, "WITH");
        if parser.peek_token().token == Token::LParen {
            parser.next_token();
            let mut given = HashSet::new();
            loop {
                let name = parser.parse_identifier().map_err(syntax_error)?.value.to_lowercase();
                if given.contains(&name) {
                    return Err(Error::syntax("conflicting or redundant options")
                        .with_detail(format!("Option \"{name}\" is given twice.")));
                }
                self.one(parser, &name, direction)?;
                given.insert(name);
                if parser.peek_token().token != Token::Comma {
                    break;
                }
                parser.next_token();
            }
            expect_token(parser, &Token::RParen)?;
        } else {
            self.old_spelling(parser, direction)?;
        }
        self.check(direction)
    }

    /// The compression of the files; none where their names tell.
    pub(crate) const fn compression(&self) -> Option<Compression> {
        self.compression
    }

    fn one(&mut self, parser: &mut Parser<'_>, name: &str, direction: Direction<'_>) -> Result<()> {
        let Some((_, of)) = KNOWN.iter().find(|(known, _)| *known == name) else {
            let error = Error::syntax(format!("option \"{name}\" not recognized"));
            return Err(match nearest(name, KNOWN.map(|(known, _)| known)) {
                Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
                None => error,
            });
        };
        if !direction.has(*of) {
            let message = format!("{} has no option \"{name}\"", direction.name());
            return Err(Error::unsupported(message));
        }
        match name {
            "format" => self.format = format(&value(parser)?)?,
            "header" => self.header = header(&optional_value(parser)?, direction.from)?,
            "delimiter" => self.delimiter = Some(value(parser)?),
            "null" => self.null = Some(value(parser)?),
            "quote" => self.quote = Some(value(parser)?),
            "escape" => self.escape = Some(value(parser)?),
            "encoding" => utf8(&value(parser)?)?,
            "force_null" => self.force_null = columns(parser)?,
            "force_not_null" => self.force_not_null = columns(parser)?,
            "force_quote" => self.force_quote = columns(parser)?,
            "on_error" => self.skips_rows = on_error(&value(parser)?)?,
            "reject_limit" => self.reject_limit = Some(reject_limit(&value(parser)?)?),
            "compression" => self.compression = Some(compression(&value(parser)?)?),
            "changed_file" => self.changed_file = changed_file(&value(parser)?)?,
            "force" => self.force = switch("force", parser)?,
            "overwrite" => self.overwrite = switch("overwrite", parser)?,
            "log_verbosity" => log_verbosity(&value(parser)?)?,
            "freeze" if !switch("freeze", parser)? => {}
            other => {
                return Err(Error::unsupported(format!(
                    "COPY option {} is not supported",
                    other.to_uppercase()
                )));
            }
        }
        Ok(())
    }

    /// `CSV HEADER DELIMITER ',' NULL '' QUOTE '"' ESCAPE '"' FORCE QUOTE a, b`, in any order.
    fn old_spelling(&mut self, parser: &mut Parser<'_>, direction: Direction<'_>) -> Result<()> {
        loop {
            if parse_word(parser, "CSV") {
                self.format = FileFormat::Csv;
            } else if parse_word(parser, "BINARY") {
                self.format = FileFormat::Binary;
            } else if parse_word(parser, "HEADER") {
                self.header = Header::Skip;
            } else if parse_word(parser, "DELIMITER") {
                self.delimiter = Some(old_value(parser)?);
            } else if parse_word(parser, "NULL") {
                self.null = Some(old_value(parser)?);
            } else if parse_word(parser, "QUOTE") {
                self.quote = Some(old_value(parser)?);
            } else if parse_word(parser, "ESCAPE") {
                self.escape = Some(old_value(parser)?);
            } else if parse_word(parser, "ENCODING") {
                utf8(&value(parser)?)?;
            } else if !direction.from && parse_words(parser, &["FORCE", "QUOTE"]) {
                self.force_quote = old_columns(parser)?;
            } else if direction.from && parse_words(parser, &["FORCE", "NOT", "NULL"]) {
                self.force_not_null = old_columns(parser)?;
            } else if direction.from && parse_words(parser, &["FORCE", "NULL"]) {
                self.force_null = old_columns(parser)?;
            } else {
                return Ok(());
            }
        }
    }

    /// Settles what the name of the file tells, and refuses what does not go together.
    fn check(&mut self, direction: Direction<'_>) -> Result<()> {
        let told = by_suffix(direction.location).1;
        if direction.location.is_some() && !direction.from && self.compression.is_none() {
            self.compression = Some(told);
        }
        let packed = |compression| !matches!(compression, None | Some(Compression::None));
        if self.format == FileFormat::Avro && !direction.from {
            return Err(Error::unsupported("COPY TO does not write Avro")
                .with_hint("Files are written as text, csv, json or parquet."));
        }
        let typed = matches!(self.format, FileFormat::Parquet | FileFormat::Avro);
        if typed && (packed(self.compression) || packed(Some(told))) {
            return Err(Error::unsupported(
                "Parquet and Avro files have a compression of their own",
            )
            .with_hint("Leave COMPRESSION and the suffix of the compression away."));
        }
        if self.format == FileFormat::Binary && direction.location.is_some() {
            return Err(Error::unsupported("COPY with FORMAT binary is for STDIN and STDOUT")
                .with_hint("Files are text, csv, json, parquet or avro."));
        }
        self.check_csv_options()?;
        if self.reject_limit.is_some() && !self.skips_rows {
            let message = "COPY REJECT_LIMIT requires ON_ERROR to be set to IGNORE";
            return Err(Error::new(state::INVALID_PARAMETER_VALUE, message));
        }
        if self.skips_rows && (typed || self.format == FileFormat::Binary) {
            return Err(Error::unsupported("ON_ERROR ignore is for text, csv and json"));
        }
        let delimited = matches!(self.format, FileFormat::Text | FileFormat::Csv);
        let any = self.delimiter.is_some() || self.null.is_some() || self.header != Header::Absent;
        if !delimited && any {
            return Err(Error::unsupported(
                "DELIMITER, NULL and HEADER are available only in text and csv mode",
            ));
        }
        if delimited {
            self.dialect()?;
        }
        Ok(())
    }

    fn check_csv_options(&self) -> Result<()> {
        let csv_only = [
            (self.force_null != ForceQuote::None, "FORCE_NULL"),
            (self.force_not_null != ForceQuote::None, "FORCE_NOT_NULL"),
            (self.force_quote != ForceQuote::None, "FORCE_QUOTE"),
            (self.quote.is_some(), "QUOTE"),
            (self.escape.is_some(), "ESCAPE"),
        ];
        match csv_only.iter().find(|(given, _)| *given && self.format != FileFormat::Csv) {
            None => Ok(()),
            Some((_, option)) => {
                Err(Error::unsupported(format!("COPY {option} is available only in CSV mode")))
            }
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

fn old_value(parser: &mut Parser<'_>) -> Result<String> {
    parse_word(parser, "AS");
    value(parser)
}

/// A boolean option without a value is on.
fn optional_value(parser: &mut Parser<'_>) -> Result<String> {
    match parser.peek_token().token {
        Token::Comma | Token::RParen => Ok("true".to_owned()),
        _ => value(parser),
    }
}

fn switch(name: &str, parser: &mut Parser<'_>) -> Result<bool> {
    let value = optional_value(parser)?;
    parse_bool(&value)
        .ok_or_else(|| Error::syntax(format!("{name} requires a Boolean value, not \"{value}\"")))
}

/// `(a, b)` or `*`.
fn columns(parser: &mut Parser<'_>) -> Result<ForceQuote> {
    if parser.peek_token().token == Token::Mul {
        parser.next_token();
        return Ok(ForceQuote::All);
    }
    match parse_columns(parser)? {
        none if none.is_empty() => expected(parser, "a list of columns"),
        names => Ok(ForceQuote::Columns(names)),
    }
}

/// `a, b` or `*`.
fn old_columns(parser: &mut Parser<'_>) -> Result<ForceQuote> {
    if parser.peek_token().token == Token::Mul {
        return columns(parser);
    }
    let names = parser.parse_comma_separated(Parser::parse_identifier).map_err(syntax_error)?;
    Ok(ForceQuote::Columns(names.iter().map(fold).collect()))
}

fn format(name: &str) -> Result<FileFormat> {
    match name.to_ascii_lowercase().as_str() {
        "text" => Ok(FileFormat::Text),
        "csv" => Ok(FileFormat::Csv),
        "json" | "jsonl" | "ndjson" => Ok(FileFormat::JsonLines),
        "parquet" => Ok(FileFormat::Parquet),
        "avro" => Ok(FileFormat::Avro),
        "binary" => Ok(FileFormat::Binary),
        other => Err(Error::new(
            state::INVALID_PARAMETER_VALUE,
            format!("COPY format \"{other}\" not recognized"),
        )
        .with_hint("A format is text, csv, json, parquet, avro or binary.")),
    }
}

fn header(value: &str, from: bool) -> Result<Header> {
    if value.eq_ignore_ascii_case("match") {
        return if from {
            Ok(Header::Match)
        } else {
            Err(Error::unsupported("cannot use \"match\" with HEADER in COPY TO"))
        };
    }
    match parse_bool(value) {
        Some(true) => Ok(Header::Skip),
        Some(false) => Ok(Header::Absent),
        None => Err(Error::syntax("header requires a Boolean value or \"match\"")
            .with_detail(format!("The value is \"{value}\"."))),
    }
}

fn utf8(value: &str) -> Result<()> {
    match value.to_ascii_lowercase().as_str() {
        "utf8" | "utf-8" | "unicode" => Ok(()),
        other => Err(Error::unsupported(format!("COPY reads and writes UTF8, not \"{other}\""))),
    }
}

/// Whether rows are left out.
fn on_error(value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "stop" => Ok(false),
        "ignore" => Ok(true),
        other => Err(Error::unsupported(format!("ON_ERROR {other} is not supported"))
            .with_hint("Use ON_ERROR stop or ON_ERROR ignore.")),
    }
}

fn reject_limit(value: &str) -> Result<u64> {
    match value.parse() {
        Ok(limit @ 1..) => Ok(limit),
        _ => Err(Error::new(
            state::INVALID_PARAMETER_VALUE,
            format!("REJECT_LIMIT ({value}) must be greater than zero"),
        )),
    }
}

fn log_verbosity(value: &str) -> Result<()> {
    if value.eq_ignore_ascii_case("default") {
        return Ok(());
    }
    Err(Error::unsupported(format!("LOG_VERBOSITY {value} is not supported")))
}

fn compression(value: &str) -> Result<Compression> {
    Compression::named(value).ok_or_else(|| {
        let message = format!("COPY compression \"{value}\" not recognized");
        Error::new(state::INVALID_PARAMETER_VALUE, message)
            .with_hint("A compression is none, gzip, zstd, bzip2 or xz.")
    })
}

fn changed_file(value: &str) -> Result<ChangedFile> {
    match value.to_ascii_lowercase().as_str() {
        "error" => Ok(ChangedFile::Error),
        "load" => Ok(ChangedFile::Load),
        "skip" => Ok(ChangedFile::Skip),
        other => Err(Error::new(
            state::INVALID_PARAMETER_VALUE,
            format!("CHANGED_FILE \"{other}\" not recognized"),
        )
        .with_hint("CHANGED_FILE is error, load or skip.")),
    }
}
