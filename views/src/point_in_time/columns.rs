//! Keys and times of a batch in a form that compares fast.
//!
//! Both sides of a comparison are encoded alike, so that any row of one side compares with any row
//! of the other, whichever batches they stand in. Integers, dates and timestamps become `i64`;
//! everything else becomes arrow's row format, bytes whose order is that of the values.
//!
//! Times are encoded so that the left one is always the greater: a join that looks forward
//! (`<=`, `<`) has its times reversed here, and nothing behind this file knows of it.
//!
//! Never: decides what NULL means; it only says which rows have one.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion::arrow::compute::{SortOptions, cast};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExprRef;

/// How the values of one or several columns are encoded.
#[derive(Debug)]
pub(super) enum Encoding {
    Native { reversed: bool },
    Rows(RowConverter),
}

impl Encoding {
    pub(super) fn new(types: &[DataType], reversed: bool) -> Result<Self> {
        match types {
            [] => Ok(Self::Native { reversed }),
            [one] if native(one) => Ok(Self::Native { reversed }),
            _ => {
                let options = SortOptions { descending: reversed, nulls_first: true };
                let field = |t: &DataType| SortField::new_with_options(t.clone(), options);
                Ok(Self::Rows(RowConverter::new(types.iter().map(field).collect())?))
            }
        }
    }

    fn encode(&self, columns: &[ArrayRef], rows: usize) -> Result<Ordinals> {
        match (self, columns) {
            (Self::Rows(converter), _) => Ok(Ordinals::Rows(converter.convert_columns(columns)?)),
            (Self::Native { .. }, []) => Ok(Ordinals::Native(vec![0; rows].into())),
            (Self::Native { reversed }, [column, ..]) => {
                let integers = cast(column, &DataType::Int64)?;
                let values = integers.as_primitive::<Int64Type>().values();
                Ok(Ordinals::Native(match reversed {
                    // `!` reverses the order of all integers, and cannot overflow.
                    true => values.iter().map(|value| !value).collect(),
                    false => values.clone(),
                }))
            }
        }
    }
}

/// Whether values of a type are encoded as `i64`, whose differences are distances.
pub(super) fn native(data_type: &DataType) -> bool {
    use DataType::{
        Date32, Date64, Duration, Int8, Int16, Int32, Int64, Timestamp, UInt8, UInt16, UInt32,
    };
    matches!(
        data_type,
        Int8 | Int16
            | Int32
            | Int64
            | UInt8
            | UInt16
            | UInt32
            | Date32
            | Date64
            | Timestamp(_, _)
            | Duration(_)
    )
}

/// One encoded value per row.
#[derive(Debug)]
pub(super) enum Ordinals {
    Native(ScalarBuffer<i64>),
    Rows(Rows),
}

impl Ordinals {
    /// Compares a value with one of `other`, which has the same encoding.
    #[inline]
    pub(super) fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        match (self, other) {
            (Self::Native(a), Self::Native(b)) => a[row].cmp(&b[other_row]),
            (Self::Rows(a), Self::Rows(b)) => a.row(row).cmp(&b.row(other_row)),
            _ => unreachable!("the two sides of a join share their encodings"),
        }
    }

    /// How far a value lies after one of `other`; only `i64` have a distance.
    #[inline]
    pub(super) fn distance(&self, row: usize, other: &Self, other_row: usize) -> Option<i64> {
        match (self, other) {
            (Self::Native(a), Self::Native(b)) => Some(a[row].saturating_sub(b[other_row])),
            _ => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Native(values) => values.len() * size_of::<i64>(),
            Self::Rows(rows) => rows.size(),
        }
    }
}

/// What one side is compared by: its expressions and how their values are encoded.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub(super) keys: (Vec<PhysicalExprRef>, Arc<Encoding>),
    pub(super) time: (PhysicalExprRef, Arc<Encoding>),
    pub(super) cuts: Vec<(PhysicalExprRef, Arc<Encoding>)>,
}

impl Side {
    /// Encodes what a batch is compared by.
    pub(super) fn points(&self, batch: &RecordBatch) -> Result<Points> {
        let rows = batch.num_rows();
        let evaluate = |expression: &PhysicalExprRef| {
            expression.evaluate(batch).and_then(|value| value.into_array(rows))
        };
        let keys = self.keys.0.iter().map(evaluate).collect::<Result<Vec<_>>>()?;
        let time = evaluate(&self.time.0)?;
        let cuts = self.cuts.iter().map(|(cut, _)| evaluate(cut)).collect::<Result<Vec<_>>>()?;

        let columns = keys.iter().chain([&time]).chain(&cuts);
        let nulls = columns.fold(None, |nulls: Option<NullBuffer>, column| {
            NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())
        });
        let encode_cut = |((_, encoding), column): (&(_, Arc<Encoding>), &ArrayRef)| {
            encoding.encode(std::slice::from_ref(column), rows)
        };
        Ok(Points {
            rows,
            keys: self.keys.1.encode(&keys, rows)?,
            times: self.time.1.encode(&[time], rows)?,
            cuts: self.cuts.iter().zip(&cuts).map(encode_cut).collect::<Result<_>>()?,
            nulls: nulls.filter(|nulls| nulls.null_count() > 0),
        })
    }
}

/// The encoded keys, times and further compared values of a batch.
#[derive(Debug)]
pub(super) struct Points {
    pub(super) rows: usize,
    pub(super) keys: Ordinals,
    pub(super) times: Ordinals,
    pub(super) cuts: Vec<Ordinals>,
    nulls: Option<NullBuffer>,
}

impl Points {
    /// Whether a row has a NULL in something that is compared, so that it matches nothing.
    #[inline]
    pub(super) fn has_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    pub(super) fn bytes(&self) -> usize {
        let cuts = self.cuts.iter().map(Ordinals::bytes).sum::<usize>();
        self.keys.bytes() + self.times.bytes() + cuts
    }
}
