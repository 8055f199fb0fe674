//! Removing files that no version within the retention holds.
//!
//! Never: a file goes that a version younger than the retention holds, that a prepared commit promises,
//! or that somebody may still be writing.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::snapshot::TOMBSTONE_MICROS;
use super::{LakeTable, TableSnapshot};
use crate::error::{Error, Result};
use crate::log::Action;

/// A file that no version ever named may belong to a write under way; not after a day.
const WRITE_MICROS_MAX: i64 = 24 * 3600 * 1_000_000;
/// Log entries that are read at once.
const READ_AHEAD: usize = 16;

/// Files that were removed, or would be.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Vacuumed {
    /// Relative to the table, in the order of their names.
    pub files: Vec<String>,
    /// How large they are together.
    pub bytes: u64,
}

impl LakeTable {
    /// Removes files that only versions older than `retain_micros` hold, and of which none is in
    /// `pinned`. `dry_run` only tells which.
    pub async fn vacuum(
        self: &Arc<Self>,
        retain_micros: i64,
        pinned: &[i64],
        dry_run: bool,
    ) -> Result<Vacuumed> {
        let head = {
            let _turn = self.turn().await;
            let newest = self.update().await?;
            self.settle(newest).await?
        };
        let now = self.clock.now_micros();
        let cutoff = now.saturating_sub(retain_micros);
        let mut kept: HashSet<Path> = names(head.files().map(|file| file.path())).collect();
        if retain_micros <= TOMBSTONE_MICROS {
            kept.extend(names(head.removed_since(cutoff / 1000)));
        } else {
            self.add_files_since(&head, cutoff, &mut kept).await?;
        }
        for version in pinned {
            let snapshot = match self.at_version(*version).await {
                // It was cleaned up while the snapshot was made that names it; nobody can read it.
                Err(Error::VersionNotFound { .. }) => continue,
                found => found?,
            };
            kept.extend(names(snapshot.files().map(|file| file.path())));
        }
        let removed: HashSet<Path> = names(head.removed_since(i64::MIN)).collect();
        let unnamed_cutoff = cutoff.min(now.saturating_sub(WRITE_MICROS_MAX));
        let mut gone = Vec::new();
        let mut objects = self.location.store.list(Some(&self.location.path));
        let listed = |source| Error::store("list", &self.location.path)(source);
        while let Some(object) = objects.try_next().await.map_err(listed)? {
            let Some(name) = self.name_of(&object.location) else { continue };
            let modified = object.last_modified.timestamp_micros();
            let cutoff = if removed.contains(&name) { cutoff } else { unnamed_cutoff };
            if modified < cutoff && !kept.contains(&name) {
                gone.push((name, object));
            }
        }
        drop(objects);
        // A transaction that took longer than a day may have committed meanwhile.
        let newest = self.update().await?;
        let named: HashSet<Path> = names(newest.files().map(|file| file.path())).collect();
        gone.retain(|(name, _)| !named.contains(name));
        gone.sort_by(|(one, _), (other, _)| one.cmp(other));
        if !dry_run {
            self.delete_objects(&gone).await?;
        }
        let bytes = gone.iter().map(|(_, object)| object.size).sum();
        Ok(Vacuumed { files: gone.into_iter().map(|(name, _)| name.to_string()).collect(), bytes })
    }

    /// Adds the files of every version that was the newest at some time since `cutoff`.
    async fn add_files_since(
        &self,
        head: &TableSnapshot,
        cutoff: i64,
        kept: &mut HashSet<Path>,
    ) -> Result<()> {
        let mut next = match self.at_timestamp(cutoff).await {
            Ok(since) => {
                kept.extend(names(since.files().map(|file| file.path())));
                since.version + 1
            }
            // The log does not reach back so far: all that it tells of is kept.
            Err(Error::TimeNotFound { .. }) => 0,
            Err(error) => return Err(error),
        };
        if next == 0 {
            next = self.log.list().await?.oldest().unwrap_or(0);
            let oldest = self.at_version(next).await?;
            kept.extend(names(oldest.files().map(|file| file.path())));
        }
        let mut entries = stream::iter(next..=head.version)
            .map(|version| async move {
                let entry = self.log.read(version).await?;
                entry.ok_or_else(|| Error::VersionNotFound { object: self.object.clone(), version })
            })
            .buffered(READ_AHEAD);
        while let Some(entry) = entries.try_next().await? {
            let added = entry.actions.iter().filter_map(|action| match action {
                Action::Add(add) => Some(add.path.as_str()),
                _ => None,
            });
            kept.extend(names(added));
        }
        Ok(())
    }

    /// The name of a data file, relative to the table. None for what is no data file: the log, and what
    /// begins with `_` or `.` as in every Delta table.
    fn name_of(&self, path: &Path) -> Option<Path> {
        let name: Path = path.prefix_match(&self.location.path)?.collect();
        let hidden = name.parts().any(|part| {
            let part = part.as_ref();
            part.starts_with('.') || (part.starts_with('_') && !part.contains('='))
        });
        (name.parts_count() > 0 && !hidden).then_some(name)
    }

    async fn delete_objects(&self, objects: &[(Path, ObjectMeta)]) -> Result<()> {
        let paths: Vec<_> = objects.iter().map(|(_, object)| Ok(object.location.clone())).collect();
        let mut deleted = self.location.store.delete_stream(stream::iter(paths).boxed());
        while let Some(done) = deleted.next().await {
            match done {
                // Somebody else removes the same.
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(Error::store("delete", &self.location.path)(source)),
            }
        }
        Ok(())
    }
}

/// Paths as log entries have them, percent-encoded, as the store has them.
fn names<'a>(paths: impl Iterator<Item = &'a str>) -> impl Iterator<Item = Path> {
    paths.filter_map(|path| Path::from_url_path(path).ok())
}
