//! The Delta log: names of its entries, their actions, checkpoints.

mod action;

pub use action::{Add, CommitRecord};
