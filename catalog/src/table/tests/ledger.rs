//! The ledger of loaded files: found at once, kept by checkpoints, and one of two loads wins.

use std::sync::Arc;

use super::{append, batch, clock, ids, memory, place, schema, streamed};
use crate::faults::{Fault, FaultStore, Operation};
use crate::table::{Commit, LakeTable, LoadedFile, TableSnapshot};
use crate::{Error, Result, TableSpec};

fn loaded(file: &str, load: i64) -> LoadedFile {
    LoadedFile {
        file: file.to_owned(),
        etag: Some("tag".to_owned()),
        modified_micros: 17,
        size: 4,
        rows: 1,
        batch_id: format!("batch of {file} {load}"),
        load,
    }
}

/// Loads files, one row each with this id, as decided over `base`.
async fn load(
    table: &Arc<LakeTable>,
    base: &TableSnapshot,
    id: i64,
    files: &[LoadedFile],
) -> Result<Arc<TableSnapshot>> {
    let adds = table.write_files(base, streamed(vec![batch(id..id + 1)])).await?;
    table.commit(base, Commit { loaded: files.to_vec(), ..Commit::append(adds) }).await
}

#[tokio::test]
async fn a_file_is_found_after_checkpoints_without_its_log_entry() {
    let store = memory();
    let table = LakeTable::create(place(&store), TableSpec::new(schema()), clock()).await.unwrap();
    let (a, b) = (loaded("s3://x/a", 1), loaded("s3://x/a\",b", 1));
    load(&table, &table.current(), 0, &[a.clone(), b.clone()]).await.unwrap();
    let again = loaded("s3://x/a", 2);
    load(&table, &table.current(), 1, std::slice::from_ref(&again)).await.unwrap();
    table.checkpoint().await.unwrap();
    append(&table, 2..3).await.unwrap();
    for version in 0..3 {
        let entry = format!("t/_delta_log/{version:020}.json");
        object_store::ObjectStoreExt::delete(&*store, &entry.into()).await.unwrap();
    }
    let reopened = LakeTable::open(place(&store), clock()).await.unwrap();
    for snapshot in [table.current(), reopened.current()] {
        assert_eq!(snapshot.loaded_file("s3://x/a"), Some(again.clone()));
        assert_eq!(snapshot.loaded_file("s3://x/a\",b"), Some(b.clone()));
        assert_eq!(snapshot.loaded_file("s3://x/"), None);
        let mut all: Vec<_> = snapshot.loaded_files().collect();
        all.sort_by_key(|entry| (entry.file.clone(), entry.load));
        assert_eq!(all, [a.clone(), again.clone(), b.clone()]);
    }
}

#[tokio::test]
async fn one_of_two_loads_of_a_file_wins() {
    let store = memory();
    let first = LakeTable::create(place(&store), TableSpec::new(schema()), clock()).await.unwrap();
    let second = LakeTable::open(place(&store), clock()).await.unwrap();
    let (base, other_base) = (first.current(), second.current());
    load(&first, &base, 0, &[loaded("a", 1), loaded("b", 1)]).await.unwrap();
    let late = load(&second, &other_base, 1, &[loaded("b", 1), loaded("c", 1)]).await;
    assert!(matches!(late, Err(Error::AlreadyApplied { committed: 1, .. })), "{late:?}");
    let newest = second.update().await.unwrap();
    assert_eq!(newest.loaded_file("c"), None);
    assert_eq!(ids(&second, newest).await, [0]);
}

#[tokio::test]
async fn a_lost_answer_does_not_load_a_file_twice() {
    let store = FaultStore::new(memory());
    let shared: Arc<dyn object_store::ObjectStore> = Arc::clone(&store) as _;
    let table = LakeTable::create(place(&shared), TableSpec::new(schema()), clock()).await.unwrap();
    let base = table.current();
    let adds = table.write_files(&base, streamed(vec![batch(0..1)])).await.unwrap();
    // The entry lands, its answer is lost, and the store stays silent.
    store.fail_nth(Operation::Put, 1, Fault::After);
    for later in 1..=20 {
        store.fail_nth(Operation::Put, later + 1, Fault::Before);
        store.fail_nth(Operation::Get, later, Fault::Before);
    }
    let commit = Commit { loaded: vec![loaded("a", 1)], ..Commit::append(adds) };
    let unknown = table.commit(&base, commit).await;
    assert!(matches!(unknown, Err(Error::OutcomeUnknown { .. })), "{unknown:?}");
    store.heal();
    // Another server, and this one, are asked to load the file again.
    for table in [LakeTable::open(place(&shared), clock()).await.unwrap(), table] {
        let retried = load(&table, &base, 1, &[loaded("a", 1)]).await;
        assert!(matches!(retried, Err(Error::AlreadyApplied { .. })), "{retried:?}");
        let newest = table.update().await.unwrap();
        assert_eq!(newest.loaded_file("a"), Some(loaded("a", 1)));
        assert_eq!(ids(&table, newest).await, [0]);
    }
}

#[tokio::test]
async fn a_transaction_sees_what_it_has_loaded() {
    let table = super::table().await;
    let staged = table.current().with_loaded(&[loaded("a", 1)]);
    assert_eq!(staged.loaded_file("a"), Some(loaded("a", 1)));
    assert_eq!(table.current().loaded_file("a"), None);
}
