//! Which rows of which files a statement changes.

use std::collections::HashMap;

use arrow::array::{BooleanArray, Int64Array, StringArray};

/// Rows by their place: the file's path and the row's number in it, from 0. One bit for each row up to
/// the last one hit.
#[derive(Debug, Default)]
pub(super) struct Hits {
    files: HashMap<String, Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    bits: Vec<u64>,
    count: u64,
}

impl Rows {
    fn hit(&mut self, row: usize) -> bool {
        let (word, bit) = (row / 64, 1 << (row % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let first = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        self.count += u64::from(first);
        first
    }

    fn contains(&self, row: usize) -> bool {
        self.bits.get(row / 64).is_some_and(|word| word & (1 << (row % 64)) != 0)
    }
}

impl Hits {
    /// Marks a row; whether it was not marked before.
    pub(super) fn hit(&mut self, file: &str, row: i64) -> bool {
        let row = usize::try_from(row).unwrap_or_default();
        match self.files.get_mut(file) {
            Some(rows) => rows.hit(row),
            None => self.files.entry(file.to_owned()).or_default().hit(row),
        }
    }

    /// Files with a row that is hit, and how many of their rows are.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files.iter().map(|(file, rows)| (file.as_str(), rows.count))
    }

    /// Which of these rows are not hit.
    pub(super) fn missed(&self, files: &StringArray, rows: &Int64Array) -> BooleanArray {
        let mut known: Option<(&str, Option<&Rows>)> = None;
        files
            .iter()
            .zip(rows)
            .map(|(file, row)| {
                let (file, row) = (file.unwrap_or_default(), row.unwrap_or_default());
                // Rows of one file come together.
                let rows = match known {
                    Some((last, rows)) if last == file => rows,
                    _ => {
                        let rows = self.files.get(file);
                        known = Some((file, rows));
                        rows
                    }
                };
                let row = usize::try_from(row).unwrap_or_default();
                Some(!rows.is_some_and(|rows| rows.contains(row)))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_hit_once() {
        let mut hits = Hits::default();
        assert!(hits.hit("a", 200));
        assert!(!hits.hit("a", 200));
        assert!(hits.hit("b", 200));
        assert!(hits.hit("a", 0));
        let mut files: Vec<_> = hits.files().collect();
        files.sort_unstable();
        assert_eq!(files, [("a", 2), ("b", 1)]);
    }

    #[test]
    fn other_rows_and_files_are_missed() {
        let mut hits = Hits::default();
        hits.hit("a", 1);
        hits.hit("b", 63);
        hits.hit("b", 64);
        let files = StringArray::from(vec!["a", "a", "b", "b", "b", "b", "c"]);
        let rows = Int64Array::from(vec![0, 1, 62, 63, 64, 10_000, 1]);
        let missed: Vec<bool> = hits.missed(&files, &rows).iter().flatten().collect();
        assert_eq!(missed, [true, false, true, false, false, true, true]);
    }
}
