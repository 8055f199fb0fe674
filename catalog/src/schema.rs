//! The definition of a table: between Arrow fields and Delta's schema, properties and protocol.
//!
//! Never: a protocol feature is asked for that the table does not use, so that old readers can read
//! what new ones need not guard.

mod json;
mod protocol;

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, SchemaRef};

use crate::error::{Error, Result};

pub(crate) use json::{from_delta, to_delta};
pub(crate) use protocol::{check_readable, check_writable, protocol_of, protocol_union};

/// Key of a field's metadata: the SQL text of its DEFAULT.
pub const DEFAULT_KEY: &str = "tarn.default";
/// Key of a field's metadata: what `COMMENT ON COLUMN` says. Spark shows it, too.
pub const COMMENT_KEY: &str = "comment";
/// Key of a field's metadata: the SQL text of a generated column, as Delta names it.
pub const GENERATED_KEY: &str = "delta.generationExpression";

/// Prefix of the table properties that hold CHECK constraints.
const CONSTRAINT_PREFIX: &str = "delta.constraints.";

/// What a table is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// Its columns. NOT NULL is a field that is not nullable; defaults, PostgreSQL types and comments
    /// are metadata of the fields.
    pub schema: SchemaRef,
    /// Columns whose values split the files.
    pub partition_columns: Vec<String>,
    /// CHECK constraints, by name, as SQL.
    pub constraints: BTreeMap<String, String>,
    /// Delta's and our own table properties, constraints not among them.
    pub configuration: BTreeMap<String, String>,
}

impl TableSpec {
    /// A table with these columns and nothing else.
    #[must_use]
    pub const fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            partition_columns: Vec::new(),
            constraints: BTreeMap::new(),
            configuration: BTreeMap::new(),
        }
    }

    /// Refuses what a Delta table cannot be.
    pub(crate) fn check(&self) -> Result<()> {
        let unsupported = |what: String| Err(Error::Unsupported { what });
        if self.schema.fields().is_empty() {
            return unsupported("a table needs a column".to_owned());
        }
        let mut names = std::collections::HashSet::new();
        for field in self.schema.fields() {
            if !names.insert(field.name().to_lowercase()) {
                let name = field.name();
                return unsupported(format!("column \"{name}\" is there twice, case apart"));
            }
        }
        for column in &self.partition_columns {
            let Ok(field) = self.schema.field_with_name(column) else {
                return unsupported(format!("partition column \"{column}\" is not a column"));
            };
            if !can_partition(field.data_type()) {
                let kind = field.data_type();
                return unsupported(format!("cannot partition by \"{column}\" of type {kind}"));
            }
        }
        if !self.partition_columns.is_empty()
            && self.partition_columns.len() == self.schema.fields().len()
        {
            return unsupported("a table needs a column that it is not partitioned by".to_owned());
        }
        Ok(())
    }

    /// The properties as Delta keeps them, constraints among them.
    pub(crate) fn delta_configuration(&self) -> BTreeMap<String, String> {
        let constraints = self
            .constraints
            .iter()
            .map(|(name, sql)| (format!("{CONSTRAINT_PREFIX}{name}"), sql.clone()));
        self.configuration.clone().into_iter().chain(constraints).collect()
    }
}

/// Parts Delta's properties into constraints and the others.
pub(crate) fn split_configuration(
    properties: &BTreeMap<String, String>,
) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let mut constraints = BTreeMap::new();
    let mut configuration = BTreeMap::new();
    for (key, value) in properties {
        match key.strip_prefix(CONSTRAINT_PREFIX) {
            Some(name) => constraints.insert(name.to_owned(), value.clone()),
            None => configuration.insert(key.clone(), value.clone()),
        };
    }
    (constraints, configuration)
}

/// Types whose values have one exact text form.
const fn can_partition(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Utf8
            | DataType::Boolean
            | DataType::Date32
            | DataType::Timestamp(_, _)
            | DataType::Decimal128(_, _)
    )
}

#[cfg(test)]
mod tests;
