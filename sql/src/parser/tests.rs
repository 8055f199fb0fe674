//! The parser from outside: splitting, places of errors, rewritten clauses, limits.

#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;

fn one(text: &str) -> String {
    let mut statements = parse(text, 1 << 20).unwrap();
    assert_eq!(statements.len(), 1);
    match statements.remove(0).kind {
        Kind::Query(query) => query.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn text_is_split_at_semicolons_outside_of_strings_and_comments() {
    let all = parse("select ';' ; -- a;b\n ; select $$;$$;;", 1 << 20).unwrap();
    let texts: Vec<&str> = all.iter().map(|s| &*s.text).collect();
    assert_eq!(texts, ["select ';'", "select $$;$$"]);
}

#[test]
fn a_syntax_error_tells_its_place() {
    let error = parse("select 1;\nselec 1", 1 << 20).unwrap_err();
    assert_eq!(error.sqlstate(), "42601");
    assert_eq!(error.position(), Some(11));
}

#[test]
fn version_clauses_become_calls() {
    assert_eq!(
        one("select * from raw.tx version as of 12 where a = 1"),
        "SELECT * FROM table_at('raw.tx', version => 12) AS tx WHERE a = 1"
    );
    assert_eq!(
        one("select * from tx timestamp as of '2026-01-01' t join b on true"),
        "SELECT * FROM table_at('tx', timestamp => '2026-01-01') t JOIN b ON true"
    );
}

#[test]
fn a_version_clause_that_cannot_be_kept_is_refused() {
    let error = parse("select * from t version as of now()", 1 << 20).unwrap_err();
    assert_eq!(error.sqlstate(), "0A000");
    let error = parse("select * from t for system_time as of '2026-01-01'", 1 << 20).unwrap_err();
    assert_eq!(error.sqlstate(), "0A000");
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    let text = format!("select {}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let error = parse(&text, 1 << 20).unwrap_err();
    assert_eq!(error.sqlstate(), "54001");
}

#[test]
fn long_statements_are_refused_before_they_are_read() {
    assert_eq!(parse("select 1", 4).unwrap_err().sqlstate(), "54000");
}
