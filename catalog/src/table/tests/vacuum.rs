//! What VACUUM removes, and what it must not.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use super::{append, memory, place, schema};
use crate::clock::ManualClock;
use crate::table::{Commit, CommitKind, LakeTable, TableSnapshot};
use crate::{Clock, TableSpec};

const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;
/// 2100-01-01 00:00:00 UTC: what the store was given in this test is old by then.
const LATER_MICROS: i64 = 4_102_444_800_000_000;

async fn table(store: &Arc<dyn ObjectStore>) -> (Arc<ManualClock>, Arc<LakeTable>) {
    let clock = Arc::new(ManualClock::new(LATER_MICROS));
    let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let table = LakeTable::create(place(store), TableSpec::new(schema()), shared).await.unwrap();
    (clock, table)
}

/// Takes the oldest file out.
async fn remove_one(table: &Arc<LakeTable>) -> Arc<TableSnapshot> {
    let base = table.current();
    let removes = base.files().take(1).map(|file| file.path().to_owned()).collect();
    let commit =
        Commit { removes, ..Commit::new("DELETE", CommitKind::Rewrite { read_all: false }) };
    table.commit(&base, commit).await.unwrap()
}

async fn is_readable(table: &LakeTable, version: i64) -> bool {
    for file in table.at_version(version).await.unwrap().files() {
        if table.read_file(file).await.is_err() {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_removed_file_goes_when_its_removal_is_older_than_the_retention() {
    let store = memory();
    let (clock, table) = table(&store).await;
    append(&table, 0..5).await.unwrap();
    append(&table, 5..9).await.unwrap();
    let gone = table.current().files().next().unwrap().path().to_owned();
    remove_one(&table).await;
    clock.advance(3 * DAY_MICROS);
    let kept = table.vacuum(4 * DAY_MICROS, &[], false).await.unwrap();
    assert_eq!(kept.files, Vec::<String>::new());
    let pinned = table.vacuum(DAY_MICROS, &[2], false).await.unwrap();
    assert_eq!(pinned.files, Vec::<String>::new());
    let told = table.vacuum(2 * DAY_MICROS, &[], true).await.unwrap();
    assert_eq!(told.files, [gone]);
    assert!(told.bytes > 0 && is_readable(&table, 2).await);
    assert_eq!(table.vacuum(2 * DAY_MICROS, &[], false).await.unwrap(), told);
    assert!(!is_readable(&table, 2).await && is_readable(&table, 3).await);
    assert_eq!(table.vacuum(0, &[], false).await.unwrap().files, Vec::<String>::new());
}

#[tokio::test]
async fn what_no_version_names_goes_after_a_day_and_what_is_hidden_stays() {
    let store = memory();
    let (_, table) = table(&store).await;
    append(&table, 0..5).await.unwrap();
    let put = async |name: &str| {
        store.put(&Path::from(format!("t/{name}")), PutPayload::from("x")).await.unwrap();
    };
    for name in ["left.parquet", "day=1/left.parquet", "_delta_log/x.json", ".hidden", "_other/y"] {
        put(name).await;
    }
    let vacuumed = table.vacuum(7 * DAY_MICROS, &[], false).await.unwrap();
    assert_eq!(vacuumed.files, ["day=1/left.parquet", "left.parquet"]);
    assert!(is_readable(&table, 1).await);

    // By the clock of the store these are new, whatever the retention.
    let now: Arc<dyn Clock> = Arc::new(crate::SystemClock);
    let recent = LakeTable::open(place(&store), now).await.unwrap();
    put("young.parquet").await;
    assert_eq!(recent.vacuum(0, &[], false).await.unwrap().files, Vec::<String>::new());
}

/// Random appends and removals over some days, then a VACUUM: every version that was the newest at some
/// time within the retention can be read, and nothing is left that none of them holds.
#[tokio::test]
async fn versions_within_the_retention_stay_readable() {
    let mut removed = 0;
    for seed in 0..40_u64 {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut draw = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let store = memory();
        let (clock, table) = table(&store).await;
        // Each version's files, and when it was followed by the next.
        let mut versions: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        let mut ended: BTreeMap<i64, i64> = BTreeMap::new();
        for _ in 0..30 {
            let before = table.current();
            clock.advance(i64::try_from(draw(20)).unwrap() * DAY_MICROS / 10);
            let next = if draw(3) == 0 && before.file_count() > 0 {
                remove_one(&table).await
            } else {
                append(&table, 0..1).await.unwrap()
            };
            ended.insert(before.version, clock.now_micros());
            versions.insert(next.version, next.files().map(|f| f.path().to_owned()).collect());
        }
        clock.advance(DAY_MICROS);
        // Up to a week, and beyond it.
        let retain = i64::try_from(draw(16)).unwrap() * DAY_MICROS;
        let cutoff = clock.now_micros() - retain;
        removed += table.vacuum(retain, &[], false).await.unwrap().files.len();

        let mut wanted = std::collections::BTreeSet::new();
        for (version, files) in &versions {
            let end = ended.get(version);
            // At the very moment of the cutoff either is right.
            if end.is_none_or(|end| *end >= cutoff) {
                wanted.extend(files.iter().cloned());
            }
            if end.is_none_or(|end| *end > cutoff) {
                assert!(is_readable(&table, *version).await, "seed {seed}: version {version}");
            }
        }
        let all: std::collections::BTreeSet<String> =
            versions.values().flatten().cloned().collect();
        for file in all.difference(&wanted) {
            let path = Path::from(format!("t/{file}"));
            assert!(store.head(&path).await.is_err(), "seed {seed}: {file} is left");
        }
    }
    assert!(removed > 100, "{removed}");
}
