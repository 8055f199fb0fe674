//! Results of queries, kept while nothing that they were read from has changed.
//!
//! ```text
//! query ── key ──> kept? ── its catalog and its versions are those of now ──> rows from memory
//!                    │ no
//!                    └──> planned and run; the rows go to the client and are collected on the way
//! ```
//!
//! A result is known by its query as it was read, its parameters, the settings that differ from the
//! defaults and the user. It serves again while the catalog, or all in it that the query names, and
//! the version of each table are as they were. See docs/decisions/011-result-cache.md.
//!
//! Never: a row of another version than the statement would read. Never: a part of a result, or the
//! result of a statement that failed. Never: memory that a query needs is kept from it.

mod collect;
mod pool;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use catalog::{Entry, Snapshot, TableSnapshot};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;
use futures::stream;
use parking_lot::Mutex;

use crate::error::Result;
use crate::session::Session;
use crate::settings::RESULT_CACHE;
use crate::statement::select::QueryPlan;
use collect::Collecting;
pub(crate) use pool::YieldingPool;

/// One result may take this part of what all may.
const SHARE: usize = 8;

/// What a result takes beside its rows: its plan, its key and its place.
const OVERHEAD_BYTES: usize = 8 << 10;

/// What a byte of a query's text takes as a syntax tree, about.
const TREE_BYTES: usize = 16;

/// The tables that a query reads, each at one version.
pub(crate) type Versions = Vec<(Arc<Entry>, Arc<TableSnapshot>)>;

/// What the result cache did, for the operator.
#[derive(Debug, Default)]
pub struct ResultCounts {
    hits: AtomicU64,
    misses: AtomicU64,
    held_bytes: AtomicUsize,
}

impl ResultCounts {
    /// Queries that were answered from memory.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Queries that were run, though their results may be kept.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// Memory that results take now, those that are being collected among them.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes.load(Ordering::Relaxed) as u64
    }
}

/// What makes two queries the same.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    query: ast::Query,
    /// Two values may be equal whose types are not.
    parameters: Vec<(DataType, ScalarValue)>,
    settings: Vec<(&'static str, String)>,
    user: String,
}

/// What a result was read under.
#[derive(Debug)]
struct Under {
    catalog: Weak<Snapshot>,
    versions: Vec<(Arc<Entry>, Weak<TableSnapshot>)>,
}

impl Under {
    fn new(catalog: &Arc<Snapshot>, versions: &Versions) -> Self {
        let weak = |(entry, version): &(Arc<Entry>, Arc<TableSnapshot>)| {
            (Arc::clone(entry), Arc::downgrade(version))
        };
        Self { catalog: Arc::downgrade(catalog), versions: versions.iter().map(weak).collect() }
    }
}

/// Whether both are the same value. What a `Weak` points to is not used for anything else meanwhile.
fn is_same<T>(known: &Weak<T>, now: &Arc<T>) -> bool {
    std::ptr::eq(known.as_ptr(), Arc::as_ptr(now))
}

/// A whole result.
#[derive(Debug)]
struct Kept {
    under: Mutex<Arc<Under>>,
    plan: Arc<QueryPlan>,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    rows: usize,
    room: Room,
}

impl Kept {
    /// Its rows; it takes its memory until they were sent.
    fn stream(self: &Arc<Self>) -> SendableRecordBatchStream {
        let (kept, schema) = (Arc::clone(self), Arc::clone(&self.schema));
        let batches = (0..self.batches.len()).map(move |at| Ok(kept.batches[at].clone()));
        Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches)))
    }
}

/// Memory for one result, given back when this is dropped.
#[derive(Debug)]
struct Room {
    results: Arc<Results>,
    memory: MemoryReservation,
}

impl Room {
    /// Takes more, in place of older results if need be. False where there is no more.
    fn grow(&self, bytes: usize) -> bool {
        if self.memory.size() + bytes > self.results.limit_bytes / SHARE
            || !self.results.take(bytes)
        {
            return false;
        }
        let grown = self.memory.try_grow(bytes).is_ok();
        if !grown {
            self.results.give_back(bytes);
        }
        grown
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.results.give_back(self.memory.free());
    }
}

#[derive(Debug, Default)]
struct Index {
    kept: HashMap<Arc<Key>, Held>,
    /// From when they were used last.
    order: BTreeMap<u64, Arc<Key>>,
    next: u64,
}

#[derive(Debug)]
struct Held {
    result: Arc<Kept>,
    used: u64,
}

/// The results of all sessions.
#[derive(Debug)]
pub(crate) struct Results {
    limit_bytes: usize,
    index: Mutex<Index>,
    counts: Arc<ResultCounts>,
}

impl Results {
    pub(crate) fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self { limit_bytes, index: Mutex::default(), counts: Arc::default() })
    }

    pub(crate) fn counts(&self) -> &Arc<ResultCounts> {
        &self.counts
    }

    pub(crate) const fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    fn find(&self, key: &Key) -> Option<Arc<Kept>> {
        self.index.lock().kept.get(key).map(|held| Arc::clone(&held.result))
    }

    /// The result was used just now.
    fn used(&self, key: &Key) {
        self.counts.hits.fetch_add(1, Ordering::Relaxed);
        let mut index = self.index.lock();
        let Index { kept, order, next } = &mut *index;
        if let Some(held) = kept.get_mut(key)
            && let Some(key) = order.remove(&held.used)
        {
            held.used = *next;
            order.insert(*next, key);
            *next += 1;
        }
    }

    /// Keeps a result in place of an older one of the same query.
    fn insert(&self, key: Arc<Key>, result: Arc<Kept>) {
        let mut index = self.index.lock();
        let used = index.next;
        index.next += 1;
        index.order.insert(used, Arc::clone(&key));
        let before = index.kept.insert(key, Held { result, used });
        if let Some(before) = &before {
            index.order.remove(&before.used);
        }
        // What it takes is given back without the lock.
        drop(index);
        drop(before);
    }

    /// Forgets the result that was not used for the longest time. False where there is none.
    pub(crate) fn evict(&self) -> bool {
        let mut index = self.index.lock();
        let Some((_, key)) = index.order.pop_first() else { return false };
        let gone = index.kept.remove(&key);
        drop(index);
        drop(gone);
        true
    }

    /// Takes some of what results may take, from the oldest of them if need be.
    fn take(&self, bytes: usize) -> bool {
        loop {
            let taken = self.counts.held_bytes.fetch_add(bytes, Ordering::Relaxed);
            if taken.saturating_add(bytes) <= self.limit_bytes {
                return true;
            }
            self.give_back(bytes);
            if !self.evict() {
                return false;
            }
        }
    }

    fn give_back(&self, bytes: usize) {
        self.counts.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A query whose result may be kept, as a session asks it.
pub(crate) struct Asked {
    results: Arc<Results>,
    pool: Arc<dyn MemoryPool>,
    key: Arc<Key>,
    catalog: Arc<Snapshot>,
}

impl Asked {
    /// `None` where the session does not ask for it, sees what others do not, or nothing is kept.
    pub(crate) fn by(
        session: &Session,
        query: &ast::Query,
        parameters: &[ScalarValue],
    ) -> Option<Self> {
        let engine = session.engine();
        let settings = session.with(|s| {
            let has_changed = s.transaction.as_ref().is_some_and(|open| open.has_changed());
            let is_asked = s.settings.bool(RESULT_CACHE)
                && engine.results.limit_bytes > 0
                && s.has_no_temporary_table()
                && !has_changed;
            is_asked.then(|| s.settings.of_answers())
        })?;
        let parameters = parameters.iter().map(|value| (value.data_type(), value.clone()));
        let key = Key {
            query: query.clone(),
            parameters: parameters.collect(),
            settings,
            user: session.user().to_owned(),
        };
        Some(Self {
            results: Arc::clone(&engine.results),
            pool: Arc::clone(&engine.base_state().runtime_env().memory_pool),
            key: Arc::new(key),
            catalog: session.snapshot(),
        })
    }

    /// The rows, if they are kept and the names mean what they meant: there is nothing to plan.
    pub(crate) async fn find(
        &self,
        session: &Session,
    ) -> Result<Option<SendableRecordBatchStream>> {
        let Some(kept) = self.results.find(&self.key) else { return Ok(None) };
        let under = Arc::clone(&kept.under.lock());
        if !is_same(&under.catalog, &self.catalog) {
            return Ok(None);
        }
        for (entry, version) in &under.versions {
            if !is_same(version, &session.pin(entry).await?.snapshot) {
                return Ok(None);
            }
        }
        self.results.used(&self.key);
        Ok(Some(kept.stream()))
    }

    /// The rows, if they are kept under another catalog in which the query means the same.
    pub(crate) fn find_planned(
        &self,
        session: &Session,
        plan: &QueryPlan,
        versions: &Versions,
    ) -> Option<SendableRecordBatchStream> {
        let kept = self.kept_of(plan, versions)?;
        if self.has_its_catalog(session) {
            *kept.under.lock() = Arc::new(Under::new(&self.catalog, versions));
        }
        self.results.used(&self.key);
        Some(kept.stream())
    }

    /// The rows and the bytes of the result, if it is kept.
    pub(crate) fn size(&self, plan: &QueryPlan, versions: &Versions) -> Option<(usize, usize)> {
        let kept = self.kept_of(plan, versions)?;
        Some((kept.rows, kept.room.memory.size()))
    }

    fn kept_of(&self, plan: &QueryPlan, versions: &Versions) -> Option<Arc<Kept>> {
        let kept = self.results.find(&self.key)?;
        let under = Arc::clone(&kept.under.lock());
        let is_read = |(entry, known): &(Arc<Entry>, Weak<TableSnapshot>)| {
            versions.iter().any(|(now, version)| now.id == entry.id && is_same(known, version))
        };
        let holds = under.versions.len() == versions.len()
            && under.versions.iter().all(is_read)
            && kept.plan.means_same(plan);
        holds.then_some(kept)
    }

    /// The same rows, which are kept once the last has gone out.
    pub(crate) fn collect(
        self,
        session: &Session,
        rows: SendableRecordBatchStream,
        plan: &Arc<QueryPlan>,
        versions: &Versions,
    ) -> SendableRecordBatchStream {
        self.results.counts.misses.fetch_add(1, Ordering::Relaxed);
        // The plan may be of a catalog that came after the one that was looked at.
        if !self.has_its_catalog(session) {
            return rows;
        }
        let memory = MemoryConsumer::new("result cache").register(&self.pool);
        let room = Room { results: Arc::clone(&self.results), memory };
        let tree = self.key.query.to_string().len() * TREE_BYTES;
        if !room.grow(OVERHEAD_BYTES + tree) {
            return rows;
        }
        let under = Under::new(&self.catalog, versions);
        Collecting::over(rows, self.key, under, Arc::clone(plan), room)
    }

    fn has_its_catalog(&self, session: &Session) -> bool {
        Arc::ptr_eq(&self.catalog, &session.snapshot())
    }
}

#[cfg(test)]
mod tests;
