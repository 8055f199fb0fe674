//! What clients were recorded to ask, and what PostgreSQL 15 answered.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::fixture::Fixture;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/client_queries")
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

struct Asked {
    sql: String,
    parameters: Vec<Option<String>>,
}

fn asked(text: &str) -> Vec<Asked> {
    let blocks = text.split("\n-- query").skip(1);
    blocks.map(|block| {
        let (parameters, sql) = block.split_once('\n').unwrap();
        Asked { sql: sql.trim().to_owned(), parameters: quoted(parameters) }
    }).collect()
}

/// `'a' NULL 'b'`
fn quoted(text: &str) -> Vec<Option<String>> {
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
            if inside[end + 1..].starts_with('\'') { end += 2 } else { break }
        }
        found.push(Some(inside[..end].replace("''", "'")));
        rest = inside[end + 1..].trim_start();
    }
    found
}

struct Expected {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

fn expected(text: &str) -> Vec<Expected> {
    let cells = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
    text.split("-- query\n").skip(1).map(|block| {
        let mut lines = block.lines();
        Expected { columns: cells(lines.next().unwrap_or_default()), rows: lines.map(cells).collect() }
    }).collect()
}

fn escaped(value: Option<String>) -> String {
    value.map_or_else(|| "\\N".to_owned(), |text| text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t"))
}

#[tokio::test]
async fn explore() {
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut clients: Vec<PathBuf> = fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir() && !p.ends_with("recorder")).collect();
    clients.sort();
    let (mut good, mut bad) = (0, 0);
    for client in clients {
        let mut files: Vec<PathBuf> = fs::read_dir(&client).unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "sql")).collect();
        files.sort();
        for file in files {
            let name = format!("{}/{}", client.file_name().unwrap().to_string_lossy(), file.file_stem().unwrap().to_string_lossy());
            if !name.contains(&only) { continue }
            let fixture = Fixture::new();
            let oids = oids(&fixture);
            let asked = asked(&filled(&fs::read_to_string(&file).unwrap(), &oids));
            let expected = expected(&filled(&fs::read_to_string(file.with_extension("expected")).unwrap(), &oids));
            assert_eq!(asked.len(), expected.len(), "{name}");
            for (number, (asked, expected)) in asked.iter().zip(&expected).enumerate() {
                if asked.sql.to_lowercase().starts_with("show") { continue }
                let parameters: Vec<Option<&str>> = asked.parameters.iter().map(|p| p.as_deref()).collect();
                match fixture.run(&asked.sql, &parameters).await {
                    Err(error) => { bad += 1; eprintln!("== {name} {number}: ERROR {}", error.message()); }
                    Ok(answer) => {
                        let rows: Vec<Vec<String>> = answer.rows().into_iter().map(|row| row.into_iter().map(escaped).collect()).collect();
                        if rows == expected.rows { good += 1 } else {
                            bad += 1;
                            eprintln!("== {name} {number}: DIFFERS {:?}", expected.columns);
                            for row in expected.rows.iter().filter(|r| !rows.contains(r)).take(8) { eprintln!("  - {}", row.join("|")); }
                            for row in rows.iter().filter(|r| !expected.rows.contains(r)).take(8) { eprintln!("  + {}", row.join("|")); }
                        }
                    }
                }
            }
        }
    }
    eprintln!("good {good} bad {bad}");
}
