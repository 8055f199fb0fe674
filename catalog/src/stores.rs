//! One policy for every read and write: the warehouse, the declared locations, nothing else.
//!
//! Never: a location is reached that is neither in the warehouse nor declared.

mod cache;
mod confined;
mod declared;
mod durable;
mod options;
mod remote;
mod settled;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Component, Path as FsPath, PathBuf};
use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;

use crate::error::{Error, Result};
use crate::secrets::SecretKey;
use cache::{Blocks, CachedStore};
pub use cache::{CacheCounts, CacheOptions};
pub(crate) use confined::Confined;
use durable::DurableStore;
pub(crate) use durable::{NameAfter, NotWritten, Unreferenced};
pub use options::Options;
use remote::Settings;

const LOCAL: &str = "file:///";
/// Words that before a colon begin a URL and not a name.
const SCHEMES: [&str; 10] =
    ["file", "s3", "s3a", "gs", "az", "abfs", "abfss", "memory", "http", "https"];

/// What the operator declares about stores.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// URLs or paths that SQL may reach beside the warehouse; each covers what is below it.
    pub locations: Vec<String>,
    /// Variables of the environment that say something of stores: `AWS_REGION`, ...
    pub environment: Options,
    /// What single buckets and containers have of their own, by URL: the keys of the
    /// `object_store` crate.
    pub stores: BTreeMap<String, Options>,
    /// Where data files of a remote warehouse are kept once they were read; none: nowhere.
    pub cache: Option<CacheOptions>,
    /// URLs below which SQL may declare locations of its own.
    pub location_roots: Vec<String>,
    /// What seals the secrets of the catalog; without it there are none.
    pub secret_key: Option<SecretKey>,
}

/// A place in a store.
#[derive(Debug, Clone)]
pub struct Location {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The name by which DataFusion's scans find the store.
    pub url: ObjectStoreUrl,
    /// The place in it.
    pub path: Path,
}

impl Location {
    /// A place below this one; `relative` holds names between slashes.
    pub fn below(&self, relative: &str) -> Result<Self> {
        let malformed =
            |reason: String| Error::LocationMalformed { location: relative.to_owned(), reason };
        let relative = Path::parse(relative).map_err(|error| malformed(error.to_string()))?;
        let path = self.path.parts().chain(relative.parts()).collect();
        Ok(Self { store: Arc::clone(&self.store), url: self.url.clone(), path })
    }
}

impl Location {
    /// Whether it is the same place, reached through the same store object.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store) && self.path == other.path
    }

    /// Whether the store understands [`NameAfter`].
    pub(crate) fn names_later(&self) -> bool {
        self.url.as_str() == LOCAL
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.url.as_str(), self.path)
    }
}

/// The object stores that this process may reach.
#[derive(Debug)]
pub struct Stores {
    warehouse: Declared,
    locations: Vec<Declared>,
    cache: Option<Arc<Blocks>>,
    /// How remote stores are opened, those of locations that SQL declares among them.
    settings: Settings,
    roots: Vec<(ObjectStoreUrl, Path)>,
    secret_key: Option<SecretKey>,
}

#[derive(Debug)]
struct Declared {
    location: Location,
    /// For the local disk: as the operator wrote it, where that differs by links.
    spelled: Option<PathBuf>,
}

/// A location as somebody wrote it, understood but not yet allowed.
enum Address {
    /// An absolute path of the local disk without `..`.
    Local(PathBuf),
    Remote {
        url: ObjectStoreUrl,
        path: Path,
        full: Url,
    },
}

impl Stores {
    /// The stores of `warehouse` (a path, `file://`, `s3://`, `gs://`, `az://` or `memory://`) and
    /// of the declared locations. A warehouse on the local disk is created.
    pub fn new(warehouse: &str, options: StoreOptions) -> Result<Self> {
        let StoreOptions { locations, environment, stores, cache, location_roots, secret_key } =
            options;
        let settings = Settings::new(environment, stores)?;
        if let Address::Local(path) = address(warehouse)? {
            fs::create_dir_all(&path).map_err(|error| malformed(warehouse, &error))?;
        }
        let mut opened = Opened::default();
        let place = opened.place(warehouse, &settings)?;
        let places = locations
            .iter()
            .map(|text| Ok((text, opened.place(text, &settings)?)))
            .collect::<Result<Vec<_>>>()?;
        let cache = opened.cache(&place, cache.as_ref())?;
        let local: Arc<dyn ObjectStore> = Arc::new(DurableStore::new(opened.roots));
        let declare = |text: &str, place: Place| place.declare(text, &local, &opened.remote);
        Ok(Self {
            warehouse: declare(warehouse, place)?,
            locations: places
                .into_iter()
                .map(|(text, place)| declare(text, place))
                .collect::<Result<_>>()?,
            cache,
            settings,
            roots: location_roots.iter().map(|text| root(text)).collect::<Result<_>>()?,
            secret_key,
        })
    }

    /// A warehouse at the root of `store`, known to DataFusion as `url` (scheme and authority).
    pub fn from_store(url: &str, store: Arc<dyn ObjectStore>) -> Result<Self> {
        let url = ObjectStoreUrl::parse(url).map_err(|error| malformed(url, &error))?;
        let location = Location { store, url, path: Path::default() };
        Ok(Self {
            warehouse: Declared { location, spelled: None },
            locations: Vec::new(),
            cache: None,
            settings: Settings::default(),
            roots: Vec::new(),
            secret_key: None,
        })
    }

    /// The warehouse.
    #[must_use]
    pub const fn warehouse(&self) -> &Location {
        &self.warehouse.location
    }

    /// What the read cache did, where there is one.
    #[must_use]
    pub fn cache_counts(&self) -> Option<&Arc<CacheCounts>> {
        self.cache.as_deref().map(Blocks::counts)
    }

    fn declared(&self) -> impl Iterator<Item = &Declared> {
        std::iter::once(&self.warehouse).chain(&self.locations)
    }

    /// The place of a URL or of an absolute path of the local disk; refuses what is not declared.
    pub fn resolve(&self, url_or_path: &str) -> Result<Location> {
        let refused = || Error::LocationRefused { location: url_or_path.to_owned() };
        match address(url_or_path)? {
            Address::Local(path) => self
                .declared()
                .filter(|declared| declared.location.url.as_str() == LOCAL)
                .find_map(|declared| declared.local(&path))
                .ok_or_else(refused),
            Address::Remote { url, path, .. } => self
                .declared()
                .map(|declared| &declared.location)
                .find(|location| location.url == url && path.prefix_matches(&location.path))
                .map(|location| Location { path, ..location.clone() })
                .ok_or_else(refused),
        }
    }

    /// The place of a path relative to the warehouse.
    pub fn in_warehouse(&self, relative: &str) -> Result<Location> {
        self.warehouse().below(relative)
    }

    /// Makes the stores known to DataFusion, and replaces its own local one, which knows no limits.
    pub fn register(&self, env: &RuntimeEnv) {
        if let Ok(local) = Url::parse(LOCAL) {
            env.register_object_store(&local, nowhere());
        }
        for Declared { location, .. } in self.declared() {
            env.register_object_store(location.url.as_ref(), Arc::clone(&location.store));
        }
    }
}

/// A store in which nothing can be reached.
pub(crate) fn nowhere() -> Arc<dyn ObjectStore> {
    Arc::new(DurableStore::new(Vec::new()))
}

impl Declared {
    /// The place of a local path, if it is below this one by either spelling.
    fn local(&self, path: &FsPath) -> Option<Location> {
        let root = self.location.path.as_ref();
        let canonical = FsPath::new("/").join(root);
        let below = path
            .strip_prefix(&canonical)
            .ok()
            .or_else(|| path.strip_prefix(self.spelled.as_ref()?).ok())?;
        let path = local_path(&canonical.join(below)).ok()?;
        Some(Location { path, ..self.location.clone() })
    }
}

/// Stores as they are opened, one for each bucket, and one for all of the local disk.
#[derive(Default)]
struct Opened {
    roots: Vec<PathBuf>,
    remote: Vec<(ObjectStoreUrl, Arc<dyn ObjectStore>)>,
}

impl Opened {
    fn place(&mut self, text: &str, settings: &Settings) -> Result<Place> {
        match address(text)? {
            Address::Local(spelled) => {
                let canonical =
                    fs::canonicalize(&spelled).map_err(|error| malformed(text, &error))?;
                self.roots.push(canonical.clone());
                Ok(Place::Local { canonical, spelled })
            }
            Address::Remote { url, path, full } => {
                if !self.remote.iter().any(|(known, _)| *known == url) {
                    self.remote.push((url.clone(), settings.open(&full)?));
                }
                Ok(Place::Remote { url, path })
            }
        }
    }
}

impl Opened {
    /// Puts the cache before the store of a remote warehouse.
    fn cache(
        &mut self,
        warehouse: &Place,
        options: Option<&CacheOptions>,
    ) -> Result<Option<Arc<Blocks>>> {
        let (Place::Remote { url, path }, Some(options)) = (warehouse, options) else {
            return Ok(None);
        };
        let blocks = Blocks::open(options)?;
        for (known, store) in &mut self.remote {
            if known == url {
                let inner = Arc::clone(store);
                let blocks = Arc::clone(&blocks);
                *store = Arc::new(CachedStore::new(inner, url.as_str(), path.clone(), blocks));
            }
        }
        Ok(Some(blocks))
    }
}

enum Place {
    Local { canonical: PathBuf, spelled: PathBuf },
    Remote { url: ObjectStoreUrl, path: Path },
}

impl Place {
    fn declare(
        self,
        text: &str,
        local: &Arc<dyn ObjectStore>,
        remote: &[(ObjectStoreUrl, Arc<dyn ObjectStore>)],
    ) -> Result<Declared> {
        match self {
            Self::Local { canonical, spelled } => {
                let url = ObjectStoreUrl::parse(LOCAL).map_err(|error| malformed(text, &error))?;
                let path = local_path(&canonical)?;
                let location = Location { store: Arc::clone(local), url, path };
                Ok(Declared { location, spelled: Some(spelled) })
            }
            Self::Remote { url, path } => {
                let store = remote
                    .iter()
                    .find(|(known, _)| *known == url)
                    .map(|(_, store)| Arc::clone(store))
                    .ok_or_else(|| Error::LocationRefused { location: text.to_owned() })?;
                Ok(Declared { location: Location { store, url, path }, spelled: None })
            }
        }
    }
}

/// A place below which SQL may declare locations.
fn root(text: &str) -> Result<(ObjectStoreUrl, Path)> {
    match address(text)? {
        Address::Remote { url, path, full } if full.scheme() != "memory" => Ok((url, path)),
        _ => Err(malformed(text, &"a location root is an s3, gs, az or abfs URL with a bucket")),
    }
}

/// Understands a location; nothing is looked up.
fn address(text: &str) -> Result<Address> {
    // `file:/etc/passwd` is a URL to some and a strange name to others; it is neither here.
    if let Some((scheme, rest)) = text.split_once(':')
        && SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known))
        && !rest.starts_with("//")
    {
        return Err(malformed(text, &format!("a URL begins with {scheme}://")));
    }
    let path = if !text.contains("://") {
        let path = std::path::absolute(text).map_err(|error| malformed(text, &error))?;
        if text.is_empty() { return Err(malformed(text, &"it is empty")) } else { path }
    } else {
        let url = Url::parse(text).map_err(|error| malformed(text, &error))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(malformed(text, &"it has a query or a fragment"));
        }
        // In abfss://container@account.dfs.core.windows.net/ a container stands before the @.
        let names_container = matches!(url.scheme(), "abfs" | "abfss");
        if !(url.username().is_empty() || names_container) || url.password().is_some() {
            return Err(malformed(text, &"it holds credentials"));
        }
        match url.scheme() {
            "file" => url.to_file_path().map_err(|()| malformed(text, &"it names a host"))?,
            "s3" | "s3a" | "gs" | "az" | "abfs" | "abfss" | "memory" => {
                let path =
                    Path::from_url_path(url.path()).map_err(|error| malformed(text, &error))?;
                let store = ObjectStoreUrl::parse(remote::key(&url))
                    .map_err(|error| malformed(text, &error))?;
                return Ok(Address::Remote { url: store, path, full: url });
            }
            other => return Err(malformed(text, &format!("\"{other}\" is not a known scheme"))),
        }
    };
    if path.components().any(|part| matches!(part, Component::ParentDir)) {
        return Err(Error::LocationRefused { location: text.to_owned() });
    }
    Ok(Address::Local(path))
}

/// The name of a local file in the store. Names keep their characters: nothing is decoded or encoded.
fn local_path(path: &FsPath) -> Result<Path> {
    let text = path.to_str().ok_or_else(|| malformed(&path.display(), &"it is not UTF-8"))?;
    Path::parse(text).map_err(|error| malformed(&text, &error))
}

fn malformed(location: &(impl fmt::Display + ?Sized), reason: &impl fmt::Display) -> Error {
    Error::LocationMalformed { location: location.to_string(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
