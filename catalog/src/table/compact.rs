//! Which small files to write anew as few large ones.
//!
//! Never: files of two partitions, or files whose rows only delta-rs can read, come together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{DataFile, TableSnapshot};

/// A file from this part of the target size on, in percent, is large enough.
const LARGE_PERCENT: u64 = 75;

impl TableSnapshot {
    /// Groups of small files of one partition, oldest first in each, that together make about one file
    /// of the table's target size. A file that stands alone is in none.
    #[must_use]
    pub fn groups_to_compact(&self) -> Vec<Vec<Arc<DataFile>>> {
        let target = u64::try_from(self.target_file_bytes()).unwrap_or(u64::MAX);
        let large = target / 100 * LARGE_PERCENT;
        let mut groups = Vec::new();
        for files in self.partitions() {
            let (mut group, mut bytes) = (Vec::new(), 0);
            for file in files.into_iter().filter(|file| file.byte_count() < large) {
                if bytes + file.byte_count() > target {
                    groups.push(std::mem::take(&mut group));
                    bytes = 0;
                }
                bytes += file.byte_count();
                group.push(file);
            }
            groups.push(group);
        }
        groups.retain(|group| group.len() > 1);
        groups
    }

    /// The files of each partition, oldest first: rows that came at one time are asked for at one time.
    #[must_use]
    pub fn partitions(&self) -> Vec<Vec<Arc<DataFile>>> {
        let mut partitions: BTreeMap<_, Vec<Arc<DataFile>>> = BTreeMap::new();
        for file in self.files() {
            partitions.entry(&file.add().partition_values).or_default().push(Arc::clone(file));
        }
        let mut partitions: Vec<_> = partitions.into_values().collect();
        for files in &mut partitions {
            files.sort_by_key(|file| file.add().modification_time);
        }
        partitions
    }
}
