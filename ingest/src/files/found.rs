//! What columns files have, before their rows are read.
//!
//! Never: rows of the files; only names and types, in memory that their number bounds.

use arrow::datatypes::{DataType, Field, Schema};
use futures::{FutureExt, StreamExt, TryStreamExt, future};
use std::sync::Arc;
use tokio::task::spawn_blocking;

use super::read::{FileFormat, ReadOptions, decompressed};
use super::{Compression, File, avro_schema, parquet_schema};
use crate::decode::{Decoder, Fields, Format, FoundColumn, Header};
use crate::error::{Error, Result};

/// The columns that files say they have, in the order in which they first come. Parquet and Avro
/// declare them; JSON lines are read through for them. Of csv and text the
/// header line is read, where it says what the columns are. None: nothing has names.
pub async fn found_columns(
    files: &[File],
    options: &ReadOptions,
) -> Result<Option<Vec<FoundColumn>>> {
    match &options.format {
        FileFormat::Parquet(_) | FileFormat::Avro(_) => {
            let mut found: Vec<FoundColumn> = Vec::new();
            for file in files {
                let schema = match options.format {
                    FileFormat::Avro(_) => avro_schema(file).await?,
                    _ => parquet_schema(file).await?,
                };
                for field in schema.fields() {
                    let new = FoundColumn::declared(field.as_ref().clone().with_nullable(true));
                    match found.iter_mut().find(|known| known.field.name() == field.name()) {
                        Some(known) => known.widen(&new),
                        None => found.push(new),
                    }
                }
            }
            Ok(Some(found))
        }
        FileFormat::Decoded(decode) if matches!(decode.format, Format::JsonLines(_)) => {
            let mut fields = Fields::default();
            for file in files {
                let read = fields_of(file, options, decode).await;
                let read = read.map_err(|error| file.content_error(error))?;
                fields.merge(&read)?;
            }
            Ok(Some(fields.columns()))
        }
        FileFormat::Decoded(decode) if decode.header == Header::ByName => {
            let mut found: Vec<FoundColumn> = Vec::new();
            for file in files {
                for name in header_names(file, options, decode).await? {
                    if !found.iter().any(|known| *known.field.name() == name) {
                        found.push(FoundColumn::declared(Field::new(name, DataType::Utf8, true)));
                    }
                }
            }
            Ok(Some(found))
        }
        FileFormat::Decoded(_) => Ok(None),
    }
}

/// The bytes in which a header line is looked for at once.
const HEADER_BYTES: usize = 64 << 10;

/// The names in the header line of a file.
pub(super) async fn header_names(
    file: &File,
    options: &ReadOptions,
    decode: &crate::decode::Options,
) -> Result<Vec<String>> {
    let compression = options.compression.unwrap_or_else(|| Compression::of(&file.url));
    let lines = crate::decode::Options {
        chunk_bytes: HEADER_BYTES,
        force_null: Vec::new(),
        force_not_null: Vec::new(),
        ..decode.clone()
    };
    let mut splitter = Decoder::new(&Arc::new(Schema::empty()), lines)?;
    let mut bytes = decompressed(file, compression)?;
    let names = async {
        loop {
            let piece = bytes.try_next().await?;
            let ready = match &piece {
                Some(piece) => splitter.split(piece)?,
                None => splitter.split_finish()?.into_iter().collect(),
            };
            match (ready.first(), piece) {
                (Some(first), _) => return first.names(),
                (None, None) => return Ok(Vec::new()),
                (None, Some(_)) => {}
            }
        }
    };
    names.await.map_err(|error| file.content_error(error))
}

impl FoundColumn {
    /// A type for the values of another file, too, where one of the two holds both.
    fn widen(&mut self, other: &Self) {
        use DataType as T;
        let rank = |data_type: &DataType| match data_type {
            T::Int8 => Some(0),
            T::Int16 => Some(1),
            T::Int32 => Some(2),
            T::Int64 => Some(3),
            T::Float32 => Some(10),
            T::Float64 => Some(11),
            _ => None,
        };
        let (known, new) = (rank(&self.least), rank(&other.least));
        // Whole numbers of 64 bits are not all floating point numbers.
        let alike = known.is_some_and(|k| k < 10) == new.is_some_and(|n| n < 10);
        if known.zip(new).is_some_and(|(known, new)| alike && new > known) {
            *self = other.clone();
        }
    }
}

/// The fields of one file of JSON lines.
async fn fields_of(
    file: &File,
    options: &ReadOptions,
    decode: &crate::decode::Options,
) -> Result<Fields> {
    let compression = options.compression.unwrap_or_else(|| Compression::of(&file.url));
    let mut splitter = Decoder::new(&Arc::new(Schema::empty()), decode.clone())?;
    let mut chunks = decompressed(file, compression)?;
    let mut fields = Fields::default();
    loop {
        let bytes = chunks.try_next().await?;
        let ready = match &bytes {
            Some(bytes) => splitter.split(bytes)?,
            None => splitter.split_finish()?.into_iter().collect(),
        };
        let read = futures::stream::iter(ready)
            .map(|chunk| {
                spawn_blocking(move || Fields::of(&chunk))
                    .map(|joined| joined.unwrap_or(Err(Error::Interrupted)))
            })
            .buffered(options.threads.max(1));
        fields = read
            .try_fold(fields, |mut fields, later| {
                future::ready(fields.merge(&later).map(|()| fields))
            })
            .await?;
        if bytes.is_none() {
            return Ok(fields);
        }
    }
}
