//! The bounds of all files of a version, column by column, as arrays.
//!
//! A query holds its filters against them at once. They are made for the columns that filters ask for,
//! and carried over from one version to the next: a commit costs its own files.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt64Array};
use arrow::compute::{concat, filter};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{ColumnStatistics, Result, ScalarValue};
use parking_lot::Mutex;

use super::DataFile;
use super::files::{Difference, Files, differences};

/// The bounds of the files of one version.
#[derive(Debug)]
pub(crate) struct FileBounds {
    /// The columns that the bounds are of.
    schema: SchemaRef,
    by_path: Files,
    files: Vec<Arc<DataFile>>,
    columns: Mutex<HashMap<usize, BoundArrays>>,
}

/// The bounds of one column, a value for each file; NULL is unknown.
#[derive(Debug, Clone)]
pub(crate) struct BoundArrays {
    pub(crate) min: ArrayRef,
    pub(crate) max: ArrayRef,
    pub(crate) null_count: ArrayRef,
}

/// Where the bounds of the version last asked for are kept, for all versions of a table.
#[derive(Debug, Default)]
pub(super) struct KeptBounds(Mutex<Option<Arc<FileBounds>>>);

impl KeptBounds {
    pub(super) fn of(&self, files: &Files, schema: &SchemaRef) -> Arc<FileBounds> {
        let mut kept = self.0.lock();
        let bounds = match kept.take() {
            Some(known) if !Arc::ptr_eq(&known.schema, schema) && known.schema != *schema => None,
            Some(known) if known.by_path.ptr_eq(files) => Some(known),
            Some(known) => Some(Arc::new(known.followed_by(files))),
            None => None,
        };
        let bounds = bounds.unwrap_or_else(|| Arc::new(FileBounds::new(files, schema)));
        *kept = Some(Arc::clone(&bounds));
        bounds
    }
}

impl FileBounds {
    fn new(files: &Files, schema: &SchemaRef) -> Self {
        Self {
            schema: Arc::clone(schema),
            by_path: files.clone(),
            files: files.values().map(Arc::clone).collect(),
            columns: Mutex::default(),
        }
    }

    /// Those of another version, with what is known of the files that both have.
    fn followed_by(&self, files: &Files) -> Self {
        let (mut gone, mut come) = (HashSet::new(), Vec::new());
        for difference in differences(&self.by_path, files) {
            match difference {
                Difference::Came(file) => come.push(Arc::clone(file)),
                Difference::Went(path) => drop(gone.insert(Arc::clone(path))),
            }
        }
        let stays: BooleanArray =
            self.files.iter().map(|file| Some(!gone.contains(file.path()))).collect();
        let mut columns = self.columns.lock().clone();
        if !gone.is_empty() {
            // Where a column knows fewer files, it knows the first ones.
            columns.retain(|_, column| column.keep(&stays.slice(0, column.min.len())).is_ok());
        }
        let kept = self.files.iter().zip(&stays).filter(|(_, stays)| *stays == Some(true));
        let files_now = kept.map(|(file, _)| Arc::clone(file)).chain(come).collect();
        Self {
            schema: Arc::clone(&self.schema),
            by_path: files.clone(),
            files: files_now,
            columns: Mutex::new(columns),
        }
    }

    /// The files, in the order of the arrays.
    pub(crate) fn files(&self) -> &[Arc<DataFile>] {
        &self.files
    }

    /// The bounds of the column at `index`; `of_file` tells those of one file.
    pub(crate) fn column(
        &self,
        index: usize,
        data_type: &DataType,
        of_file: impl Fn(&DataFile) -> Result<Option<ColumnStatistics>>,
    ) -> Result<BoundArrays> {
        let mut columns = self.columns.lock();
        let known = columns.get(&index);
        let count = known.map_or(0, |column| column.min.len());
        if let Some(column) = known.filter(|_| count == self.files.len()) {
            return Ok(column.clone());
        }
        let unknown = ScalarValue::try_from(data_type)?;
        let new: Vec<Option<ColumnStatistics>> =
            self.files[count..].iter().map(|file| of_file(file)).collect::<Result<_>>()?;
        let values = |choose: fn(&ColumnStatistics) -> Option<&ScalarValue>| {
            let value = |of: &Option<ColumnStatistics>| {
                of.as_ref().and_then(choose).cloned().unwrap_or_else(|| unknown.clone())
            };
            match new.is_empty() {
                true => Ok(arrow::array::new_empty_array(data_type)),
                false => ScalarValue::iter_to_array(new.iter().map(value)),
            }
        };
        let null_count: UInt64Array = new
            .iter()
            .map(|of| of.as_ref()?.null_count.get_value().map(|count| *count as u64))
            .collect();
        let mut column = BoundArrays {
            min: values(|of| of.min_value.get_value())?,
            max: values(|of| of.max_value.get_value())?,
            null_count: Arc::new(null_count),
        };
        if let Some(known) = known {
            column = known.followed_by(&column)?;
        }
        columns.insert(index, column.clone());
        Ok(column)
    }
}

impl BoundArrays {
    fn keep(&mut self, stays: &BooleanArray) -> Result<()> {
        for array in [&mut self.min, &mut self.max, &mut self.null_count] {
            *array = filter(array, stays)?;
        }
        Ok(())
    }

    fn followed_by(&self, others: &Self) -> Result<Self> {
        let both = |one: &ArrayRef, other: &ArrayRef| concat(&[one.as_ref(), other.as_ref()]);
        Ok(Self {
            min: both(&self.min, &others.min)?,
            max: both(&self.max, &others.max)?,
            null_count: both(&self.null_count, &others.null_count)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::cell::Cell;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{Field, Int64Type, Schema};
    use datafusion::common::stats::Precision;

    use super::*;
    use crate::log::Add;

    fn file(number: i64) -> (Arc<str>, Arc<DataFile>) {
        let path = format!("{number:03}");
        let add = Add { path: path.clone(), size: number, ..Add::default() };
        (path.into(), Arc::new(DataFile::new(add)))
    }

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]))
    }

    /// The minima and the files that they are said to be of; a file's minimum is its number.
    fn minima(bounds: &FileBounds, asked: &Cell<usize>) -> (Vec<i64>, Vec<i64>) {
        let of_file = |file: &DataFile| {
            asked.set(asked.get() + 1);
            let min_value = Precision::Exact(ScalarValue::Int64(Some(file.add().size)));
            Ok(Some(ColumnStatistics { min_value, ..ColumnStatistics::new_unknown() }))
        };
        let column = bounds.column(0, &DataType::Int64, of_file).unwrap();
        assert_eq!(column.max.null_count(), column.min.len());
        let minima: &Int64Array = column.min.as_primitive::<Int64Type>();
        let files = bounds.files().iter().map(|file| file.add().size).collect();
        (minima.values().to_vec(), files)
    }

    #[test]
    fn a_version_asks_for_its_own_files_alone() {
        let (kept, schema, asked) = (KeptBounds::default(), schema(), Cell::new(0));
        let first: Files = (0..100).map(file).collect();
        let (values, files) = minima(&kept.of(&first, &schema), &asked);
        assert_eq!(values, files);
        assert_eq!(asked.get(), 100);
        let mut second = first.clone();
        second.remove("007");
        second.extend((200..203).map(file));
        let bounds = kept.of(&second, &schema);
        let (values, files) = minima(&bounds, &asked);
        assert_eq!(values, files);
        assert_eq!(values.len(), 102);
        assert!(!values.contains(&7));
        assert_eq!(asked.get(), 103);
        assert!(Arc::ptr_eq(&bounds, &kept.of(&second, &schema)));
        // An older version, asked for again.
        let (values, files) = minima(&kept.of(&first, &schema), &asked);
        assert_eq!(values, files);
        assert_eq!(values.len(), 100);
        assert_eq!(asked.get(), 104);
    }

    #[test]
    fn a_file_that_is_replaced_under_its_name_is_asked_for_again() {
        let (kept, schema, asked) = (KeptBounds::default(), schema(), Cell::new(0));
        let first: Files = (0..3).map(file).collect();
        minima(&kept.of(&first, &schema), &asked);
        let mut second = first;
        second.insert("001".into(), file(50).1);
        let (mut values, _) = minima(&kept.of(&second, &schema), &asked);
        values.sort_unstable();
        assert_eq!(values, [0, 2, 50]);
    }
}
