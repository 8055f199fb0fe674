//! A part of a store that can be read and nothing else: for readers that follow whatever a log names.
//!
//! Never: an object outside of it is read, and none anywhere is written.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use super::Location;
use crate::error::Error as CatalogError;

/// What is below a place.
#[derive(Debug)]
pub(crate) struct Confined {
    place: Location,
}

impl Confined {
    pub(crate) fn to(place: Location) -> Arc<Self> {
        Arc::new(Self { place })
    }

    fn allow(&self, path: &Path) -> Result<()> {
        if path.prefix_matches(&self.place.path) { Ok(()) } else { Err(refused(path)) }
    }

    fn listed(&self, prefix: Option<&Path>) -> Result<Path> {
        let prefix = prefix.cloned().unwrap_or_default();
        self.allow(&prefix).map(|()| prefix)
    }
}

fn refused(path: &Path) -> Error {
    let source = Box::new(CatalogError::LocationRefused { location: path.to_string() });
    Error::PermissionDenied { path: path.to_string(), source }
}

impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what is below {}", self.place)
    }
}

#[async_trait]
impl ObjectStore for Confined {
    async fn put_opts(&self, location: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(refused(location))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(refused(location))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.allow(location)?;
        self.place.store.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.allow(location)?;
        self.place.store.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        locations.and_then(async |path| Err(refused(&path))).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.listed(prefix) {
            Ok(prefix) => self.place.store.list(Some(&prefix)),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.listed(prefix) {
            Ok(prefix) => self.place.store.list_with_offset(Some(&prefix), offset),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = self.listed(prefix)?;
        self.place.store.list_with_delimiter(Some(&prefix)).await
    }

    async fn copy_opts(&self, _: &Path, to: &Path, _: CopyOptions) -> Result<()> {
        Err(refused(to))
    }

    async fn rename_opts(&self, _: &Path, to: &Path, _: RenameOptions) -> Result<()> {
        Err(refused(to))
    }
}
