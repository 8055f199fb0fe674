//! Runs the Python tests, one test here for each file there, against a server of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Completion, Failed, Trial};
use tests::{TestServer, components, repository};

use crate::skipped;

pub(crate) fn trials() -> Vec<Trial> {
    let folder = repository().join("tests/python");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.starts_with("test_") && name.ends_with(".py"))
        .collect();
    names.sort();
    names.into_iter().map(one).collect()
}

fn one(file: String) -> Trial {
    let name = file.trim_start_matches("test_").trim_end_matches(".py").to_owned();
    let slow = name.ends_with("_slow");
    Trial::ignorable_test(format!("clients::{name}"), move || {
        if slow && !crate::slow() {
            return Ok(skipped("slow: set TARN_TEST_SLOW=1"));
        }
        match components::python(Path::new(env!("CARGO_TARGET_TMPDIR"))) {
            Ok(python) => pytest(&python, &file),
            Err(reason) => Ok(skipped(&reason)),
        }
    })
}

fn pytest(python: &Path, file: &str) -> Result<Completion, Failed> {
    let server = TestServer::start();
    let mut command = Command::new(python);
    // A server that hangs must not hang the run.
    let seconds = if file.ends_with("_slow.py") { "900" } else { "120" };
    command.args([
        "-m",
        "pytest",
        "-q",
        "-rs",
        "--tb=short",
        "-p",
        "no:cacheprovider",
        "--timeout",
        seconds,
    ]);
    command.arg(repository().join("tests/python").join(file));
    command.current_dir(repository().join("tests/python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("TARN_PG", server.pg().to_string());
    if let Some(flight) = server.flight_if_any() {
        command.env("TARN_FLIGHT", flight.to_string());
    }
    command.env("TARN_PROCESS", server.process_id().to_string());
    command.env("TARN_WAREHOUSE", server.warehouse());
    command.env("TARN_FILES", server.files());
    // dbt is a program of the same environment.
    let programs: PathBuf = python.parent().map(Path::to_path_buf).unwrap_or_default();
    let path = tests::setting("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", programs.display()));
    let output = components::run(&mut command).map_err(Failed::from)?;
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text.lines().filter(|line| line.contains("SKIPPED")) {
        tests::note(&format!("{file}: {line}"));
    }
    Ok(Completion::Completed)
}
