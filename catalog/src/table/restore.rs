//! The way back to an older version: a commit that brings its files and takes the others away.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;

use super::{Commit, CommitKind, DataFile, LakeTable, TableSnapshot};
use crate::error::{Error, Result};
use crate::log::Add;

/// Files that are looked for at once.
const LOOKS_AT_ONCE: usize = 16;

impl LakeTable {
    /// The commit after which the table is what it was at `to`, decided over `from`; none where it is
    /// that already. Conflicts with rows that come meanwhile.
    ///
    /// Fails with [`Error::VersionNotFound`] where a file of that version has been removed for good.
    pub async fn restore(
        &self,
        from: &TableSnapshot,
        to: &TableSnapshot,
    ) -> Result<Option<Commit>> {
        let differs = |one: &DataFile, other: &TableSnapshot| {
            other
                .file(one.path())
                .is_none_or(|other| other.add().deletion_vector != one.add().deletion_vector)
        };
        let back: Vec<Arc<DataFile>> =
            to.files().filter(|file| differs(file, from)).map(Arc::clone).collect();
        self.expect_files(to.version, back.clone()).await?;
        let redefined = from.spec() != to.spec();
        let kind = match redefined {
            true => CommitKind::Metadata { read_all: true },
            false => CommitKind::Rewrite { read_all: true },
        };
        let adds = back.iter().map(|file| Add { data_change: true, ..file.add().clone() });
        let gone = from.files().filter(|file| differs(file, to));
        let mut commit = Commit {
            adds: adds.collect(),
            removes: gone.map(|file| file.path().to_owned()).collect(),
            metadata: redefined.then(|| to.spec()),
            ..Commit::new("RESTORE", kind)
        };
        commit.parameters.insert("version".to_owned(), to.version.to_string());
        let nothing = commit.adds.is_empty() && commit.removes.is_empty() && !redefined;
        Ok((!nothing).then_some(commit))
    }

    /// An error where the store no longer has one of these files.
    async fn expect_files(&self, version: i64, files: Vec<Arc<DataFile>>) -> Result<()> {
        stream::iter(files)
            .map(|file| async move {
                let path = self.location.path.clone().join(file.path());
                match self.location.store.head(&path).await {
                    Ok(_) => Ok(()),
                    Err(object_store::Error::NotFound { .. }) => {
                        Err(Error::VersionNotFound { object: self.object.clone(), version })
                    }
                    Err(source) => Err(Error::store("look for", &path)(source)),
                }
            })
            .buffer_unordered(LOOKS_AT_ONCE)
            .try_collect()
            .await
    }
}
