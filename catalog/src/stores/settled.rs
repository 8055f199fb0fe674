//! A remote store whose uploads in parts have a known end.
//!
//! The store's client asks again when the answer to "complete the upload" is lost. If the first
//! question had been carried out, the second finds no such upload and fails, though the object is
//! there. Here the object itself is asked then.
//!
//! Never: an object that was there before the upload is taken for it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, Result, UploadPart,
};

/// Wraps a remote store.
#[derive(Debug)]
pub(super) struct SettledStore {
    inner: Arc<dyn ObjectStore>,
}

impl SettledStore {
    pub(super) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner }
    }
}

impl fmt::Display for SettledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for SettledStore {
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
        // Whoever may only write is not told what is there: then a lost answer stays lost.
        let before = match self.inner.head(location).await {
            Ok(meta) => Before::Object(meta),
            Err(Error::NotFound { .. }) => Before::Nothing,
            Err(_) => Before::Unknown,
        };
        let upload = self.inner.put_multipart_opts(location, opts).await?;
        let (store, location) = (Arc::clone(&self.inner), location.clone());
        Ok(Box::new(SettledUpload { upload, store, location, before, byte_count: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
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

/// What stood under the name when the upload began.
#[derive(Debug)]
enum Before {
    Nothing,
    Object(ObjectMeta),
    Unknown,
}

#[derive(Debug)]
struct SettledUpload {
    upload: Box<dyn MultipartUpload>,
    store: Arc<dyn ObjectStore>,
    location: Path,
    before: Before,
    byte_count: u64,
}

#[async_trait]
impl MultipartUpload for SettledUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.byte_count += data.content_length() as u64;
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let failure = match self.upload.complete().await {
            Ok(result) => return Ok(result),
            Err(failure) => failure,
        };
        match self.store.head(&self.location).await {
            Ok(meta) if meta.size == self.byte_count && self.before.is_other_than(&meta) => {
                Ok(PutResult { e_tag: meta.e_tag, version: meta.version })
            }
            _ => Err(failure),
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

impl Before {
    /// Whether an object has come since.
    fn is_other_than(&self, now: &ObjectMeta) -> bool {
        match self {
            Self::Nothing => true,
            Self::Object(before) => {
                before.e_tag != now.e_tag
                    || before.version != now.version
                    || before.last_modified != now.last_modified
            }
            Self::Unknown => false,
        }
    }
}
