//! Single questions, whose answers PostgreSQL 15 gives over the same schema.

use super::fixture::Fixture;
use crate::error::Result;

async fn ask(fixture: &Fixture, sql: &str) -> Result<Vec<Vec<String>>> {
    let rows = fixture.run(sql, &[]).await?.rows();
    let shown = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
    Ok(rows.into_iter().map(|row| row.into_iter().map(shown).collect()).collect())
}

#[tokio::test]
async fn expressions() {
    let fixture = Fixture::new().await;
    let cases = [
        ("array_upper(current_schemas(false), 1)", "1"),
        ("'x' <> ALL ('{a,b}'::text[])", "t"),
        ("'a' <> ALL ('{a,b}'::text[])", "f"),
        ("'a' = ANY ('{a,b}'::text[])", "t"),
        ("'raw.tx'::regclass::text", "raw.tx"),
        ("'pg_class'::regclass::oid", "1259"),
    ];
    for (expression, expected) in cases {
        let answer = ask(&fixture, &format!("SELECT {expression}")).await;
        assert_eq!(answer.unwrap(), [[expected]], "{expression}");
    }
}
