//! Tests of what the server cannot do yet: listed in `tests/known_failures.txt` with a reason,
//! ignored by name, the reason printed. The list only ever gets shorter; `-- --ignored` runs them.

use std::collections::BTreeMap;
use std::fs;

use libtest_mimic::Trial;
use tests::repository;

pub(crate) fn mark(trials: Vec<Trial>) -> Vec<Trial> {
    let path = repository().join("tests/known_failures.txt");
    let text = fs::read_to_string(path).unwrap();
    let mut known = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let (name, reason) = line
            .split_once(": ")
            .unwrap_or_else(|| panic!("tests/known_failures.txt: \"{line}\" has no reason"));
        known.insert(name.trim().to_owned(), reason.trim().to_owned());
    }
    let mut marked = Vec::new();
    for trial in trials {
        let ignored = known.remove(trial.name());
        if let Some(reason) = &ignored {
            tests::note(&format!("ignored: {}: {reason}", trial.name()));
        }
        marked.push({
            let slow = trial.has_ignored_flag();
            trial.with_ignored_flag(slow || ignored.is_some())
        });
    }
    assert!(known.is_empty(), "tests/known_failures.txt names no test: {:?}", known.keys());
    marked
}
