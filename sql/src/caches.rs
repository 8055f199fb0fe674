//! What the server keeps to be faster, for `tarn.caches`.
//!
//! Never: a number of something that does not count.

use std::num::TryFromIntError;

use crate::engine::Engine;

/// One cache.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    pub(crate) name: &'static str,
    pub(crate) hits: i64,
    /// None where it does not count them.
    pub(crate) misses: Option<i64>,
    pub(crate) bytes: i64,
    pub(crate) limit_bytes: i64,
}

fn number<T: TryInto<i64, Error = TryFromIntError>>(count: T) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// The caches of a server.
pub(crate) fn of(engine: &Engine) -> Vec<Cache> {
    let results = engine.result_counts();
    let mut caches = vec![Cache {
        name: "results",
        hits: number(results.hits()),
        misses: Some(number(results.misses())),
        bytes: number(results.held_bytes()),
        limit_bytes: number(engine.results.limit_bytes()),
    }];
    if let (Some(counts), Some(options)) = (engine.cache_counts(), &engine.config.store_cache) {
        caches.push(Cache {
            name: "data files",
            hits: number(counts.hits()),
            misses: Some(number(counts.misses())),
            bytes: number(counts.held_bytes()),
            limit_bytes: number(options.limit_bytes),
        });
    }
    let footers = engine.base_state().runtime_env().cache_manager.get_file_metadata_cache();
    let entries = footers.list_entries();
    caches.push(Cache {
        name: "footers",
        // Of those that are held.
        hits: number(entries.values().map(|entry| entry.hits).sum::<usize>()),
        misses: None,
        bytes: number(entries.values().map(|entry| entry.size_bytes).sum::<usize>()),
        limit_bytes: number(footers.cache_limit()),
    });
    caches
}
