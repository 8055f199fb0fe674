//! The whole server seen from outside: what the tests need to start it, talk to it and compare.
//!
//! ```text
//! it/main.rs --+--> TestServer          the built binary, a warehouse of its own, kill and restart
//!              +--> PgDatabase          .slt records over the Postgres wire
//!              +--> FlightDatabase      the same records over Flight SQL -> render -> the same text
//!              +--> components          PostgreSQL, S3, Python: found or said to be missing
//!              +--> FaultProxy          loses answers and delays them, between server and S3
//! ```
//!
//! Never: links a crate of the server. Whatever is asserted here, a stranger's client can see too.

pub mod components;
mod flight_database;
mod pg_database;
mod proxy;
mod render;
mod server;

pub use flight_database::FlightDatabase;
pub use pg_database::{PgDatabase, SqlError};
pub use proxy::{Fault, FaultProxy, Request};
pub use render::render;
pub use server::{TestServer, WAIT_MAX, binary};

use std::path::{Path, PathBuf};

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    // As cargo says when it runs the tests: those of one checkout may have been built for another.
    let tests = setting("CARGO_MANIFEST_DIR");
    let tests = tests.as_deref().unwrap_or(env!("CARGO_MANIFEST_DIR"));
    Path::new(tests).parent().expect("the tests package lies in the repository").to_path_buf()
}

/// A setting of the test run. The only place that reads the environment.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the test run has no configuration file")]
pub fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A line for whoever watches the run, such as the seed that a failure needs.
pub fn note(line: &str) {
    use std::io::Write;
    // Nothing is lost when nobody reads it.
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
