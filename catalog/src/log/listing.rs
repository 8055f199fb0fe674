//! Which entries and checkpoints a log holds.
//!
//! Never: needed for a commit; only to open a table or to go back in time.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use serde::Deserialize;

use super::Log;
use crate::error::{Error, Result};

/// The files of a log, as far as they were listed.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    entries: BTreeSet<i64>,
    /// Complete checkpoints and their files.
    checkpoints: BTreeMap<i64, Vec<Path>>,
}

/// What the hint says; it says more, of no use here.
#[derive(Deserialize)]
struct LastCheckpoint {
    version: i64,
}

/// What a file of a log is, by its name.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    Entry(i64),
    /// The parts of a checkpoint and how many there are.
    Checkpoint {
        version: i64,
        parts: usize,
    },
}

impl Listing {
    /// The newest version that has an entry or a checkpoint.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.entries.last().max(self.checkpoints.keys().next_back()).copied()
    }

    /// The oldest version from which on every one has an entry and can be reconstructed.
    pub(crate) fn oldest(&self) -> Option<i64> {
        let newest = self.newest()?;
        match self.run_to(newest) {
            0 => Some(0),
            first => self
                .checkpoints
                .range(first - 1..)
                .next()
                .map(|(version, _)| first.max(*version))
                .filter(|oldest| *oldest <= newest),
        }
    }

    /// Whether a version can be reconstructed.
    pub(crate) fn reaches(&self, version: i64) -> bool {
        let first = self.run_to(version);
        first == 0 || self.checkpoints.range(first - 1..=version).next().is_some()
    }

    /// Where the entries begin that follow one another up to `version`; right after it if it has none.
    fn run_to(&self, version: i64) -> i64 {
        let entries = self.entries.range(..=version).rev();
        let run =
            entries.zip((0..=version).rev()).take_while(|(entry, expected)| *entry == expected);
        run.last().map_or(version + 1, |(first, _)| *first)
    }

    /// Whether entries were cleaned up.
    pub(crate) fn is_cleaned(&self) -> bool {
        !self.entries.contains(&0)
    }

    /// Whether there is anything of versions before this one.
    pub(crate) fn has_before(&self, version: i64) -> bool {
        let first = self.entries.first().into_iter().chain(self.checkpoints.keys().next()).min();
        first.is_some_and(|first| *first < version)
    }

    /// The same without what the checkpoint of a version tells.
    pub(crate) fn without_checkpoint(&self, version: i64) -> Self {
        let mut checkpoints = self.checkpoints.clone();
        checkpoints.remove(&version);
        Self { entries: self.entries.clone(), checkpoints }
    }

    /// Checkpoints from which `version` can be reached, best first, each with its files.
    pub(crate) fn checkpoints_before(&self, version: i64) -> impl Iterator<Item = (i64, &[Path])> {
        self.checkpoints.range(..=version).rev().map(|(version, files)| (*version, &files[..]))
    }

    /// The first version of a range that has no entry.
    pub(crate) fn gap(&self, mut versions: impl Iterator<Item = i64>) -> Option<i64> {
        versions.find(|version| !self.entries.contains(version))
    }
}

impl Log {
    /// Lists what is needed for the newest version: from the newest checkpoint on.
    pub(crate) async fn list_newest(&self) -> Result<Listing> {
        if let Some(hint) = self.last_checkpoint().await? {
            let listing = self.list_from(hint).await?;
            if listing.checkpoints.contains_key(&hint) {
                return Ok(listing);
            }
        }
        self.list_from(0).await
    }

    /// Lists everything.
    pub(crate) async fn list(&self) -> Result<Listing> {
        self.list_from(0).await
    }

    /// Removes the checkpoints and entries before a version. The checkpoints first: while there is one,
    /// the entries after it are all there.
    pub(crate) async fn remove_before(&self, listing: &Listing, version: i64) -> Result<()> {
        let checkpoints = listing.checkpoints.range(..version).flat_map(|(_, files)| files.clone());
        self.remove(checkpoints).await?;
        self.remove(listing.entries.range(..version).map(|entry| self.entry_path(*entry))).await
    }

    async fn remove(&self, files: impl Iterator<Item = Path>) -> Result<()> {
        let files: Vec<_> = files.map(Ok).collect();
        let mut removed = self.store.delete_stream(stream::iter(files).boxed());
        while let Some(done) = removed.next().await {
            match done {
                // Another server cleans the same log.
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(Error::store("delete", &self.directory)(source)),
            }
        }
        Ok(())
    }

    async fn list_from(&self, version: i64) -> Result<Listing> {
        // Sorts before every file of that version.
        let offset = self.directory.clone().join(format!("{version:020}"));
        let mut listing = Listing::default();
        let mut parts: BTreeMap<(i64, usize), Vec<Path>> = BTreeMap::new();
        let mut files = self.store.list_with_offset(Some(&self.directory), &offset);
        while let Some(file) =
            files.try_next().await.map_err(Error::store("list", &self.directory))?
        {
            if file.location.parts_count() != self.directory.parts_count() + 1 {
                continue;
            }
            match file.location.filename().and_then(name) {
                Some(Name::Entry(version)) => {
                    listing.entries.insert(version);
                }
                Some(Name::Checkpoint { version, parts: count }) => {
                    parts.entry((version, count)).or_default().push(file.location);
                }
                None => {}
            }
        }
        for ((version, count), mut files) in parts {
            files.sort();
            // A checkpoint named by a UUID stands alone; of several, any will do.
            let complete = if count == 1 { !files.is_empty() } else { files.len() == count };
            if complete {
                files.truncate(count);
                listing.checkpoints.insert(version, files);
            }
        }
        Ok(listing)
    }

    async fn last_checkpoint(&self) -> Result<Option<i64>> {
        let path = self.last_checkpoint_path();
        let found = self.get(&path).await?;
        // A hint that cannot be read is no hint.
        Ok(found
            .and_then(|(bytes, _)| serde_json::from_slice::<LastCheckpoint>(&bytes).ok())
            .map(|hint| hint.version))
    }

    pub(super) fn last_checkpoint_path(&self) -> Path {
        self.directory.clone().join("_last_checkpoint")
    }
}

fn name(file: &str) -> Option<Name> {
    let (number, rest) = file.split_once('.')?;
    if number.len() != 20 {
        return None;
    }
    let version = number.parse().ok()?;
    let mut rest = rest.split('.');
    let checkpoint = |parts| Some(Name::Checkpoint { version, parts });
    match (rest.next()?, rest.next(), rest.next(), rest.next()) {
        ("json", None, None, None) => Some(Name::Entry(version)),
        ("checkpoint", Some("parquet"), None, None) => checkpoint(1),
        // Named by a UUID.
        ("checkpoint", Some(id), Some("parquet" | "json"), None) if id.len() == 36 => checkpoint(1),
        ("checkpoint", Some(_part), Some(parts), Some("parquet")) => {
            checkpoint(parts.parse().ok().filter(|parts| *parts > 0)?)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Name, name};

    #[test]
    fn names_of_log_files_are_told_apart() {
        let version = 7;
        let cases = [
            ("00000000000000000007.json", Some(Name::Entry(7))),
            (
                "00000000000000000007.checkpoint.parquet",
                Some(Name::Checkpoint { version, parts: 1 }),
            ),
            (
                "00000000000000000007.checkpoint.0000000002.0000000003.parquet",
                Some(Name::Checkpoint { version, parts: 3 }),
            ),
            (
                "00000000000000000007.checkpoint.3a0d65cd-4056-49b8-937b-95f9e3ee90e5.parquet",
                Some(Name::Checkpoint { version, parts: 1 }),
            ),
            ("00000000000000000007.crc", None),
            ("00000000000000000007.00000000000000000009.compacted.json", None),
            ("_last_checkpoint", None),
            ("7.json", None),
        ];
        for (file, expected) in cases {
            assert_eq!(name(file), expected, "{file}");
        }
    }
}
