//! Which protocol versions and features a table needs, and which of others' the crate understands.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Field};

use super::{GENERATED_KEY, TableSpec};
use crate::error::{Error, Result};
use crate::log::Protocol;

/// Features of readers that a scan understands, our own or delta-rs'.
const READABLE: [&str; 5] =
    ["timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "columnMapping", "deletionVectors"];
/// Features of writers that a commit of ours keeps.
const WRITABLE: [&str; 6] = [
    "appendOnly",
    "invariants",
    "checkConstraints",
    "generatedColumns",
    "timestampNtz",
    "vacuumProtocolCheck",
];

/// The least that a table with this definition asks of its readers and writers.
pub(crate) fn protocol_of(spec: &TableSpec) -> Protocol {
    let without_zone = spec
        .schema
        .fields()
        .iter()
        .any(|field| contains(field, &|kind| matches!(kind, DataType::Timestamp(_, None))));
    let generated =
        spec.schema.fields().iter().any(|field| field.metadata().contains_key(GENERATED_KEY));
    let append_only = spec.configuration.get("delta.appendOnly").is_some_and(|v| v == "true");
    let constraints = !spec.constraints.is_empty();
    if !without_zone {
        let min_writer_version = match (generated, constraints) {
            (true, _) => 4,
            (false, true) => 3,
            (false, false) => 2,
        };
        return Protocol {
            min_reader_version: 1,
            min_writer_version,
            reader_features: None,
            writer_features: None,
        };
    }
    let features = [
        ("timestampNtz", true),
        ("checkConstraints", constraints),
        ("generatedColumns", generated),
        ("appendOnly", append_only),
    ];
    Protocol {
        min_reader_version: 3,
        min_writer_version: 7,
        reader_features: Some(vec!["timestampNtz".to_owned()]),
        writer_features: Some(
            features.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()).collect(),
        ),
    }
}

fn contains(field: &Field, wanted: &dyn Fn(&DataType) -> bool) -> bool {
    let inner = |field: &Field| contains(field, wanted);
    wanted(field.data_type())
        || match field.data_type() {
            DataType::List(element) | DataType::Map(element, _) => inner(element),
            DataType::Struct(fields) => fields.iter().any(|field| inner(field)),
            _ => false,
        }
}

/// A protocol that allows all that either allows: a table never gives up what it once asked for.
pub(crate) fn protocol_union(old: &Protocol, new: &Protocol) -> Protocol {
    let min_reader_version = old.min_reader_version.max(new.min_reader_version);
    let min_writer_version = old.min_writer_version.max(new.min_writer_version);
    let names = |features: &Option<Vec<String>>| features.clone().unwrap_or_default();
    let mut readers: BTreeSet<String> = BTreeSet::new();
    let mut writers: BTreeSet<String> = BTreeSet::new();
    for protocol in [old, new] {
        readers.extend(names(&protocol.reader_features));
        writers.extend(names(&protocol.writer_features));
        // What the old versions allowed without naming it has to be named now.
        if min_writer_version >= 7 && protocol.min_writer_version < 7 {
            writers.extend(implied(protocol.min_writer_version).map(str::to_owned));
        }
    }
    Protocol {
        min_reader_version,
        min_writer_version,
        reader_features: (min_reader_version >= 3).then(|| readers.into_iter().collect()),
        writer_features: (min_writer_version >= 7).then(|| writers.into_iter().collect()),
    }
}

fn implied(writer_version: i32) -> impl Iterator<Item = &'static str> {
    [(2, "appendOnly"), (2, "invariants"), (3, "checkConstraints"), (4, "generatedColumns")]
        .into_iter()
        .filter(move |(since, _)| *since <= writer_version)
        .map(|(_, name)| name)
}

/// Refuses a table whose rows nobody here can read.
pub(crate) fn check_readable(object: &str, protocol: &Protocol) -> Result<()> {
    let unknown = match protocol.min_reader_version {
        1 | 2 => None,
        3 => protocol
            .reader_features
            .iter()
            .flatten()
            .find(|feature| !READABLE.contains(&feature.as_str()))
            .cloned(),
        other => Some(format!("reader version {other}")),
    };
    refuse(object, "read", unknown)
}

/// Refuses a table that a commit of ours would break for others.
pub(crate) fn check_writable(object: &str, protocol: &Protocol) -> Result<()> {
    let unknown = match protocol.min_writer_version {
        0..=4 => None,
        7 => protocol
            .writer_features
            .iter()
            .flatten()
            .find(|feature| !WRITABLE.contains(&feature.as_str()))
            .cloned(),
        other => Some(format!("writer version {other}")),
    };
    refuse(object, "write", unknown)
}

fn refuse(object: &str, verb: &str, unknown: Option<String>) -> Result<()> {
    unknown.map_or(Ok(()), |feature| {
        Err(Error::Unsupported {
            what: format!("cannot {verb} {object}: it needs the Delta feature \"{feature}\""),
        })
    })
}
