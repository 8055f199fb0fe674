//! The data files of a commit on their way to the store, beside the log entry that names them.
//!
//! Where the store can give an object its name later, files and entry are written and synced at the
//! same time, and the entry gets its name when the files are durable. Elsewhere it is put after them.
//!
//! Never: an entry that names a file which is not durable.

use std::future::Future;
use std::sync::Arc;

use futures::future::try_join_all;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::log::Put;
use crate::stores::{Location, NameAfter, Unreferenced};

/// Files that are to be put once.
pub(super) struct Uploads {
    store: Arc<dyn ObjectStore>,
    puts: Vec<(Path, PutPayload)>,
    /// Those that were put, or may have been.
    paths: Vec<Path>,
    /// Whether the store understands [`NameAfter`].
    names_later: bool,
}

impl Uploads {
    pub(super) fn new(table: &Location, puts: Vec<(Path, PutPayload)>) -> Self {
        let (store, names_later) = (Arc::clone(&table.store), table.names_later());
        Self { store, puts, paths: Vec::new(), names_later }
    }

    /// No files.
    pub(super) fn none(table: &Location) -> Self {
        Self::new(table, Vec::new())
    }

    /// Puts the files, the first time, and an entry that gets its name after them.
    pub(super) async fn beside<F>(
        &mut self,
        put_entry: impl FnOnce(Option<NameAfter>) -> F,
    ) -> Result<Put>
    where
        F: Future<Output = Result<Put>>,
    {
        let puts = std::mem::take(&mut self.puts);
        if puts.is_empty() {
            return put_entry(None).await;
        }
        self.paths = puts.iter().map(|(path, _)| path.clone()).collect();
        if !self.names_later {
            let files = self.put_all(puts).await;
            self.discard_unless(&files).await;
            files?;
            return put_entry(None).await;
        }
        let (tell, told) = oneshot::channel();
        let after = NameAfter::new(async move { told.await.unwrap_or(false) });
        let files = async {
            let done = self.put_all(puts).await;
            // Nobody listens where the entry could not even be staged.
            let _ = tell.send(done.is_ok());
            done
        };
        let (files, entry) = futures::join!(files, put_entry(Some(after)));
        self.discard_unless(&files).await;
        // Why the files are not there says more than that the entry is not.
        files.and(entry)
    }

    async fn put_all(&self, puts: Vec<(Path, PutPayload)>) -> Result<()> {
        let all = puts.into_iter().map(|(path, payload)| async move {
            let mut options = PutOptions::from(PutMode::Overwrite);
            if self.names_later {
                options.mode = PutMode::Create;
                options.extensions.insert(Unreferenced);
            }
            let put = self.store.put_opts(&path, payload, options).await;
            put.map(drop).map_err(Error::store("write", &path))
        });
        try_join_all(all).await.map(drop)
    }

    async fn discard_unless(&self, put: &Result<()>) {
        if put.is_err() {
            self.discard().await;
        }
    }

    /// Removes files that no entry will name; what stays behind is swept later.
    pub(super) async fn discard(&self) {
        for path in &self.paths {
            if let Err(error) = self.store.delete(path).await {
                tracing::debug!(%path, %error, "could not remove an unused file");
            }
        }
    }
}
