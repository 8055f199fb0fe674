//! Columns of a file that declares names and types: found by name and brought to the table's types.
//!
//! Never: a column that is passed over in silence, unless the statement says so.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::File;
use super::convert::Conversion;
use crate::decode::{RESCUED, Rescued, UnknownFields, json_string};
use crate::error::{Error, Result};
use crate::text::Zone;

/// How files are read whose columns have names and types.
#[derive(Debug, Clone)]
pub struct TypedOptions {
    /// What happens to a column that the table does not have.
    pub unknown_columns: UnknownFields,
    /// Whether timestamps in nanoseconds are cut to microseconds; else such a value is an error.
    pub truncate_nanoseconds: bool,
    /// The zone of timestamps that the file keeps without one.
    pub zone: Zone,
    /// No batch has more rows.
    pub batch_rows_max: usize,
}

impl Default for TypedOptions {
    fn default() -> Self {
        Self {
            unknown_columns: UnknownFields::Refuse,
            truncate_nanoseconds: false,
            zone: Zone::UTC,
            batch_rows_max: 16_384,
        }
    }
}

/// Which column of the file becomes which of the table, and how.
#[derive(Debug)]
pub(super) struct Mapping {
    schema: SchemaRef,
    /// The file's columns that are read, in the file's order.
    roots: Vec<usize>,
    /// Per column of the table: its place among the columns read.
    columns: Vec<Option<(usize, Conversion)>>,
    /// Where columns that the table lacks are kept: the column of the table, and for each of the others
    /// its place among the columns read and its name as JSON.
    rescued: Option<(usize, Vec<(usize, String)>)>,
}

impl Mapping {
    pub(super) fn new(
        file: &File,
        found: &Schema,
        wanted: &SchemaRef,
        options: &TypedOptions,
    ) -> Result<Self> {
        let in_file = || file.url.clone();
        let rescues = options.unknown_columns == UnknownFields::Rescue;
        let rescued = if rescues { Some(wanted.index_of(RESCUED)?) } else { None };
        let matches = wanted.fields().iter().enumerate();
        let matches =
            matches.map(
                |(at, field)| {
                    if Some(at) == rescued { None } else { position(found, field.name()) }
                },
            );
        let matched: Vec<Option<usize>> = matches.collect();
        let mut roots: Vec<usize> = matched.iter().flatten().copied().collect();
        roots.sort_unstable();
        if let Some(pair) = roots.windows(2).find(|pair| pair[0] == pair[1]) {
            let column = found.field(pair[0]).name().clone();
            return Err(Error::FileColumnAmbiguous { file: in_file(), column });
        }
        let unknown = (0..found.fields().len()).find(|index| !roots.contains(index));
        let refuses =
            matches!(options.unknown_columns, UnknownFields::Refuse | UnknownFields::RefuseValues);
        if let Some(unknown) = unknown.filter(|_| refuses) {
            let column = found.field(unknown).name().clone();
            return Err(Error::FileColumnUnknown { file: in_file(), column });
        }
        let rescued = rescued.map(|at| {
            let unknown = (0..found.fields().len()).filter(|root| !roots.contains(root));
            let unknown = unknown.map(|root| (root, json_string(found.field(root).name())));
            (at, unknown.collect::<Vec<_>>())
        });
        if rescued.is_some() {
            roots = (0..found.fields().len()).collect();
        }
        let column = |(field, root): (&Arc<Field>, &Option<usize>)| {
            let Some(root) = root else {
                let column = field.name().clone();
                return if field.is_nullable() {
                    Ok(None)
                } else {
                    Err(Error::FileColumnMissing { file: in_file(), column })
                };
            };
            let from = found.field(*root).data_type();
            let conversion =
                Conversion::new(from, field, options.zone, options.truncate_nanoseconds)?;
            Ok(roots.binary_search(root).ok().map(|place| (place, conversion)))
        };
        let columns = wanted.fields().iter().zip(&matched).map(column).collect::<Result<_>>()?;
        let fields = wanted.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self { schema, roots, columns, rescued })
    }

    /// The file's columns that are read, in the file's order.
    pub(super) fn roots(&self) -> &[usize] {
        &self.roots
    }

    /// The rows with the columns of the table. The first of them has this number in the file.
    pub(super) fn apply(&self, batch: &RecordBatch, first_row: u64) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let mut rescued = Rescued::default();
        let columns =
            self.columns.iter().zip(self.schema.fields()).map(|(column, field)| match column {
                Some((place, conversion)) if self.rescued.is_some() => {
                    conversion.apply_or_rescue(batch.column(*place), first_row, &mut rescued)
                }
                Some((place, conversion)) => conversion.apply(batch.column(*place), first_row),
                None => Ok(new_null_array(field.data_type(), rows)),
            });
        let mut columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        if let Some((at, unknown)) = &self.rescued {
            for (place, name) in unknown {
                let field = batch.schema_ref().field(*place);
                rescued.push_column(name, field, batch.column(*place))?;
            }
            columns[*at] = rescued.finish(self.schema.field(*at), rows)?;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// The column of this name; if none has it exactly, the one that differs only in case.
fn position(found: &Schema, name: &str) -> Option<usize> {
    found.index_of(name).ok().or_else(|| {
        let mut alike = found
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, field)| field.name().eq_ignore_ascii_case(name));
        let (index, _) = alike.next()?;
        alike.next().is_none().then_some(index)
    })
}
