//! The ledger of loaded files: which file a table holds the rows of, and what it was like then.
//!
//! An entry is a `txn` action. So it commits together with the file's rows, stays in checkpoints,
//! outlives the log entry that brought it, and other programs that write the table carry it along.
//! Its application id is the entry as JSON with the file's name first: a snapshot keeps the ids in
//! their order and finds a file without a look at the others. Its version counts the file's loads.
//!
//! Never: an entry is changed or forgotten. A file that is loaded again has one entry more.

use serde::{Deserialize, Serialize};

/// What the application ids of all entries begin with.
const MARK: &str = "tarn.file ";

/// A file whose rows came into the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedFile {
    /// The URL. Must stay the first field: entries are found by it.
    pub file: String,
    /// The store's entity tag, where it has a meaning beyond size and time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// When the file was last changed, microseconds since 1970 UTC.
    pub modified_micros: i64,
    /// Bytes.
    pub size: u64,
    /// Rows that came into the table.
    pub rows: u64,
    /// The load that brought them.
    pub batch_id: String,
    /// Which load of this file it was, from 1.
    #[serde(skip)]
    pub load: i64,
}

impl LoadedFile {
    /// The application id of the entry.
    pub(super) fn app_id(&self) -> String {
        // Text, numbers and nothing else: this always has a JSON form.
        format!("{MARK}{}", serde_json::to_string(self).unwrap_or_default())
    }

    /// What the application ids of a file's entries begin with.
    pub(super) fn prefix(file: &str) -> String {
        format!("{MARK}{{\"file\":{},", serde_json::Value::from(file))
    }

    /// The entry that a `txn` action is, if it is one.
    pub(super) fn of(app_id: &str, version: i64) -> Option<Self> {
        let entry: Self = serde_json::from_str(app_id.strip_prefix(MARK)?).ok()?;
        Some(Self { load: version, ..entry })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_from_its_application_id_and_is_found_by_its_file() {
        for file in ["s3://b/a \"quoted\",.csv", "file:///Zürich\\x", ""] {
            for etag in [None, Some("\"0x8D\"".to_owned())] {
                let entry = LoadedFile {
                    file: file.to_owned(),
                    etag,
                    modified_micros: -5,
                    size: u64::MAX,
                    rows: 7,
                    batch_id: "b".to_owned(),
                    load: 3,
                };
                assert_eq!(LoadedFile::of(&entry.app_id(), 3), Some(entry.clone()));
                assert!(entry.app_id().starts_with(&LoadedFile::prefix(file)));
                assert!(!entry.app_id().starts_with(&LoadedFile::prefix("s3://b/a")));
            }
        }
        assert_eq!(LoadedFile::of("kafka-7", 1), None);
        assert_eq!(LoadedFile::of("tarn.file {}", 1), None);
    }
}
