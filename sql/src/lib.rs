//! sql
pub mod types;
