//! Rules of the repository, as tests: what a reviewer would otherwise have to look for each time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use tests::repository;

/// Which of our crates a crate may name in its manifest.
const MAY_DEPEND_ON: [(&str, &[&str]); 7] = [
    ("catalog", &[]),
    ("udfs", &[]),
    ("ingest", &["catalog"]),
    ("views", &["catalog"]),
    ("sql", &["catalog", "ingest", "views", "udfs"]),
    ("server", &["sql"]),
    ("tests", &[]),
];

/// Heavy dependencies and the one crate that may name them. The tests stand outside: they are
/// clients, and clients speak gRPC.
const HOMES: [(&str, &str); 8] = [
    ("deltalake-core", "catalog"),
    ("rten", "udfs"),
    ("ort", "udfs"),
    ("pgwire", "server"),
    ("tonic", "server"),
    ("axum", "server"),
    ("clap", "server"),
    ("rdkafka", "ingest"),
];

/// What no file of ours may hold, in parts so that this list does not find itself.
const NEVER_WRITTEN: [(&str, &str, &str); 7] = [
    ("/ro", "ot/", "a path of one machine"),
    ("/ho", "me/", "a path of one machine"),
    ("TO", "DO", "unfinished work: open an issue instead"),
    ("FIX", "ME", "unfinished work: open an issue instead"),
    ("XX", "X", "unfinished work: open an issue instead"),
    ("<<<<", "<<<", "a merge that was not finished"),
    (">>>>", ">>>", "a merge that was not finished"),
];

const TEXT: [&str; 9] = ["rs", "toml", "md", "py", "sql", "slt", "sh", "yml", "txt"];

/// What breaks a rule, a line each.
type Rule = fn() -> Vec<String>;

pub(crate) fn trials() -> Vec<Trial> {
    let rules: [(&str, Rule); 9] = [
        ("rust_files_say_what_they_are_for", rust_files_say_what_they_are_for),
        ("python_files_say_what_they_are_for", python_files_say_what_they_are_for),
        ("no_module_file_is_named_mod", no_module_file_is_named_mod),
        ("manifests_inherit_the_lints", manifests_inherit_the_lints),
        ("crates_depend_as_drawn", crates_depend_as_drawn),
        ("heavy_dependencies_have_one_home", heavy_dependencies_have_one_home),
        ("nothing_forbidden_is_written", nothing_forbidden_is_written),
        ("links_lead_somewhere", links_lead_somewhere),
        ("statements_have_page_and_tests", statements_have_page_and_tests),
    ];
    let as_trial = |(name, rule): (&str, Rule)| {
        Trial::test(format!("tidy::{name}"), move || {
            let broken = rule();
            if broken.is_empty() { Ok(()) } else { Err(broken.join("\n").into()) }
        })
    };
    rules.map(as_trial).into()
}

/// All files of the repository with one of the extensions, by their path in it.
fn files(extensions: &[&str]) -> Vec<PathBuf> {
    let root = repository();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                let made = ["target", "node_modules", "warehouse", "__pycache__"];
                if !name.starts_with('.') && !made.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|end| extensions.iter().any(|one| end == *one)) {
                found.push(path.strip_prefix(&root).unwrap().to_path_buf());
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

/// The files for which the rule does not hold.
fn offenders(extensions: &[&str], holds: impl Fn(&Path) -> bool) -> Vec<String> {
    let broken = files(extensions).into_iter().filter(|path| !holds(path));
    broken.map(|path| path.display().to_string()).collect()
}

fn rust_files_say_what_they_are_for() -> Vec<String> {
    offenders(&["rs"], |path| read(path).starts_with("//! "))
}

fn python_files_say_what_they_are_for() -> Vec<String> {
    offenders(&["py"], |path| {
        let text = read(path);
        text.is_empty() || text.trim_start_matches("#!/usr/bin/env python3\n").starts_with("\"\"\"")
    })
}

fn no_module_file_is_named_mod() -> Vec<String> {
    offenders(&["rs"], |path| !path.ends_with("mod.rs"))
}

/// The manifests of the member crates, by crate.
fn manifests() -> BTreeMap<String, toml::Table> {
    let crates = MAY_DEPEND_ON.iter().map(|(name, _)| (*name).to_owned());
    crates
        .map(|name| (name.clone(), read(&Path::new(&name).join("Cargo.toml")).parse().unwrap()))
        .collect()
}

fn dependencies(manifest: &toml::Table, kinds: &[&str]) -> BTreeSet<String> {
    let tables = kinds.iter().filter_map(|kind| manifest.get(*kind)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

fn manifests_inherit_the_lints() -> Vec<String> {
    let inherits = |manifest: &toml::Table| {
        manifest.get("lints").and_then(|lints| lints.get("workspace")?.as_bool()) == Some(true)
    };
    let broken = manifests().into_iter().filter(|(_, manifest)| !inherits(manifest));
    broken.map(|(name, _)| format!("{name}/Cargo.toml lacks [lints] workspace = true")).collect()
}

fn crates_depend_as_drawn() -> Vec<String> {
    let manifests = manifests();
    let ours: BTreeSet<&str> = MAY_DEPEND_ON.iter().map(|(name, _)| *name).collect();
    let mut broken = Vec::new();
    for (name, allowed) in MAY_DEPEND_ON {
        let named = dependencies(&manifests[name], &["dependencies", "dev-dependencies"]);
        for other in named.iter().filter(|other| ours.contains(other.as_str())) {
            if !allowed.contains(&other.as_str()) {
                broken.push(format!("{name} must not depend on {other}"));
            }
        }
    }
    broken
}

fn heavy_dependencies_have_one_home() -> Vec<String> {
    let mut broken = Vec::new();
    for (name, manifest) in manifests().into_iter().filter(|(name, _)| name != "tests") {
        let named = dependencies(&manifest, &["dependencies"]);
        for (heavy, home) in HOMES {
            if named.contains(heavy) && name != home {
                broken.push(format!("{heavy} is at home in {home}, but {name} names it"));
            }
        }
    }
    broken
}

fn nothing_forbidden_is_written() -> Vec<String> {
    let mut broken = Vec::new();
    for path in files(&TEXT) {
        let text = read(&path);
        for (first, second, why) in NEVER_WRITTEN {
            let word = format!("{first}{second}");
            for (index, _) in text.lines().enumerate().filter(|(_, line)| line.contains(&word)) {
                broken.push(format!("{}:{}: \"{word}\": {why}", path.display(), index + 1));
            }
        }
    }
    broken
}

/// Links between our own pages; those to other places are left alone.
fn links_lead_somewhere() -> Vec<String> {
    let mut broken = Vec::new();
    for path in files(&["md"]) {
        let text = read(&path);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let elsewhere = |link: &&str| link.contains("://") || link.starts_with('#');
        for link in links.filter(|link| !elsewhere(link)) {
            let file = link.split('#').next().unwrap_or_default();
            if !repository().join(&path).with_file_name(file).exists() {
                broken.push(format!("{}: \"{link}\" is not there", path.display()));
            }
        }
    }
    broken
}

/// One statement is one file in `sql`, one page and one `.slt`. Only complete lists are compared:
/// while a list does not exist yet, there is nothing to hold against it.
fn statements_have_page_and_tests() -> Vec<String> {
    let stems = |folder: &str, extension: &str| -> BTreeSet<String> {
        let inside = |path: &PathBuf| path.parent() == Some(Path::new(folder));
        let found = files(&[extension]).into_iter().filter(inside);
        found.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
    };
    let statements = stems("sql/src/statement", "rs");
    let tests = stems("tests/slt", "slt");
    let pages = stems("docs/sql", "md");
    let mut broken = Vec::new();
    // Flight's bulk ingest is no SQL: the Python clients test it.
    for statement in statements.iter().filter(|name| *name != "ingest") {
        if !tests.contains(statement) {
            broken.push(format!("tests/slt/{statement}.slt is missing"));
        }
        if !pages.is_empty() && !pages.contains(statement) {
            broken.push(format!("docs/sql/{statement}.md is missing"));
        }
    }
    broken
}
