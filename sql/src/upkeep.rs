//! What keeps tables fast without anyone asking: many small files become few large ones, and logs do
//! not grow without bound.
//!
//! Two tasks of the process look at the tables that it has open. Compaction works at a fraction of the
//! time, one group of files at a time, and a statement that changes a file of the group wins over it.
//! Never: a statement waits for upkeep, or fails because of it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use catalog::{Catalog, DataFile, LakeTable};
use tokio::time::Instant;
use uuid::Uuid;

use crate::engine::Engine;
use crate::error::Result;
use crate::session::SessionStart;
use crate::statement::optimize;

/// Who the history says that it was.
const USER: &str = "tarn";
/// How often tables are looked at for small files.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often the lengths of logs are looked at.
const LOOK_AT_LOGS_EVERY: Duration = Duration::from_secs(60);
/// Commits after which a log is listed, to see what of it may go.
const COMMITS_MIN: i64 = 1_000;
/// How long after the last time it is listed in any case.
const LOOK_AT_LOG_MAX: Duration = Duration::from_secs(24 * 3600);
/// A group of fewer files is left alone: writing them anew would cost more than reading them.
const FILES_MIN: usize = 32;
/// For each second of work this many of rest.
const REST: u32 = 3;

/// Starts the task that puts small files together; it ends with the engine.
pub(crate) fn start_compaction(engine: &Arc<Engine>) {
    let (weak, stopped) = (Arc::downgrade(engine), engine.stopped());
    tokio::spawn(async move {
        let mut looked = HashMap::new();
        let files = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if !look(&weak, &mut looked).await {
                    return;
                }
            }
        };
        stopped.run_until_cancelled(Box::pin(files)).await;
    });
}

/// Starts the task that cleans logs; it ends with the engine.
pub(crate) fn start_clean_up(engine: &Arc<Engine>) {
    let (weak, stopped) = (Arc::downgrade(engine), engine.stopped());
    tokio::spawn(async move {
        let logs = async {
            let mut looked = HashMap::new();
            loop {
                tokio::time::sleep(LOOK_AT_LOGS_EVERY).await;
                let Some(engine) = weak.upgrade() else { return };
                clean_logs(&engine.catalog, &mut looked).await;
            }
        };
        stopped.run_until_cancelled(logs).await;
    });
}

/// Cleans the logs of the open tables that have grown since they were last looked at, or not been looked
/// at for a day.
async fn clean_logs(catalog: &Catalog, looked: &mut HashMap<Uuid, (i64, Instant)>) {
    let tables = catalog.open_tables();
    looked.retain(|known, _| tables.iter().any(|(id, _)| id == known));
    for (id, table) in tables {
        let version = table.current().version;
        let due = match looked.get(&id) {
            Some((then, at)) => version - then >= COMMITS_MIN || at.elapsed() >= LOOK_AT_LOG_MAX,
            None => version >= COMMITS_MIN,
        };
        if !due {
            continue;
        }
        match clean_log(catalog, id, &table).await {
            Ok(Some(oldest)) => {
                tracing::debug!(table = %table.location(), oldest, "cleaned the log");
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(table = %table.location(), %error, "could not clean the log");
            }
        }
        // After a failure, too: the next try is as far away.
        looked.insert(id, (version, Instant::now()));
    }
}

async fn clean_log(catalog: &Catalog, id: Uuid, table: &LakeTable) -> catalog::Result<Option<i64>> {
    // As it is now: a snapshot may have been made since the last statement.
    let known = catalog.refresh().await?;
    let named = known.entries().find(|entry| entry.table().is_some_and(|t| t.table_id == id));
    // What has no name is dropped, or not made yet.
    let Some(entry) = named else { return Ok(None) };
    let pinned: Vec<i64> = known.pinned_versions(entry.id).collect();
    table.clean_log(&pinned).await
}

/// Looks at every open table that has changed. False once the engine is gone.
async fn look(engine: &Weak<Engine>, looked: &mut HashMap<String, i64>) -> bool {
    let Some(tables) = engine.upgrade().map(|engine| engine.catalog.open_tables()) else {
        return false;
    };
    let names: HashSet<String> =
        tables.iter().map(|(_, table)| table.location().to_string()).collect();
    looked.retain(|name, _| names.contains(name));
    for (_, table) in tables {
        let snapshot = table.current();
        let known = looked.insert(table.location().to_string(), snapshot.version);
        if known == Some(snapshot.version) {
            continue;
        }
        for group in snapshot.groups_to_compact() {
            let group = worth_while(group);
            if group.len() < FILES_MIN {
                continue;
            }
            let Some(engine) = engine.upgrade() else { return false };
            let begun = Instant::now();
            if let Err(error) = compact(&engine, &table, &group).await {
                // The table stays as it is; the next look tries again.
                tracing::warn!(table = %table.location(), %error, "could not compact files");
                looked.remove(&table.location().to_string());
                break;
            }
            drop(engine);
            tokio::time::sleep(begun.elapsed() * REST).await;
        }
    }
    true
}

/// The files of a group without those that are larger than all smaller ones together: so a row is
/// written again only into a file at least twice as large, a number of times that grows with the
/// logarithm of the rows.
fn worth_while(mut group: Vec<Arc<DataFile>>) -> Vec<Arc<DataFile>> {
    let mut sizes: Vec<u64> = group.iter().map(|file| file.byte_count()).collect();
    sizes.sort_unstable();
    let mut all: u64 = sizes.iter().sum();
    while let Some(largest) = sizes.last().copied().filter(|largest| *largest > all - largest) {
        all -= largest;
        sizes.pop();
    }
    let largest = sizes.last().copied().unwrap_or(0);
    group.retain(|file| file.byte_count() <= largest);
    group
}

async fn compact(
    engine: &Arc<Engine>,
    table: &Arc<LakeTable>,
    group: &[Arc<DataFile>],
) -> Result<()> {
    let snapshot = table.current();
    if group.iter().any(|file| snapshot.file(file.path()).is_none()) {
        return Ok(());
    }
    let session =
        engine.session(SessionStart { user: USER.to_owned(), ..SessionStart::default() })?;
    let state = session.planning_state();
    let done = optimize::rewrite(&state, table, &snapshot, group, &[], USER).await?;
    tracing::debug!(table = %table.location(), ?done, "compacted files");
    Ok(())
}

#[cfg(test)]
mod tests;
