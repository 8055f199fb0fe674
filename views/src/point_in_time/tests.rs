//! The operator against its definition: for random tables the join equals a nested loop.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering as AtomicOrdering};

use datafusion::arrow::array::{
    Array, ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::resources_err;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionConfig;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof};
use proptest::test_runner::TestRunner;
use proptest::{option, prop_assert_eq};
use tokio::runtime::{Builder, Runtime};

use super::condition::MatchOperator;
use super::exec::PointInTimeJoinExec;
use super::physical::{PhysicalComparison, PhysicalCondition};
use super::strategy::Strategy as Way;

/// A row of either side. `ts` is what is matched; `known` is what a cut compares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    k1: Option<i64>,
    k2: Option<i64>,
    ts: Option<i64>,
    known: Option<i64>,
    v: Option<i64>,
    w: Option<i64>,
}

/// Which type the keys and times have in the batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Types {
    Integers,
    TimestampsAndText,
    SmallAndText,
}

#[derive(Debug, Clone)]
struct Case {
    left: Vec<Row>,
    right: Vec<Row>,
    types: Types,
    keys: usize,
    operator: MatchOperator,
    age_max: Option<i64>,
    /// Comparisons of `left.(ts | known)` with `right.known`.
    cuts: Vec<(bool, MatchOperator)>,
    unique: bool,
    way: Way,
    /// Which request for memory by the join is refused, if any.
    refused: Option<usize>,
    left_batch_rows: usize,
    right_batch_rows: usize,
    output_batch_rows: usize,
    partitions: usize,
}

fn rows(count: usize) -> impl Strategy<Value = Vec<Row>> {
    let value = |greatest: i64| option::weighted(0.9, 0..greatest);
    let row = (value(4), value(3), value(12), value(12), value(3), value(3))
        .prop_map(|(k1, k2, ts, known, v, w)| Row { k1, k2, ts, known, v, w });
    vec(row, 0..=count)
}

fn operator() -> impl Strategy<Value = MatchOperator> {
    use MatchOperator::{Gt, GtEq, Lt, LtEq};
    prop_oneof![Just(GtEq), Just(Gt), Just(LtEq), Just(Lt)]
}

fn cases() -> impl Strategy<Value = Case> {
    let types = prop_oneof![
        Just(Types::Integers),
        Just(Types::TimestampsAndText),
        Just(Types::SmallAndText)
    ];
    let tables = (rows(30), rows(40), types, 0..=2_usize);
    let cuts = prop_oneof![
        3 => Just(Vec::new()),
        2 => vec((any::<bool>(), operator()), 1..=1),
        1 => vec((any::<bool>(), operator()), 2..=2),
    ];
    let way = prop_oneof![Just(Way::Merge), Just(Way::HoldLeft), Just(Way::HoldRight)];
    let condition = (operator(), option::of(-1..8_i64), cuts, any::<bool>(), way);
    let refused = option::weighted(0.3, 0..20_usize);
    let sizes = (refused, 1..12_usize, 1..12_usize, 1..12_usize, 1..=4_usize);
    (tables, condition, sizes).prop_map(|(tables, condition, sizes)| {
        let (left, mut right, types, keys) = tables;
        let (operator, age_max, cuts, unique, way) = condition;
        let (refused, left_batch_rows, right_batch_rows, output_batch_rows, partitions) = sizes;
        if unique {
            // One right row per key and time, as a primary key would ensure.
            let mut seen = HashSet::new();
            right.retain(|row| seen.insert((key(row, keys), row.ts)));
        }
        Case {
            left,
            right,
            types,
            keys,
            operator,
            age_max,
            cuts,
            unique,
            way,
            refused,
            left_batch_rows,
            right_batch_rows,
            output_batch_rows,
            partitions,
        }
    })
}

fn key(row: &Row, keys: usize) -> Vec<Option<i64>> {
    [row.k1, row.k2][..keys].to_vec()
}

/// `left operator right`, and never with NULL.
fn holds(left: Option<i64>, operator: MatchOperator, right: Option<i64>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => match operator {
            MatchOperator::GtEq => left >= right,
            MatchOperator::Gt => left > right,
            MatchOperator::LtEq => left <= right,
            MatchOperator::Lt => left < right,
        },
        _ => false,
    }
}

/// The definition: of all right rows that satisfy the condition, the best.
fn best<'a>(left: &Row, case: &'a Case) -> Option<&'a Row> {
    let satisfies = |right: &&Row| {
        let keys = key(left, case.keys).into_iter().zip(key(right, case.keys));
        let age = left.ts.zip(right.ts).map(|(l, r)| (l - r).abs());
        keys.into_iter().all(|(l, r)| l.is_some() && l == r)
            && holds(left.ts, case.operator, right.ts)
            && case.age_max.is_none_or(|age_max| age.is_some_and(|age| age <= age_max))
            && case.cuts.iter().all(|(by_time, operator)| {
                holds(if *by_time { left.ts } else { left.known }, *operator, right.known)
            })
    };
    let better = |a: &&Row, b: &&Row| -> Ordering {
        let by_time = match case.operator.forward() {
            true => b.ts.cmp(&a.ts),
            false => a.ts.cmp(&b.ts),
        };
        by_time.then(a.cmp(b))
    };
    case.right.iter().filter(satisfies).max_by(better)
}

/// A table of the rows: keys, time, known, then two values.
fn batches(rows: &[Row], types: Types, batch_rows: usize) -> Vec<RecordBatch> {
    let batch = |rows: &[Row]| {
        let integers = |get: fn(&Row) -> Option<i64>| -> ArrayRef {
            Arc::new(rows.iter().map(get).collect::<Int64Array>())
        };
        // Texts that sort as their numbers do.
        let texts = |get: fn(&Row) -> Option<i64>| -> ArrayRef {
            let text = |value: i64| format!("key {value}");
            Arc::new(rows.iter().map(|row| get(row).map(text)).collect::<StringArray>())
        };
        let small = |get: fn(&Row) -> Option<i64>| -> ArrayRef {
            let small = |value: i64| i32::try_from(value).unwrap();
            Arc::new(rows.iter().map(|row| get(row).map(small)).collect::<Int32Array>())
        };
        let micros = |get: fn(&Row) -> Option<i64>| -> ArrayRef {
            Arc::new(rows.iter().map(get).collect::<TimestampMicrosecondArray>())
        };
        let (k1, k2, ts, known) = match types {
            Types::Integers => {
                (integers(|r| r.k1), integers(|r| r.k2), integers(|r| r.ts), integers(|r| r.known))
            }
            Types::TimestampsAndText => {
                (texts(|r| r.k1), integers(|r| r.k2), micros(|r| r.ts), micros(|r| r.known))
            }
            Types::SmallAndText => {
                (small(|r| r.k1), texts(|r| r.k2), small(|r| r.ts), small(|r| r.known))
            }
        };
        let columns = [
            ("k1", k1, true),
            ("k2", k2, true),
            ("ts", ts, true),
            ("known", known, true),
            ("v", integers(|r| r.v), true),
            ("w", integers(|r| r.w), true),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    };
    match rows.is_empty() {
        true => vec![batch(&[])],
        false => rows.chunks(batch_rows).map(batch).collect(),
    }
}

/// A plan that yields the batches in so many partitions, by turns.
fn scan(batches: Vec<RecordBatch>, partitions: usize) -> Arc<dyn ExecutionPlan> {
    let schema = batches[0].schema();
    let mut parts = vec![Vec::new(); partitions];
    for (number, batch) in batches.into_iter().enumerate() {
        parts[number % partitions].push(batch);
    }
    MemorySourceConfig::try_new_exec(&parts, schema, None).unwrap()
}

fn column(name: &str, plan: &Arc<dyn ExecutionPlan>) -> PhysicalExprRef {
    col(name, &plan.schema()).unwrap()
}

/// The join over its inputs as the planner would arrange them.
fn join(case: &Case) -> Arc<dyn ExecutionPlan> {
    let left = scan(batches(&case.left, case.types, case.left_batch_rows), case.partitions);
    let right = scan(batches(&case.right, case.types, case.right_batch_rows), case.partitions);
    let compare = |l: &str, operator, r: &str| PhysicalComparison {
        left: column(l, &left),
        operator,
        right: column(r, &right),
    };
    let keys = &["k1", "k2"][..case.keys];
    let cut = |(by_time, operator): &(bool, MatchOperator)| {
        compare(if *by_time { "ts" } else { "known" }, *operator, "known")
    };
    let condition = PhysicalCondition {
        on: keys.iter().map(|key| (column(key, &left), column(key, &right))).collect(),
        time: compare("ts", case.operator, "ts"),
        age_max: case.age_max,
        cuts: case.cuts.iter().map(cut).collect(),
    };
    let ties = if case.unique { Vec::new() } else { (0..6).collect() };
    let way = match (case.way, condition.can_look_up(&left.schema()).unwrap()) {
        (Way::HoldRight, true) if !condition.cuts.is_empty() => Way::HoldLeft,
        (way, true) => way,
        (_, false) => Way::Merge,
    };
    let join = PointInTimeJoinExec::try_new(left, right, condition, ties, (0..12).collect(), way);
    let rule = EnsureRequirements::new();
    rule.optimize(Arc::new(join.unwrap()), config(case).options()).unwrap()
}

fn config(case: &Case) -> SessionConfig {
    SessionConfig::new()
        .with_target_partitions(case.partitions)
        .with_batch_size(case.output_batch_rows)
}

/// Each row as text, sorted, so that neither order nor batches count.
fn sorted(columns: &[ArrayRef]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let format = |column: &ArrayRef| {
        let formatter = ArrayFormatter::try_new(column, &options).unwrap();
        (0..column.len()).map(|row| formatter.value(row).to_string()).collect::<Vec<_>>()
    };
    let columns = columns.iter().map(format).collect::<Vec<_>>();
    let row = |row: usize| columns.iter().map(|c| c[row].as_str()).collect::<Vec<_>>().join(" | ");
    let mut rows = (0..columns[0].len()).map(row).collect::<Vec<_>>();
    rows.sort();
    rows
}

/// What a nested loop over the rows gives.
fn expected(case: &Case) -> Vec<String> {
    let absent = Row { k1: None, k2: None, ts: None, known: None, v: None, w: None };
    let found = case.left.iter().map(|left| best(left, case).unwrap_or(&absent).clone());
    let found = batches(&found.collect::<Vec<_>>(), case.types, usize::MAX);
    let left = batches(&case.left, case.types, usize::MAX);
    sorted(&[left[0].columns(), found[0].columns()].concat())
}

fn actual(case: &Case, plan: Arc<dyn ExecutionPlan>, runtime: &Runtime) -> Vec<String> {
    let pool = RefusingPool { refused: case.refused, asked: AtomicUsize::new(0) };
    let environment = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc();
    let context = TaskContext::default().with_session_config(config(case));
    let context = Arc::new(context.with_runtime(environment.unwrap()));
    let schema = plan.schema();
    let batches = runtime.block_on(collect(plan, context)).unwrap();
    assert!(batches.iter().all(|batch| batch.num_rows() <= case.output_batch_rows));
    sorted(concat_batches(&schema, &batches).unwrap().columns())
}

/// Memory without end, but for two requests of a lookup in a row: one is not the end yet.
#[derive(Debug)]
struct RefusingPool {
    refused: Option<usize>,
    asked: AtomicUsize,
}

impl fmt::Display for RefusingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl MemoryPool for RefusingPool {
    fn name(&self) -> &str {
        "refusing"
    }

    fn grow(&self, _reservation: &MemoryReservation, _additional: usize) {}

    fn shrink(&self, _reservation: &MemoryReservation, _shrink: usize) {}

    fn try_grow(&self, reservation: &MemoryReservation, _additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        let lookup = consumer.name().starts_with("PointInTimeJoin") && consumer.can_spill();
        let asked = || self.asked.fetch_add(1, AtomicOrdering::Relaxed);
        match lookup
            && self.refused.is_some_and(|refused| (refused..refused + 2).contains(&asked()))
        {
            true => resources_err!("refused"),
            false => Ok(()),
        }
    }

    fn reserved(&self) -> usize {
        0
    }
}

#[test]
fn equals_a_nested_loop_over_random_tables() {
    let runtime = runtime();
    let config = ProptestConfig { cases: 3_000, failure_persistence: None, ..Default::default() };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&cases(), |case| {
        prop_assert_eq!(actual(&case, join(&case), &runtime), expected(&case));
        Ok(())
    });
    assert!(result.is_ok(), "{}", result.unwrap_err());
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
