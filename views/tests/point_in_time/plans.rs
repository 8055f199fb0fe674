//! Which plans an ASOF JOIN gets: what is read, what is filtered where, what is sorted.

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use views::point_in_time::rewrite_as_of;

use crate::session::{execute, explain, labels};

const JOIN: &str =
    "labels l ASOF JOIN features f MATCH_CONDITION (l.ts >= f.ts) ON l.user_id = f.user_id";

#[tokio::test]
async fn a_plan_reads_like_the_join() {
    let context = labels(1, 8192).await;
    let sql = "SELECT l.id, f.n FROM labels l ASOF JOIN features f MATCH_CONDITION
        (l.ts >= f.ts AND l.ts - f.ts < INTERVAL '1 day' AND f.known_at <= l.ts)
        ON l.user_id = f.user_id";
    let (logical, physical) = explain(&context, sql).await;
    let node = "AsOfJoin: l.ts >= f.ts, on=[l.user_id = f.user_id], age < ";
    assert!(logical.contains(node), "{logical}");
    assert!(logical.contains("and=[l.ts >= f.known_at]"), "{logical}");
    assert!(
        physical.contains(
            "PointInTimeJoinExec: by=hold_left, match=[ts@2 >= ts@1], on=[(user_id@1, user_id@0)], \
             age_max=86399999999999, and=[ts@2 >= known_at@3]"
        ),
        "{physical}"
    );
}

#[tokio::test]
async fn a_filter_on_left_columns_goes_below_though_both_sides_have_the_name() {
    let context = labels(2, 8192).await;
    let sql = format!(
        "SELECT l.id, f.n FROM {JOIN} WHERE l.ts > TIMESTAMP '2026-01-01' AND f.n > 3 AND l.id < 9"
    );
    let (logical, _) = explain(&context, &sql).await;
    let (above, below) = logical.split_once("AsOfJoin").unwrap();
    assert!(above.contains("Filter: f.n > Int64(3)"), "{logical}");
    assert!(!above.contains("l.ts >") && !above.contains("l.id <"), "{logical}");
    let (left, right) = below.split_once("SubqueryAlias: f").unwrap();
    assert!(left.contains("labels.ts >") && left.contains("labels.id <"), "{logical}");
    assert!(!right.contains("Filter") && !right.contains("filters"), "{logical}");
}

#[tokio::test]
async fn a_filter_that_reads_no_column_does_not_reach_the_right_side() {
    let context = labels(2, 8192).await;
    let sql = format!("SELECT l.id, f.n FROM {JOIN} WHERE random() < 0.5");
    let (logical, _) = explain(&context, &sql).await;
    assert_eq!(logical.matches("random()").count(), 1, "{logical}");
    let (_, right) = logical.split_once("SubqueryAlias: f").unwrap();
    assert!(!right.contains("random()"), "{logical}");
}

#[tokio::test]
async fn only_needed_columns_are_read() {
    let context = labels(2, 8192).await;
    execute(
        &context,
        "CREATE TABLE wide (user_id BIGINT, ts TIMESTAMP, a BIGINT, b BIGINT, PRIMARY KEY (user_id, ts))
         AS VALUES (1, TIMESTAMP '2026-01-01', 1, 2)",
    )
    .await;
    // One row per key and time: nothing needs a decision.
    let keyed = "SELECT l.id, w.a FROM labels l ASOF JOIN wide w MATCH_CONDITION (l.ts >= w.ts)
                 ON l.user_id = w.user_id";
    let (logical, physical) = explain(&context, keyed).await;
    assert!(logical.contains("TableScan: wide projection=[user_id, ts, a]"), "{logical}");
    assert!(!physical.contains("ProjectionExec"), "{physical}");
    // So it is for a group per key and time.
    let grouped = "SELECT l.id, g.n FROM labels l ASOF JOIN
        (SELECT user_id, ts, sum(n) AS n, max(known_at) AS known FROM features GROUP BY user_id, ts) g
        MATCH_CONDITION (l.ts >= g.ts) ON l.user_id = g.user_id";
    let (logical, _) = explain(&context, grouped).await;
    assert!(logical.contains("TableScan: features projection=[user_id, ts, n]"), "{logical}");
    // Otherwise all right columns decide between rows of equal time, and are read for that.
    let (logical, _) = explain(&context, &format!("SELECT f.n FROM {JOIN}")).await;
    assert!(logical.contains("TableScan: labels projection=[user_id, ts]"), "{logical}");
    assert!(
        logical.contains("TableScan: features projection=[user_id, ts, n, known_at]"),
        "{logical}"
    );
    // But they do not come out of the join.
    let (_, physical) = explain(&context, &format!("SELECT count(f.n) FROM {JOIN}")).await;
    assert!(!physical.contains("ProjectionExec"), "{physical}");
}

#[tokio::test]
async fn the_shorter_side_is_held() {
    let context = labels(1, 8192).await;
    let by = async |left: &str, right: &str, cut: &str| {
        let sql = format!(
            "SELECT * FROM {left} l ASOF JOIN {right} r MATCH_CONDITION (l.ts >= r.ts {cut})"
        );
        let (_, physical) = explain(&context, &sql).await;
        let (_, by) = physical.split_once("by=").unwrap();
        by.split_once(',').unwrap().0.to_owned()
    };
    assert_eq!(by("labels", "features", "").await, "hold_left");
    assert_eq!(by("features", "labels", "").await, "hold_right");
    // A right row that is not yet known to one left row is to a later one: that needs the left.
    let cut = "AND r.ts + INTERVAL '1 day' <= l.ts";
    assert_eq!(by("features", "labels", cut).await, "hold_left");
    assert_eq!(by("labels", "features", "AND r.n < l.id").await, "merge");
}

#[tokio::test]
async fn a_merge_sorts_what_is_not_in_order() {
    let context = labels(3, 1).await;
    let cut = "MATCH_CONDITION (l.ts >= f.ts AND f.n <= l.id) ON l.user_id = f.user_id";
    let sql = format!("SELECT * FROM labels l ASOF JOIN features f {cut}");
    let (_, physical) = explain(&context, &sql).await;
    assert!(physical.contains("by=merge"), "{physical}");
    let order =
        "expr=[user_id@1 ASC NULLS LAST, ts@2 ASC NULLS LAST], preserve_partitioning=[true]";
    assert!(physical.contains(order), "{physical}");
    assert_eq!(physical.matches("RepartitionExec: partitioning=Hash").count(), 2, "{physical}");
    // An order that is there is used, and kept.
    let sorted = "SELECT l.*, f.n FROM labels l ASOF JOIN
        (SELECT user_id, ts, n FROM features ORDER BY user_id, ts LIMIT 100) f
        MATCH_CONDITION (l.ts >= f.ts) ON l.user_id = f.user_id ORDER BY l.user_id, l.ts";
    let (_, physical) = explain(&labels(1, 8192).await, sorted).await;
    assert!(physical.contains("by=merge"), "{physical}");
    assert_eq!(physical.matches("SortExec").count(), 2, "{physical}");
}

#[test]
fn rewriting_twice_is_rewriting_once_and_leaves_other_joins_alone() {
    let parse = |sql: &str| Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
    let as_of = |right: &str| format!("ASOF JOIN {right} MATCH_CONDITION (l.ts >= {right}.ts)");
    let (a, b) = (as_of("a"), as_of("b"));
    for (sql, expected) in [
        ("SELECT 1 FROM l JOIN r ON l.k = r.k".to_owned(), None),
        (format!("SELECT 1 FROM x, l {a}"), Some(format!("SELECT 1 FROM x, (l {a})"))),
        (
            format!("SELECT 1 FROM l JOIN m USING(k) {a} {b} JOIN z USING(k)"),
            Some(format!("SELECT 1 FROM (((l JOIN m USING(k)) {a}) {b}) JOIN z USING(k)")),
        ),
        (format!("SELECT 1 FROM (l {a}) AS p"), None),
        (
            format!("INSERT INTO t SELECT 1 FROM l WHERE EXISTS (SELECT 1 FROM l {a})"),
            Some(format!("INSERT INTO t SELECT 1 FROM l WHERE EXISTS (SELECT 1 FROM (l {a}))")),
        ),
    ] {
        let mut statement = parse(&sql);
        rewrite_as_of(&mut statement);
        assert_eq!(statement.to_string(), expected.unwrap_or(sql));
        let once = statement.clone();
        rewrite_as_of(&mut statement);
        assert_eq!(statement, once);
    }
}
