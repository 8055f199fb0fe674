//! A statement in, an Arrow stream out: parse, resolve, plan, run.
//!
//! ```text
//! text ── parser ──> Statement ── resolve ──> Names ── plan ──> LogicalPlan ── run ──> Output
//!          (pure)               (all look-ups)        (pure)                (all effects)
//! ```
//!
//! [`Session::execute`] is the one door: the Postgres wire, Flight SQL and HTTP are listeners on
//! it. [`Engine`] is the composed state of the process, [`Session`] one connection, [`Output`]
//! what a statement gives back. `statement.rs` dispatches to one file per statement.
//!
//! Never: another crate plans a query. Never: an effect before `run`, so that EXPLAIN and a
//! prepared statement may stop after `plan`.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "tests panic rather than return errors"))]

mod array_parameters;
mod caches;
mod changes;
mod commitment;
mod compute;
mod dml;
mod engine;
mod error;
mod external;
mod information_schema;
mod json;
mod kept;
mod lateral;
mod lineage;
mod maintenance;
mod output;
mod parser;
mod pg_catalog;
mod plan;
mod resolve;
mod results;
mod schema_evolution;
mod search;
mod semantics;
mod session;
mod settings;
mod statement;
mod transaction;
pub mod types;
mod upkeep;

pub use catalog::{CacheCounts, CacheOptions, Checked, Copied, Options, SecretKey};
pub use commitment::Commitment;
pub use engine::{Engine, EngineConfig};
pub use error::{Error, Result, state};
pub use ingest::text;
pub use maintenance::{backup, check, restore};
pub use output::{CopyBody, CopyFormat, CopyIn, CopyOut, CopyRows, Notice, Output, Severity};
pub use results::ResultCounts;
pub use session::{IngestTarget, Prepared, Session, SessionStart, TransactionStatus};
pub use settings::SERVER_VERSION;
pub use statement::Statement;
