//! What an ASOF JOIN refuses, and in which words.

use datafusion::error::DataFusionError;
use views::Error;

use crate::session::{labels, run};

/// The refusal of `labels l ASOF JOIN features f …`, and its hint.
async fn refusal(condition: &str) -> (String, Option<String>) {
    let sql = format!("SELECT * FROM labels l ASOF JOIN features f {condition}");
    refusal_of(&sql).await
}

async fn refusal_of(sql: &str) -> (String, Option<String>) {
    let error = run(&labels(2, 8192).await, sql).await.unwrap_err();
    let DataFusionError::External(source) = error.find_root() else {
        panic!("not an error of this crate: {error}");
    };
    let error = source.downcast_ref::<Error>().unwrap();
    (error.to_string(), error.hint())
}

#[tokio::test]
async fn conditions_of_other_forms_are_named() {
    let not_equal = "only equalities of a left with a right column are joined by";
    let first = "it must begin with a comparison (>=, >, <=, <) of a left with a right time";
    let neither = "it is neither a longest age nor a comparison of both sides";
    for (condition, part, reason) in [
        ("(l.ts >= f.ts) ON l.id > f.n", "\"l.id > f.n\" in ON", not_equal),
        ("(l.ts >= f.ts) ON l.id = 1", "\"l.id = 1\" in ON", not_equal),
        ("(l.ts >= f.ts) ON l.id = l.user_id", "\"l.id = l.user_id\" in ON", not_equal),
        ("(l.ts >= f.ts) ON true", "\"true\" in ON", not_equal),
        (
            "(l.ts >= f.ts) ON l.id = f.n OR l.user_id = f.user_id",
            "\"l.id = f.n OR l.user_id = f.user_id\" in ON",
            "its conditions can be joined by AND only",
        ),
        (
            "(l.ts >= f.ts OR l.id = 1) ON l.user_id = f.user_id",
            "\"l.ts >= f.ts OR l.id = 1\" in MATCH_CONDITION",
            "its conditions can be joined by AND only",
        ),
        ("(l.ts = f.ts)", "\"l.ts = f.ts\" in MATCH_CONDITION", first),
        ("(l.id >= 1 AND l.ts >= f.ts)", "\"l.id >= 1\" in MATCH_CONDITION", first),
        ("(l.ts >= f.ts AND f.n > 3)", "\"f.n > 3\" in MATCH_CONDITION", neither),
        ("(l.ts >= f.ts AND l.id = f.n)", "\"l.id = f.n\" in MATCH_CONDITION", neither),
        (
            "(l.ts >= f.ts AND l.ts - f.ts >= INTERVAL '1 day')",
            "\"l.ts - f.ts >= INTERVAL '1 DAYS'\" in MATCH_CONDITION",
            neither,
        ),
    ] {
        let (message, hint) = refusal(&format!("MATCH_CONDITION {condition}")).await;
        assert_eq!(message, format!("cannot use {part} in ASOF JOIN: {reason}"));
        assert!(hint.is_some());
    }
}

#[tokio::test]
async fn subqueries_and_changing_values_are_refused() {
    let (message, _) =
        refusal("MATCH_CONDITION (l.ts >= f.ts) ON l.id = f.n + (SELECT max(n) FROM features)")
            .await;
    assert!(message.ends_with("in ON in ASOF JOIN: it contains a subquery"), "{message}");
    let (message, _) = refusal("MATCH_CONDITION (l.id >= f.n + random())").await;
    assert!(message.ends_with("its value changes from row to row"), "{message}");
}

#[tokio::test]
async fn types_that_do_not_compare_are_named() {
    let cast = "arrow_cast(f.ts, 'Timestamp(Microsecond, Some(\"UTC\"))')";
    let (message, hint) = refusal(&format!("MATCH_CONDITION (l.ts >= {cast})")).await;
    assert!(
        message.starts_with("cannot compare l.ts (timestamp without time zone) with"),
        "{message}"
    );
    assert!(message.ends_with("(timestamp with time zone) in ASOF JOIN"), "{message}");
    assert_eq!(hint.unwrap(), "Cast one side, for example with AT TIME ZONE 'UTC'.");

    let (message, _) =
        refusal("MATCH_CONDITION (l.ts >= f.ts) ON l.user_id = CAST(f.user_id AS VARCHAR)").await;
    assert!(message.starts_with("cannot compare l.user_id (bigint) with"), "{message}");

    let (message, _) =
        refusal("MATCH_CONDITION (CAST(l.ts AS VARCHAR) >= CAST(f.ts AS VARCHAR))").await;
    assert!(message.contains("(text)"), "{message}");
}

#[tokio::test]
async fn a_longest_age_must_have_a_fixed_length() {
    let (message, _) =
        refusal("MATCH_CONDITION (l.ts >= f.ts AND l.ts - f.ts <= INTERVAL '1 month')").await;
    assert_eq!(
        message,
        "cannot use INTERVAL '1 MONS' as the longest age in ASOF JOIN: \
         months and years have no fixed length: give days"
    );
    let twice = "l.ts - f.ts <= INTERVAL '1 day' AND l.ts - f.ts <= INTERVAL '2 days'";
    let (message, _) = refusal(&format!("MATCH_CONDITION (l.ts >= f.ts AND {twice})")).await;
    assert!(message.ends_with("there are two longest ages"), "{message}");
}

#[tokio::test]
async fn using_names_one_column_of_each_side() {
    let (message, hint) = refusal("MATCH_CONDITION (l.ts >= f.ts) USING (id)").await;
    assert_eq!(
        message,
        "cannot join by column \"id\" in USING: the right side has 0 columns of that name"
    );
    assert_eq!(hint.unwrap(), "Write ON with the columns of both sides in full.");
    let (message, _) = refusal_of(
        "SELECT * FROM labels a JOIN labels b ON a.id = b.id ASOF JOIN features f
         MATCH_CONDITION (a.ts >= f.ts) USING (user_id)",
    )
    .await;
    assert_eq!(
        message,
        "cannot join by column \"user_id\" in USING: the left side has 2 columns of that name"
    );
}

#[tokio::test]
async fn a_lateral_right_side_is_refused() {
    let (message, _) = refusal_of(
        "SELECT * FROM labels l ASOF JOIN LATERAL (SELECT * FROM features) f
         MATCH_CONDITION (l.ts >= f.ts)",
    )
    .await;
    assert_eq!(message, "cannot use LATERAL in ASOF JOIN: the right side cannot read the left one");
}

#[tokio::test]
async fn the_right_key_that_using_merged_is_not_there_to_be_misread() {
    let context = labels(1, 8192).await;
    let sql = "SELECT f.user_id FROM labels l ASOF JOIN features f MATCH_CONDITION (l.ts >= f.ts)
               USING (user_id)";
    let error = run(&context, sql).await.unwrap_err().to_string();
    assert!(error.contains("No field named f.user_id"), "{error}");
}
