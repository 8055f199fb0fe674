//! What an ASOF JOIN answers, on tables small enough to see it.

use datafusion::common::{ParamValues, ScalarValue};

use crate::session::{execute, labels, plan, rows, text};

/// The `id` and `n` of labels joined with features.
async fn joined(condition: &str) -> Vec<String> {
    let sql =
        format!("SELECT l.id, f.n FROM labels l ASOF JOIN features f {condition} ORDER BY l.id");
    rows(&labels(2, 8192).await, &sql).await
}

#[tokio::test]
async fn each_left_row_meets_the_newest_row_of_its_key() {
    let found = joined("MATCH_CONDITION (l.ts >= f.ts) ON l.user_id = f.user_id").await;
    assert_eq!(found, ["1 11", "2 12", "3 NULL", "4 NULL", "5 NULL", "6 NULL"]);
}

#[tokio::test]
async fn the_four_operators_look_back_and_forward() {
    let found = joined("MATCH_CONDITION (l.ts > f.ts) ON l.user_id = f.user_id").await;
    assert_eq!(found, ["1 10", "2 12", "3 NULL", "4 NULL", "5 NULL", "6 NULL"]);
    let found = joined("MATCH_CONDITION (l.ts <= f.ts) ON l.user_id = f.user_id").await;
    assert_eq!(found, ["1 11", "2 13", "3 20", "4 NULL", "5 NULL", "6 NULL"]);
    let found = joined("MATCH_CONDITION (l.ts < f.ts) ON l.user_id = f.user_id").await;
    assert_eq!(found, ["1 12", "2 13", "3 20", "4 NULL", "5 NULL", "6 NULL"]);
}

#[tokio::test]
async fn a_condition_may_be_written_either_way_round() {
    let found = joined("MATCH_CONDITION (f.ts <= l.ts) ON f.user_id = l.user_id").await;
    assert_eq!(found, ["1 11", "2 12", "3 NULL", "4 NULL", "5 NULL", "6 NULL"]);
}

#[tokio::test]
async fn a_row_that_is_too_old_is_not_joined() {
    let key = "ON l.user_id = f.user_id";
    for within_five_days in [
        "l.ts - f.ts <= INTERVAL '5 days'",
        "INTERVAL '5 days' >= l.ts - f.ts",
        "l.ts - f.ts <= INTERVAL '4 days' + INTERVAL '24 hours'",
        "f.ts >= l.ts - INTERVAL '5 days'",
    ] {
        let condition = format!("MATCH_CONDITION (l.ts >= f.ts AND {within_five_days}) {key}");
        let expected = ["1 11", "2 12", "3 NULL", "4 NULL", "5 NULL", "6 NULL"];
        assert_eq!(joined(&condition).await, expected, "{within_five_days}");
    }
    let less = "MATCH_CONDITION (l.ts >= f.ts AND l.ts - f.ts < INTERVAL '5 days')";
    let found = joined(&format!("{less} {key}")).await;
    assert_eq!(found, ["1 11", "2 NULL", "3 NULL", "4 NULL", "5 NULL", "6 NULL"]);
    let ahead = "MATCH_CONDITION (l.ts < f.ts AND f.ts - l.ts <= INTERVAL '1 day')";
    let found = joined(&format!("{ahead} {key}")).await;
    assert_eq!(found, ["1 NULL", "2 NULL", "3 20", "4 NULL", "5 NULL", "6 NULL"]);
}

#[tokio::test]
async fn a_row_not_yet_known_is_passed_over_for_an_older_one() {
    let found =
        joined("MATCH_CONDITION (l.ts >= f.ts AND f.known_at <= l.ts) ON l.user_id = f.user_id")
            .await;
    assert_eq!(found, ["1 10", "2 11", "3 NULL", "4 NULL", "5 NULL", "6 NULL"]);
}

#[tokio::test]
async fn without_keys_all_rows_are_candidates() {
    let found = joined("MATCH_CONDITION (l.ts >= f.ts)").await;
    // On January 10 user 1 and on January 20 user 1 were last.
    assert_eq!(found, ["1 11", "2 12", "3 11", "4 11", "5 11", "6 NULL"]);
}

#[tokio::test]
async fn using_merges_the_key() {
    let context = labels(2, 8192).await;
    let join = "labels l ASOF JOIN features f MATCH_CONDITION (l.ts >= f.ts) USING (user_id)";
    let found = rows(&context, &format!("SELECT * FROM {join} WHERE user_id = 1 AND id < 6")).await;
    assert_eq!(
        found,
        [
            "1 1 2026-01-10T00:00:00 2026-01-10T00:00:00 11 2026-01-15T00:00:00",
            "2 1 2026-01-20T00:00:00 2026-01-15T00:00:00 12 2026-01-30T00:00:00",
        ]
    );
    let found = rows(&context, &format!("SELECT l.user_id, f.n FROM {join} WHERE id = 3")).await;
    assert_eq!(found, ["2 NULL"]);
}

#[tokio::test]
async fn among_rows_of_equal_time_the_greatest_wins_whatever_is_selected() {
    for partitions in [1, 3] {
        let context = labels(partitions, 2).await;
        execute(
            &context,
            "CREATE TABLE ties (user_id BIGINT, ts TIMESTAMP, a BIGINT, b VARCHAR) AS VALUES
             (1, TIMESTAMP '2026-01-05', NULL, 'z'), (1, TIMESTAMP '2026-01-05', 7, 'a'),
             (1, TIMESTAMP '2026-01-05', 7, 'c'), (1, TIMESTAMP '2026-01-05', 7, 'b'),
             (1, TIMESTAMP '2026-01-05', 6, 'y')",
        )
        .await;
        let join = "labels l ASOF JOIN ties t MATCH_CONDITION (l.ts >= t.ts) \
                    ON l.user_id = t.user_id WHERE l.id = 1";
        assert_eq!(rows(&context, &format!("SELECT t.a, t.b FROM {join}")).await, ["7 c"]);
        // Not the greatest `b`, but that of the same row.
        assert_eq!(rows(&context, &format!("SELECT t.b FROM {join}")).await, ["c"]);
    }
}

#[tokio::test]
async fn keys_and_times_of_related_types_are_compared() {
    let context = labels(3, 2).await;
    execute(
        &context,
        "CREATE TABLE narrow AS SELECT
           arrow_cast(user_id, 'Int16') AS user_id, CAST(ts AS DATE) AS day,
           arrow_cast(ts, 'Timestamp(Millisecond, None)') AS ts,
           arrow_cast(CAST(user_id AS VARCHAR), 'Dictionary(Int32, Utf8)') AS name, n
         FROM features",
    )
    .await;
    execute(
        &context,
        "CREATE TABLE wide AS
         SELECT *, arrow_cast(CAST(user_id AS VARCHAR), 'LargeUtf8') AS name FROM labels",
    )
    .await;
    for condition in [
        "MATCH_CONDITION (l.ts >= r.ts) ON l.user_id = r.user_id",
        "MATCH_CONDITION (l.ts >= r.day) ON l.user_id = r.user_id",
        "MATCH_CONDITION (l.ts >= r.ts) ON l.name = r.name",
    ] {
        let sql = format!("SELECT id, n FROM wide l ASOF JOIN narrow r {condition} ORDER BY id");
        let found = rows(&context, &sql).await;
        let expected = ["1 11", "2 12", "3 NULL", "4 NULL", "5 NULL", "6 NULL"];
        assert_eq!(found, expected, "{condition}");
    }
}

#[tokio::test]
async fn a_time_is_never_rounded_down_to_an_earlier_one() {
    let context = labels(1, 8192).await;
    let join = "(SELECT arrow_cast(10, 'Timestamp(Microsecond, None)') AS ts) l
        ASOF JOIN (SELECT arrow_cast(10001, 'Timestamp(Nanosecond, None)') AS ts, 'later' AS v) r";
    for (operator, expected) in [(">=", "NULL"), ("<", "later")] {
        let sql = format!("SELECT v FROM {join} MATCH_CONDITION (l.ts {operator} r.ts)");
        assert_eq!(rows(&context, &sql).await, [expected], "{operator}");
    }
}

#[tokio::test]
async fn other_times_than_timestamps_are_compared() {
    let context = labels(1, 8192).await;
    for (left, right, limit) in [
        ("2.5", "2.25", ""),
        ("CAST(2.5 AS DOUBLE)", "CAST(2.25 AS DOUBLE)", ""),
        ("5", "3", "AND l.t - r.t <= 2"),
        ("DATE '2026-01-05'", "DATE '2026-01-03'", "AND l.t - r.t <= INTERVAL '2 days'"),
    ] {
        let sql = format!(
            "SELECT r.v FROM (SELECT {left} AS t) l ASOF JOIN (SELECT {right} AS t, 'found' AS v) r \
             MATCH_CONDITION (l.t >= r.t {limit})"
        );
        assert_eq!(rows(&context, &sql).await, ["found"], "{sql}");
    }
}

#[tokio::test]
async fn the_least_and_the_greatest_time_are_times_like_others() {
    let context = labels(1, 8192).await;
    for time in [i64::MIN, i64::MAX] {
        let side =
            format!("SELECT arrow_cast({time}, 'Timestamp(Microsecond, None)') AS t, 'v' AS v");
        for (operator, expected) in [(">=", "v"), (">", "NULL"), ("<=", "v"), ("<", "NULL")] {
            let sql = format!(
                "SELECT r.v FROM ({side}) l ASOF JOIN ({side}) r MATCH_CONDITION (l.t {operator} r.t)"
            );
            assert_eq!(rows(&context, &sql).await, [expected], "{sql}");
        }
    }
}

#[tokio::test]
async fn an_empty_side_is_a_side() {
    let context = labels(3, 2).await;
    let join = "(SELECT * FROM labels WHERE id < {l}) l ASOF JOIN \
        (SELECT * FROM features WHERE n < {r}) f MATCH_CONDITION (l.ts >= f.ts) ON l.user_id = f.user_id";
    let count = |l: &str, r: &str| {
        format!("SELECT count(*), count(f.n) FROM {}", join.replace("{l}", l).replace("{r}", r))
    };
    assert_eq!(rows(&context, &count("0", "100")).await, ["0 0"]);
    assert_eq!(rows(&context, &count("100", "0")).await, ["6 0"]);
    assert_eq!(rows(&context, &count("100", "100")).await, ["6 2"]);
}

#[tokio::test]
async fn a_blind_filter_takes_left_rows_only() {
    let context = labels(2, 8192).await;
    let join =
        "labels l ASOF JOIN features f MATCH_CONDITION (l.ts >= f.ts) ON l.user_id = f.user_id";
    // Were the filter applied to the features, too, some of the matches would be lost.
    for _ in 0..20 {
        let sql =
            format!("SELECT count(*) - count(f.n) FROM {join} WHERE l.id < 3 AND random() < 0.5");
        assert_eq!(rows(&context, &sql).await, ["0"]);
    }
}

#[tokio::test]
async fn a_right_column_of_one_value_is_not_constant_beside_left_rows_without_it() {
    let context = labels(2, 1).await;
    for cut in ["", "AND f.n >= l.id"] {
        let sql = format!(
            "SELECT l.id, f.n FROM labels l ASOF JOIN (SELECT * FROM features WHERE n = 12) f
             MATCH_CONDITION (l.ts >= f.ts {cut}) ON l.user_id = f.user_id ORDER BY f.n, l.id"
        );
        let found = rows(&context, &sql).await;
        assert_eq!(found, ["2 12", "1 NULL", "3 NULL", "4 NULL", "5 NULL", "6 NULL"], "{sql}");
    }
}

#[tokio::test]
async fn the_longest_age_may_be_a_parameter() {
    let context = labels(2, 8192).await;
    let sql = "SELECT l.id, f.n FROM labels l ASOF JOIN features f
        MATCH_CONDITION (l.ts >= f.ts AND l.ts - f.ts <= CAST($1 AS INTERVAL))
        ON l.user_id = f.user_id WHERE l.id < $2 ORDER BY l.id";
    let plan = plan(&context, sql).await.unwrap();
    for (days, expected) in [(4, ["1 11", "2 NULL"]), (5, ["1 11", "2 12"])] {
        let age = ScalarValue::new_interval_mdn(0, days, 0);
        let values = ParamValues::from(vec![age, ScalarValue::from(3_i64)]);
        let bound = plan.clone().with_param_values(values).unwrap();
        let batches = context.execute_logical_plan(bound).await.unwrap().collect().await;
        assert_eq!(text(&batches.unwrap()), expected);
    }
}
