//! Several committers on one table.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{append, batch, clock, ids, memory, place, schema, streamed, table};
use crate::table::{Commit, CommitKind, LakeTable};
use crate::{Error, TableSpec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_of_two_servers_are_all_there_once() {
    let store = memory();
    let first = LakeTable::create(place(&store), TableSpec::new(schema()), clock()).await.unwrap();
    let second = LakeTable::open(place(&store), clock()).await.unwrap();
    let work = |table: Arc<LakeTable>, start: i64| {
        tokio::spawn(async move {
            for id in start..start + 100 {
                append(&table, id..id + 1).await.unwrap();
            }
        })
    };
    let (one, two) = (work(Arc::clone(&first), 0), work(Arc::clone(&second), 100));
    one.await.unwrap();
    two.await.unwrap();
    for table in [first, second, LakeTable::open(place(&store), clock()).await.unwrap()] {
        let newest = table.update().await.unwrap();
        assert_eq!(newest.version, 200);
        assert_eq!(ids(&table, newest).await, (0..200).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn one_of_two_rewrites_of_a_file_wins() {
    let table = table().await;
    let base = append(&table, 0..1).await.unwrap();
    let rewrite = || Commit {
        removes: base.files().map(|file| file.path().to_owned()).collect(),
        ..Commit::new("DELETE", CommitKind::Rewrite { read_all: false })
    };
    table.commit(&base, rewrite()).await.unwrap();
    let late = table.commit(&base, rewrite()).await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
}

#[tokio::test]
async fn an_overwrite_does_not_swallow_a_concurrent_append() {
    let table = table().await;
    let base = append(&table, 0..1).await.unwrap();
    append(&table, 1..2).await.unwrap();
    let overwrite = |read_all| Commit {
        removes: base.files().map(|file| file.path().to_owned()).collect(),
        ..Commit::new("WRITE", CommitKind::Rewrite { read_all })
    };
    let refused = table.commit(&base, overwrite(true)).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
    // A DELETE of the rows that it saw leaves the others.
    let newest = table.commit(&base, overwrite(false)).await.unwrap();
    assert_eq!(ids(&table, newest).await, [1]);
}

#[tokio::test]
async fn rearranged_files_are_no_new_rows() {
    let table = table().await;
    let base = append(&table, 0..1).await.unwrap();
    let rows = streamed(vec![batch(0..1)]);
    let compacted = Commit {
        adds: table.write_files(&base, rows).await.unwrap(),
        removes: base.files().map(|file| file.path().to_owned()).collect(),
        data_change: false,
        ..Commit::new("OPTIMIZE", CommitKind::Rewrite { read_all: false })
    };
    table.commit(&base, compacted).await.unwrap();
    let metadata = Commit::new("CHECK", CommitKind::Metadata { read_all: true });
    let newest = table.commit(&base, metadata).await.unwrap();
    assert_eq!(ids(&table, newest).await, [0]);
}

#[tokio::test]
async fn an_append_checked_against_an_old_definition_is_sent_back() {
    let table = table().await;
    let base = table.current();
    let adds = table.write_files(&base, streamed(vec![batch(0..1)])).await.unwrap();
    let mut spec = base.spec();
    spec.constraints.insert("c".to_owned(), "id > 100".to_owned());
    let alter = Commit {
        metadata: Some(spec),
        ..Commit::new("ADD CONSTRAINT", CommitKind::Metadata { read_all: true })
    };
    let altered = table.commit(&base, alter.clone()).await.unwrap();
    assert_eq!(altered.constraints.len(), 1);
    let late = table.commit(&base, Commit::append(adds.clone())).await;
    assert!(matches!(late, Err(Error::MetadataChanged { .. })), "{late:?}");
    let second = Commit { operation_id: uuid::Uuid::new_v4(), ..alter };
    let second = table.commit(&base, second).await;
    assert!(matches!(second, Err(Error::Conflict { .. })), "{second:?}");
    table.commit(&altered, Commit::append(adds)).await.unwrap();
}

#[tokio::test]
async fn a_replayed_producer_is_recognised_after_a_restart() {
    let store = memory();
    let table = LakeTable::create(place(&store), TableSpec::new(schema()), clock()).await.unwrap();
    let numbered = async |table: &Arc<LakeTable>, version: i64| {
        let base = table.current();
        let adds = table.write_files(&base, streamed(vec![batch(version..version + 1)])).await?;
        let txns = vec![("producer".to_owned(), version)];
        table.commit(&base, Commit { txns, ..Commit::append(adds) }).await
    };
    for version in [1, 2, 5] {
        numbered(&table, version).await.unwrap();
    }
    let reopened = LakeTable::open(place(&store), clock()).await.unwrap();
    for table in [table, reopened] {
        for version in [1, 4, 5] {
            match numbered(&table, version).await {
                Err(Error::AlreadyApplied { committed, .. }) => assert_eq!(committed, 5),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(ids(&table, table.current()).await, [1, 2, 5]);
    }
}

#[tokio::test]
async fn an_exact_commit_agrees_with_nothing() {
    let table = table().await;
    let base = table.current();
    append(&table, 0..1).await.unwrap();
    let late = table.commit(&base, Commit::new("DDL", CommitKind::Exact)).await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
}

#[tokio::test]
async fn committing_an_operation_again_finds_it() {
    let table = table().await;
    let base = table.current();
    let adds = table.write_files(&base, streamed(vec![batch(0..1)])).await.unwrap();
    let commit = Commit::append(adds);
    table.commit(&base, commit.clone()).await.unwrap();
    table.commit(&base, commit).await.unwrap();
    assert_eq!(table.current().version, 1);
}

#[tokio::test]
async fn append_only_tables_keep_their_rows() {
    let mut spec = TableSpec::new(schema());
    spec.configuration.insert("delta.appendOnly".to_owned(), "true".to_owned());
    let table = LakeTable::create(place(&memory()), spec, clock()).await.unwrap();
    let base = append(&table, 0..1).await.unwrap();
    let commit = Commit {
        removes: base.files().map(|file| file.path().to_owned()).collect(),
        ..Commit::new("DELETE", CommitKind::Rewrite { read_all: false })
    };
    let refused = table.commit(&base, commit).await;
    assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
}

#[tokio::test]
async fn the_thousandth_commit_costs_what_the_first_did() {
    let (long, mut long_times) = (table().await, Vec::new());
    for id in 0..1_000 {
        append(&long, id..id + 1).await.unwrap();
    }
    // Turn by turn with a young table, so that a busy machine slows both.
    let (young, mut young_times) = (table().await, Vec::new());
    for id in 1_000..1_100 {
        for (table, times) in [(&long, &mut long_times), (&young, &mut young_times)] {
            let start = std::time::Instant::now();
            append(table, id..id + 1).await.unwrap();
            times.push(start.elapsed());
        }
    }
    long_times.sort();
    young_times.sort();
    let (long, young) = (long_times[50], young_times[50]);
    assert!(long < young * 3 / 2, "{long:?} after 1,000 commits, {young:?} after none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_background_writes_checkpoints_and_nobody_notices() {
    let store = memory();
    let table = LakeTable::create(place(&store), TableSpec::new(schema()), clock()).await.unwrap();
    for id in 0..250 {
        append(&table, id..id + 1).await.unwrap();
    }
    let checkpoints = async || {
        let listing = table.log.list().await.unwrap();
        listing.checkpoints_before(250).map(|(version, _)| version).collect::<BTreeSet<_>>()
    };
    while checkpoints().await.is_empty() {
        tokio::task::yield_now().await;
    }
    let reopened = LakeTable::open(place(&store), clock()).await.unwrap();
    assert_eq!(ids(&reopened, reopened.current()).await, (0..250).collect::<Vec<_>>());
}
