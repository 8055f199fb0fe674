//! Commits over a store that fails: acknowledged is there once, the rest at most once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use futures::{StreamExt, stream};
use object_store::ObjectStore;

use super::{append, batch, clock, ids, memory, place, schema, streamed};
use crate::faults::{Fault, FaultStore, Operation, Rates};
use crate::table::write::PART_BYTES;
use crate::table::{Commit, CommitKind, HeldFiles, LakeTable};
use crate::{Error, TableSpec};

/// Tries of an operation before the simulation takes its error for an answer.
const TRIES: usize = 3;

/// The table of a store, opened through a store that fails from then on.
async fn faulty_table(
    store: &Arc<dyn ObjectStore>,
    seed: u64,
    rates: Rates,
) -> (Arc<FaultStore>, Arc<LakeTable>) {
    let faults = FaultStore::new(Arc::clone(store));
    let shared: Arc<dyn ObjectStore> = Arc::<FaultStore>::clone(&faults);
    let table = LakeTable::open(place(&shared), clock()).await.unwrap();
    faults.reseed(seed, rates);
    (faults, table)
}

#[tokio::test]
async fn a_lost_answer_is_found_in_the_log() {
    let store = memory();
    LakeTable::create(place(&store), TableSpec::new(schema()), clock()).await.unwrap();
    for fault in [Fault::After, Fault::Before] {
        let (faults, table) = faulty_table(&store, 0, Rates::default()).await;
        let base = table.current();
        let adds = table.write_files(&base, streamed(vec![batch(0..1)])).await.unwrap();
        faults.fail_nth(Operation::Put, 1, fault);
        let next = table.commit(&base, Commit::append(adds)).await.unwrap();
        assert_eq!(next.version, base.version + 1);
        assert_eq!(table.update().await.unwrap().version, base.version + 1);
    }
}

#[tokio::test]
async fn a_store_that_stays_silent_leaves_the_outcome_open_and_a_retry_closes_it() {
    let store = memory();
    LakeTable::create(place(&store), TableSpec::new(schema()), clock()).await.unwrap();
    for fault in [Fault::After, Fault::Before] {
        let (faults, table) = faulty_table(&store, 0, Rates::default()).await;
        let base = table.current();
        let adds = table.write_files(&base, streamed(vec![batch(0..1)])).await.unwrap();
        let commit = Commit::append(adds);
        faults.fail_nth(Operation::Put, 1, fault);
        for later in 1..=20 {
            faults.fail_nth(Operation::Put, later + 1, Fault::Before);
            faults.fail_nth(Operation::Get, later, Fault::Before);
        }
        let unknown = table.commit(&base, commit.clone()).await;
        let Err(Error::OutcomeUnknown { operation_id, .. }) = unknown else {
            panic!("{unknown:?}")
        };
        assert_eq!(operation_id, commit.operation_id);
        faults.heal();
        table.commit(&base, commit).await.unwrap();
        assert_eq!(table.update().await.unwrap().version, base.version + 1);
    }
}

#[tokio::test]
async fn a_store_that_only_answers_reads_tells_that_a_commit_landed() {
    let store = memory();
    LakeTable::create(place(&store), TableSpec::new(schema()), clock()).await.unwrap();
    let (faults, table) = faulty_table(&store, 0, Rates::default()).await;
    let base = table.current();
    let adds = table.write_files(&base, streamed(vec![batch(0..1)])).await.unwrap();
    faults.fail_nth(Operation::Put, 1, Fault::After);
    for later in 2..=20 {
        faults.fail_nth(Operation::Put, later, Fault::Before);
    }
    let next = table.commit(&base, Commit::append(adds)).await.unwrap();
    assert_eq!(next.version, base.version + 1);
}

/// A row whose file is uploaded in parts: the start may fail, a part, or what makes one file of them.
fn large_row(id: i64) -> RecordBatch {
    // Nothing that compression would make small.
    let mut state = id.unsigned_abs();
    let mut letter = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + (state >> 33) as u8 % 94)
    };
    let name: String = (0..3 * PART_BYTES).map(|_| letter()).collect();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![id])), Arc::new(StringArray::from(vec![name]))];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// What a simulated writer knows of the ids that it wrote.
#[derive(Default)]
struct Outcomes {
    acknowledged: Vec<i64>,
    unknown: Vec<i64>,
}

/// Appends ids through a faulty store, as the writer of a server would.
async fn write(table: Arc<LakeTable>, ids: std::ops::Range<i64>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    for id in ids {
        let base = table.current();
        let rows = vec![if id % 4 == 1 { large_row(id) } else { batch(id..id + 1) }];
        // Every other row is put by its commit.
        let mut held = HeldFiles::default();
        let mut commit = Commit::append(Vec::new());
        if id % 2 == 0 {
            held = table.hold_files(&base, rows).await.unwrap();
            // What a retry names, whose files were put already.
            commit.adds = held.adds.clone();
            held.adds.clear();
        } else {
            let Ok(adds) = table.write_files(&base, streamed(rows)).await else { continue };
            commit.adds = adds;
        }
        let mut open = false;
        for _ in 0..TRIES {
            match table.commit_with(&base, commit.clone(), std::mem::take(&mut held)).await {
                // Its files could not be put, so nothing was committed.
                Err(Error::Store { .. }) if id % 2 == 0 && !open => break,
                Ok(_) => {
                    outcomes.acknowledged.push(id);
                    open = false;
                    break;
                }
                Err(Error::OutcomeUnknown { .. }) => open = true,
                Err(error) => panic!("{error:?}"),
            }
        }
        if open {
            outcomes.unknown.push(id);
        }
    }
    outcomes
}

/// Puts the rows of two files into one, again and again, and does not mind when others come first.
async fn compact(table: Arc<LakeTable>) {
    for _ in 0..8 {
        let Ok(base) = table.update().await else { continue };
        let compacted: Vec<_> = base.files().take(2).cloned().collect();
        let mut rows = Vec::new();
        for file in &compacted {
            rows.extend(table.read_file(file).await.unwrap_or_default());
        }
        let held: usize = rows.iter().map(|batch| batch.num_rows()).sum();
        let expected: u64 = compacted.iter().filter_map(|file| file.row_count()).sum();
        let Ok(files) = table.hold_files(&base, rows).await else { continue };
        if held as u64 != expected || compacted.is_empty() {
            continue;
        }
        let commit = Commit {
            removes: compacted.iter().map(|file| file.path().to_owned()).collect(),
            data_change: false,
            ..Commit::new("OPTIMIZE", CommitKind::Rewrite { read_all: false })
        };
        match table.commit_with(&base, commit, files).await {
            Ok(_)
            | Err(Error::Conflict { .. } | Error::OutcomeUnknown { .. } | Error::Store { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn simulate(seed: u64) -> usize {
    let store = memory();
    LakeTable::create(place(&store), TableSpec::new(schema()), clock()).await.unwrap();
    let rates = Rates { before: 220, after: 220, delay: 150, denied: 80, ..Rates::default() };
    let (_, one) = faulty_table(&store, seed, rates).await;
    let (_, two) = faulty_table(&store, !seed, rates).await;
    let (_, three) = faulty_table(&store, seed.rotate_left(7), rates).await;
    let (one, two, ()) = tokio::join!(write(one, 0..8), write(two, 8..16), compact(three));
    let healthy = LakeTable::open(place(&store), clock()).await.unwrap();
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for id in ids(&healthy, healthy.current()).await {
        *counts.entry(id).or_default() += 1;
    }
    let acknowledged = one.acknowledged.len() + two.acknowledged.len();
    for outcomes in [one, two] {
        for id in outcomes.acknowledged {
            assert_eq!(counts.remove(&id), Some(1), "seed {seed}: acknowledged id {id}");
        }
        for id in outcomes.unknown {
            let count = counts.remove(&id).unwrap_or(0);
            assert!(count <= 1, "seed {seed}: id {id} is there {count} times");
        }
    }
    assert!(counts.is_empty(), "seed {seed}: ids that nobody committed: {counts:?}");
    acknowledged
}

#[tokio::test]
async fn acknowledged_commits_are_there_once_whatever_the_store_does() {
    // Side by side, for most of the time is spent waiting for the next try.
    let acknowledged: usize = stream::iter(0..2_000)
        .map(simulate)
        .buffer_unordered(100)
        .fold(0, async |sum, acknowledged| sum + acknowledged)
        .await;
    // Data files fail half of the time, those in parts more often; commits almost never: they ask
    // again.
    assert!(acknowledged > 10_000, "only {acknowledged} of 32,000 commits went through");
}

#[tokio::test]
async fn an_append_costs_one_data_file_one_entry_and_no_read_however_long_the_log() {
    let store = memory();
    LakeTable::create(place(&store), TableSpec::new(schema()), clock()).await.unwrap();
    let (faults, table) = faulty_table(&store, 0, Rates::default()).await;
    let counts = || {
        [Operation::Put, Operation::Part, Operation::Get, Operation::List]
            .map(|operation| faults.count(operation))
    };
    // However many there were before.
    for id in 0..80 {
        append(&table, id..id + 1).await.unwrap();
    }
    let before = counts();
    append(&table, 80..81).await.unwrap();
    let after = counts();
    let difference: Vec<u64> =
        after.iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(difference, [2, 0, 0, 0]);
}
