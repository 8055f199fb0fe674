//! An ASOF JOIN equals the same question asked in plain SQL, wherever it stands in a query, and
//! whatever the batches and partitions are.

use datafusion::prelude::SessionContext;

use crate::session::{execute, labels, rows};

/// `left ASOF JOIN right`, as a left join of which the best row is kept. `left` must have an `id`.
fn in_plain_sql(left: &str, right: &str, on: &str, order: &str) -> String {
    format!(
        "(SELECT * FROM (SELECT l.id AS id, l.user_id AS user_id, l.ts AS ts, r.ts AS found_ts,
            r.v AS v, r.w AS w, row_number() OVER (PARTITION BY l.id ORDER BY {order}) AS place
          FROM {left} l LEFT JOIN {right} r ON {on}) ranked WHERE place = 1)"
    )
}

const BACKWARD: &str = "r.ts DESC NULLS LAST, r.v DESC NULLS LAST, r.w DESC NULLS LAST";
const KEY: &str = "l.user_id = r.user_id AND l.ts >= r.ts";

async fn context(partitions: usize, batch_rows: usize) -> SessionContext {
    let context = labels(partitions, batch_rows).await;
    // Numbers that look random, some of them NULL; times repeat.
    let number = |salt: u32, bound: u32| {
        let mixed = format!("(value * 7919 + {salt}) * 104729 % 1000003");
        format!("CASE WHEN {mixed} % 11 = 0 THEN NULL ELSE {mixed} % {bound} END")
    };
    for (name, count) in [("small", 60), ("large", 300)] {
        let (user, time) = (number(count, 7), number(count + 1, 50));
        let (v, w) = (number(count + 2, 3), number(count + 3, 1000));
        execute(
            &context,
            &format!(
                "CREATE TABLE {name} AS SELECT value AS id, {user} AS user_id,
                   arrow_cast({time}, 'Timestamp(Microsecond, None)') AS ts, {v} AS v, {w} AS w
                 FROM generate_series(1, {count})"
            ),
        )
        .await;
    }
    context
}

/// Both queries give the same rows, over several partitions and sizes of batches.
async fn assert_same(as_of: &str, plain: &str) {
    let expected = rows(&context(1, 8192).await, plain).await;
    assert!(expected.iter().any(|row| !row.contains("NULL")), "the query finds something");
    for partitions in 1..=4 {
        for batch_rows in [1, 7, 8192] {
            let found = rows(&context(partitions, batch_rows).await, as_of).await;
            assert_eq!(
                found, expected,
                "{partitions} partitions, batches of {batch_rows}\n{as_of}"
            );
        }
    }
}

const JOIN: &str = "ASOF JOIN (SELECT user_id, ts, v, w FROM large) r \
    MATCH_CONDITION (l.ts >= r.ts) ON l.user_id = r.user_id";

#[tokio::test]
async fn at_the_top() {
    assert_same(
        &format!("SELECT l.id, r.ts, r.v, r.w FROM small l {JOIN} ORDER BY l.id"),
        &format!(
            "SELECT id, found_ts, v, w FROM {} ORDER BY id",
            in_plain_sql("small", "large", KEY, BACKWARD)
        ),
    )
    .await;
}

#[tokio::test]
async fn forward() {
    assert_same(
        &format!(
            "SELECT l.id, r.ts, r.v, r.w FROM small l {} ORDER BY l.id",
            JOIN.replace(">=", "<")
        ),
        &format!(
            "SELECT id, found_ts, v, w FROM {} ORDER BY id",
            in_plain_sql(
                "small",
                "large",
                &KEY.replace(">=", "<"),
                &BACKWARD.replacen("DESC", "ASC", 1)
            )
        ),
    )
    .await;
}

#[tokio::test]
async fn under_filters_on_both_sides_and_a_limit() {
    assert_same(
        &format!(
            "SELECT l.id, r.v FROM small l {JOIN} WHERE l.ts > TIMESTAMP '1970-01-01 00:00:00.000010'
             AND r.w > 200 AND l.id + r.v > 5 ORDER BY l.id LIMIT 9"
        ),
        &format!(
            "SELECT id, v FROM {} WHERE ts > TIMESTAMP '1970-01-01 00:00:00.000010'
             AND w > 200 AND id + v > 5 ORDER BY id LIMIT 9",
            in_plain_sql("small", "large", KEY, BACKWARD)
        ),
    )
    .await;
}

#[tokio::test]
async fn two_in_a_row() {
    let first = in_plain_sql("small", "large", KEY, BACKWARD);
    let second = in_plain_sql("small", "small", KEY, BACKWARD);
    assert_same(
        &format!(
            "SELECT l.id, r.v, r.w, s.v, s.w FROM small l {JOIN}
             ASOF JOIN (SELECT user_id, ts, v, w FROM small) s MATCH_CONDITION (l.ts >= s.ts)
             ON l.user_id = s.user_id ORDER BY l.id"
        ),
        &format!(
            "SELECT a.id, a.v, a.w, b.v, b.w FROM {first} a JOIN {second} b ON a.id = b.id ORDER BY a.id"
        ),
    )
    .await;
}

#[tokio::test]
async fn the_second_may_be_joined_by_what_the_first_found() {
    let first = in_plain_sql("small", "large", KEY, BACKWARD);
    let by_found = "l.v = r.v AND l.found_ts > r.ts";
    let second = format!(
        "(SELECT * FROM (SELECT l.id AS id, l.w AS w, r.w AS w2,
            row_number() OVER (PARTITION BY l.id ORDER BY r.ts DESC NULLS LAST, r.w DESC NULLS LAST) AS place
          FROM {first} l LEFT JOIN small r ON {by_found}) x WHERE place = 1)"
    );
    assert_same(
        &format!(
            "SELECT l.id, r.w, s.w FROM small l {JOIN} ASOF JOIN (SELECT v, ts, w FROM small) s
             MATCH_CONDITION (r.ts > s.ts) ON r.v = s.v ORDER BY l.id"
        ),
        &format!("SELECT id, w, w2 FROM {second} ORDER BY id"),
    )
    .await;
}

#[tokio::test]
async fn between_other_joins() {
    let found = in_plain_sql("small", "large", KEY, BACKWARD);
    assert_same(
        &format!(
            "SELECT l.id, x.w, r.w, y.w FROM small l JOIN large x ON l.id = x.id {JOIN}
             LEFT JOIN large y ON y.id = r.w ORDER BY l.id"
        ),
        &format!(
            "SELECT f.id, x.w, f.w, y.w FROM {found} f JOIN large x ON f.id = x.id
             LEFT JOIN large y ON y.id = f.w ORDER BY f.id"
        ),
    )
    .await;
}

#[tokio::test]
async fn in_subqueries_ctes_unions_and_parentheses() {
    let found = in_plain_sql("small", "large", KEY, BACKWARD);
    let expected = format!("SELECT id, v, w FROM {found} ORDER BY id");
    let cte = format!(
        "WITH j AS (SELECT l.id, r.v, r.w FROM small l {JOIN}) SELECT a.id, a.v, b.w
         FROM j a JOIN j b ON a.id = b.id ORDER BY a.id"
    );
    let aliased = format!(
        "SELECT q.id, q.v, q.w FROM (SELECT l.id, r.v, r.w FROM small l {JOIN}) q ORDER BY q.id"
    );
    let parenthesised = format!("SELECT l.id, r.v, r.w FROM (small l {JOIN}) ORDER BY l.id");
    let union = format!(
        "SELECT l.id, r.v, r.w FROM small l {JOIN} WHERE l.id <= 30 UNION ALL
         SELECT l.id, r.v, r.w FROM small l {JOIN} WHERE l.id > 30 ORDER BY 1"
    );
    let right_side = format!(
        "SELECT s.id, j.v, j.w FROM small s LEFT JOIN (SELECT l.id, r.v, r.w FROM small l {JOIN}) j
         ON s.id = j.id ORDER BY s.id"
    );
    for as_of in [cte, aliased, parenthesised, union, right_side] {
        assert_same(&as_of, &expected).await;
    }
}

#[tokio::test]
async fn under_aggregates_and_in_an_expression() {
    let found = in_plain_sql("small", "large", KEY, BACKWARD);
    assert_same(
        &format!(
            "SELECT l.user_id, count(*), sum(r.w) FROM small l {JOIN} GROUP BY l.user_id ORDER BY 1"
        ),
        &format!("SELECT user_id, count(*), sum(w) FROM {found} GROUP BY user_id ORDER BY 1"),
    )
    .await;
    assert_same(
        &format!("SELECT id FROM large WHERE w IN (SELECT r.w FROM small l {JOIN}) ORDER BY id"),
        &format!("SELECT id FROM large WHERE w IN (SELECT w FROM {found}) ORDER BY id"),
    )
    .await;
}
