//! What COPY's options ask of the readers and writers of bytes.

use arrow::datatypes::SchemaRef;
use ingest::decode::{self, Decoder, Header, OnError, Skipped, UnknownFields};
use ingest::encode::{self, ForceQuote};
use ingest::files::{self, Compression, ParquetOptions, WriteFormat};
use ingest::text::Zone;
use ingest::{Dialect, DialectOptions};

use crate::error::{Error, Result};
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
    fn decode(&self, schema: &SchemaRef, zone: Zone) -> Result<Option<decode::Options>> {
        let format = match self.format {
            FileFormat::Text | FileFormat::Csv => decode::Format::Delimited(self.dialect()?),
            FileFormat::JsonLines => decode::Format::JsonLines(UnknownFields::Refuse),
            FileFormat::Parquet | FileFormat::Binary => return Ok(None),
        };
        Ok(Some(decode::Options {
            header: self.header,
            force_null: names(&self.force_null, schema),
            force_not_null: names(&self.force_not_null, schema),
            on_error: if self.skips_rows { OnError::Collect } else { OnError::Stop },
            zone,
            ..decode::Options::new(format)
        }))
    }

    /// A reader of the client's bytes.
    pub(super) fn decoder(&self, schema: &SchemaRef, zone: Zone) -> Result<Decoder> {
        match self.decode(schema, zone)? {
            Some(options) => Ok(Decoder::new(schema, options)?),
            None => Err(Error::unsupported("COPY FROM STDIN reads text, csv and json")
                .with_hint("Parquet is read from a location.")),
        }
    }

    /// The count of rows that are left out.
    pub(super) fn skipped(&self) -> Skipped {
        Skipped::new(self.reject_limit)
    }

    /// How files become rows with these columns.
    pub(crate) fn read_format(&self, schema: &SchemaRef, zone: Zone) -> Result<files::FileFormat> {
        Ok(match self.decode(schema, zone)? {
            Some(options) => files::FileFormat::Decoded(options),
            None => {
                files::FileFormat::Parquet(ParquetOptions { zone, ..ParquetOptions::default() })
            }
        })
    }

    /// How rows become the client's bytes.
    pub(super) fn encode(&self, zone: Zone) -> Result<encode::Options> {
        let format = match self.format {
            FileFormat::Text | FileFormat::Csv => encode::Format::Delimited(self.dialect()?),
            FileFormat::JsonLines => encode::Format::JsonLines,
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
