//! The columns of a scan: in the order of the table for queries, and with the columns that are not
//! in the files (partition columns, a row's place) at the end for DataFusion's file sources.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::DataFusionError;
use datafusion::parquet::arrow::RowNumber;

use super::{FILE_COLUMN, ROW_COLUMN};
use crate::error::Error;
use crate::table::{DataFile, TableSnapshot, partition_scalar};

#[derive(Debug)]
pub(super) struct Layout {
    /// As queries see it.
    schema: SchemaRef,
    /// As file sources see it.
    table_schema: TableSchema,
    /// For each column of `schema`, its place in `table_schema`.
    places: Vec<usize>,
    /// As the table stores it; what statistics are kept for.
    stored: SchemaRef,
    /// For each column of the files, its place in `stored`.
    file_columns: Vec<usize>,
    /// Whether the last two columns tell a row's file and its number there.
    with_places: bool,
}

impl Layout {
    pub(super) fn new(snapshot: &TableSnapshot, with_places: bool) -> Self {
        let stored = &snapshot.schema;
        let in_partition = |field: &FieldRef| snapshot.partition_columns.contains(field.name());
        let (mut in_files, mut in_log) = (Vec::new(), Vec::new());
        let (mut places, mut file_columns) = (Vec::new(), Vec::new());
        let in_files_count = stored.fields().iter().filter(|field| !in_partition(field)).count();
        let mut schema: Vec<FieldRef> = Vec::new();
        for (index, field) in stored.fields().iter().enumerate() {
            let field = as_view(field);
            if in_partition(&field) {
                places.push(in_files_count + in_log.len());
                in_log.push(Arc::clone(&field));
            } else {
                places.push(in_files.len());
                file_columns.push(index);
                in_files.push(Arc::clone(&field));
            }
            schema.push(field);
        }
        let mut numbers: Vec<FieldRef> = Vec::new();
        if with_places {
            let field: FieldRef = Arc::new(Field::new(FILE_COLUMN, DataType::Utf8, false));
            places.push(in_files_count + in_log.len());
            in_log.push(Arc::clone(&field));
            schema.push(field);
            let number = Field::new(ROW_COLUMN, DataType::Int64, false);
            let number: FieldRef = Arc::new(number.with_extension_type(RowNumber));
            places.push(in_files_count + in_log.len());
            numbers.push(Arc::clone(&number));
            schema.push(number);
        }
        Self {
            schema: Arc::new(Schema::new(schema)),
            table_schema: TableSchema::builder(Arc::new(Schema::new(in_files)))
                .with_table_partition_cols(in_log)
                .with_virtual_columns(numbers)
                .build(),
            places,
            stored: Arc::clone(stored),
            file_columns,
            with_places,
        }
    }

    pub(super) const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) const fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    pub(super) const fn stored(&self) -> &SchemaRef {
        &self.stored
    }

    /// Whether the last two columns tell a row's file and its number there.
    pub(super) const fn has_places(&self) -> bool {
        self.with_places
    }

    /// For each column of the files, its place in the stored schema.
    pub(super) fn file_columns(&self) -> &[usize] {
        &self.file_columns
    }

    /// Columns whose values are the same for all rows of a file.
    pub(super) fn constant_columns(&self) -> impl Iterator<Item = &FieldRef> {
        self.table_schema.table_partition_cols().iter()
    }

    /// A projection of the query's columns, as places of the file source's.
    pub(super) fn projection(&self, wanted: Option<&Vec<usize>>) -> Vec<usize> {
        match wanted {
            Some(indices) => {
                indices.iter().filter_map(|index| self.places.get(*index).copied()).collect()
            }
            None => self.places.clone(),
        }
    }

    /// The values of the constant columns for one file.
    pub(super) fn partition_values(&self, file: &DataFile) -> Result<Vec<ScalarValue>> {
        let mut values = self.partition_values_of_table(file)?;
        values.extend(self.with_places.then(|| ScalarValue::from(file.path())));
        Ok(values)
    }

    /// The same without a row's place.
    pub(super) fn partition_values_of_table(&self, file: &DataFile) -> Result<Vec<ScalarValue>> {
        let fields = self.constant_columns().count() - usize::from(self.with_places);
        self.constant_columns().take(fields).map(|field| partition_value(file, field)).collect()
    }
}

fn partition_value(file: &DataFile, field: &Field) -> Result<ScalarValue> {
    let text = file.add().partition_values.get(field.name()).and_then(Option::as_deref);
    let stored = match field.data_type() {
        DataType::Utf8View => &DataType::Utf8,
        other => other,
    };
    let value = partition_scalar(text, stored).ok_or_else(|| {
        DataFusionError::from(Error::Corrupt {
            path: file.path().to_owned(),
            reason: format!("\"{}\" is no value of \"{}\"", text.unwrap_or(""), field.name()),
        })
    })?;
    value.cast_to(field.data_type())
}

/// Strings are read as views: no copy between page and batch.
fn as_view(field: &FieldRef) -> FieldRef {
    let view = match field.data_type() {
        DataType::Utf8 => DataType::Utf8View,
        DataType::Binary => DataType::BinaryView,
        _ => return Arc::clone(field),
    };
    Arc::new(field.as_ref().clone().with_data_type(view))
}
