//! Files in object stores: found by a pattern, read as rows, written from rows.
//!
//! ```text
//! list(pattern) -> File (identity) -> read: ranges -> decompress -> decode_stream --+--> Origin::tag -> rows
//!                                           parquet footer -> row groups -> mapping-+
//!                                           avro header -> blocks -> mapping--------+
//! rows -> encode -> compress -> put;   rows -> parquet -> put
//! ```
//!
//! Never: a whole file in memory, or a file that changed between being listed and being read.

mod avro_file;
mod convert;
mod found;
mod list;
mod mapping;
mod parquet_file;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};

pub use avro_file::avro_schema;
pub use found::found_columns;
pub use list::list;
pub use mapping::TypedOptions;
pub use parquet_file::parquet_schema;
pub use read::{FileFormat, ReadOptions, Tally, read, read_all};
pub use write::{WriteFormat, write};

use crate::error::{Error, Result};

/// A file as it was listed.
#[derive(Debug, Clone)]
pub struct File {
    /// The store that has it.
    pub store: Arc<dyn ObjectStore>,
    /// Its place in the store, and its identity: size, entity tag, time of the last change.
    pub meta: ObjectMeta,
    /// Its URL, by which messages and the column `_source` name it.
    pub url: String,
}

impl File {
    /// Some of its bytes, as long as it is the file that was listed.
    async fn range(&self, range: Range<u64>) -> Result<Bytes> {
        let options = GetOptions {
            if_match: self.meta.e_tag.clone(),
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let got = self.store.get_opts(&self.meta.location, options).await;
        let got = got.map_err(|error| self.store_error(error))?;
        got.bytes().await.map_err(|error| self.store_error(error))
    }

    /// An error of the store as one that names this file.
    fn store_error(&self, error: object_store::Error) -> Error {
        let file = self.url.clone();
        match error {
            object_store::Error::Precondition { .. } => Error::FileChanged { file },
            source => Error::FileUnreachable { file, source },
        }
    }

    /// An error of its content as one that names this file.
    fn content_error(&self, error: Error) -> Error {
        match error {
            Error::InFile { .. }
            | Error::FileChanged { .. }
            | Error::FileUnreachable { .. }
            | Error::FileMalformed { .. } => error,
            error => Error::InFile { file: self.url.clone(), source: Box::new(error) },
        }
    }
}

/// How the bytes of a file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
    /// `.bz2`
    Bzip2,
    /// `.xz`
    Xz,
}

impl Compression {
    /// The compression that an option names.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "none" | "uncompressed" => Self::None,
            "gzip" | "gz" => Self::Gzip,
            "zstd" | "zst" => Self::Zstd,
            "bzip2" | "bz2" => Self::Bzip2,
            "xz" => Self::Xz,
            _ => return None,
        })
    }

    /// The compression that a file's name tells.
    pub fn of(file_name: &str) -> Self {
        let suffix = file_name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        match suffix.to_ascii_lowercase().as_str() {
            "gz" | "gzip" => Self::Gzip,
            "zst" | "zstd" => Self::Zstd,
            "bz2" => Self::Bzip2,
            "xz" => Self::Xz,
            _ => Self::None,
        }
    }

    fn codec(self) -> FileCompressionType {
        match self {
            Self::None => FileCompressionType::UNCOMPRESSED,
            Self::Gzip => FileCompressionType::GZIP,
            Self::Zstd => FileCompressionType::ZSTD,
            Self::Bzip2 => FileCompressionType::BZIP2,
            Self::Xz => FileCompressionType::XZ,
        }
    }
}
