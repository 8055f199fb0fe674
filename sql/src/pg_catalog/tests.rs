//! Tests over a made-up catalog: the schema of `tests/data/client_queries/schema.sql`, and more.
//!
//! `client_queries` runs what real clients were recorded to ask, and compares with what
//! PostgreSQL 15 answered over the same schema.

mod client_queries;
mod fixture;
mod queries;
