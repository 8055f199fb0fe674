//! The memory that all queries share, less what kept results take of it.
//!
//! Never: a query spills, or fails for want of memory, while a result is kept that nobody reads.

use std::fmt;
use std::sync::Weak;

use datafusion::error::Result;
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

use super::Results;

/// A pool that takes memory back from kept results where it has no other.
#[derive(Debug)]
pub(crate) struct YieldingPool<P> {
    inner: P,
    /// Results hold on to the pool, so the pool does not hold on to them.
    results: Weak<Results>,
}

impl<P> YieldingPool<P> {
    pub(crate) const fn new(inner: P, results: Weak<Results>) -> Self {
        Self { inner, results }
    }
}

impl<P: MemoryPool> fmt::Display for YieldingPool<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl<P: MemoryPool> MemoryPool for YieldingPool<P> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.inner.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.inner.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.inner.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        loop {
            let grown = self.inner.try_grow(reservation, additional);
            let evicted = grown.is_err() && self.results.upgrade().is_some_and(|all| all.evict());
            if !evicted {
                return grown;
            }
        }
    }

    fn reserved(&self) -> usize {
        self.inner.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.inner.memory_limit()
    }
}
