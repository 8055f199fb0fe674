//! The blocks on disk: which there are, which goes next.
//!
//! ```text
//! <directory>/lock                 held while a server uses the folder
//! <directory>/blocks/<aa>/<name>   one block; the name is a hash of its key, the key stands inside
//! ```
//!
//! Never: more than the limit is held, but for the block that is being written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;

use super::CacheOptions;
use crate::error::{Error, Result};

/// How many bytes of an object one block has; its last may have less.
pub(super) const BLOCK_BYTES: u64 = 256 << 10;
const MAGIC: u64 = u64::from_be_bytes(*b"TARNBLK1");
/// Before the key and the bytes: magic, checksum, size and time of the object, length of the key.
const HEAD_BYTES: usize = 8 * 4 + 4;

/// What the cache did, for the operator.
#[derive(Debug, Default)]
pub struct CacheCounts {
    hits: AtomicU64,
    misses: AtomicU64,
    held_bytes: AtomicU64,
}

impl CacheCounts {
    /// Blocks that were read from the local disk.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Blocks that the store was asked for.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// What is on the local disk now.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes.load(Ordering::Relaxed)
    }
}

/// A part of an object.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// Of the whole object.
    pub(super) size: u64,
    pub(super) modified_micros: i64,
    pub(super) bytes: Bytes,
}

/// All blocks of a folder.
#[derive(Debug)]
pub(crate) struct Blocks {
    directory: PathBuf,
    limit_bytes: u64,
    index: Mutex<Index>,
    counts: Arc<CacheCounts>,
    /// Unlocked when it is closed, however the process ends.
    _lock: File,
}

#[derive(Debug, Default)]
struct Index {
    blocks: HashMap<u128, Held>,
    /// From when they were used last, to their names.
    order: BTreeMap<u64, u128>,
    next: u64,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    bytes: u64,
    used: u64,
}

impl Blocks {
    /// Takes over what a server before this one left in the folder.
    pub(crate) fn open(options: &CacheOptions) -> Result<Arc<Self>> {
        let directory = options.directory.join("blocks");
        let failed = |reason: String| Error::Cache {
            directory: options.directory.display().to_string(),
            reason,
        };
        fs::create_dir_all(&directory).map_err(|error| failed(error.to_string()))?;
        let lock = File::create(options.directory.join("lock"));
        let lock = lock.map_err(|error| failed(error.to_string()))?;
        lock.try_lock().map_err(|_| failed("another server uses it".to_owned()))?;
        let index = found(&directory).map_err(|error| failed(error.to_string()))?;
        let blocks = Self {
            directory,
            limit_bytes: options.limit_bytes,
            index: Mutex::new(index),
            counts: Arc::default(),
            _lock: lock,
        };
        blocks.evict();
        Ok(Arc::new(blocks))
    }

    pub(crate) fn counts(&self) -> &Arc<CacheCounts> {
        &self.counts
    }

    /// Those of the blocks of an object that are held.
    pub(super) async fn read(
        self: &Arc<Self>,
        key: &str,
        numbers: &BTreeSet<u64>,
    ) -> BTreeMap<u64, Block> {
        let (cache, key) = (Arc::clone(self), key.to_owned());
        let known: Vec<(u64, u128)> = {
            let mut index = self.index.lock();
            let named = numbers.iter().map(|number| (*number, name(&key, *number)));
            named.filter(|(_, name)| index.touch(*name)).collect()
        };
        let wanted = numbers.len() as u64;
        let read = tokio::task::spawn_blocking(move || {
            let block = |(number, name): (u64, u128)| match cache.load(&key, number, name) {
                Some(block) => Some((number, block)),
                None => {
                    cache.forget(name);
                    None
                }
            };
            known.into_iter().filter_map(block).collect::<BTreeMap<_, _>>()
        });
        let found = read.await.unwrap_or_default();
        let hits = found.len() as u64;
        self.counts.hits.fetch_add(hits, Ordering::Relaxed);
        self.counts.misses.fetch_add(wanted - hits, Ordering::Relaxed);
        found
    }

    /// Keeps blocks of an object. What the disk refuses is not kept.
    pub(super) async fn keep(self: &Arc<Self>, key: &str, blocks: &[(u64, Block)]) {
        if blocks.is_empty() {
            return;
        }
        let (cache, key, blocks) = (Arc::clone(self), key.to_owned(), blocks.to_vec());
        let kept = tokio::task::spawn_blocking(move || {
            for (number, block) in &blocks {
                if let Err(error) = cache.store(&key, *number, block) {
                    tracing::debug!(%error, "could not keep a block in the cache");
                    break;
                }
                cache.evict();
            }
        });
        // A reader does not care whether it was kept.
        drop(kept.await);
    }

    fn path(&self, name: u128) -> PathBuf {
        let name = format!("{name:032x}");
        self.directory.join(&name[..2]).join(name)
    }

    /// A block, if it is what it should be.
    fn load(&self, key: &str, number: u64, name: u128) -> Option<Block> {
        let bytes = Bytes::from(fs::read(self.path(name)).ok()?);
        let mut head = bytes.get(..HEAD_BYTES)?;
        let (magic, checksum) = (head.get_u64(), head.get_u64());
        let (size, modified_micros) = (head.get_u64(), head.get_i64());
        let start = HEAD_BYTES + head.get_u32() as usize;
        let its_key = bytes.get(HEAD_BYTES..start)?;
        let sound = magic == MAGIC
            && its_key == format!("{number} {key}").as_bytes()
            && checksum == checksum_of(&bytes[16..]);
        sound.then(|| Block { size, modified_micros, bytes: bytes.slice(start..) })
    }

    fn store(&self, key: &str, number: u64, block: &Block) -> io::Result<()> {
        let name = name(key, number);
        let key = format!("{number} {key}");
        let mut bytes = Vec::with_capacity(HEAD_BYTES + key.len() + block.bytes.len());
        bytes.extend_from_slice(&MAGIC.to_be_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&block.size.to_be_bytes());
        bytes.extend_from_slice(&block.modified_micros.to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(&block.bytes);
        let checksum = checksum_of(&bytes[16..]);
        bytes[8..16].copy_from_slice(&checksum.to_be_bytes());
        let path = self.path(name);
        let temporary = path.with_extension(format!("{}", uuid::Uuid::new_v4().simple()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // Not synced: a block that a power loss tears fails its checksum.
        let written = File::create(&temporary)
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            drop(fs::remove_file(&temporary));
        }
        written?;
        self.index.lock().add(name, bytes.len() as u64);
        Ok(())
    }

    fn forget(&self, name: u128) {
        self.index.lock().remove(name);
        drop(fs::remove_file(self.path(name)));
    }

    /// Removes what was not used for longest, until the rest is within the limit.
    fn evict(&self) {
        loop {
            let oldest = {
                let mut index = self.index.lock();
                self.counts.held_bytes.store(index.bytes, Ordering::Relaxed);
                if index.bytes <= self.limit_bytes {
                    return;
                }
                let Some(oldest) = index.order.values().next().copied() else { return };
                index.remove(oldest);
                oldest
            };
            drop(fs::remove_file(self.path(oldest)));
        }
    }
}

impl Index {
    fn tick(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Makes a block the one used last; false if there is none.
    fn touch(&mut self, name: u128) -> bool {
        let now = self.tick();
        let Some(held) = self.blocks.get_mut(&name) else { return false };
        self.order.remove(&held.used);
        held.used = now;
        self.order.insert(now, name);
        true
    }

    fn add(&mut self, name: u128, bytes: u64) {
        self.remove(name);
        let used = self.tick();
        self.blocks.insert(name, Held { bytes, used });
        self.order.insert(used, name);
        self.bytes += bytes;
    }

    fn remove(&mut self, name: u128) {
        if let Some(held) = self.blocks.remove(&name) {
            self.order.remove(&held.used);
            self.bytes -= held.bytes;
        }
    }
}

/// What is in the folder, oldest first. Half-written files and strangers go.
fn found(directory: &Path) -> io::Result<Index> {
    let mut blocks = Vec::new();
    for folder in fs::read_dir(directory)? {
        let folder = folder?.path();
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (name, meta) = (entry.file_name(), entry.metadata()?);
            let name = name.to_str().filter(|name| name.len() == 32);
            match name.and_then(|name| u128::from_str_radix(name, 16).ok()) {
                Some(name) => blocks.push((meta.modified()?, name, meta.len())),
                None => fs::remove_file(entry.path())?,
            }
        }
    }
    blocks.sort();
    let mut index = Index::default();
    for (_, name, bytes) in blocks {
        index.add(name, bytes);
    }
    Ok(index)
}

/// By what a block is found. Two keys of one name are told apart by the key inside.
fn name(key: &str, number: u64) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write_u64(number);
        hasher.write(key.as_bytes());
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// Guards against what a disk does to bytes, not against people. Another release of the standard
/// library may count otherwise: then the blocks are fetched again.
fn checksum_of(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
