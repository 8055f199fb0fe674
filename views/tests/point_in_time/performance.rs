//! How long a join of a million labels with ten million feature rows takes, and how much memory.
//!
//! Ignored, since it needs minutes without optimisation. To run it with this workspace's crates
//! optimised (dependencies stay at the level of the dev profile):
//!
//! ```text
//! CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo test --workspace --test point_in_time performance -- --ignored --nocapture
//! ```
#![expect(clippy::print_stdout, reason = "the figures are the result")]

use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{Float64Array, Int64Array, TimestampMicrosecondArray};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::session::{run, session};

const USERS: u64 = 100_000;
const SECONDS: u64 = 90 * 86_400;

/// A small generator of well-mixed numbers, so that runs compare.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> i64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound) as i64
    }
}

/// Rows in the order of time, as a log has them.
fn rows(count: u64, random: &mut Random) -> Vec<RecordBatch> {
    let batch_rows = 8192;
    let mut batches = Vec::new();
    for start in (0..count).step_by(batch_rows) {
        let places = start..count.min(start + batch_rows as u64);
        let times = places.clone().map(|row| (row * SECONDS / count) as i64 * 1_000_000);
        let users = places.clone().map(|_| random.below(USERS)).collect::<Vec<_>>();
        let known = places
            .clone()
            .map(|row| (row * SECONDS / count) as i64 * 1_000_000 + random.below(3_600_000_000));
        let known = TimestampMicrosecondArray::from_iter_values(known.collect::<Vec<_>>());
        let values = places.map(|row| row as f64);
        let users = Int64Array::from_iter_values(users);
        let times = TimestampMicrosecondArray::from_iter_values(times);
        let values = Float64Array::from_iter_values(values);
        batches.push(
            RecordBatch::try_from_iter([
                ("user_id", Arc::new(users) as _),
                ("ts", Arc::new(times) as _),
                ("known_at", Arc::new(known) as _),
                ("v", Arc::new(values) as _),
            ])
            .unwrap(),
        );
    }
    batches
}

fn register(context: &SessionContext, name: &str, batches: &[RecordBatch]) {
    let schema = batches[0].schema();
    let half = batches.len() / 2;
    let parts = vec![batches[..half].to_vec(), batches[half..].to_vec()];
    let table = MemTable::try_new(schema, parts).unwrap();
    context.register_table(name, Arc::new(table)).unwrap();
}

fn scale() -> u64 {
    std::env::var("SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1_000_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes without optimisation"]
async fn a_million_labels_with_ten_million_rows() {
    let limit = 700 << 20;
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(limit, 1.0).build_arc().unwrap();
    let config = SessionConfig::new().with_target_partitions(2);
    let context = session(config, runtime);
    let mut random = Random(42);
    register(&context, "labels", &rows(scale(), &mut random));
    register(&context, "features", &rows(10 * scale(), &mut random));
    let joins = [
        ("plain", "l.ts >= f.ts"),
        ("plain again", "l.ts >= f.ts"),
        ("within a day", "l.ts >= f.ts AND l.ts - f.ts <= INTERVAL '1 day'"),
        ("known at", "l.ts >= f.ts AND f.known_at <= l.ts"),
        ("merge", "l.ts >= f.ts AND f.known_at <= l.known_at"),
        ("forward", "l.ts <= f.ts"),
        ("swapped", "l.ts >= f.ts"),
    ];
    let wanted = std::env::var("JOIN").ok();
    let joins = joins.into_iter().filter(|(name, _)| wanted.as_deref().is_none_or(|w| w == *name));
    for (name, condition) in joins {
        let (left, right) = match name.starts_with("swapped") {
            true => ("features", "labels"),
            false => ("labels", "features"),
        };
        let sql = format!(
            "SELECT count(*), count(f.v), sum(f.v) FROM {left} l ASOF JOIN {right} f \
             MATCH_CONDITION ({condition}) ON l.user_id = f.user_id"
        );
        let (start, cpu_start) = (Instant::now(), cpu_ms());
        let rows = run(&context, &sql).await.unwrap();
        let elapsed = start.elapsed();
        println!("{name}: {elapsed:.2?}, cpu {} ms, {}", cpu_ms() - cpu_start, peak());
        println!("{}", pretty_format_batches(&rows).unwrap());
        if std::env::var_os("EXPLAIN").is_some() {
            let plan = run(&context, &format!("EXPLAIN ANALYZE {sql}")).await.unwrap();
            println!("{}", pretty_format_batches(&plan).unwrap());
        }
    }
}

/// The greatest memory that this process had so far, tables included.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown").to_owned()
}

/// Processor time that this process used so far.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10
}
