//! `tarn`: the binary. Listeners, authentication, configuration, start and stop.
//!
//! ```text
//! psql, drivers --> pg ------+
//! ADBC, Flight ---> flight --+--> sql::Session::{prepare, run} --> rows, as a stream
//! Prometheus -----> health   |
//!                            +-- auth, cancel, limits, drain
//! ```
//!
//! Never: a statement that is parsed or planned here; `sql` does that.

mod auth;
mod config;
mod demo;
mod error;
mod flight;
mod health;
mod maintenance;
mod metrics;
mod pg;
mod shutdown;
mod start;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::config::{Command, CommandLine, Config};
use crate::error::Result;
use crate::metrics::Metrics;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Plans of deeply nested statements recurse.
const THREAD_STACK_BYTES: usize = 8 << 20;

/// How long the process waits at its end for threads that do not notice that they should stop.
const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let done = match CommandLine::parse().command {
        Command::Serve(serve) => serve.config().and_then(run),
        other => maintenance::run(other),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell where even this cannot be written.
            let _ = writeln!(io::stderr(), "tarn: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> Result<()> {
    let filter = EnvFilter::try_new(&config.log).map_err(|_| error::Error::ConfigValue {
        key: "log",
        value: config.log.clone(),
        reason: "it takes a level such as info, or a list such as info,sql=debug",
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let metrics = Arc::new(Metrics::default());
    metrics.count_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.engine.threads)
        .thread_stack_size(THREAD_STACK_BYTES)
        .thread_name("tarn")
        .enable_all()
        .build()?;
    let ran = runtime.block_on(start::run(config, metrics));
    // What still computes was told to stop and has nobody to compute for.
    runtime.shutdown_timeout(SHUTDOWN_PATIENCE);
    ran
}
