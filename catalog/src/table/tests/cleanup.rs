//! What clean-up takes from a log, and what it must not: versions that are pinned, younger ones, and the
//! commits of servers that slept.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{append, batch, ids, memory, place, schema, streamed};
use crate::clock::ManualClock;
use crate::faults::{FaultStore, Rates};
use crate::table::{Commit, LakeTable, TableSnapshot};
use crate::{Clock, Error, TableSpec};

/// 2100-01-01 00:00:00 UTC: files have the true time of day, and are younger by no clock.
const START_MICROS: i64 = 4_102_444_800_000_000;
const HOUR: i64 = 3600 * 1_000_000;

fn clock() -> (Arc<ManualClock>, Arc<dyn Clock>) {
    let clock = Arc::new(ManualClock::new(START_MICROS));
    (Arc::clone(&clock), clock)
}

/// A table of `versions` appends of one row each, with a checkpoint at every tenth version; an hour has
/// passed since the last.
async fn table(store: &Arc<dyn ObjectStore>, versions: i64) -> (Arc<ManualClock>, Arc<LakeTable>) {
    let (time, clock) = clock();
    let table = LakeTable::create(place(store), TableSpec::new(schema()), clock).await.unwrap();
    for version in 1..=versions {
        append_and_checkpoint(&table, version).await;
    }
    time.advance(HOUR);
    (time, table)
}

async fn append_and_checkpoint(table: &Arc<LakeTable>, version: i64) {
    append(table, version..version + 1).await.unwrap();
    if version % 10 == 0 {
        table.checkpoint().await.unwrap();
    }
}

async fn open(store: &Arc<dyn ObjectStore>, time: &Arc<ManualClock>) -> Arc<LakeTable> {
    LakeTable::open(place(store), Arc::clone(time) as Arc<dyn Clock>).await.unwrap()
}

fn paths(snapshot: &TableSnapshot) -> Vec<&str> {
    snapshot.files().map(|file| file.path()).collect()
}

#[tokio::test]
async fn old_entries_go_and_what_is_pinned_or_newer_can_be_read() {
    let store = memory();
    let (time, table) = table(&store, 47).await;
    let mut before = Vec::new();
    for version in 0..=47 {
        before.push(table.at_version(version).await.unwrap());
    }
    // Between 20 and 30 is a version that somebody holds.
    assert_eq!(table.clean_log_to(12, &[33, 27]).await.unwrap(), Some(20));
    assert_eq!(table.clean_log_to(12, &[33, 27]).await.unwrap(), None);
    let opened = open(&store, &time).await;
    for (version, before) in (0..).zip(&before) {
        let now = opened.at_version(version).await;
        if version >= 20 {
            let now = now.unwrap();
            assert_eq!((now.version, paths(&now)), (version, paths(before)));
        } else {
            assert!(matches!(now, Err(Error::VersionNotFound { .. })), "{version}: {now:?}");
        }
    }
    assert_eq!(opened.history(100).await.unwrap().len(), 28);
    let changed = opened.changed_files(19, 21, &opened.current()).await;
    assert!(matches!(changed, Err(Error::VersionNotFound { version: 19, .. })), "{changed:?}");
    // Without the pins the newest checkpoint that is at least 12 versions old is that of 30.
    assert_eq!(table.clean_log_to(12, &[]).await.unwrap(), Some(30));
    assert_eq!(open(&store, &time).await.current().file_count(), 47);
    // The oldest version that is left has a time.
    assert_eq!(opened.at_timestamp(START_MICROS).await.unwrap().version, 47);
    let earlier = opened.at_timestamp(START_MICROS - 1).await;
    assert!(matches!(earlier, Err(Error::TimeNotFound { .. })), "{earlier:?}");
}

#[tokio::test]
async fn young_versions_stay_and_those_of_a_month_go_whatever_their_number() {
    let store = memory();
    let (time, table) = table(&store, 20).await;
    time.advance(-1);
    assert_eq!(table.clean_log_to(0, &[]).await.unwrap(), None);
    for version in 21..=30 {
        append_and_checkpoint(&table, version).await;
    }
    time.advance(1);
    assert_eq!(table.clean_log_to(0, &[]).await.unwrap(), Some(20));
    assert_eq!(table.clean_log(&[]).await.unwrap(), None);
    time.advance(30 * 24 * HOUR);
    assert_eq!(table.clean_log(&[]).await.unwrap(), Some(30));
}

#[tokio::test]
async fn nothing_goes_where_the_checkpoint_before_it_cannot_be_read() {
    let store = memory();
    let (time, table) = table(&store, 25).await;
    let checkpoint = Path::from(format!("t/_delta_log/{:020}.checkpoint.parquet", 10));
    store.put(&checkpoint, "PAR1".into()).await.unwrap();
    let cleaned = table.clean_log_to(10, &[]).await;
    assert!(matches!(cleaned, Err(Error::Corrupt { .. })), "{cleaned:?}");
    assert_eq!(open(&store, &time).await.at_version(3).await.unwrap().file_count(), 3);
}

#[tokio::test]
async fn a_missing_entry_is_not_taken_for_a_cleaned_one() {
    let store = memory();
    let (time, _) = table(&store, 25).await;
    store.delete(&Path::from(format!("t/_delta_log/{:020}.json", 13))).await.unwrap();
    let opened = open(&store, &time).await;
    assert!(matches!(opened.at_version(14).await, Err(Error::Corrupt { .. })));
    assert_eq!(opened.at_version(21).await.unwrap().file_count(), 21);
}

/// A server that slept while others went on and cleaned up finds its next version free.
#[tokio::test]
async fn who_slept_through_a_clean_up_reads_and_commits_at_the_end() {
    let store = memory();
    let (time, busy) = table(&store, 5).await;
    let [writer, reader, late] =
        [open(&store, &time).await, open(&store, &time).await, open(&store, &time).await];
    let base = late.current();
    let adds = late.write_files(&base, streamed(vec![batch(900..902)])).await.unwrap();
    for version in 6..=40 {
        append_and_checkpoint(&busy, version).await;
    }
    time.advance(HOUR);
    assert_eq!(busy.clean_log_to(0, &[]).await.unwrap(), Some(40));

    let newest = reader.update().await.unwrap();
    assert_eq!((newest.version, newest.row_count()), (40, Some(40)));
    // What reads the newest version first is committed.
    writer.update().await.unwrap();
    assert_eq!(append(&writer, 100..101).await.unwrap().version, 41);
    // What was decided before the clean-up cannot tell whether it was committed then.
    let commit = Commit::append(adds);
    for _ in 0..2 {
        let tried = late.commit(&base, commit.clone()).await;
        assert!(matches!(tried, Err(Error::OutcomeUnknown { .. })), "{tried:?}");
    }
    assert_eq!(append(&late, 101..102).await.unwrap().version, 42);
    assert_eq!(open(&store, &time).await.current().row_count(), Some(42));
}

/// A clock in which an hour is over after 120 ms.
#[derive(Debug)]
struct FastClock(Instant);

const FASTER: u32 = 30_000;

impl Clock for FastClock {
    fn now_micros(&self) -> i64 {
        START_MICROS + i64::try_from((self.0.elapsed() * FASTER).as_micros()).unwrap()
    }
}

async fn sleep_minutes(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(60 * minutes) / FASTER).await;
}

/// One server of a simulation: its store loses answers, and lets it sleep for up to three hours at any request.
async fn server(store: &Arc<dyn ObjectStore>, seed: u64, start: Instant) -> Arc<LakeTable> {
    let faults = FaultStore::seeded(Arc::clone(store), seed, Rates::default());
    let opened = LakeTable::open(
        place(&(Arc::clone(&faults) as Arc<dyn ObjectStore>)),
        Arc::new(FastClock(start)),
    );
    let table = opened.await.unwrap();
    faults.reseed(seed, Rates { before: 10, after: 20, denied: 10, delay: 30, sleep: 15 });
    table
}

/// Appends ids, each as a statement of its own, and tries again what is unknown. Tells those that were
/// acknowledged and those of which nothing is known.
async fn write(table: Arc<LakeTable>, ids: Range<i64>) -> (Vec<i64>, Vec<i64>) {
    let (mut acknowledged, mut unknown) = (Vec::new(), Vec::new());
    for id in ids {
        let Ok(base) = table.update_if_older(1_000_000).await else { continue };
        let Ok(adds) = table.write_files(&base, streamed(vec![batch(id..id + 1)])).await else {
            continue;
        };
        let commit = Commit::append(adds);
        let mut open = false;
        for _ in 0..4 {
            match table.commit(&base, commit.clone()).await {
                Ok(_) => {
                    acknowledged.push(id);
                    open = false;
                    break;
                }
                Err(Error::OutcomeUnknown { .. }) => open = true,
                Err(Error::Store { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        if open {
            unknown.push(id);
        }
        sleep_minutes(1).await;
    }
    (acknowledged, unknown)
}

/// Writes a checkpoint every ten minutes, and removes all that may go at once.
async fn clean(table: Arc<LakeTable>) -> usize {
    let mut cleaned = 0;
    for _ in 0..60 {
        sleep_minutes(10).await;
        if table.update().await.is_ok() {
            let _ = table.checkpoint().await;
        }
        cleaned += usize::from(matches!(table.clean_log_to(0, &[]).await, Ok(Some(_))));
    }
    cleaned
}

/// What became of one seed: clean-ups, and ids that were acknowledged and those that are unknown.
async fn simulate(seed: u64) -> [usize; 3] {
    let (store, start) = (memory(), Instant::now());
    let healthy = Arc::new(FastClock(start));
    let spec = TableSpec::new(schema());
    LakeTable::create(place(&store), spec, Arc::clone(&healthy) as Arc<dyn Clock>).await.unwrap();
    let servers: Vec<_> = stream::iter(0..4)
        .then(|n| server(&store, seed.wrapping_mul(4).wrapping_add(n), start))
        .collect()
        .await;
    let [one, two, three, cleaner] = servers.try_into().unwrap();
    let (one, two, three, cleaned) = tokio::join!(
        write(one, 0..60),
        write(two, 100..160),
        write(three, 200..260),
        clean(cleaner)
    );
    let end = LakeTable::open(place(&store), healthy).await.unwrap();
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for id in ids(&end, end.current()).await {
        *counts.entry(id).or_default() += 1;
    }
    let mut sums = [cleaned, 0, 0];
    for (acknowledged, unknown) in [one, two, three] {
        sums[1] += acknowledged.len();
        sums[2] += unknown.len();
        for id in acknowledged {
            assert_eq!(counts.remove(&id), Some(1), "seed {seed}: acknowledged id {id}");
        }
        for id in unknown {
            let count = counts.remove(&id).unwrap_or(0);
            assert!(count <= 1, "seed {seed}: id {id} is there {count} times");
        }
    }
    assert!(counts.is_empty(), "seed {seed}: ids that nobody committed: {counts:?}");
    sums
}

#[tokio::test]
async fn commits_of_servers_that_sleep_are_there_once_whatever_is_cleaned_up_meanwhile() {
    let [cleaned, acknowledged, unknown] = stream::iter(0..64)
        .map(simulate)
        .buffer_unordered(16)
        .fold([0; 3], async |sums, done| std::array::from_fn(|n| sums[n] + done[n]))
        .await;
    let told = format!("{cleaned} clean-ups, {acknowledged} acknowledged, {unknown} unknown");
    assert!(cleaned > 100 && acknowledged > 8_000 && unknown > 20, "{told}");
}
