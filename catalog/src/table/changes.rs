//! What commits did to the rows of a table, as the log tells it: files that came and files that went.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::{LakeTable, TableSnapshot};
use crate::error::{Error, Result};
use crate::log::{Action, Add, LogEntry};
use crate::schema::from_delta;

/// Log entries that are read at once.
const READ_AHEAD: usize = 16;

/// What one commit did to the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFiles {
    /// The version that it made.
    pub version: i64,
    /// When, microseconds since 1970 UTC.
    pub timestamp_micros: i64,
    /// Files whose rows came.
    pub came: Vec<Add>,
    /// Files whose rows went; their statistics are not known.
    pub went: Vec<Add>,
}

impl LakeTable {
    /// What the commits of the versions `from` to `to`, both included, did to rows. `like` is the version
    /// whose columns they are told in. Commits that only arrange rows anew are left out.
    ///
    /// Errors: [`Error::VersionNotFound`] where the log has no such entry, [`Error::Unsupported`] where the
    /// columns were others, or a commit of another program says too little.
    pub async fn changed_files(
        &self,
        from: i64,
        to: i64,
        like: &TableSnapshot,
    ) -> Result<Vec<ChangedFiles>> {
        // An entry before it may be what a server that slept has put where others had been.
        if self.log.list().await?.oldest().is_none_or(|oldest| from < oldest) {
            return Err(Error::VersionNotFound { object: self.object.clone(), version: from });
        }
        stream::iter(from..=to)
            .map(|version| async move {
                let entry = self.log.read(version).await?;
                entry.ok_or_else(|| Error::VersionNotFound { object: self.object.clone(), version })
            })
            .buffered(READ_AHEAD)
            .and_then(|entry| std::future::ready(self.changed_by(entry, like)))
            .try_filter(|changed| {
                std::future::ready(!changed.came.is_empty() || !changed.went.is_empty())
            })
            .try_collect()
            .await
    }

    fn changed_by(&self, entry: LogEntry, like: &TableSnapshot) -> Result<ChangedFiles> {
        let version = entry.version;
        let unsupported = |why: &str| Error::Unsupported {
            what: format!("cannot tell the changes of version {version} of {}: {why}", self.object),
        };
        let mut changed = ChangedFiles {
            version,
            timestamp_micros: entry.modified_micros,
            came: Vec::new(),
            went: Vec::new(),
        };
        for action in entry.actions {
            match action {
                Action::Add(add) if add.data_change => {
                    if add.deletion_vector.is_some() {
                        return Err(unsupported("it has deletion vectors"));
                    }
                    changed.came.push(*add);
                }
                Action::Remove(remove) if remove.data_change => {
                    if remove.deletion_vector.is_some() {
                        return Err(unsupported("it has deletion vectors"));
                    }
                    let (Some(size), Some(partition_values)) =
                        (remove.size, remove.partition_values)
                    else {
                        return Err(unsupported("its log entry does not describe what it removed"));
                    };
                    let (path, data_change) = (remove.path, true);
                    let add = Add { path, size, partition_values, data_change, ..Add::default() };
                    changed.went.push(add);
                }
                Action::Metadata(metadata) => {
                    let schema = from_delta(&metadata.schema_string)
                        .map_err(|reason| Error::Corrupt { path: self.object.clone(), reason })?;
                    let shape = |schema: &arrow::datatypes::Schema| {
                        let fields = schema.fields().iter();
                        fields.map(|f| (f.name().clone(), f.data_type().clone())).collect()
                    };
                    let (one, other): (Vec<_>, Vec<_>) = (shape(&schema), shape(&like.schema));
                    if one != other || *metadata.partition_columns != *like.partition_columns {
                        return Err(unsupported("the table had other columns"));
                    }
                }
                Action::CommitInfo(info) => {
                    if let Some(millis) = info.in_commit_timestamp.or(info.timestamp) {
                        changed.timestamp_micros = millis.saturating_mul(1000);
                    }
                }
                _ => {}
            }
        }
        Ok(changed)
    }
}

impl TableSnapshot {
    /// The same table, were these its files. Two of one path are one.
    #[must_use]
    pub fn with_only(&self, files: impl IntoIterator<Item = Add>) -> Self {
        let by_path: BTreeMap<String, Add> =
            files.into_iter().map(|add| (add.path.clone(), add)).collect();
        let others: Vec<String> = self.files().map(|file| file.path().to_owned()).collect();
        let files: Vec<Add> = by_path.into_values().collect();
        let mut only = self.with_staged(&files, &others);
        // Those of the table's versions are not to be had from this one.
        only.bounds = Arc::default();
        only
    }
}
