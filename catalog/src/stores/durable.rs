//! The local disk as an object store that keeps what it has acknowledged through a power loss.
//!
//! A put writes a temporary name, syncs it, gives it its name (a hard link where it must not replace
//! anything, a rename where it may), and syncs the directory and every directory newly found above
//! it. Reads and listings are `object_store`'s own, which hide the temporary names.
//!
//! Two extensions of a put let the syncs of one commit run beside each other: [`Unreferenced`] for
//! data files, [`NameAfter`] for the log entry that names them.
//!
//! Never: a path outside the declared roots is touched, be it by `..` or by a symbolic link.
//! Never: a half-written object bears a name that anybody looks for.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{BoxFuture, Shared};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};
use parking_lot::Mutex;
use uuid::Uuid;

const STORE: &str = "local disk";

/// An extension of a put: nobody knows the object's name before the put has returned. So it may bear
/// its name while it is written, and its bytes and its name are synced at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unreferenced;

/// An extension of a put that creates: the object is written and synced at once, and gets its name
/// after this has come to `true`; at `false` nothing is written.
#[derive(Clone)]
pub(crate) struct NameAfter(Shared<BoxFuture<'static, bool>>);

impl NameAfter {
    pub(crate) fn new(ready: impl Future<Output = bool> + Send + 'static) -> Self {
        Self(ready.boxed().shared())
    }

    async fn ready(&self) -> bool {
        self.0.clone().await
    }
}
/// Directories remembered as synced; more are forgotten and synced again.
const SYNCED_DIRECTORIES_MAX: usize = 100_000;

/// Local disk below some roots. Clones share their state.
#[derive(Debug, Clone)]
pub(crate) struct DurableStore {
    local: LocalFileSystem,
    disk: Arc<Disk>,
}

#[derive(Debug)]
struct Disk {
    /// Canonical, so that links below them can be followed and compared.
    roots: Vec<PathBuf>,
    /// Directories whose own names, up to the root of the disk, this process has seen synced.
    synced: Mutex<HashSet<PathBuf>>,
}

impl DurableStore {
    /// A store of what is below `roots`, which are canonical and exist.
    pub(crate) fn new(roots: Vec<PathBuf>) -> Self {
        let disk = Disk { roots, synced: Mutex::default() };
        Self { local: LocalFileSystem::new(), disk: Arc::new(disk) }
    }

    /// The file of `location`, if neither its text nor a link on its way leads out of the roots.
    fn file(&self, location: &Path) -> Result<PathBuf> {
        let path = self.local.path_to_filesystem(location)?;
        self.disk.confine(&path)?;
        Ok(path)
    }

    /// As [`Self::file`] for a prefix, which may be a directory or nothing at all.
    fn check_prefix(&self, prefix: Option<&Path>) -> Result<()> {
        let mut path = PathBuf::from("/");
        path.extend(prefix.iter().flat_map(|prefix| prefix.as_ref().split('/')));
        self.disk.confine(&path)
    }
}

impl DurableStore {
    /// Writes an object that nobody looks for yet: its bytes and its name are synced side by side.
    async fn put_unreferenced(&self, location: Path, payload: PutPayload) -> Result<PutResult> {
        let store = self.clone();
        let (file, path) = blocking(move || {
            let path = store.file(&location)?;
            let file = store.disk.write_unsynced(&path, &payload);
            Ok((file.map_err(|error| not_written(&path, error))?, path))
        })
        .await?;
        let directory = path.parent().map(FsPath::to_path_buf);
        let bytes = blocking(move || file.sync_data().map_err(|error| failed(&path, error)));
        let name = blocking(move || {
            directory.map_or(Ok(()), |directory| {
                sync_directory(&directory).map_err(|error| failed(&directory, error))
            })
        });
        futures::try_join!(bytes, name)?;
        Ok(PutResult { e_tag: None, version: None })
    }
}

impl fmt::Display for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE)
    }
}

impl Disk {
    fn confine(&self, path: &FsPath) -> Result<()> {
        if !self.roots.iter().any(|root| path.starts_with(root)) {
            return Err(refused(path));
        }
        // The deepest part that exists says where the links lead; the rest is ours to create.
        for existing in path.ancestors() {
            match fs::canonicalize(existing) {
                Ok(real) if self.roots.iter().any(|root| real.starts_with(root)) => return Ok(()),
                Ok(_) => return Err(refused(path)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(path, error)),
            }
        }
        Err(refused(path))
    }

    /// Opens a new file beside `path`, under a name that listings hide.
    fn create_temporary(&self, path: &FsPath) -> io::Result<(File, PathBuf)> {
        let directory = path.parent().ok_or(ErrorKind::InvalidInput)?;
        self.make_directory(directory)?;
        let temporary = temporary_name(path);
        let open = || OpenOptions::new().write(true).create_new(true).open(&temporary);
        let file = match open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Remembered, but removed since.
                self.synced.lock().clear();
                self.make_directory(directory)?;
                open()?
            }
            other => other?,
        };
        Ok((file, temporary))
    }

    /// Makes `directory` and what is missing above it, and sees that their names are on disk.
    fn make_directory(&self, directory: &FsPath) -> io::Result<()> {
        if self.synced.lock().contains(directory) {
            return Ok(());
        }
        fs::create_dir_all(directory)?;
        // Another process may have made them and not have synced them yet: sync them all, once.
        for path in directory.ancestors().skip(1) {
            match sync_directory(path) {
                // Above the roots a directory may be unreadable; its entries are not of our making.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => break,
                other => other?,
            }
        }
        let mut synced = self.synced.lock();
        if synced.len() >= SYNCED_DIRECTORIES_MAX {
            synced.clear();
        }
        synced.insert(directory.to_owned());
        Ok(())
    }

    fn put(&self, path: &FsPath, payload: &PutPayload, create: bool) -> Result<PutResult> {
        let temporary = self.stage(path, payload).map_err(|error| not_written(path, error))?;
        self.name(&temporary, path, create)
    }

    /// Gives a staged object its name.
    fn name(&self, temporary: &FsPath, path: &FsPath, create: bool) -> Result<PutResult> {
        let published = publish(temporary, path, create);
        if published.is_err() {
            // Hidden and harmless if this fails, too.
            let _ = fs::remove_file(temporary);
        }
        match published {
            Ok(()) => Ok(PutResult { e_tag: None, version: None }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: path.display().to_string(), source: error.into() })
            }
            Err(error) => Err(failed(path, error)),
        }
    }

    /// Writes an object under its own name. Neither its bytes nor its name are synced yet.
    fn write_unsynced(&self, path: &FsPath, payload: &PutPayload) -> io::Result<File> {
        self.make_directory(path.parent().ok_or(ErrorKind::InvalidInput)?)?;
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let written = payload.iter().try_for_each(|part| file.write_all(part));
        if let Err(error) = written {
            let _ = fs::remove_file(path);
            return Err(error);
        }
        Ok(file)
    }

    /// Writes and syncs an object under a temporary name.
    fn stage(&self, path: &FsPath, payload: &PutPayload) -> io::Result<PathBuf> {
        let (mut file, temporary) = self.create_temporary(path)?;
        let written = payload
            .iter()
            .try_for_each(|part| file.write_all(part))
            .and_then(|()| file.sync_data());
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        Ok(temporary)
    }
}

/// Gives a synced file its name, and syncs the name.
fn publish(temporary: &FsPath, path: &FsPath, create: bool) -> io::Result<()> {
    let directory = path.parent().ok_or(ErrorKind::InvalidInput)?;
    if create {
        let linked = fs::hard_link(temporary, path);
        let _ = fs::remove_file(temporary);
        if let Err(error) = linked {
            if error.kind() == ErrorKind::AlreadyExists {
                // The caller will build upon what it finds there: let it be on disk.
                sync_directory(directory)?;
            }
            return Err(error);
        }
    } else {
        fs::rename(temporary, path)?;
    }
    sync_directory(directory)
}

fn sync_directory(path: &FsPath) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// `name#digits` is what `LocalFileSystem` calls its own unfinished files, and never lists.
fn temporary_name(path: &FsPath) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("#{}", Uuid::new_v4().as_u64_pair().0));
    name.into()
}

fn refused(path: &FsPath) -> Error {
    Error::PermissionDenied {
        path: path.display().to_string(),
        source: "outside the declared locations".into(),
    }
}

/// A failure before the object got its name: it is certain that nothing can be seen of it.
#[derive(Debug, thiserror::Error)]
#[error("nothing was written")]
pub(crate) struct NotWritten {
    #[source]
    cause: io::Error,
}

fn not_written(path: &FsPath, cause: io::Error) -> Error {
    match cause.kind() {
        ErrorKind::PermissionDenied => failed(path, cause),
        _ => Error::Generic { store: STORE, source: NotWritten { cause }.into() },
    }
}

fn failed(path: &FsPath, error: io::Error) -> Error {
    let text = path.display().to_string();
    match error.kind() {
        ErrorKind::NotFound => Error::NotFound { path: text, source: error.into() },
        ErrorKind::PermissionDenied => Error::PermissionDenied { path: text, source: error.into() },
        _ => Error::Generic { store: STORE, source: error.into() },
    }
}

fn not_implemented(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: STORE.to_owned() }
}

/// Runs file operations where they may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        if matches!(opts.mode, PutMode::Update(_)) || !opts.attributes.is_empty() {
            return Err(not_implemented("conditional update or attributes"));
        }
        let (store, location) = (self.clone(), location.clone());
        let create = opts.mode == PutMode::Create;
        if create && opts.extensions.get::<Unreferenced>().is_some() {
            return store.put_unreferenced(location, payload).await;
        }
        let after = opts.extensions.get::<NameAfter>().filter(|_| create).cloned();
        let Some(after) = after else {
            return blocking(move || store.disk.put(&store.file(&location)?, &payload, create))
                .await;
        };
        let disk = Arc::clone(&self.disk);
        let (staged, path) = blocking(move || {
            let path = store.file(&location)?;
            let staged = store.disk.stage(&path, &payload);
            Ok((staged.map_err(|error| not_written(&path, error))?, path))
        })
        .await?;
        let ready = after.ready().await;
        blocking(move || {
            if ready {
                return disk.name(&staged, &path, create);
            }
            let _ = fs::remove_file(&staged);
            Err(not_written(&path, ErrorKind::Interrupted.into()))
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if !opts.attributes.is_empty() {
            return Err(not_implemented("attributes"));
        }
        let (store, location) = (self.clone(), location.clone());
        blocking(move || {
            let path = store.file(&location)?;
            let (file, temporary) =
                store.disk.create_temporary(&path).map_err(|error| failed(&path, error))?;
            let upload =
                Upload { file: Arc::new(file), path, temporary: Some(temporary), offset: 0 };
            Ok(Box::new(upload) as Box<dyn MultipartUpload>)
        })
        .await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.file(location)?;
        self.local.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.file(location)?;
        self.local.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let checked = locations.map(move |location| {
            let location = location?;
            store.file(&location)?;
            Ok(location)
        });
        self.local.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.check_prefix(prefix) {
            Ok(()) => self.local.list(prefix),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.check_prefix(prefix) {
            Ok(()) => self.local.list_with_offset(prefix, offset),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check_prefix(prefix)?;
        self.local.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (store, from, to) = (self.clone(), from.clone(), to.clone());
        blocking(move || {
            let (source, path) = (store.file(&from)?, store.file(&to)?);
            let copy = || -> io::Result<()> {
                let (_, temporary) = store.disk.create_temporary(&path)?;
                let copied = fs::copy(&source, &temporary)
                    .and_then(|_| File::open(&temporary)?.sync_data())
                    .and_then(|()| {
                        publish(&temporary, &path, matches!(options.mode, CopyMode::Create))
                    });
                if copied.is_err() {
                    let _ = fs::remove_file(&temporary);
                }
                copied
            };
            copy().map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => {
                    Error::AlreadyExists { path: to.to_string(), source: error.into() }
                }
                _ => failed(&source, error),
            })
        })
        .await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let (source, target) = (self.file(from)?, self.file(to)?);
        let disk = Arc::clone(&self.disk);
        let (made, directory) = (target.clone(), target.parent().map(FsPath::to_path_buf));
        blocking(move || {
            let parent = made.parent().ok_or_else(|| refused(&made))?;
            disk.make_directory(parent).map_err(|error| failed(&made, error))
        })
        .await?;
        self.local.rename_opts(from, to, options).await?;
        blocking(move || {
            directory
                .map_or(Ok(()), |directory| sync_directory(&directory))
                .map_err(|error| failed(&source, error))
        })
        .await
    }
}

/// A large object on its way, written part by part under a temporary name.
#[derive(Debug)]
struct Upload {
    file: Arc<File>,
    path: PathBuf,
    /// `None` once it has its name, or has been given up.
    temporary: Option<PathBuf>,
    offset: u64,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (file, path, mut offset) = (Arc::clone(&self.file), self.path.clone(), self.offset);
        self.offset += data.content_length() as u64;
        blocking(move || {
            for part in &data {
                file.write_all_at(part, offset).map_err(|error| failed(&path, error))?;
                offset += part.len() as u64;
            }
            Ok(())
        })
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let temporary = self.temporary.take().ok_or_else(|| not_implemented("completing twice"))?;
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        blocking(move || {
            let done = file.sync_data().and_then(|()| publish(&temporary, &path, false));
            if done.is_err() {
                let _ = fs::remove_file(&temporary);
            }
            done.map_err(|error| failed(&path, error))?;
            Ok(PutResult { e_tag: None, version: None })
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        if let Some(temporary) = self.temporary.take() {
            let path = self.path.clone();
            blocking(move || fs::remove_file(temporary).map_err(|error| failed(&path, error)))
                .await?;
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn_blocking(move || fs::remove_file(temporary))),
                Err(_) => drop(fs::remove_file(temporary)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
