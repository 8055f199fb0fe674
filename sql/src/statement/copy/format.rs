//! What COPY's options ask of the readers and writers of bytes.

use arrow::datatypes::SchemaRef;
use ingest::decode::{self, Decoder, Header, OnError, Skipped, UnknownFields};
use ingest::encode::{self, ForceQuote};
use ingest::files::{self, Compression, TypedOptions, WriteFormat};
use ingest::text::Zone;
use ingest::{Dialect, DialectOptions};

use crate::error::{Error, Result};
use crate::schema_evolution::Mode;
use crate::statement::copy::options::{FileFormat, Options};

impl Options {
    /// The separators and quotes of text and csv.
    pub(super) fn dialect(&self) -> Result<Dialect> {
        let options = DialectOptions {
            delimiter: self.delimiter.as_deref(),
            null: self.null.as_deref(),
            quote: self.quote.as_deref(),
            escape: self.escape.as_deref(),
        };
        let csv = self.format == FileFormat::Csv;
        Ok(if csv { Dialect::csv(options)? } else { Dialect::text(options)? })
    }

    /// How bytes become rows with these columns; none for Parquet and what listeners read.
    fn decode(
        &self,
        schema: &SchemaRef,
        zone: Zone,
        mode: Mode,
    ) -> Result<Option<decode::Options>> {
        let rescues = mode == Mode::Rescue;
        let unknown = match mode {
            Mode::Strict => UnknownFields::Refuse,
            Mode::AddColumns | Mode::Widen => UnknownFields::RefuseValues,
            Mode::Rescue => UnknownFields::Rescue,
        };
        let format = match self.format {
            FileFormat::Text | FileFormat::Csv => decode::Format::Delimited(self.dialect()?),
            FileFormat::JsonLines => decode::Format::JsonLines(unknown),
            FileFormat::Parquet | FileFormat::Avro | FileFormat::Binary => return Ok(None),
        };
        Ok(Some(decode::Options {
            // In a table whose columns follow the input, the names are more than a check.
            header: match self.header {
                Header::Match if mode.follows() => Header::ByName,
                header => header,
            },
            force_null: names(&self.force_null, schema),
            force_not_null: names(&self.force_not_null, schema),
            on_error: if self.skips_rows { OnError::Collect } else { OnError::Stop },
            rescues,
            zone,
            ..decode::Options::new(format)
        }))
    }

    /// A reader of the client's bytes.
    pub(super) fn decoder(&self, schema: &SchemaRef, zone: Zone, mode: Mode) -> Result<Decoder> {
        match self.decode(schema, zone, mode)? {
            // What streams by cannot be asked for its columns first.
            Some(options) => {
                Ok(Decoder::new(schema, decode::Options { header: self.header, ..options })?)
            }
            None => Err(Error::unsupported("COPY FROM STDIN reads text, csv and json")
                .with_hint("Parquet and Avro are read from a location.")),
        }
    }

    /// The count of rows that are left out.
    pub(super) fn skipped(&self) -> Skipped {
        Skipped::new(self.reject_limit)
    }

    /// How files become rows with these columns.
    pub(crate) fn read_format(
        &self,
        schema: &SchemaRef,
        zone: Zone,
        mode: Mode,
    ) -> Result<files::FileFormat> {
        Ok(match self.decode(schema, zone, mode)? {
            Some(options) => files::FileFormat::Decoded(options),
            None => {
                let refused = TypedOptions::default().unknown_columns;
                let rescued = mode == Mode::Rescue;
                let unknown_columns = if rescued { UnknownFields::Rescue } else { refused };
                let options = TypedOptions { zone, unknown_columns, ..TypedOptions::default() };
                match self.format {
                    FileFormat::Avro => files::FileFormat::Avro(options),
                    _ => files::FileFormat::Parquet(options),
                }
            }
        })
    }

    /// How rows become the client's bytes.
    pub(super) fn encode(&self, zone: Zone) -> Result<encode::Options> {
        let format = match self.format {
            FileFormat::Text | FileFormat::Csv => encode::Format::Delimited(self.dialect()?),
            FileFormat::JsonLines => encode::Format::JsonLines,
            FileFormat::Avro => return Err(Error::unsupported("COPY TO does not write Avro")),
            FileFormat::Parquet | FileFormat::Binary => {
                return Err(Error::unsupported("COPY TO STDOUT writes text, csv and json")
                    .with_hint("Parquet is written to a location."));
            }
        };
        Ok(encode::Options {
            header: self.header != Header::Absent,
            force_quote: self.force_quote.clone(),
            zone,
            ..encode::Options::new(format)
        })
    }

    /// How rows become a file.
    pub(super) fn write_format(&self, zone: Zone) -> Result<WriteFormat> {
        if self.format == FileFormat::Parquet {
            return Ok(WriteFormat::Parquet);
        }
        let compression = self.compression.unwrap_or(Compression::None);
        Ok(WriteFormat::Encoded(self.encode(zone)?, compression))
    }
}

fn names(columns: &ForceQuote, schema: &SchemaRef) -> Vec<String> {
    match columns {
        ForceQuote::None => Vec::new(),
        ForceQuote::All => schema.fields().iter().map(|field| field.name().clone()).collect(),
        ForceQuote::Columns(names) => names.clone(),
    }
}
