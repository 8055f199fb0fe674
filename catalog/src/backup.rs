//! Backup, restore and check of a warehouse.
//!
//! ```text
//! backup    the catalog at one version, each table as that catalog has it, models    others go on writing
//!           data files ──> not whole ──> tables' logs ──> the catalog's log ──> whole
//! restore   the same order into a warehouse that is empty
//! check     what the logs say against what the store holds
//! ```
//!
//! A backup has the paths and logs of the warehouse, so that it is one itself: any reader of Delta tables
//! reads it. Done again to the same place it copies what is new alone: a data file never changes.
//!
//! Never: a catalog stands in a copy before what it names.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use crate::clock::Clock;
use crate::entry::{Definition, Entry, Kind};
use crate::error::{Error, Result};
use crate::registry::{CATALOG_PATH, Catalog};
use crate::stores::{Location, Stores};
use crate::table::{DataFile, LakeTable, TableSnapshot};

/// Files that are copied or looked at at once.
const FILES_AT_ONCE: usize = 8;
/// Files up to this size are copied in one piece.
const PIECE_BYTES: u64 = 8 << 20;
/// What says that a backup is whole, and of which warehouse.
const MANIFEST: &str = "_tarn/backup.json";

/// What a backup or a restore did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The version of the catalog.
    pub catalog_version: i64,
    /// Tables and materialized views.
    pub tables: usize,
    /// Files that were copied.
    pub files: u64,
    /// Their size together.
    pub bytes: u64,
    /// Files that were there already.
    pub kept: u64,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Tables, the catalog among them.
    pub tables: usize,
    /// Data files that the newest versions name.
    pub files: u64,
    /// Their size together.
    pub bytes: u64,
    /// What is wrong, each with the name of the table.
    pub problems: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// The id of the catalog's table.
    warehouse: String,
    /// Of the newest whole backup; none as long as there is none.
    whole: Option<Whole>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Whole {
    catalog_version: i64,
    tables: usize,
    finished_at_micros: i64,
}

/// Copies a warehouse as it is at one version of its catalog to a place that is empty, or holds an
/// older backup of it.
pub async fn backup(stores: Arc<Stores>, clock: Arc<dyn Clock>, to: &Location) -> Result<Copied> {
    let from = stores.warehouse().clone();
    refuse_overlap(&from, to)?;
    let catalog = Catalog::open_existing(stores, Arc::clone(&clock)).await?;
    let (snapshot, entries, version) = catalog.pinned_entries();
    let id = version.metadata().id.clone();
    begin(to, &id).await?;
    let mut copy = Copy { from: &from, to, copied: Copied::default() };
    copy.copied.catalog_version = version.version;
    let mut tables = Vec::new();
    for entry in snapshot.entries() {
        if let Definition::Model { versions, .. } = &entry.definition {
            for version in versions {
                copy.file(&path_below(&from, &version.path)?, None).await?;
            }
        }
        if entry.table().is_some() {
            let (table, at) = catalog.pin(entry, 0).await?;
            let mut pinned = Vec::new();
            for version in snapshot.pinned_versions(entry.id) {
                pinned.push(table.at_version(version).await?);
            }
            copy.data_files(&table, &at, &pinned).await?;
            copy.copied.tables += 1;
            let oldest = pinned.iter().map(|version| version.version).min();
            tables.push((table, oldest.unwrap_or(at.version), at.version));
        }
    }
    copy.data_files(&entries, &version, &[]).await?;
    tables.push((entries, version.version, version.version));
    // From here on the copy is neither the older backup nor this one.
    write_manifest(to, &Manifest { warehouse: id.clone(), whole: None }).await?;
    for (table, oldest, newest) in tables {
        for path in table.log_files(oldest, newest).await? {
            copy.file(&path, None).await?;
        }
    }
    let copied = copy.copied;
    let whole = Whole {
        catalog_version: copied.catalog_version,
        tables: copied.tables,
        finished_at_micros: clock.now_micros(),
    };
    write_manifest(to, &Manifest { warehouse: id, whole: Some(whole) }).await?;
    Ok(copied)
}

/// Copies a backup into a warehouse that is empty.
pub async fn restore(from: &Location, to: &Location) -> Result<Copied> {
    refuse_overlap(from, to)?;
    let Some(Manifest { whole: Some(whole), .. }) = read_manifest(from).await? else {
        return Err(unusable(from, "there is no whole backup"));
    };
    if !is_empty(to).await? {
        return Err(unusable(to, "it is not empty; a backup is restored into a new warehouse"));
    }
    let mut copy = Copy { from, to, copied: Copied::default() };
    (copy.copied.catalog_version, copy.copied.tables) = (whole.catalog_version, whole.tables);
    let (manifest, last) = (path_below(from, MANIFEST)?, path_below(from, CATALOG_PATH)?);
    let last = last.join("_delta_log");
    let objects: Vec<(Path, u64)> = from
        .store
        .list(Some(&from.path))
        .map_ok(|object| (object.location, object.size))
        .try_collect()
        .await
        .map_err(Error::store("list", &from.path))?;
    let (mut log, rest): (Vec<_>, Vec<_>) = objects
        .into_iter()
        .filter(|(path, _)| *path != manifest)
        .partition(|(path, _)| path.prefix_matches(&last));
    copy.files(rest).await?;
    // The newest entries first: until the oldest is there, too, it is a log with a gap, which nobody opens.
    log.sort();
    for (path, size) in log.into_iter().rev() {
        copy.file(&path, Some(size)).await?;
    }
    Ok(copy.copied)
}

/// Looks for what a warehouse's logs name and its store does not hold, and for logs that contradict
/// themselves. `deep` reads every data file, too.
pub async fn check(stores: Arc<Stores>, clock: Arc<dyn Clock>, deep: bool) -> Result<Checked> {
    let warehouse = stores.warehouse().clone();
    let catalog = Catalog::open_existing(stores, clock).await?;
    let (snapshot, entries, version) = catalog.pinned_entries();
    let mut checked = Checked::default();
    checked.table("the catalog", &entries, &version, deep).await?;
    for entry in snapshot.entries() {
        let name = entry.qualified_name();
        if let Definition::Model { versions, .. } = &entry.definition {
            for version in versions {
                let path = path_below(&warehouse, &version.path)?;
                match warehouse.store.head(&path).await {
                    Ok(_) => {}
                    Err(object_store::Error::NotFound { .. }) => {
                        let number = version.number;
                        checked.problem(&name, &format!("the file of version {number} is missing"));
                    }
                    Err(error) => return Err(Error::store("read", &path)(error)),
                }
            }
        }
        if entry.table().is_none() {
            continue;
        }
        match catalog.pin(entry, 0).await {
            Ok((table, at)) => checked.table(&name, &table, &at, deep).await?,
            Err(error @ (Error::Corrupt { .. } | Error::NotFound { .. })) => {
                checked.tables += 1;
                checked.problem(&name, &error.to_string());
            }
            Err(error) => return Err(error),
        }
        checked.pins(&catalog, entry).await?;
    }
    Ok(checked)
}

impl Checked {
    fn problem(&mut self, name: &str, what: &str) {
        self.problems.push(format!("{name}: {what}"));
    }

    async fn table(
        &mut self,
        name: &str,
        table: &Arc<LakeTable>,
        at: &TableSnapshot,
        deep: bool,
    ) -> Result<()> {
        self.tables += 1;
        for what in table.check_log(at).await? {
            self.problem(name, &what);
        }
        let place = table.location();
        let held: HashMap<Path, u64> = place
            .store
            .list(Some(&place.path))
            .map_ok(|object| (object.location, object.size))
            .try_collect()
            .await
            .map_err(Error::store("list", &place.path))?;
        for file in at.files() {
            self.files += 1;
            self.bytes += file.byte_count();
            let wrong = match held.get(&data_path(table, file)?) {
                None => Some("is missing".to_owned()),
                Some(size) if *size != file.byte_count() => {
                    Some(format!("has {size} bytes, not {}", file.byte_count()))
                }
                Some(_) if deep => unreadable(table, file).await?,
                Some(_) => None,
            };
            if let Some(wrong) = wrong {
                self.problem(name, &format!("\"{}\" {wrong}", file.path()));
            }
        }
        Ok(())
    }

    /// The versions that snapshots name can be read.
    async fn pins(&mut self, catalog: &Catalog, entry: &Entry) -> Result<()> {
        let snapshot = catalog.snapshot();
        for version in snapshot.pinned_versions(entry.id) {
            let table = catalog.table(entry).await?;
            match table.at_version(version).await {
                Ok(_) => {}
                Err(error @ (Error::Corrupt { .. } | Error::VersionNotFound { .. })) => {
                    self.problem(&entry.qualified_name(), &error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What is wrong with a file when all of it is read.
async fn unreadable(table: &Arc<LakeTable>, file: &DataFile) -> Result<Option<String>> {
    let batches = match table.read_file(file).await {
        Ok(batches) => batches,
        Err(Error::Corrupt { reason, .. }) => return Ok(Some(format!("cannot be read: {reason}"))),
        Err(error) => return Err(error),
    };
    let rows: usize = batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
    let told = file.row_count().filter(|told| *told != rows as u64);
    Ok(told.map(|told| format!("has {rows} rows, not {told}")))
}

/// A copy under way.
struct Copy<'a> {
    from: &'a Location,
    to: &'a Location,
    copied: Copied,
}

impl Copy<'_> {
    /// The files of a version and of pinned ones.
    async fn data_files(
        &mut self,
        table: &Arc<LakeTable>,
        at: &TableSnapshot,
        pinned: &[Arc<TableSnapshot>],
    ) -> Result<()> {
        let mut files: BTreeSet<(Path, u64)> = BTreeSet::new();
        for version in pinned.iter().map(AsRef::as_ref).chain([at]) {
            for file in version.files() {
                files.insert((data_path(table, file)?, file.byte_count()));
            }
        }
        self.files(files).await
    }

    async fn files(&mut self, files: impl IntoIterator<Item = (Path, u64)>) -> Result<()> {
        let (from, to) = (self.from, self.to);
        let copies = stream::iter(files).map(|(path, size)| copy(from, to, path, Some(size)));
        let mut copies = copies.buffer_unordered(FILES_AT_ONCE);
        while let Some(bytes) = copies.try_next().await? {
            self.copied.count(bytes);
        }
        Ok(())
    }

    async fn file(&mut self, path: &Path, size: Option<u64>) -> Result<()> {
        let bytes = copy(self.from, self.to, path.clone(), size).await?;
        self.copied.count(bytes);
        Ok(())
    }
}

impl Copied {
    fn count(&mut self, bytes: Option<u64>) {
        match bytes {
            Some(bytes) => (self.files, self.bytes) = (self.files + 1, self.bytes + bytes),
            None => self.kept += 1,
        }
    }
}

/// Copies an object; `None` if one of this size is there already, where the size is given.
async fn copy(
    from: &Location,
    to: &Location,
    path: Path,
    size: Option<u64>,
) -> Result<Option<u64>> {
    let outside = || Error::LocationRefused { location: path.to_string() };
    let below: Path = path.prefix_match(&from.path).ok_or_else(outside)?.collect();
    let target: Path = to.path.parts().chain(below.parts()).collect();
    if let Some(size) = size {
        match to.store.head(&target).await {
            Ok(there) if there.size == size => return Ok(None),
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(Error::store("read", &target)(error)),
        }
    }
    let found = match from.store.get(&path).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => {
            let reason = "it is missing".to_owned();
            return Err(Error::Corrupt { path: path.to_string(), reason });
        }
        Err(error) => return Err(Error::store("read", &path)(error)),
    };
    let size = found.meta.size;
    let write = |error| Error::store("write", &target)(error);
    if size <= PIECE_BYTES {
        let bytes = found.bytes().await.map_err(Error::store("read", &path))?;
        to.store.put(&target, PutPayload::from(bytes)).await.map_err(write)?;
        return Ok(Some(size));
    }
    let mut upload = BufWriter::new(Arc::clone(&to.store), target.clone());
    let mut bytes = found.into_stream();
    while let Some(bytes) = bytes.try_next().await.map_err(Error::store("read", &path))? {
        upload.put(bytes).await.map_err(write)?;
    }
    upload.shutdown().await.map_err(|error| {
        write(object_store::Error::Generic { store: "copy", source: error.into() })
    })?;
    Ok(Some(size))
}

fn data_path(table: &LakeTable, file: &DataFile) -> Result<Path> {
    let below = Path::from_url_path(file.path())
        .map_err(|_| Error::LocationRefused { location: file.path().to_owned() })?;
    Ok(table.location().path.parts().chain(below.parts()).collect())
}

fn path_below(place: &Location, relative: &str) -> Result<Path> {
    place.below(relative).map(|location| location.path)
}

fn refuse_overlap(from: &Location, to: &Location) -> Result<()> {
    let overlap = from.path.prefix_matches(&to.path) || to.path.prefix_matches(&from.path);
    if from.url == to.url && overlap {
        return Err(unusable(to, "it overlaps the place that is copied"));
    }
    Ok(())
}

fn unusable(place: &Location, reason: &str) -> Error {
    Error::LocationMalformed { location: place.to_string(), reason: reason.to_owned() }
}

/// Marks a place that is empty as a backup of this warehouse; one that is not must be.
async fn begin(to: &Location, warehouse: &str) -> Result<()> {
    match read_manifest(to).await? {
        Some(manifest) if manifest.warehouse == warehouse => Ok(()),
        Some(_) => Err(unusable(to, "it holds a backup of another warehouse")),
        None if is_empty(to).await? => {
            write_manifest(to, &Manifest { warehouse: warehouse.to_owned(), whole: None }).await
        }
        None => Err(unusable(to, "it is not empty, and holds no backup")),
    }
}

async fn is_empty(place: &Location) -> Result<bool> {
    let first = place.store.list(Some(&place.path)).next().await;
    Ok(first.transpose().map_err(Error::store("list", &place.path))?.is_none())
}

async fn read_manifest(place: &Location) -> Result<Option<Manifest>> {
    let path = path_below(place, MANIFEST)?;
    let found = match place.store.get(&path).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(Error::store("read", &path)(error)),
    };
    let bytes = found.bytes().await.map_err(Error::store("read", &path))?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| Error::Corrupt { path: path.to_string(), reason: error.to_string() })
}

async fn write_manifest(place: &Location, manifest: &Manifest) -> Result<()> {
    let path = path_below(place, MANIFEST)?;
    let text = serde_json::to_vec(manifest)
        .map_err(|error| Error::Unsupported { what: format!("cannot write {path}: {error}") })?;
    place.store.put(&path, text.into()).await.map(drop).map_err(Error::store("write", &path))
}

impl Catalog {
    /// Opens the catalog of a warehouse that is there.
    async fn open_existing(stores: Arc<Stores>, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let location = stores.in_warehouse(CATALOG_PATH)?;
        match LakeTable::open(location, Arc::clone(&clock)).await {
            Ok(_) => Self::open(stores, clock).await,
            Err(Error::NotFound { kind: Kind::Table, .. }) => {
                Err(unusable(stores.warehouse(), "there is no warehouse"))
            }
            Err(error) => Err(error),
        }
    }
}
