//! Runs README.md and every page below docs/: a page is a test, and what it shows is what the server does.
//!
//! - A `sql` block runs, statement by statement. All blocks of a page run in order, in one session on a
//!   new server, in whose working folder the files of `tests/data` lie.
//! - A `text` block directly after it is the answer of its last statement that gives rows, as psql
//!   prints it, or the error of its last statement. Without one the block just has to succeed.
//! - A `python` block runs against the same server, in the folder that holds its `warehouse`; a `text`
//!   block after it is what it prints.
//! - A page that begins with `<!-- runs on: tarn serve --demo -->` runs on a server started so.
//! - `TARN_UPDATE_DOCS=1` writes the answers into the pages.
//!
//! Never: a block that is passed over without a word.

mod page;
mod psql;
mod session;
mod split;
mod trials;

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Completion, Failed, Trial};
use tests::{TestServer, components, repository};

use self::page::{Block, Language};
use self::session::Session;
use crate::shared::Shared;
use crate::{run, skipped};

pub(crate) fn trials(shared: &std::sync::Arc<Shared>) -> Vec<Trial> {
    let pages = pages().into_iter().filter(|path| runs(path)).map(|path| {
        let name = format!("docs::{}", path.display());
        Trial::ignorable_test(name, move || one(&path))
    });
    pages.chain(trials::trials(shared)).collect()
}

/// README.md and what lies below docs/, by their paths in the repository.
fn pages() -> Vec<PathBuf> {
    let root = repository();
    let mut found = vec![PathBuf::from("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path.strip_prefix(&root).unwrap().to_path_buf());
            }
        }
    }
    found.sort();
    found
}

/// Has the page a block that runs, or one that cannot be read?
fn runs(path: &Path) -> bool {
    let text = fs::read_to_string(repository().join(path)).unwrap();
    !matches!(page::blocks(&text), Ok(blocks) if blocks.is_empty())
}

fn one(path: &Path) -> Result<Completion, Failed> {
    let file = repository().join(path);
    let text = fs::read_to_string(&file)?;
    let blocks = page::blocks(&text)?;
    let python = components::python(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let server = server(&text);
    let answers = run(answers(&server, &blocks, python.as_ref().ok()))?;
    let updates = tests::setting("TARN_UPDATE_DOCS").is_some();
    if updates {
        let given: Vec<_> = answers.iter().map(|answer| answer.clone().ok().flatten()).collect();
        fs::write(&file, page::with_answers(&text, &blocks, &given))?;
    }
    // After an update that remains wrong which no answer can make right.
    let pairs = blocks.iter().zip(answers).filter(|(_, answer)| answer.is_err() || !updates);
    let wrong: Vec<String> = pairs.filter_map(|(block, answer)| wrong(block, answer)).collect();
    if !wrong.is_empty() {
        return Err(wrong.join("\n\n").into());
    }
    let has_python = blocks.iter().any(|block| block.language == Language::Python);
    Ok(match python {
        Err(reason) if has_python => skipped(&reason),
        _ => Completion::Completed,
    })
}

/// A server for one page, with the test data in its working folder.
fn server(text: &str) -> TestServer {
    let demo = repository().join("clients/demo");
    let demo = demo.to_string_lossy();
    let mut arguments = page::server_arguments(text);
    if arguments.contains(&"--demo") {
        arguments.extend(["--demo-dir", &demo]);
    }
    let server = TestServer::start_with(&arguments);
    crate::sqllogic::copy_data(&server.files());
    server
}

async fn answers(
    server: &TestServer,
    blocks: &[Block],
    python: Option<&PathBuf>,
) -> Result<Vec<Result<Option<String>, String>>, String> {
    let session = Session::open(server, python.cloned()).await?;
    let mut answers = Vec::new();
    for block in blocks {
        answers.push(session.run(block).await);
    }
    Ok(answers)
}

/// What is wrong with a block, if it is.
fn wrong(block: &Block, answer: Result<Option<String>, String>) -> Option<String> {
    let line = block.line;
    match (answer, &block.answer) {
        (Err(error), _) => Some(format!("line {line}: {error}")),
        (Ok(_), None) => None,
        (Ok(None), Some(_)) if block.language == Language::Python => None,
        (Ok(None), Some(_)) => Some(format!("line {line}: no statement here gives rows or fails")),
        (Ok(Some(given)), Some(expected)) => {
            let same = given.lines().eq(expected.text.lines().map(str::trim_end));
            let expected = &expected.text;
            (!same).then(|| format!("line {line}: the page says\n{expected}\nthe server\n{given}"))
        }
    }
}
