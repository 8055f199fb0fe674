//! The definition of a table: between Arrow fields and Delta's schema, properties and protocol.
//!
//! Never: a protocol feature is asked for that the table does not use, so that old readers can read
//! what new ones need not guard.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;

/// Key of a field's metadata: the SQL text of its DEFAULT.
pub const DEFAULT_KEY: &str = "tarn.default";
/// Key of a field's metadata: what `COMMENT ON COLUMN` says. Spark shows it, too.
pub const COMMENT_KEY: &str = "comment";

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
}
