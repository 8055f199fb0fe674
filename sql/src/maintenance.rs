//! What the operator does to a warehouse as a whole, beside a running server or without one.

use std::sync::Arc;

use catalog::{Checked, Copied, Location, Stores, SystemClock};

use crate::engine::EngineConfig;
use crate::error::Result;

/// Copies the warehouse as it is now to `to`, a path or URL that is empty or holds an older backup of it.
/// Others may go on writing meanwhile.
pub async fn backup(config: &EngineConfig, to: &str) -> Result<Copied> {
    let stores = Arc::new(Stores::new(&config.warehouse, config.store_options())?);
    // A folder of the local disk is made, as that of a new warehouse is.
    let to = place(config, to)?;
    Ok(Box::pin(catalog::backup(stores, Arc::new(SystemClock), &to)).await?)
}

/// Copies the backup at `from` into the warehouse, which must be empty.
pub async fn restore(config: &EngineConfig, from: &str) -> Result<Copied> {
    let mut options = config.store_options();
    options.locations.push(from.to_owned());
    let stores = Stores::new(&config.warehouse, options)?;
    Ok(Box::pin(catalog::restore(&stores.resolve(from)?, stores.warehouse())).await?)
}

/// Compares what the warehouse's logs say with what its store holds; `deep` reads every data file.
pub async fn check(config: &EngineConfig, deep: bool) -> Result<Checked> {
    let stores = Arc::new(Stores::new(&config.warehouse, config.store_options())?);
    Ok(Box::pin(catalog::check(stores, Arc::new(SystemClock), deep)).await?)
}

fn place(config: &EngineConfig, url: &str) -> Result<Location> {
    // The cache is the warehouse's.
    let options = catalog::StoreOptions { cache: None, ..config.store_options() };
    Ok(Stores::new(url, options)?.warehouse().clone())
}
