//! What clients were recorded to ask, and what PostgreSQL 15 answered.
//!
//! `CLIENT/ASK.sql` holds the statements, `ASK.expected` PostgreSQL's answers. Where the answer here
//! is another for a good reason (the folder's README lists them), it stands in `ASK.tarn`, written
//! by `UPDATE_CLIENT_QUERIES=1 cargo test` and reviewed as a change of code is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::fixture::Fixture;

/// What cannot be answered, by its SQLSTATE, and why.
const REFUSED: &[(&str, usize, &str, &str)] = &[
    (
        "asyncpg/introspect",
        0,
        "22P02",
        "types beyond the built-in ones need recursive subqueries within subqueries; there are no such types",
    ),
    ("psql/casts", 0, "42P01", "casts are not catalogued"),
    ("psql/conversions", 0, "42P01", "there is one encoding"),
    ("psql/operators", 0, "42P01", "operators are not catalogued"),
];

/// Statements that the session answers before any planning.
const OF_THE_SESSION: &[&str] = &["show"];

#[tokio::test]
async fn psql_is_answered() {
    client("psql", 100).await;
}

#[tokio::test]
async fn psycopg_3_is_answered() {
    client("psycopg3", 5).await;
}

#[tokio::test]
async fn psycopg_2_is_answered() {
    client("psycopg2", 2).await;
}

#[tokio::test]
async fn pgjdbc_is_answered() {
    client("pgjdbc", 30).await;
}

#[tokio::test]
async fn sqlalchemy_is_answered() {
    client("sqlalchemy", 100).await;
}

#[tokio::test]
async fn asyncpg_is_answered() {
    client("asyncpg", 2).await;
}

#[tokio::test]
async fn dbt_is_answered() {
    client("dbt", 4).await;
}

/// Runs all that a client was recorded to ask; `at_least` guards against looking at nothing.
async fn client(name: &str, at_least: usize) {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/client_queries").join(name);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    let (mut asked, mut wrong) = (0, Vec::new());
    for file in files {
        let ask = format!("{name}/{}", file.file_stem().unwrap().to_string_lossy());
        asked += run(&ask, &file, &mut wrong).await;
    }
    assert!(wrong.is_empty(), "{} answers differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked >= at_least, "only {asked} statements were found");
}

/// Runs one file; returns how many statements it holds.
async fn run(ask: &str, file: &Path, wrong: &mut Vec<String>) -> usize {
    let fixture = Fixture::new().await;
    let oids = oids(&fixture);
    let read =
        |extension: &str| fs::read_to_string(file.with_extension(extension)).unwrap_or_default();
    let statements = statements(&filled(&read("sql"), &oids));
    let expected = answers(&filled(&read("expected"), &oids));
    assert_eq!(statements.len(), expected.len(), "{ask}");
    let own: BTreeMap<usize, Answer> = answers(&filled(&read("tarn"), &oids))
        .into_iter()
        .map(|answer| (answer.number, answer))
        .collect();
    let mut differing = Vec::new();
    for (number, (statement, expected)) in statements.iter().zip(&expected).enumerate() {
        let first_word = statement.sql.split_whitespace().next().unwrap_or_default().to_lowercase();
        if OF_THE_SESSION.contains(&first_word.as_str()) {
            continue;
        }
        let parameters: Vec<Option<&str>> =
            statement.parameters.iter().map(Option::as_deref).collect();
        let answer = fixture.run(&statement.sql, &parameters).await;
        let refused = REFUSED.iter().find(|(file, at, ..)| *file == ask && *at == number);
        let rows = match (answer, refused) {
            (Err(error), Some((_, _, sqlstate, _))) => {
                assert_eq!(error.sqlstate(), *sqlstate, "{ask} {number}: {}", error.message());
                continue;
            }
            (Ok(_), Some(_)) => {
                wrong.push(format!("{ask} {number}: is answered by now, and listed as refused"));
                continue;
            }
            (Err(error), None) => {
                wrong.push(format!("{ask} {number}: {}", error.message()));
                continue;
            }
            (Ok(answer), None) => {
                answer.rows().into_iter().map(|row| row.into_iter().map(escaped).collect())
            }
        };
        let rows = ordered(statement, rows.collect());
        if rows == ordered(statement, expected.rows.clone()) {
            if own.contains_key(&number) {
                wrong.push(format!(
                    "{ask} {number}: is PostgreSQL's answer, and has another in .tarn"
                ));
            }
            continue;
        }
        let reviewed =
            own.get(&number).is_some_and(|own| ordered(statement, own.rows.clone()) == rows);
        if !reviewed {
            wrong.push(format!("{ask} {number}:\n{}", difference(&expected.rows, &rows)));
        }
        differing.push(Answer { number, columns: expected.columns.clone(), rows });
    }
    #[expect(clippy::disallowed_methods, reason = "asked for by whoever runs the tests")]
    let update = std::env::var_os("UPDATE_CLIENT_QUERIES").is_some();
    if update {
        write_own(file, &differing, &oids);
    }
    statements.len()
}

fn write_own(file: &Path, answers: &[Answer], oids: &BTreeMap<String, u32>) {
    let path = file.with_extension("tarn");
    if answers.is_empty() {
        let _ = fs::remove_file(path);
        return;
    }
    let mut text = String::new();
    for answer in answers {
        text.push_str(&format!("-- query {}\n{}\n", answer.number, answer.columns.join("\t")));
        for row in &answer.rows {
            let hidden = |cell: &String| {
                let name = oids.iter().find(|(_, oid)| oid.to_string() == *cell);
                name.map_or_else(|| cell.clone(), |(name, _)| name.clone())
            };
            text.push_str(&row.iter().map(hidden).collect::<Vec<_>>().join("\t"));
            text.push('\n');
        }
    }
    fs::write(path, text).unwrap();
}

fn difference(expected: &[Vec<String>], rows: &[Vec<String>]) -> String {
    let missing = expected
        .iter()
        .filter(|row| !rows.contains(row))
        .map(|row| format!("  - {}", row.join("|")));
    let added = rows
        .iter()
        .filter(|row| !expected.contains(row))
        .map(|row| format!("  + {}", row.join("|")));
    missing.take(5).chain(added.take(5)).collect::<Vec<_>>().join("\n")
}

/// Rows without an order are compared without one.
fn ordered(statement: &Statement, mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    if !statement.sql.to_lowercase().contains("order by") {
        rows.sort();
    }
    rows
}

/// Names in angle brackets stand for OIDs, which differ from server to server.
fn oids(fixture: &Fixture) -> BTreeMap<String, u32> {
    let snapshot = &fixture.context.snapshot;
    let entries = snapshot.schemas().chain(snapshot.entries());
    entries.map(|entry| (format!("<{}>", entry.qualified_name()), entry.oid)).collect()
}

fn filled(text: &str, oids: &BTreeMap<String, u32>) -> String {
    oids.iter().fold(text.to_owned(), |text, (name, oid)| text.replace(name, &oid.to_string()))
}

struct Statement {
    sql: String,
    parameters: Vec<Option<String>>,
}

fn statements(text: &str) -> Vec<Statement> {
    let blocks = text.split("\n-- query").skip(1);
    let parsed = blocks.map(|block| {
        let (parameters, sql) = block.split_once('\n').unwrap();
        Statement { sql: sql.trim().to_owned(), parameters: literals(parameters) }
    });
    parsed.collect()
}

/// `'a' NULL 'it''s'`
fn literals(text: &str) -> Vec<Option<String>> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("NULL") {
            found.push(None);
            rest = after.trim_start();
            continue;
        }
        let inside = &rest[1..];
        let mut end = 0;
        while let Some(at) = inside[end..].find('\'') {
            end += at;
            if !inside[end + 1..].starts_with('\'') {
                break;
            }
            end += 2;
        }
        found.push(Some(inside[..end].replace("''", "'")));
        rest = inside[end + 1..].trim_start();
    }
    found
}

struct Answer {
    number: usize,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

fn answers(text: &str) -> Vec<Answer> {
    let cells = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
    let blocks = text.split("-- query").skip(1).enumerate();
    let parsed = blocks.map(|(position, block)| {
        let mut lines = block.lines();
        let number = lines.next().and_then(|number| number.trim().parse().ok()).unwrap_or(position);
        let columns = cells(lines.next().unwrap_or_default());
        Answer { number, columns, rows: lines.map(cells).collect() }
    });
    parsed.collect()
}

fn escaped(value: Option<String>) -> String {
    value.map_or_else(
        || "\\N".to_owned(),
        |text| text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t"),
    )
}
