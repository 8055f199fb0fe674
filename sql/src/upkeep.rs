//! What keeps tables fast without anyone asking: many small files become few large ones.
//!
//! One task of the process looks at the tables that it has open. It works at a fraction of the time, one
//! group of files at a time, and a statement that changes a file of the group wins over it.
//! Never: a statement waits for upkeep, or fails because of it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use catalog::{DataFile, LakeTable};
use tokio::time::Instant;

use crate::engine::Engine;
use crate::error::Result;
use crate::session::SessionStart;
use crate::statement::optimize;

/// Who the history says that it was.
const USER: &str = "tarn";
/// How often tables are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A group of fewer files is left alone: writing them anew would cost more than reading them.
const FILES_MIN: usize = 32;
/// For each second of work this many of rest.
const REST: u32 = 3;

/// Starts the task, which ends with the engine.
pub(crate) fn start(engine: &Arc<Engine>) {
    let (engine, stopped) = (Arc::downgrade(engine), engine.stopped());
    tokio::spawn(async move {
        let mut looked = HashMap::new();
        let work = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if !look(&engine, &mut looked).await {
                    return;
                }
            }
        };
        tokio::select! {
            () = stopped.cancelled() => {}
            () = work => {}
        }
    });
}

/// Looks at every open table that has changed. False once the engine is gone.
async fn look(engine: &Weak<Engine>, looked: &mut HashMap<String, i64>) -> bool {
    let Some(tables) = engine.upgrade().map(|engine| engine.catalog.open_tables()) else {
        return false;
    };
    let names: HashSet<String> = tables.iter().map(|table| table.location().to_string()).collect();
    looked.retain(|name, _| names.contains(name));
    for table in tables {
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
