//! Random changes of random rows against a model of them in memory: one row after the other, as the
//! statements' definitions read.

#![expect(clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use proptest::prelude::*;

use crate::{Engine, EngineConfig, Output, Session, SessionStart};

type Row = (Option<i64>, Option<i64>);

/// A condition over one row, and what SQL says it is.
#[derive(Debug, Clone)]
enum Condition {
    True,
    KeyBelow(i64),
    ValueIs(i64),
    ValueIsNull,
    NotKeyIs(i64),
    KeyInOther,
}

impl Condition {
    fn sql(&self, of: &str) -> String {
        match self {
            Self::True => "true".to_owned(),
            Self::KeyBelow(limit) => format!("{of}.k < {limit}"),
            Self::ValueIs(value) => format!("{of}.v = {value}"),
            Self::ValueIsNull => format!("{of}.v IS NULL"),
            Self::NotKeyIs(key) => format!("NOT ({of}.k = {key})"),
            Self::KeyInOther => format!("{of}.k IN (SELECT k FROM s WHERE k IS NOT NULL)"),
        }
    }

    fn holds(&self, row: Row, other: &[Row]) -> bool {
        match self {
            Self::True => true,
            Self::KeyBelow(limit) => row.0.is_some_and(|key| key < *limit),
            Self::ValueIs(value) => row.1 == Some(*value),
            Self::ValueIsNull => row.1.is_none(),
            Self::NotKeyIs(key) => row.0.is_some_and(|own| own != *key),
            Self::KeyInOther => row.0.is_some() && other.iter().any(|(key, _)| *key == row.0),
        }
    }
}

/// A WHEN clause of a MERGE with its condition, over the row that it has.
#[derive(Debug, Clone)]
enum When {
    Matched(Condition, Option<i64>),
    MatchedDelete(Condition),
    NotMatched(Condition),
    BySource(Condition, Option<i64>),
    BySourceDelete(Condition),
    MatchedNothing(Condition),
}

#[derive(Debug, Clone)]
enum Change {
    Update(Condition, i64),
    UpdateFrom(Condition),
    Delete(Condition),
    DeleteUsing(Condition),
    Merge(Vec<When>),
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        Just(Condition::True),
        (0..6_i64).prop_map(Condition::KeyBelow),
        (0..4_i64).prop_map(Condition::ValueIs),
        Just(Condition::ValueIsNull),
        (0..6_i64).prop_map(Condition::NotKeyIs),
    ]
}

fn where_condition() -> impl Strategy<Value = Condition> {
    prop_oneof![4 => condition(), 1 => Just(Condition::KeyInOther)]
}

fn when() -> impl Strategy<Value = When> {
    let value = || proptest::option::of(10..14_i64);
    prop_oneof![
        (condition(), value()).prop_map(|(c, v)| When::Matched(c, v)),
        condition().prop_map(When::MatchedDelete),
        condition().prop_map(When::NotMatched),
        (condition(), value()).prop_map(|(c, v)| When::BySource(c, v)),
        condition().prop_map(When::BySourceDelete),
        condition().prop_map(When::MatchedNothing),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (where_condition(), 1..4_i64).prop_map(|(c, by)| Change::Update(c, by)),
        condition().prop_map(Change::UpdateFrom),
        where_condition().prop_map(Change::Delete),
        condition().prop_map(Change::DeleteUsing),
        proptest::collection::vec(when(), 1..4).prop_map(Change::Merge),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    (proptest::option::weighted(0.9, 0..6_i64), proptest::option::weighted(0.8, 0..4_i64))
}

fn number(value: Option<i64>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |value| value.to_string())
}

impl When {
    fn sql(&self) -> String {
        let set = |c: &Condition, v: Option<i64>, by: &str, of: &str| {
            format!("WHEN {by} AND {} THEN UPDATE SET v = {}", c.sql(of), number(v))
        };
        match self {
            Self::Matched(c, v) => set(c, *v, "MATCHED", "t"),
            Self::BySource(c, v) => set(c, *v, "NOT MATCHED BY SOURCE", "t"),
            Self::MatchedDelete(c) => format!("WHEN MATCHED AND {} THEN DELETE", c.sql("t")),
            Self::MatchedNothing(c) => format!("WHEN MATCHED AND {} THEN DO NOTHING", c.sql("t")),
            Self::BySourceDelete(c) => {
                format!("WHEN NOT MATCHED BY SOURCE AND {} THEN DELETE", c.sql("t"))
            }
            Self::NotMatched(c) => {
                let insert = "INSERT (v, k) VALUES (s.v + 100, s.k)";
                format!("WHEN NOT MATCHED AND {} THEN {insert}", c.sql("s"))
            }
        }
    }
}

impl Change {
    fn sql(&self) -> String {
        match self {
            Self::Update(c, by) => format!("UPDATE t SET v = v + {by} WHERE {}", c.sql("t")),
            Self::UpdateFrom(c) => {
                format!("UPDATE t SET v = 50 FROM s WHERE s.k = t.k AND {}", c.sql("t"))
            }
            Self::Delete(c) => format!("DELETE FROM t WHERE {}", c.sql("t")),
            Self::DeleteUsing(c) => {
                format!("DELETE FROM t USING s WHERE s.k = t.k AND {}", c.sql("s"))
            }
            Self::Merge(clauses) => {
                let clauses: Vec<String> = clauses.iter().map(When::sql).collect();
                format!("MERGE INTO t USING s ON t.k = s.k {}", clauses.join(" "))
            }
        }
    }

    /// The rows after the change and how many it met, or none where it is refused.
    fn apply(&self, rows: &[Row], source: &[Row]) -> Option<(Vec<Row>, u64)> {
        let joins = |row: &Row, other: &Row| row.0.is_some() && row.0 == other.0;
        let mut after = Vec::new();
        let mut count = 0;
        for row in rows {
            let partners: Vec<Row> = source.iter().filter(|s| joins(row, s)).copied().collect();
            let outcome = match self {
                Self::Update(c, by) if c.holds(*row, source) => {
                    Some(Some((row.0, row.1.map(|v| v + by))))
                }
                Self::UpdateFrom(c) if !partners.is_empty() && c.holds(*row, source) => {
                    Some(Some((row.0, Some(50))))
                }
                Self::Delete(c) if c.holds(*row, source) => Some(None),
                Self::DeleteUsing(c) if partners.iter().any(|s| c.holds(*s, source)) => Some(None),
                Self::Merge(clauses) => {
                    let looks = partners.len().max(1);
                    let met: Vec<_> = (0..looks)
                        .filter_map(|_| merged(clauses, *row, !partners.is_empty()))
                        .collect();
                    if met.len() > 1 {
                        return None;
                    }
                    met.first().copied()
                }
                _ => None,
            };
            match outcome {
                None => after.push(*row),
                Some(new) => {
                    count += 1;
                    after.extend(new);
                }
            }
        }
        if let Self::Merge(clauses) = self {
            for new in source.iter().filter(|s| !rows.iter().any(|row| joins(row, s))) {
                let takes =
                    |when: &&When| matches!(when, When::NotMatched(c) if c.holds(*new, source));
                if clauses.iter().any(|when| takes(&when)) {
                    count += 1;
                    after.push((new.0, new.1.map(|v| v + 100)));
                }
            }
        }
        Some((after, count))
    }
}

/// What the first clause that fits makes of a row of the table: none where it stays.
fn merged(clauses: &[When], row: Row, matched: bool) -> Option<Option<Row>> {
    for clause in clauses {
        match clause {
            When::Matched(c, v) if matched && c.holds(row, &[]) => return Some(Some((row.0, *v))),
            When::MatchedDelete(c) if matched && c.holds(row, &[]) => return Some(None),
            When::MatchedNothing(c) if matched && c.holds(row, &[]) => return None,
            When::BySource(c, v) if !matched && c.holds(row, &[]) => {
                return Some(Some((row.0, *v)));
            }
            When::BySourceDelete(c) if !matched && c.holds(row, &[]) => return Some(None),
            _ => {}
        }
    }
    None
}

async fn session() -> Session {
    let config = EngineConfig { warehouse: "memory://".to_owned(), ..EngineConfig::default() };
    let engine = Engine::open(config).await.unwrap();
    engine.session(SessionStart::default()).unwrap()
}

async fn rows(output: Output) -> Vec<Row> {
    let Output::Rows(stream) = output else { panic!("no rows") };
    let batches: Vec<_> = stream.try_collect().await.unwrap();
    let mut rows = Vec::new();
    for batch in batches {
        let column = |at: usize| batch.column(at).as_primitive::<Int64Type>().clone();
        let (keys, values) = (column(0), column(1));
        let value =
            |array: &arrow::array::Int64Array, at| (!array.is_null(at)).then(|| array.value(at));
        rows.extend((0..batch.num_rows()).map(|at| (value(&keys, at), value(&values, at))));
    }
    rows.sort_unstable();
    rows
}

async fn run(session: &Session, sql: &str) -> crate::Result<Output> {
    session.execute(sql, Vec::new()).await
}

async fn fill(session: &Session, table: &str, files: &[Vec<Row>]) {
    run(session, &format!("CREATE TABLE {table} (k bigint, v bigint)")).await.unwrap();
    for rows in files.iter().filter(|rows| !rows.is_empty()) {
        let values: Vec<String> =
            rows.iter().map(|(k, v)| format!("({}, {})", number(*k), number(*v))).collect();
        run(session, &format!("INSERT INTO {table} VALUES {}", values.join(", "))).await.unwrap();
    }
}

/// The rows of `t` as its changes add up to them. No version inserts and deletes the same row.
async fn rows_by_changes(session: &Session) -> Vec<Row> {
    let changes = "table_changes('t', 0)";
    let both = format!(
        "SELECT i.k, i.v FROM {changes} i JOIN {changes} d ON i._commit_version = d._commit_version
         AND i.k IS NOT DISTINCT FROM d.k AND i.v IS NOT DISTINCT FROM d.v
         WHERE i._change_type = 'insert' AND d._change_type = 'delete'"
    );
    assert_eq!(rows(run(session, &both).await.unwrap()).await, [], "both inserted and deleted");
    let of = |kind: &str| format!("SELECT k, v FROM {changes} WHERE _change_type = '{kind}'");
    let mut left = rows(run(session, &of("insert")).await.unwrap()).await;
    for gone in rows(run(session, &of("delete")).await.unwrap()).await {
        let at = left.iter().position(|row| *row == gone).expect("what goes has come");
        left.remove(at);
    }
    left
}

fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn changes_do_what_their_definitions_say(
        files in proptest::collection::vec(proptest::collection::vec(row(), 0..6), 1..4),
        source in proptest::collection::vec(row(), 0..6),
        changes in proptest::collection::vec(change(), 1..4),
        in_transaction in any::<bool>(),
        returning in any::<bool>(),
    ) {
        on_runtime(async {
            let session = session().await;
            fill(&session, "t", &files).await;
            fill(&session, "s", std::slice::from_ref(&source)).await;
            let mut model: Vec<Row> = files.concat();
            if in_transaction {
                run(&session, "BEGIN").await.unwrap();
            }
            for change in &changes {
                let expected = change.apply(&model, &source);
                let mut sql = change.sql();
                if returning {
                    sql.push_str(" RETURNING t.k, t.v");
                }
                let done = run(&session, &sql).await;
                match (expected, done) {
                    (None, Err(error)) => {
                        assert_eq!(error.sqlstate(), "21000", "{sql}: {error}");
                        if in_transaction {
                            return;
                        }
                    }
                    (Some((after, count)), Ok(Output::Done { rows, .. })) => {
                        assert_eq!(rows, Some(count), "{sql}");
                        model = after;
                    }
                    (Some((after, count)), Ok(returned)) => {
                        assert_eq!(rows(returned).await.len() as u64, count, "{sql}");
                        model = after;
                    }
                    (expected, done) => panic!("{sql}: {done:?} in place of {expected:?}"),
                }
                model.sort_unstable();
                let found = rows(run(&session, "SELECT k, v FROM t").await.unwrap()).await;
                assert_eq!(found, model, "after {sql}");
            }
            if in_transaction {
                run(&session, "COMMIT").await.unwrap();
            }
            let found = rows(run(&session, "SELECT k, v FROM t").await.unwrap()).await;
            model.sort_unstable();
            assert_eq!(found, model);
            assert_eq!(rows_by_changes(&session).await, model);
        });
    }

    #[test]
    fn upserts_keep_the_key(
        statements in proptest::collection::vec(
            (proptest::collection::vec((0..8_i64, 0..4_i64), 1..5), 0..3_u8),
            1..8,
        ),
    ) {
        on_runtime(async {
            let session = session().await;
            let create = "CREATE TABLE t (k bigint PRIMARY KEY NOT ENFORCED, v bigint)";
            run(&session, create).await.unwrap();
            let mut model: BTreeMap<i64, i64> = BTreeMap::new();
            for (new, kind) in statements {
                let values: Vec<String> = new.iter().map(|(k, v)| format!("({k}, {v})")).collect();
                let action = match kind {
                    0 => "DO NOTHING",
                    1 => "(k) DO UPDATE SET v = t.v + excluded.v",
                    _ => "(k) DO UPDATE SET v = excluded.v WHERE excluded.v > t.v",
                };
                let values = values.join(", ");
                let sql = format!("INSERT INTO t VALUES {values} ON CONFLICT {action}");
                let mut after = model.clone();
                let (mut count, mut refused) = (0, false);
                for (k, v) in &new {
                    let own = new.iter().filter(|(other, _)| other == k).count() > 1;
                    match (after.get(k).copied(), model.get(k).copied(), kind) {
                        (None, ..) => {
                            after.insert(*k, *v);
                            count += 1;
                            refused |= own && kind > 0;
                        }
                        (Some(_), _, 0) | (Some(_), None, _) => {}
                        (_, Some(old), 1) => {
                            refused |= own;
                            after.insert(*k, old + v);
                            count += 1;
                        }
                        (_, Some(old), _) if *v > old => {
                            let met = |(other, v): &&(i64, i64)| other == k && *v > old;
                            refused |= new.iter().filter(met).count() > 1;
                            after.insert(*k, *v);
                            count += 1;
                        }
                        _ => {}
                    }
                }
                match run(&session, &sql).await {
                    Ok(Output::Done { rows, .. }) => {
                        assert!(!refused, "{sql} over {model:?}");
                        assert_eq!(rows, Some(count), "{sql} over {model:?}");
                        model = after;
                    }
                    Ok(other) => panic!("{sql}: {other:?}"),
                    Err(error) => {
                        assert!(refused, "{sql} over {model:?}: {error}");
                        assert_eq!(error.sqlstate(), "21000");
                    }
                }
                let found = rows(run(&session, "SELECT k, v FROM t").await.unwrap()).await;
                let expected: Vec<Row> = model.iter().map(|(k, v)| (Some(*k), Some(*v))).collect();
                assert_eq!(found, expected, "after {sql}");
            }
        });
    }
}

/// Sessions that count into the same rows: a key that came twice, or a count that got lost, shows.
#[test]
fn upserts_of_many_sessions_count_right() {
    const SESSIONS: i64 = 4;
    const ROUNDS: i64 = 12;
    const KEYS: i64 = 3;
    on_runtime(async {
        let config = EngineConfig { warehouse: "memory://".to_owned(), ..EngineConfig::default() };
        let engine = Engine::open(config).await.unwrap();
        let first = engine.session(SessionStart::default()).unwrap();
        let create = "CREATE TABLE t (k bigint PRIMARY KEY NOT ENFORCED, v bigint)";
        run(&first, create).await.unwrap();
        let counting = (0..SESSIONS).map(|nth| {
            let session = engine.session(SessionStart::default()).unwrap();
            // Statements are not `Send` for every lifetime, so each session has a thread.
            std::thread::spawn(move || on_runtime(async move {
                for round in 0..ROUNDS {
                    let key = (nth + round) % KEYS;
                    let sql = format!(
                        "INSERT INTO t VALUES ({key}, 1) ON CONFLICT (k) DO UPDATE SET v = t.v + 1"
                    );
                    while let Err(error) = run(&session, &sql).await {
                        assert_eq!(error.sqlstate(), "40001", "{error}");
                    }
                }
            }))
        });
        for counted in counting.collect::<Vec<_>>() {
            tokio::task::spawn_blocking(|| counted.join()).await.unwrap().unwrap();
        }
        let found = rows(run(&first, "SELECT k, v FROM t").await.unwrap()).await;
        assert_eq!(found.len(), usize::try_from(KEYS).unwrap(), "{found:?}");
        let sum: i64 = found.iter().filter_map(|(_, count)| *count).sum();
        assert_eq!(sum, SESSIONS * ROUNDS, "{found:?}");
    });
}

/// Statements that add rows go on while the table is defined anew beneath them: each row is in the columns
/// that it names, and none breaks a constraint that there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn inserts_beside_alter_table_keep_their_columns() {
    let config = EngineConfig { warehouse: "memory://".to_owned(), ..EngineConfig::default() };
    let engine = Engine::open(config).await.unwrap();
    let session = || engine.session(SessionStart::default()).unwrap();
    let altering = session();
    run(&altering, "CREATE TABLE t (k bigint, v bigint)").await.unwrap();
    let inserts = (0..4_i64).map(|task| {
        let session = session();
        tokio::spawn(async move {
            for n in 0..25 {
                let k = task * 100 + n;
                let add = match n % 3 {
                    0 => format!("INSERT INTO t (v, k) VALUES ({}, {k})", k + 1_000),
                    1 => format!("INSERT INTO t (k, v) SELECT {k}, {}", k + 1_000),
                    _ => format!("INSERT INTO t (k, v) VALUES ({k}, {}) RETURNING k", k + 1_000),
                };
                run(&session, &add).await.unwrap();
            }
        })
    });
    let inserts: Vec<_> = inserts.collect();
    for round in 0..8 {
        for change in [
            format!("ALTER TABLE t ADD COLUMN x{round} bigint"),
            "ALTER TABLE t ADD CONSTRAINT limited CHECK (v < 1000000)".to_owned(),
            format!("ALTER TABLE t DROP COLUMN x{round}"),
            "ALTER TABLE t DROP CONSTRAINT limited".to_owned(),
        ] {
            run(&altering, &change).await.unwrap();
        }
    }
    for insert in inserts {
        insert.await.unwrap();
    }
    let found = rows(run(&altering, "SELECT k, v FROM t").await.unwrap()).await;
    let expected = (0..4).flat_map(|task| (0..25).map(move |n| task * 100 + n));
    let expected: Vec<Row> = expected.map(|k| (Some(k), Some(k + 1_000))).collect();
    assert_eq!(found, expected);
}
