//! Tests of this harness itself: it must find what is wrong, and print what psql prints. And one of the
//! words that `tarn serve --demo` leads with.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};
use tests::{PgDatabase, TestServer, WAIT_MAX, components};

use super::page::{self, Block};
use super::split::{self, Statement};
use super::{session, wrong};
use crate::shared::Shared;
use crate::{run, skipped, trial};

pub(crate) fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    let [first, second, third] = [(); 3].map(|()| Arc::clone(shared));
    vec![
        trial("docs::statements_are_split_as_psql_splits_them", || async { splits() }),
        trial("docs::blocks_and_their_answers_are_found", || async { finds_blocks() }),
        trial("docs::a_wrong_answer_is_found", move || finds_wrong_answers(first)),
        trial("docs::answers_are_written", move || writes_answers(second)),
        Trial::ignorable_test("docs::answers_look_as_in_psql", move || looks_as_in_psql(&third)),
        Trial::ignorable_test("docs::what_the_demo_suggests_works", suggestions),
    ]
}

fn splits() {
    let text = "SELECT ';', E'\\';', \"a;b\" -- ;\n; /* ; /* */ ; */ SELECT $$;$$, $x$ ; $$ $x$, $1;;\n-- end\n";
    let found = split::statements(text);
    let texts: Vec<&str> = found.iter().map(|statement| statement.text.as_str()).collect();
    let expected = ["SELECT ';', E'\\';', \"a;b\" -- ;\n", "SELECT $$;$$, $x$ ; $$ $x$, $1"];
    assert_eq!(texts, expected);
    let found = split::statements("COPY t FROM STDIN;\n1\ta;\n\\.\nSELECT 1");
    let copy = Statement { text: "COPY t FROM STDIN".to_owned(), data: Some("1\ta;\n".to_owned()) };
    let select = Statement { text: "SELECT 1".to_owned(), data: None };
    assert_eq!(found, [copy, select]);
}

fn finds_blocks() {
    let page = "<!-- runs on: tarn serve --demo --threads 1 -->\n```sql\nSELECT 1\n```\n\n```text\na\nb\n```\n\
                words\n```text\nnot an answer\n```\n```python\nprint()\n```\nwords\n```text\nno\n```\n";
    let blocks = page::blocks(page).unwrap();
    let found: Vec<_> = blocks
        .iter()
        .map(|block| (block.line, block.answer.as_ref().map(|one| one.text.as_str())))
        .collect();
    assert_eq!(found, [(2, Some("a\nb")), (14, None)]);
    assert_eq!(page::server_arguments(page), ["--demo", "--threads", "1"]);
    assert_eq!(page::server_arguments("# Title\n").len(), 0);
    let refused = |text| page::blocks(text).unwrap_err();
    assert_eq!(refused("```SQL\n```\n"), "line 1: no block is of language \"SQL\"");
    assert_eq!(refused("```sql\nSELECT 1\n"), "line 1: this block has no end");
    assert_eq!(refused("```sql\n```sql\n"), "line 2: a block opens inside a block");
}

/// Runs a page of one SQL block on the shared server.
async fn complaint(shared: &Shared, sql: &str, answer: Option<&str>) -> Option<String> {
    let answer = answer.map(|answer| format!("```text\n{answer}\n```\n")).unwrap_or_default();
    let blocks = page::blocks(&format!("```sql\n{sql}\n```\n{answer}")).unwrap();
    let block = &blocks[0];
    let database = PgDatabase::connect(shared.tarn(TestServer::pg)).await.unwrap();
    wrong(block, session::sql(database.client(), &block.text, block.answer.is_some()).await)
}

async fn finds_wrong_answers(shared: Arc<Shared>) {
    let missing = "SELECT 1; SELECT * FROM nowhere";
    let error = "ERROR:  42P01: relation \"nowhere\" does not exist";
    let right = [
        ("SELECT 1 AS one; SET TimeZone = 'UTC'", Some(" one\n-----\n   1\n(1 row)")),
        ("SELECT 'a' AS b WHERE false", Some(" b\n---\n(0 rows)")),
        ("SELECT 1", None),
        (missing, Some(error)),
    ];
    for (sql, answer) in right {
        assert_eq!(complaint(&shared, sql, answer).await, None, "{sql}");
    }
    let wrong = [
        ("SELECT 1 AS one", Some(" one\n-----\n   2\n(1 row)"), "the page says"),
        ("SELECT 1 AS one", Some(" one\n-----\n   1\n   1\n(2 rows)"), "the page says"),
        ("SELECT 1 AS one", Some(" one\n-----\n 1\n(1 row)"), "the page says"),
        ("SELECT 1 AS one", Some(" two\n-----\n   1\n(1 row)"), "the page says"),
        ("SELECT 1 AS one", Some(error), "the page says"),
        (missing, Some("ERROR:  42P01: another message"), "the page says"),
        (missing, Some("ERROR:  42703: relation \"nowhere\" does not exist"), "the page says"),
        ("SELECT * FROM nowhere; SELECT 1", Some(error), "42P01"),
        ("SET TimeZone = 'UTC'", Some("SET"), "no statement here gives rows"),
        (missing, None, "42P01"),
    ];
    for (sql, answer, found) in wrong {
        let complaint = complaint(&shared, sql, answer).await;
        assert!(complaint.is_some_and(|text| text.contains(found)), "{sql} {answer:?}");
    }
}

async fn writes_answers(shared: Arc<Shared>) {
    let page = "# T\n\n```sql\nSELECT 1 AS one;\n```\n\n```text\n```\n\n```sql\nSELECT 2;\n```\n\
                \n```sql\nSELECT * FROM nowhere;\n```\n```text\nold\nanswer\n```\nend\n";
    let blocks = page::blocks(page).unwrap();
    let database = PgDatabase::connect(shared.tarn(TestServer::pg)).await.unwrap();
    let mut given = Vec::new();
    for Block { text, answer, .. } in &blocks {
        given.push(session::sql(database.client(), text, answer.is_some()).await.unwrap());
    }
    let expected = "# T\n\n```sql\nSELECT 1 AS one;\n```\n\n```text\n one\n-----\n   1\n(1 row)\n```\n\n\
                    ```sql\nSELECT 2;\n```\n\n```sql\nSELECT * FROM nowhere;\n```\n```text\n\
                    ERROR:  42P01: relation \"nowhere\" does not exist\n```\nend\n";
    assert_eq!(page::with_answers(page, &blocks, &given), expected);
}

/// psql against a PostgreSQL, and this harness against the same one.
fn looks_as_in_psql(shared: &Shared) -> Result<Completion, Failed> {
    let queries = [
        "SELECT 1 AS a, 'text' AS \"a long name\", 2.50 AS n, NULL AS nothing, true AS t",
        "SELECT generate_series(8, 11) AS id, E'two\\nlines' AS words, E'x\\n\\ny' AS last",
        "SELECT 1::smallint AS a, 1::real AS b, 1::oid AS c, '1' AS d, ARRAY[1] AS e, DATE '2024-01-01' AS f",
        "SELECT 'Zürich ☃' AS city, E'one\\ntwo' AS n, 1 AS x WHERE true",
        "SELECT 1 AS a WHERE false",
        "COPY (VALUES (1, 'a'), (2, NULL)) TO STDOUT",
    ];
    if !components::has_postgresql() || Command::new("psql").arg("--version").output().is_err() {
        return Ok(skipped("PostgreSQL and its psql are not installed"));
    }
    let address = shared.oracle()?;
    run(async {
        let database = PgDatabase::connect_as(address, "postgres", "postgres").await?;
        for query in queries {
            let ours = session::sql(database.client(), query, false).await?.unwrap();
            let mut psql = Command::new("psql");
            let port = address.port().to_string();
            psql.args(["-X", "-h", "127.0.0.1", "-U", "postgres", "-p", &port, "-c", query]);
            let output = components::run(&mut psql)?;
            let theirs = String::from_utf8_lossy(&output.stdout).into_owned();
            let theirs: Vec<&str> = theirs.trim_end().lines().map(str::trim_end).collect();
            assert_eq!(ours.lines().collect::<Vec<_>>(), theirs, "{query}");
        }
        Ok(Completion::Completed)
    })
}

/// The lines that the server prints, typed into a real psql: the first starts it.
fn suggestions() -> Result<Completion, Failed> {
    if Command::new("psql").arg("--version").output().is_err() {
        return Ok(skipped("psql is not installed"));
    }
    let server = super::server("<!-- runs on: tarn serve --demo -->");
    let deadline = Instant::now() + WAIT_MAX;
    let mut log = server.log();
    while !log.contains("README.md has a tour") {
        assert!(Instant::now() < deadline, "nothing is suggested:\n{log}");
        std::thread::sleep(Duration::from_millis(10));
        log = server.log();
    }
    let mut lines = log.lines().skip_while(|line| !line.ends_with("Try:")).skip(1);
    let psql: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let typed: Vec<&str> = lines.map_while(|line| line.strip_prefix("  ")).collect();
    assert!(typed.len() > 3, "{log}");
    for line in typed {
        let mut command = Command::new(psql[0]);
        command.args(&psql[1..]).args([
            "-X",
            "-v",
            "ON_ERROR_STOP=1",
            "-P",
            "pager=off",
            "-c",
            line,
        ]);
        let output = components::run(&mut command)?;
        // psql calls it no failure when a pattern finds nothing.
        let printed = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(printed.lines().count() > 2 && errors.is_empty(), "{line}: {printed}{errors}");
    }
    Ok(Completion::Completed)
}
