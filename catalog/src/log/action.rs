//! The actions of a Delta log entry, as they stand in its JSON lines.
//!
//! Never: an action is interpreted here; what it does to a table is in `table/snapshot.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A data file that a version of the table holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Add {
    /// Relative to the table and percent-encoded, as Delta wants it.
    pub path: String,
    /// The value of each partition column, in Delta's text form; `None` is NULL.
    #[serde(default)]
    pub partition_values: BTreeMap<String, Option<String>>,
    /// Bytes.
    pub size: i64,
    /// Milliseconds since 1970 UTC.
    pub modification_time: i64,
    /// Whether the file brings rows, rather than arranging old ones anew.
    pub data_change: bool,
    /// Row count, minima, maxima and NULL counts as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<String>,
    /// What the writer says about the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
    /// Rows of the file that are gone; only in tables that others wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_vector: Option<Value>,
    /// Row tracking; only in tables that others wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_row_id: Option<i64>,
    /// Row tracking; only in tables that others wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_row_commit_version: Option<i64>,
    /// Clustering; only in tables that others wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clustering_provider: Option<String>,
}

/// A data file that is no longer part of the table, kept until its retention has passed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remove {
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deletion_timestamp: Option<i64>,
    #[serde(default = "yes")]
    pub(crate) data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) extended_file_metadata: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) partition_values: Option<BTreeMap<String, Option<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deletion_vector: Option<Value>,
}

const fn yes() -> bool {
    true
}

/// How the table's files are encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) provider: String,
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
}

impl Default for Format {
    fn default() -> Self {
        Self { provider: "parquet".to_owned(), options: BTreeMap::new() }
    }
}

/// The definition of the table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) format: Format,
    pub(crate) schema_string: String,
    #[serde(default)]
    pub(crate) partition_columns: Vec<String>,
    #[serde(default)]
    pub(crate) configuration: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_time: Option<i64>,
}

/// What a program must understand to read or write the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Protocol {
    pub(crate) min_reader_version: i32,
    pub(crate) min_writer_version: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reader_features: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) writer_features: Option<Vec<String>>,
}

/// How far a numbered producer has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transaction {
    pub(crate) app_id: String,
    pub(crate) version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_updated: Option<i64>,
}

/// What a commit says of itself. Delta fixes no fields; these are the usual ones.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommitInfo {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) in_commit_timestamp: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) operation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) operation_parameters: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) operation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) engine_info: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) read_version: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) is_blind_append: Option<bool>,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// One line of a log entry. Lines of kinds that are not here are passed over.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Action {
    Add(Box<Add>),
    Remove(Box<Remove>),
    #[serde(rename = "metaData")]
    Metadata(Box<Metadata>),
    Protocol(Protocol),
    Txn(Transaction),
    CommitInfo(Box<CommitInfo>),
}

/// A line as it is read: an object with one of these keys, or another.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    add: Option<Box<Add>>,
    remove: Option<Box<Remove>>,
    #[serde(rename = "metaData")]
    metadata: Option<Box<Metadata>>,
    protocol: Option<Protocol>,
    txn: Option<Transaction>,
    commit_info: Option<Box<CommitInfo>>,
    pub(super) sidecar: Option<Sidecar>,
}

/// A file that holds part of a checkpoint; only in tables that others wrote.
#[derive(Deserialize)]
pub(super) struct Sidecar {
    pub(super) path: String,
}

impl Line {
    pub(super) fn action(self) -> Option<Action> {
        self.add
            .map(Action::Add)
            .or_else(|| self.remove.map(Action::Remove))
            .or_else(|| self.metadata.map(Action::Metadata))
            .or_else(|| self.protocol.map(Action::Protocol))
            .or_else(|| self.txn.map(Action::Txn))
            .or_else(|| self.commit_info.map(Action::CommitInfo))
    }
}

impl Action {
    /// The action that a line holds as JSON, if it is of a known kind.
    pub(crate) fn from_json(line: Value) -> serde_json::Result<Option<Self>> {
        serde_json::from_value::<Line>(line).map(Line::action)
    }
}

/// One commit, as `DESCRIBE HISTORY` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitRecord {
    /// The version that the commit made.
    pub version: i64,
    /// When, microseconds since 1970 UTC.
    pub timestamp_micros: i64,
    /// What was done: `WRITE`, `DELETE`, ...
    pub operation: Option<String>,
    /// With what.
    pub parameters: BTreeMap<String, String>,
    /// By whom.
    pub user: Option<String>,
    /// With which program.
    pub engine: Option<String>,
    /// Which attempt of whom it was.
    pub operation_id: Option<String>,
    /// Files that came.
    pub files_added: u64,
    /// Files that went.
    pub files_removed: u64,
    /// Rows in the files that came, where the files say so.
    pub rows_added: Option<u64>,
    /// Numbered producers that the commit took forward.
    pub txns: Vec<(String, i64)>,
}
