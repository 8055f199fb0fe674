//! Arrays and records in binary.
//!
//! Never: arrays of more than one dimension, which SQL here does not make; they are refused by name.

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::datatypes::{DataType, FieldRef};
use sql::types::{PgType, by_oid, pg_type_of};

use super::{BinaryColumn, cast};

/// The one lower bound that arrays have.
const LOWER_BOUND: u32 = 1;

/// A column of arrays.
#[derive(Debug)]
pub(super) struct List {
    lists: ListArray,
    element_oid: u32,
    elements: BinaryColumn,
}

impl List {
    pub(super) fn new(array: &ArrayRef, pg_type: &PgType) -> sql::Result<Self> {
        let item = match array.data_type() {
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item)
            | DataType::LargeListView(item) => item,
            _ => return Err(not_an_array(pg_type)),
        };
        let lists = cast(array, &DataType::List(FieldRef::clone(item)))?.as_list::<i32>().clone();
        let element = by_oid(pg_type.element_oid).ok_or_else(|| not_an_array(pg_type))?;
        if pg_type_of(item).array() {
            return Err(sql::Error::unsupported(
                "arrays of more than one dimension have no binary form here",
            )
            .with_hint("Ask for the results in text format."));
        }
        let elements = BinaryColumn::new(lists.values(), &element)?;
        Ok(Self { lists, element_oid: element.oid, elements })
    }

    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) {
        let offsets = self.lists.value_offsets();
        let elements = offsets[row] as usize..offsets[row + 1] as usize;
        let dimensions = u32::from(!elements.is_empty());
        let has_nulls = elements.clone().any(|element| self.elements.is_null(element));
        out.extend(dimensions.to_be_bytes());
        out.extend(u32::from(has_nulls).to_be_bytes());
        out.extend(self.element_oid.to_be_bytes());
        if dimensions == 1 {
            out.extend((elements.len() as u32).to_be_bytes());
            out.extend(LOWER_BOUND.to_be_bytes());
        }
        elements.for_each(|element| self.elements.write(element, out));
    }
}

fn not_an_array(pg_type: &PgType) -> sql::Error {
    sql::Error::internal(format!("a column of type {} does not hold arrays", pg_type.format()))
}

/// A column of records.
#[derive(Debug)]
pub(super) struct Record {
    fields: Vec<(u32, BinaryColumn)>,
}

impl Record {
    pub(super) fn new(array: &ArrayRef) -> sql::Result<Self> {
        let structs: &StructArray = array
            .as_struct_opt()
            .ok_or_else(|| sql::Error::internal("a column of type record does not hold records"))?;
        let fields = structs
            .fields()
            .iter()
            .zip(structs.columns())
            .map(|(field, column)| {
                let pg_type = pg_type_of(field);
                Ok((pg_type.oid, BinaryColumn::new(column, &pg_type)?))
            })
            .collect::<sql::Result<_>>()?;
        Ok(Self { fields })
    }

    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.extend((self.fields.len() as u32).to_be_bytes());
        for (oid, column) in &self.fields {
            out.extend(oid.to_be_bytes());
            column.write(row, out);
        }
    }
}
