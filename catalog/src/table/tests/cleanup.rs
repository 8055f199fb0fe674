//! What clean-up takes from a log, and what it must not: versions that are pinned, newer ones, and the
//! commits of a server that has not looked for long.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;

use super::{START_MICROS, append, memory, place, schema};
use crate::clock::ManualClock;
use crate::table::cleanup::HEAD_MICROS_MAX;
use crate::table::{Commit, LakeTable, TableSnapshot};
use crate::{Clock, Error, TableSpec};

/// A server's own clock.
fn clock() -> (Arc<ManualClock>, Arc<dyn Clock>) {
    let clock = Arc::new(ManualClock::new(START_MICROS));
    (Arc::clone(&clock), clock)
}

/// A table of `versions` appends of one row each, with a checkpoint at every tenth version.
async fn table(store: &Arc<dyn ObjectStore>, versions: i64) -> Arc<LakeTable> {
    let table = LakeTable::create(place(store), TableSpec::new(schema()), clock().1).await.unwrap();
    for version in 1..=versions {
        append(&table, version..version + 1).await.unwrap();
        if version % 10 == 0 {
            table.checkpoint().await.unwrap();
        }
    }
    table
}

fn paths(snapshot: &TableSnapshot) -> Vec<&str> {
    snapshot.files().map(|file| file.path()).collect()
}

async fn remove(store: &Arc<dyn ObjectStore>, name: &str) {
    use object_store::ObjectStoreExt;
    store.delete(&Path::from(format!("t/_delta_log/{name}"))).await.unwrap();
}

#[tokio::test]
async fn old_entries_go_and_what_is_pinned_or_newer_can_be_read() {
    let store = memory();
    let table = table(&store, 47).await;
    let mut before = Vec::new();
    for version in 0..=47 {
        before.push(table.at_version(version).await.unwrap());
    }
    // The newest checkpoint that is at least 12 versions old is that of 30.
    assert_eq!(table.clean_log_to(12, &[7, 20, 33]).await.unwrap(), 30);
    assert_eq!(table.clean_log_to(12, &[7, 20, 33]).await.unwrap(), 0);

    let opened = LakeTable::open(place(&store), clock().1).await.unwrap();
    for (version, before) in (0..).zip(&before) {
        let now = opened.at_version(version).await;
        if version >= 30 || [7, 20].contains(&version) {
            let now = now.unwrap();
            assert_eq!((now.version, paths(&now)), (version, paths(before)));
        } else {
            assert!(matches!(now, Err(Error::VersionNotFound { .. })), "{version}: {now:?}");
        }
    }
    assert_eq!(opened.history(100).await.unwrap().len(), 18);
    let changed = opened.changed_files(29, 31, &opened.current()).await;
    assert!(matches!(changed, Err(Error::VersionNotFound { version: 29, .. })), "{changed:?}");
    // A later clean-up keeps them still; one without the pin does not.
    append(&opened, 100..101).await.unwrap();
    opened.checkpoint().await.unwrap();
    assert_eq!(opened.clean_log_to(0, &[7]).await.unwrap(), 18);
    let opened = LakeTable::open(place(&store), clock().1).await.unwrap();
    assert_eq!(paths(&opened.at_version(7).await.unwrap()), paths(&before[7]));
    assert!(matches!(opened.at_version(20).await, Err(Error::VersionNotFound { .. })));
    assert_eq!(opened.current().file_count(), 48);
}

#[tokio::test]
async fn nothing_goes_where_the_checkpoint_before_it_cannot_be_read() {
    let store = memory();
    let table = table(&store, 25).await;
    use object_store::ObjectStoreExt;
    let checkpoint = Path::from(format!("t/_delta_log/{:020}.checkpoint.parquet", 10));
    store.put(&checkpoint, "PAR1".into()).await.unwrap();
    let cleaned = table.clean_log_to(10, &[]).await;
    assert!(matches!(cleaned, Err(Error::Corrupt { .. })), "{cleaned:?}");
    let opened = LakeTable::open(place(&store), clock().1).await.unwrap();
    assert_eq!(opened.at_version(3).await.unwrap().file_count(), 3);
}

#[tokio::test]
async fn a_missing_entry_is_not_taken_for_a_cleaned_one() {
    let store = memory();
    let table = table(&store, 25).await;
    remove(&store, &format!("{:020}.json", 13)).await;
    let opened = LakeTable::open(place(&store), clock().1).await.unwrap();
    assert!(matches!(opened.at_version(14).await, Err(Error::Corrupt { .. })));
    assert_eq!(opened.at_version(21).await.unwrap().file_count(), 21);
    drop(table);
}

/// The worst that clean-up could do: a server that slept finds its next version free, as it was removed,
/// and takes it.
#[tokio::test]
async fn a_server_that_slept_through_a_clean_up_reads_and_commits_at_the_end() {
    let store = memory();
    let busy = table(&store, 5).await;
    let (time, shared) = clock();
    let sleeper = LakeTable::open(place(&store), shared).await.unwrap();
    let base = sleeper.current();
    let adds = sleeper.write_files(&base, super::streamed(vec![super::batch(900..902)]));
    let adds = adds.await.unwrap();
    for version in 6..=40 {
        append(&busy, version..version + 1).await.unwrap();
    }
    busy.checkpoint().await.unwrap();
    assert_eq!(busy.clean_log_to(0, &[]).await.unwrap(), 40);
    time.advance(HEAD_MICROS_MAX);

    let committed = sleeper.commit(&base, Commit::append(adds)).await.unwrap();
    assert_eq!((committed.version, committed.row_count()), (41, Some(42)));
    assert_eq!(busy.update().await.unwrap().version, 41);
    let opened = LakeTable::open(place(&store), clock().1).await.unwrap();
    assert_eq!(opened.current().row_count(), Some(42));
}

#[tokio::test]
async fn a_reader_that_slept_through_a_clean_up_reads_the_end() {
    let store = memory();
    let busy = table(&store, 5).await;
    let (time, shared) = clock();
    let sleeper = LakeTable::open(place(&store), shared).await.unwrap();
    for version in 6..=20 {
        append(&busy, version..version + 1).await.unwrap();
    }
    busy.checkpoint().await.unwrap();
    assert_eq!(busy.clean_log_to(0, &[]).await.unwrap(), 20);
    time.advance(HEAD_MICROS_MAX);
    let newest = sleeper.update().await.unwrap();
    assert_eq!((newest.version, newest.row_count()), (20, Some(20)));
    assert_eq!(sleeper.current().version, 20);
}
