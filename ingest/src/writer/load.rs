//! Rows of files: committed in one piece with the ledger's entries for those files.

use std::sync::Arc;

use catalog::{Commit, LoadedFile, TableSnapshot};

use super::{Writer, Written, append_parameters};
use crate::{Error, Result};

impl Writer {
    /// Commits what [`Writer::write`] wrote over `snapshot`, in `commit`, which may change the definition
    /// as well. Gives `None`, and nothing is committed, where another load of one of the files came first.
    pub async fn commit_load(
        &self,
        snapshot: &TableSnapshot,
        mut commit: Commit,
        written: Written,
        loaded: Vec<LoadedFile>,
        user: Option<String>,
    ) -> Result<Option<i64>> {
        commit.adds.extend(written.adds);
        let commit = Commit { loaded, parameters: append_parameters(), user, ..commit };
        match self.table.commit(snapshot, commit).await {
            Ok(committed) => Ok(Some(committed.version)),
            Err(catalog::Error::AlreadyApplied { .. }) => Ok(None),
            Err(error) => Err(Error::Catalog(Arc::new(error))),
        }
    }
}
