//! One policy for every read and write: the warehouse, the declared locations, nothing else.
//!
//! Never: a location is reached that is neither in the warehouse nor declared.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::error::{Error, Result};

/// What the operator declares about stores.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// URLs or paths that SQL may reach beside the warehouse; each covers what is below it.
    pub locations: Vec<String>,
    /// Credentials, regions, endpoints: the keys of the `object_store` crate.
    pub options: BTreeMap<String, String>,
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

/// The object stores that this process may reach.
#[derive(Debug)]
pub struct Stores {
    warehouse: Location,
}

impl Stores {
    /// The stores of `warehouse` (a path, `file://`, `s3://`, `gs://`, `az://` or `memory://`) and
    /// of the declared locations.
    pub fn new(warehouse: &str, options: StoreOptions) -> Result<Self> {
        let _ = options;
        Err(Error::LocationRefused { location: warehouse.to_owned() })
    }

    /// A warehouse at the root of `store`, known to DataFusion as `url` (scheme and authority).
    pub fn from_store(url: &str, store: Arc<dyn ObjectStore>) -> Result<Self> {
        let url = ObjectStoreUrl::parse(url)
            .map_err(|_| Error::LocationRefused { location: url.to_owned() })?;
        Ok(Self { warehouse: Location { store, url, path: Path::default() } })
    }

    /// The warehouse.
    #[must_use]
    pub fn warehouse(&self) -> &Location {
        &self.warehouse
    }

    /// The place of a URL or a path of the local disk; refuses what is not declared.
    pub fn resolve(&self, url_or_path: &str) -> Result<Location> {
        Err(Error::LocationRefused { location: url_or_path.to_owned() })
    }

    /// The place of a path relative to the warehouse.
    pub fn in_warehouse(&self, relative: &str) -> Result<Location> {
        Err(Error::LocationRefused { location: relative.to_owned() })
    }

    /// Makes the stores known to DataFusion, and replaces its own local one.
    pub fn register(&self, env: &RuntimeEnv) {
        env.register_object_store(self.warehouse.url.as_ref(), Arc::clone(&self.warehouse.store));
    }
}
