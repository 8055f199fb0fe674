//! Whether the statement in hand can still be given up.
//!
//! Until a statement commits, a cancel or a timeout drops it, and nothing has happened. While it
//! commits nobody knows yet whether it happened, so it is brought to its end and answers the truth.
//!
//! Never: a commit that is dropped while it is under way and reported as undone.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The commits that a session has under way.
#[derive(Debug, Clone, Default)]
pub struct Commitment(Arc<AtomicUsize>);

impl Commitment {
    /// Whether a commit is under way.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    /// Marks the beginning of a commit, which ends when what this gives is dropped.
    pub(crate) fn make(&self) -> Committing {
        self.0.fetch_add(1, Ordering::AcqRel);
        Committing(Arc::clone(&self.0))
    }

    /// What the work gives, or what interrupts it, unless that comes while a commit is under way.
    pub async fn unless<T, I>(
        &self,
        interruption: impl Future<Output = I> + Send,
        work: impl Future<Output = T> + Send,
    ) -> Result<T, I> {
        let mut work = pin!(work);
        let interrupted = tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            interrupted = interruption => interrupted,
        };
        if self.is_made() { Ok(work.await) } else { Err(interrupted) }
    }
}

/// A commit that is under way.
#[derive(Debug)]
pub(crate) struct Committing(Arc<AtomicUsize>);

impl Drop for Committing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
