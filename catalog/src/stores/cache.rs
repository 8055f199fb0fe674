//! Data files of a remote warehouse, kept on the local disk in blocks as they are read.
//!
//! A data file never changes: its name holds a UUID. So a block that is there is right for ever, and
//! the cache survives a restart of the server. Logs, hints, files that others wrote and those of other
//! locations change, and are always asked for.
//!
//! ```text
//! get_ranges ──> which blocks ──> held: read from disk ──────────────> cut to the ranges
//!                       └──────> not held: one GET for a run of them ──┘ and kept, the oldest go
//! ```
//!
//! Never: bytes that fail their checksum, or another object's; an error of the local disk that a
//! reader sees.

mod blocks;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use uuid::Uuid;

pub(super) use blocks::Blocks;
pub use blocks::CacheCounts;
use blocks::{BLOCK_BYTES, Block};

/// Blocks that are not needed but lie between two that are, at most: one request for more bytes is
/// cheaper than two.
const GAP_BLOCKS_MAX: u64 = 4;
/// Requests at once for one reader.
const REQUESTS_MAX: usize = 8;

/// What the operator says of the cache.
#[derive(Debug, Clone)]
pub struct CacheOptions {
    /// Its folder, which no other server may use at the same time.
    pub directory: PathBuf,
    /// What it may hold.
    pub limit_bytes: u64,
}

/// Wraps the store of a remote warehouse.
#[derive(Debug)]
pub(super) struct CachedStore {
    inner: Arc<dyn ObjectStore>,
    /// Scheme and authority: a part of what a block is known by.
    url: String,
    /// Below it every data file is immutable.
    warehouse: Path,
    blocks: Arc<Blocks>,
}

impl CachedStore {
    pub(super) fn new(
        inner: Arc<dyn ObjectStore>,
        url: &str,
        warehouse: Path,
        blocks: Arc<Blocks>,
    ) -> Self {
        Self { inner, url: url.to_owned(), warehouse, blocks }
    }

    /// Whether a file is one of those that never change: in the folder of a table of the server's own,
    /// which a UUID names, and named by one.
    fn is_kept(&self, path: &Path) -> bool {
        let Some(below) = path.prefix_match(&self.warehouse) else { return false };
        let mut parts: Vec<_> = below.collect();
        let is_data = path.extension() == Some("parquet");
        let is_named = parts.pop().is_some_and(|name| holds_uuid(name.as_ref()));
        let is_log = parts.iter().any(|part| part.as_ref() == "_delta_log");
        is_data && is_named && !is_log && parts.iter().any(|part| is_uuid(part.as_ref()))
    }

    fn key(&self, path: &Path) -> String {
        format!("{}/{path}", self.url.trim_end_matches('/'))
    }

    /// The bytes of ranges, none of which is empty.
    async fn read(&self, path: &Path, ranges: &[Range<u64>]) -> Result<(Vec<Bytes>, Block)> {
        let key = self.key(path);
        let needed: BTreeSet<u64> = ranges
            .iter()
            .flat_map(|range| range.start / BLOCK_BYTES..=(range.end - 1) / BLOCK_BYTES)
            .collect();
        let mut found: BTreeMap<u64, Block> = self.blocks.read(&key, &needed).await;
        let runs = runs(needed.iter().copied().filter(|block| !found.contains_key(block)));
        let fetched: Vec<Vec<(u64, Block)>> = stream::iter(runs)
            .map(|run| self.fetch(path, run))
            .buffered(REQUESTS_MAX)
            .try_collect()
            .await?;
        let fetched: Vec<(u64, Block)> = fetched.into_iter().flatten().collect();
        self.blocks.keep(&key, &fetched).await;
        found.extend(fetched);
        let bytes = ranges
            .iter()
            .map(|range| cut(&found, range).ok_or_else(|| beyond(path, range)))
            .collect::<Result<_>>()?;
        let first = found.into_values().next().ok_or_else(|| beyond(path, &(0..0)))?;
        Ok((bytes, first))
    }

    /// Reads a run of blocks from the store.
    async fn fetch(&self, path: &Path, run: Range<u64>) -> Result<Vec<(u64, Block)>> {
        let range = run.start * BLOCK_BYTES..run.end * BLOCK_BYTES;
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = self.inner.get_opts(path, options).await?;
        let (size, modified) = (found.meta.size, found.meta.last_modified);
        let bytes = found.bytes().await?;
        let block = |(number, start): (u64, usize)| {
            let end = bytes.len().min(start + BLOCK_BYTES as usize);
            let bytes = bytes.slice(start..end);
            (number, Block { size, modified_micros: modified.timestamp_micros(), bytes })
        };
        let starts = (0..bytes.len()).step_by(BLOCK_BYTES as usize);
        Ok((run.start..).zip(starts).map(block).collect())
    }
}

const UUID_CHARS: usize = 36;

fn is_uuid(text: &str) -> bool {
    text.len() == UUID_CHARS && Uuid::try_parse(text).is_ok()
}

fn holds_uuid(name: &str) -> bool {
    let starts = name.char_indices().map(|(start, _)| start);
    starts.filter_map(|start| name.get(start..start + UUID_CHARS)).any(is_uuid)
}

/// Neighbours, and those with little between them, as one.
fn runs(blocks: impl Iterator<Item = u64>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for block in blocks {
        match runs.last_mut() {
            Some(run) if block - run.end <= GAP_BLOCKS_MAX => run.end = block + 1,
            _ => runs.push(block..block + 1),
        }
    }
    runs
}

/// The bytes of a range out of the blocks; none if the object ends before it.
fn cut(blocks: &BTreeMap<u64, Block>, range: &Range<u64>) -> Option<Bytes> {
    let (first, last) = (range.start / BLOCK_BYTES, (range.end - 1) / BLOCK_BYTES);
    let piece = |number: u64| {
        let block = blocks.get(&number)?;
        let start = number * BLOCK_BYTES;
        let from = usize::try_from(range.start.saturating_sub(start)).ok()?;
        let to = usize::try_from((range.end - start).min(BLOCK_BYTES)).ok()?;
        (to <= block.bytes.len()).then(|| block.bytes.slice(from..to))
    };
    if first == last {
        return piece(first);
    }
    let mut bytes = BytesMut::with_capacity(usize::try_from(range.end - range.start).ok()?);
    for number in first..=last {
        bytes.extend_from_slice(&piece(number)?);
    }
    Some(bytes.freeze())
}

fn beyond(path: &Path, range: &Range<u64>) -> Error {
    let source = format!("\"{path}\" ends before byte {}", range.end).into();
    Error::Generic { store: "cache", source }
}

impl fmt::Display for CachedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for CachedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let range = match &options.range {
            Some(GetRange::Bounded(range)) if is_plain(&options) => range.clone(),
            _ => return self.inner.get_opts(location, options).await,
        };
        if range.is_empty() || !self.is_kept(location) {
            return self.inner.get_opts(location, options).await;
        }
        // One that reaches beyond the end is cut at the end, which only the store knows.
        let Ok((mut bytes, block)) = self.read(location, std::slice::from_ref(&range)).await else {
            return self.inner.get_opts(location, options).await;
        };
        let bytes = bytes.pop().unwrap_or_default();
        let modified = chrono::DateTime::from_timestamp_micros(block.modified_micros);
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: modified.unwrap_or_default(),
            size: block.size,
            e_tag: None,
            version: None,
        };
        let payload =
            object_store::GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed());
        Ok(GetResult { payload, meta, range, attributes: object_store::Attributes::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if ranges.iter().any(Range::is_empty) || ranges.is_empty() || !self.is_kept(location) {
            return self.inner.get_ranges(location, ranges).await;
        }
        self.read(location, ranges).await.map(|(bytes, _)| bytes)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// Whether a request asks for bytes and nothing else.
fn is_plain(options: &GetOptions) -> bool {
    !options.head
        && options.version.is_none()
        && options.if_match.is_none()
        && options.if_none_match.is_none()
        && options.if_modified_since.is_none()
        && options.if_unmodified_since.is_none()
}

#[cfg(test)]
mod tests;
