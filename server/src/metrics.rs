//! Counters of the process, and their form for Prometheus.
//!
//! Never: a lock, or a label that a client can choose freely.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// A count that only grows, or a gauge that does both.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One more for as long as the value that this returns lives.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        self.add(1);
        Held(Arc::clone(self))
    }
}

/// One of something that is there now.
#[derive(Debug)]
pub(crate) struct Held(Arc<Count>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Postgres connections that are open, logged in or not.
    pub(crate) connections: Arc<Count>,
    /// Postgres sessions that are logged in.
    pub(crate) sessions: Arc<Count>,
    /// Flight connections that are open.
    pub(crate) flight_connections: Arc<Count>,
    pub(crate) connections_accepted: Count,
    pub(crate) connections_refused: Count,
    pub(crate) cancel_requests: Count,
    pub(crate) statements: Count,
    pub(crate) statement_errors: Count,
    pub(crate) rows_sent: Count,
    pub(crate) panics: Count,
    /// What the cache of remote data files counts, where there is one.
    pub(crate) cache: OnceLock<Arc<sql::CacheCounts>>,
    /// What the cache of results counts, once there is an engine.
    pub(crate) results: OnceLock<Arc<sql::ResultCounts>>,
}

impl Metrics {
    /// The text that Prometheus reads.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, value: u64| {
            // Writing to a string cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        };
        let mut gauge = |name, help, value| metric(name, "gauge", help, value);
        gauge("tarn_connections", "Open Postgres connections.", self.connections.get());
        gauge("tarn_sessions", "Postgres sessions that are logged in.", self.sessions.get());
        gauge("tarn_flight_connections", "Open Flight connections.", self.flight_connections.get());
        if let Some(bytes) = resident_bytes() {
            gauge("process_resident_memory_bytes", "Resident memory of the process.", bytes);
        }
        if let Some(cache) = self.cache.get() {
            let help = "Bytes of remote data files on the local disk.";
            metric("tarn_cache_held_bytes", "gauge", help, cache.held_bytes());
            let help = "Blocks of remote data files that were read from the local disk.";
            metric("tarn_cache_hits_total", "counter", help, cache.hits());
            let help = "Blocks of remote data files that the store was asked for.";
            metric("tarn_cache_misses_total", "counter", help, cache.misses());
        }
        if let Some(results) = self.results.get() {
            let help = "Memory that kept results of queries take, in bytes.";
            metric("tarn_result_cache_held_bytes", "gauge", help, results.held_bytes());
            let help = "Queries that were answered with a kept result.";
            metric("tarn_result_cache_hits_total", "counter", help, results.hits());
            let help = "Queries that were run, though their results may be kept.";
            metric("tarn_result_cache_misses_total", "counter", help, results.misses());
        }
        let mut counter = |name, help, count: &Count| metric(name, "counter", help, count.get());
        counter(
            "tarn_connections_accepted_total",
            "Postgres connections accepted.",
            &self.connections_accepted,
        );
        counter(
            "tarn_connections_refused_total",
            "Postgres connections refused because a limit was reached.",
            &self.connections_refused,
        );
        counter("tarn_cancel_requests_total", "Cancel requests.", &self.cancel_requests);
        counter("tarn_statements_total", "Statements begun.", &self.statements);
        counter(
            "tarn_statement_errors_total",
            "Statements that ended with an error.",
            &self.statement_errors,
        );
        counter("tarn_rows_sent_total", "Rows sent to Postgres clients.", &self.rows_sent);
        counter("tarn_panics_total", "Panics; each is a fault of the server.", &self.panics);
        text
    }

    /// Counts and logs every panic of the process from now on.
    pub(crate) fn count_panics(self: &Arc<Self>) {
        let metrics = Arc::clone(self);
        std::panic::set_hook(Box::new(move |panic| {
            metrics.panics.add(1);
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let payload = panic.payload();
            let message = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            tracing::error!(place, message, "panic");
        }));
    }
}

/// What the system says that the process holds in memory; none where it does not say.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_help_a_type_and_a_value() {
        let metrics = Metrics::default();
        metrics.statements.add(3);
        let held = metrics.connections.hold();
        let text = metrics.render();
        assert!(text.contains("\ntarn_statements_total 3\n"), "{text}");
        assert!(text.contains("\ntarn_connections 1\n"), "{text}");
        drop(held);
        assert!(metrics.render().contains("\ntarn_connections 0\n"));
        let samples = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(text.matches("# TYPE ").count(), samples);
        assert_eq!(text.matches("# HELP ").count(), samples);
    }
}
