//! How many rows a statement has left out, and how many it may.
//!
//! Never: a row left out for another reason than a value that its column refuses. A row with too few
//! or too many values says that the input is not what the statement thinks.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Decoded;
use crate::error::{Error, Result};

/// The rows left out so far, over all inputs of a statement.
#[derive(Debug, Default)]
pub struct Skipped {
    count: AtomicU64,
    /// More are an error.
    max: Option<u64>,
}

impl Skipped {
    /// None so far; more than `max` are an error.
    pub fn new(max: Option<u64>) -> Self {
        Self { count: AtomicU64::new(0), max }
    }

    /// How many so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts the rows that a decoder with [`super::OnError::Collect`] left out.
    pub fn add(&self, decoded: &Decoded) -> Result<()> {
        if let Some(malformed) = decoded.rejected.iter().find(|row| row.error.column().is_none()) {
            return Err(Error::Row(Box::new(malformed.error.clone())));
        }
        let more = decoded.rejected.len() as u64;
        let count = self.count.fetch_add(more, Ordering::Relaxed) + more;
        match self.max {
            Some(max) if count > max => Err(Error::TooManySkipped { max }),
            _ => Ok(()),
        }
    }
}
