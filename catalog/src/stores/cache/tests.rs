//! The cache against the store itself: the same bytes, fewer requests, within the limit.

#![expect(clippy::unwrap_used, reason = "tests")]

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use proptest::prelude::*;

use super::*;
use crate::faults::{FaultStore, Operation};

/// A file of a table of the server's own.
fn data_file(number: u8) -> Path {
    let table = "0d4f0c2e-9a11-4f4c-9a0d-b0a7a3cc6ae8";
    Path::from(format!("w/s/{table}/part-00000000-0000-4000-8000-{number:012}.snappy.parquet"))
}

struct Fixture {
    folder: tempfile::TempDir,
    limit_bytes: u64,
    counted: Arc<FaultStore>,
    store: CachedStore,
}

impl Fixture {
    fn new(limit_bytes: u64) -> Self {
        let counted = FaultStore::new(Arc::new(InMemory::new()));
        let folder = tempfile::tempdir().unwrap();
        let store = Self::open(&folder, limit_bytes, &counted);
        Self { folder, limit_bytes, counted, store }
    }

    fn open(
        folder: &tempfile::TempDir,
        limit_bytes: u64,
        counted: &Arc<FaultStore>,
    ) -> CachedStore {
        let options = CacheOptions { directory: folder.path().to_owned(), limit_bytes };
        let inner = Arc::clone(counted) as Arc<dyn ObjectStore>;
        CachedStore::new(inner, "s3://lake/", Path::from("w"), Blocks::open(&options).unwrap())
    }

    /// As a restart of the server does.
    fn reopen(self) -> Self {
        let Self { folder, limit_bytes, counted, store } = self;
        drop(store);
        let store = Self::open(&folder, limit_bytes, &counted);
        Self { folder, limit_bytes, counted, store }
    }

    async fn put(&self, path: &str, length: u64) -> Vec<u8> {
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8 ^ (at >> 12) as u8).collect();
        self.store.put(&Path::from(path), bytes.clone().into()).await.unwrap();
        bytes
    }

    fn requests(&self) -> u64 {
        self.counted.count(Operation::Get)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn ranges_are_those_of_the_store(
        length in 1_u64..3_000_000,
        picks in prop::collection::vec((0_u64..3_000_000, 1_u64..900_000), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new(2 << 20);
            let path = data_file(1);
            let bytes = fixture.put(path.as_ref(), length).await;
            let ranges: Vec<Range<u64>> = picks
                .iter()
                .map(|(start, size)| (start % length)..((start % length) + size).min(length))
                .collect();
            for _ in 0..2 {
                let found = fixture.store.get_ranges(&path, &ranges).await.unwrap();
                for (range, found) in ranges.iter().zip(&found) {
                    assert_eq!(found, &bytes[range.start as usize..range.end as usize]);
                }
                let one = fixture.store.get_range(&path, ranges[0].clone()).await.unwrap();
                assert_eq!(one, found[0]);
            }
            assert!(fixture.store.blocks.counts().held_bytes() <= 2 << 20);
        });
    }
}

#[tokio::test]
async fn what_was_read_once_is_not_asked_for_again_even_after_a_restart() {
    let fixture = Fixture::new(8 << 20);
    let path = data_file(1);
    let bytes = fixture.put(path.as_ref(), 1_000_000).await;
    // The footer, then columns before it.
    for range in [999_000..1_000_000, 10..20_000, 300_000..900_000] {
        fixture.store.get_range(&path, range).await.unwrap();
    }
    let before = fixture.requests();
    assert_eq!(before, 3);
    fixture.store.get_range(&path, 500..999_999).await.unwrap();
    assert_eq!(fixture.requests(), before);
    let fixture = fixture.reopen();
    let found = fixture.store.get_range(&path, 0..1_000_000).await.unwrap();
    assert_eq!((fixture.requests(), found.len()), (before, bytes.len()));
    assert_eq!(found, bytes);
}

#[tokio::test]
async fn what_may_change_is_always_asked_for() {
    let fixture = Fixture::new(8 << 20);
    for path in [
        "w/t/_delta_log/00000000000000000010.checkpoint.parquet",
        "w/t/_delta_log/00000000000000000010.json",
        "w/s/0d4f0c2e-9a11-4f4c-9a0d-b0a7a3cc6ae8/_delta_log/00000000000000000010.checkpoint.parquet",
        "elsewhere/0d4f0c2e-9a11-4f4c-9a0d-b0a7a3cc6ae8/part-00000000-0000-4000-8000-000000000001.parquet",
        "w/t/notes.csv",
        // What others put into the warehouse, they may put again.
        "w/landing/part-1.parquet",
        "w/landing/part-00000000-0000-4000-8000-000000000001.parquet",
        "w/landing/0d4f0c2e-9a11-4f4c-9a0d-b0a7a3cc6ae8/part-1.parquet",
    ] {
        fixture.put(path, 100).await;
        let before = fixture.requests();
        for _ in 0..2 {
            fixture.store.get_range(&Path::from(path), 0..100).await.unwrap();
        }
        assert_eq!(fixture.requests(), before + 2, "{path}");
    }
}

#[tokio::test]
async fn a_block_that_the_disk_has_changed_is_fetched_again() {
    let fixture = Fixture::new(8 << 20);
    let path = data_file(1);
    let bytes = fixture.put(path.as_ref(), 1_000).await;
    fixture.store.get_range(&path, 0..1_000).await.unwrap();
    let folders = std::fs::read_dir(fixture.folder.path().join("blocks")).unwrap();
    let folder = folders.map(|entry| entry.unwrap().path()).next().unwrap();
    let block = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    for change in [|bytes: &mut Vec<u8>| bytes[200] ^= 1, |bytes: &mut Vec<u8>| bytes.truncate(30)]
    {
        let mut stored = std::fs::read(&block).unwrap();
        change(&mut stored);
        std::fs::write(&block, stored).unwrap();
        let before = fixture.requests();
        let found = fixture.store.get_range(&path, 0..1_000).await.unwrap();
        assert_eq!(found, bytes);
        assert_eq!(fixture.requests(), before + 1);
    }
}

#[tokio::test]
async fn the_oldest_goes_first() {
    let fixture = Fixture::new(3 * (BLOCK_BYTES + 200));
    let paths: Vec<Path> = (0..4).map(data_file).collect();
    for path in &paths {
        fixture.put(path.as_ref(), BLOCK_BYTES).await;
    }
    let read = |index: usize| fixture.store.get_range(&paths[index], 0..100);
    for index in [0, 1, 2, 0, 3] {
        read(index).await.unwrap();
    }
    let before = fixture.requests();
    for index in [0, 2, 3] {
        read(index).await.unwrap();
    }
    assert_eq!(fixture.requests(), before);
    read(1).await.unwrap();
    assert_eq!(fixture.requests(), before + 1);
}

#[test]
fn two_servers_do_not_share_a_folder() {
    let fixture = Fixture::new(1 << 20);
    let options = CacheOptions { directory: fixture.folder.path().to_owned(), limit_bytes: 1 };
    let error = Blocks::open(&options).unwrap_err().to_string();
    assert!(error.ends_with("another server uses it"), "{error}");
}
