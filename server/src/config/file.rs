//! The configuration file.

use std::fmt;
use std::path::Path;

use clap::{Args, Command};
use serde::Deserialize;

use super::Options;
use crate::error::{Error, Result};

/// The tables that say something of single stores.
const STORE: &str = "store";

/// A value of an option of a store. Its debug form tells nothing: it may be a secret.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Value {
    Text(String),
    Switch(bool),
    Number(i64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Switch(on) => write!(f, "{on}"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

/// Reads a TOML file.
pub(super) fn read(path: &Path) -> Result<Options> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::ConfigFile { path: path.to_owned(), source })?;
    parse(&text, path)
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Options> {
    let refused = |error: &toml::de::Error| Error::ConfigSyntax {
        path: path.to_owned(),
        message: match error.span() {
            Some(span) => format!("line {}: {}", line(text, span.start), error.message()),
            None => error.message().to_owned(),
        },
    };
    let table: toml::Table = toml::from_str(text).map_err(|error| refused(&error))?;
    let known = keys();
    if let Some(key) = table.keys().find(|key| !known.contains(key) && *key != STORE) {
        let nearest = nearest(key, &known);
        return Err(Error::ConfigKey { path: path.to_owned(), key: key.clone(), nearest });
    }
    toml::from_str(text).map_err(|error| refused(&error))
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The names of all keys, from the one place that declares them.
pub(super) fn keys() -> Vec<String> {
    let command = Options::augment_args(Command::new("tarn"));
    command.get_arguments().map(|argument| argument.get_id().to_string()).collect()
}

/// The key that a mistyped one most likely meant: at most a third of its letters away.
fn nearest(key: &str, known: &[String]) -> Option<String> {
    let distances = known.iter().map(|known| (distance(key, known), known));
    let near = distances.filter(|(distance, known)| *distance <= known.len().max(3) / 3);
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known.clone())
}

/// How many letters must be added, taken away or replaced to make one word of the other.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, letter) in left.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (column, other) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}
