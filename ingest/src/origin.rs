//! Where rows came from: the columns `_ingested_at`, `_batch_id`, `_source`, `_source_row` of raw
//! tables. A table has them or not; rows are tagged as its columns ask.
//!
//! Never: a value of these columns that a client supplied, or a look at the clock.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};

use crate::error::Result;

const INGESTED_AT: &str = "_ingested_at";
const BATCH_ID: &str = "_batch_id";
const SOURCE: &str = "_source";
const SOURCE_ROW: &str = "_source_row";

/// What all rows of one load have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// When the load began, in microseconds since 1970-01-01 UTC.
    pub ingested_at_micros: i64,
    /// The load.
    pub batch_id: String,
    /// The file or channel; a client's stream has none.
    pub source: Option<String>,
}

impl Origin {
    /// Whether a column is one that the server fills.
    pub fn is_column(name: &str) -> bool {
        [INGESTED_AT, BATCH_ID, SOURCE, SOURCE_ROW].contains(&name)
    }

    /// The columns of a table that its rows have to bring.
    pub fn brought(table: &Schema) -> SchemaRef {
        let fields = table.fields().iter().filter(|field| !Self::is_column(field.name()));
        Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
    }

    /// The rows as the table has its columns. `rows` has those of [`Origin::brought`], in that
    /// order; `numbers` are the numbers of the rows within their source.
    pub fn tag(
        &self,
        table: &SchemaRef,
        rows: &RecordBatch,
        numbers: &Int64Array,
    ) -> Result<RecordBatch> {
        let count = rows.num_rows();
        let mut brought = rows.columns().iter();
        let columns = table.fields().iter().map(|field| {
            let column: ArrayRef = match field.name().as_str() {
                INGESTED_AT => {
                    let times =
                        TimestampMicrosecondArray::from_value(self.ingested_at_micros, count);
                    Arc::new(times.with_timezone("UTC"))
                }
                BATCH_ID => Arc::new(repeated(&self.batch_id, count)),
                SOURCE => match &self.source {
                    Some(source) => Arc::new(repeated(source, count)),
                    None => new_null_array(field.data_type(), count),
                },
                SOURCE_ROW => Arc::new(numbers.clone()),
                _ => match brought.next() {
                    Some(column) => Arc::clone(column),
                    None => new_null_array(field.data_type(), count),
                },
            };
            if column.data_type() == field.data_type() {
                Ok(column)
            } else {
                Ok(cast(&column, field.data_type())?)
            }
        });
        let columns = columns.collect::<Result<_>>()?;
        let nullable =
            table.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}

fn repeated(text: &str, count: usize) -> StringArray {
    StringArray::from_iter_values(std::iter::repeat_n(text, count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit};

    #[test]
    fn the_table_decides_which_columns_are_filled() {
        let text = |name| Field::new(name, DataType::Utf8, false);
        let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let table = Arc::new(Schema::new(vec![
            text(SOURCE),
            text("a"),
            Field::new(SOURCE_ROW, DataType::Int64, false),
            Field::new(INGESTED_AT, instant, false),
            text("b"),
        ]));
        let brought = Origin::brought(&table);
        let names: Vec<_> = brought.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let column = |text: &str| Arc::new(StringArray::from(vec![text; 2])) as ArrayRef;
        let rows = RecordBatch::try_new(brought, vec![column("x"), column("y")]).unwrap();
        let origin = Origin {
            ingested_at_micros: 5,
            batch_id: "7".to_owned(),
            source: Some("s3://b/f".to_owned()),
        };
        let tagged = origin.tag(&table, &rows, &Int64Array::from(vec![3, 9])).unwrap();
        let values = |index: usize| tagged.column(index).as_string::<i32>().value(1);
        assert_eq!([values(0), values(1), values(4)], ["s3://b/f", "x", "y"]);
        assert_eq!(tagged.column(2).as_primitive::<Int64Type>().values(), &[3, 9]);
        assert_eq!(tagged.column(3).data_type(), table.field(3).data_type());
        assert_eq!(tagged.num_columns(), 5);

        let stream = Origin { source: None, ..origin };
        let tagged = stream.tag(&table, &rows, &Int64Array::from(vec![3, 9])).unwrap();
        assert!(tagged.column(0).is_null(0));
    }
}
