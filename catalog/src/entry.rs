//! Entries of the catalog: plain serializable data, one kind per noun of the SQL surface.
//!
//! Never: a method here reads or writes anything. What a Delta table says of itself (columns,
//! constraints, defaults) is not repeated here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::secrets::Sealed;

/// Key of a field's metadata that names a PostgreSQL type which Arrow lacks.
pub const TYPE_KEY: &str = "tarn.type";

/// A named thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What the entry is known by for ever; a rename keeps it.
    pub id: Uuid,
    /// What PostgreSQL's clients know it by. 0 until a commit assigns it; never used again.
    pub oid: u32,
    /// The schema that it stands in; empty for a schema itself, a location, a secret and a snapshot.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What `COMMENT ON` says.
    pub comment: Option<String>,
    /// The role that owns it.
    pub owner: String,
    /// When it was created, microseconds since 1970 UTC.
    pub created_at_micros: i64,
    /// What it is.
    pub definition: Definition,
    /// Where the rows of its query came from when it was made: each column's sources, then what decided
    /// which rows there are.
    pub sources: Vec<ColumnSource>,
    /// What `SET TAGS` says of it.
    pub tags: Tags,
    /// What it says of its columns.
    pub column_tags: BTreeMap<String, Tags>,
}

/// Values by the names of tags.
pub type Tags = BTreeMap<String, String>;

/// A stored column that another one, or the rows of a query, come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnSource {
    /// The column that comes of it; none where it decides which rows there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The id of the entry that it is a column of.
    pub table: Uuid,
    /// Its name.
    pub from: String,
}

impl Entry {
    /// A new entry with a new id, not yet committed.
    #[must_use]
    pub fn new(
        schema: impl Into<String>,
        name: impl Into<String>,
        owner: impl Into<String>,
        created_at_micros: i64,
        definition: Definition,
    ) -> Self {
        Self {
            id: Uuid::new_v4(),
            oid: 0,
            schema: schema.into(),
            name: name.into(),
            comment: None,
            owner: owner.into(),
            created_at_micros,
            definition,
            sources: Vec::new(),
            tags: Tags::new(),
            column_tags: BTreeMap::new(),
        }
    }

    /// What kind of thing it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.definition {
            Definition::Schema { .. } => Kind::Schema,
            Definition::Table(_) => Kind::Table,
            Definition::ExternalTable(_) => Kind::ExternalTable,
            Definition::View { .. } => Kind::View,
            Definition::MaterializedView { .. } => Kind::MaterializedView,
            Definition::Model { .. } => Kind::Model,
            Definition::Location { .. } => Kind::Location,
            Definition::Secret { .. } => Kind::Secret,
            Definition::Snapshot { .. } => Kind::Snapshot,
        }
    }

    /// The Delta table behind a table or a materialized view.
    #[must_use]
    pub const fn table(&self) -> Option<&TableRef> {
        match &self.definition {
            Definition::Table(table) | Definition::MaterializedView { table, .. } => Some(table),
            _ => None,
        }
    }

    pub(crate) const fn table_mut(&mut self) -> Option<&mut TableRef> {
        match &mut self.definition {
            Definition::Table(table) | Definition::MaterializedView { table, .. } => Some(table),
            _ => None,
        }
    }

    /// Whether both define the same, whatever became of transactions over several tables.
    #[must_use]
    pub fn defines_same(&self, other: &Self) -> bool {
        let mut unmarked = self.clone();
        if let (Some(table), Some(theirs)) = (unmarked.table_mut(), other.table()) {
            (table.decided, table.refused) = (theirs.decided, theirs.refused);
        }
        unmarked == *other
    }

    /// The name with its schema, for messages.
    #[must_use]
    pub fn qualified_name(&self) -> String {
        if self.schema.is_empty() {
            self.name.clone()
        } else {
            format!("{}.{}", self.schema, self.name)
        }
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Definition {
    /// A schema.
    Schema {
        /// Where its tables stand between outside bytes and features.
        zone: Zone,
    },
    /// A table.
    Table(TableRef),
    /// A table whose rows are in files that others write.
    ExternalTable(ExternalTable),
    /// A view.
    View {
        /// The query as it was written.
        sql: String,
        /// The columns that it had when it was created.
        columns: Vec<ColumnEntry>,
        /// Where its unqualified names are looked up.
        search_path: Vec<String>,
    },
    /// A materialized view: a table and the query that it holds the answer of.
    MaterializedView {
        /// The table that holds the rows.
        table: TableRef,
        /// The query as it was written.
        sql: String,
        /// Where its unqualified names are looked up.
        search_path: Vec<String>,
        /// What its `WITH` said.
        options: BTreeMap<String, String>,
        /// Whether it was ever filled.
        populated: bool,
    },
    /// A model that scores rows.
    Model {
        /// Its versions, oldest first.
        versions: Vec<ModelVersion>,
        /// The number of the version that is used where none is named.
        default_version: u32,
        /// What it takes.
        inputs: Vec<ColumnEntry>,
        /// What it yields.
        outputs: Vec<ColumnEntry>,
        /// What its `WITH` said.
        options: BTreeMap<String, String>,
    },
    /// A place outside the warehouse that SQL may read and write.
    Location {
        /// Where it is.
        url: String,
        /// Whose it is, and what else is needed to reach it.
        options: BTreeMap<String, OptionValue>,
    },
    /// What nobody reads but the server.
    Secret {
        /// The text, sealed.
        sealed: Sealed,
    },
    /// Versions of tables under one name.
    Snapshot {
        /// By the id of the table's entry.
        versions: BTreeMap<Uuid, i64>,
    },
}

/// A value of an option, or the name of the secret that says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionValue {
    /// The value.
    Text(String),
    /// The name of a secret.
    Secret(String),
}

/// What kind of thing an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    Schema,
    Table,
    ExternalTable,
    View,
    MaterializedView,
    Model,
    Location,
    Secret,
    Snapshot,
    /// Known by its id alone.
    Entry,
}

impl Kind {
    /// Whether it stands in no schema.
    #[must_use]
    pub const fn is_global(self) -> bool {
        matches!(self, Self::Location | Self::Secret | Self::Snapshot)
    }

    /// The kind in lower case, as messages name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Table => "table",
            Self::ExternalTable => "external table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::Model => "model",
            Self::Location => "location",
            Self::Secret => "secret",
            Self::Snapshot => "snapshot",
            Self::Entry => "entry",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the tables of a schema stand between outside bytes and features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Zone {
    /// Rows as they came, tagged with where they came from.
    Raw,
    /// Cleaned and joined rows.
    Processed,
    /// Features that models read.
    Feature,
}

impl Zone {
    /// The zone as statements name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Processed => "processed",
            Self::Feature => "feature",
        }
    }
}

/// Files that others write, read as a table where they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExternalTable {
    /// How they look, in lower case: `parquet`, `csv`, `delta`, ...
    pub format: String,
    /// A file, a folder, or a pattern.
    pub url: String,
    /// The columns, those whose values folders tell at the end.
    pub columns: Vec<ColumnEntry>,
    /// Columns whose values folders tell, as in `day=2026-01-01/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition_columns: Vec<String>,
    /// What its `WITH` said, as it was written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub options: String,
}

impl ExternalTable {
    /// The columns as a schema.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(Field::from).collect::<Vec<_>>()))
    }
}

/// Where a Delta table stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRef {
    /// What the table is known by for ever.
    pub table_id: Uuid,
    /// Relative to the warehouse; a URL for a table that stands elsewhere.
    pub path: String,
    /// The newest prepared commit of the table that holds, by the version of its mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<i64>,
    /// The newest prepared commit of the table that does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<i64>,
}

impl TableRef {
    /// A table that took part in no transaction over several tables yet.
    #[must_use]
    pub const fn new(table_id: Uuid, path: String) -> Self {
        Self { table_id, path, decided: None, refused: None }
    }
}

/// A column of a view, or a parameter or result of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnEntry {
    /// Its name.
    pub name: String,
    /// Its Arrow type.
    pub data_type: DataType,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// The metadata of its field, [`TYPE_KEY`] among it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl From<&Field> for ColumnEntry {
    fn from(field: &Field) -> Self {
        Self {
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            nullable: field.is_nullable(),
            metadata: field.metadata().iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }
}

impl From<&ColumnEntry> for Field {
    fn from(column: &ColumnEntry) -> Self {
        let metadata = column.metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        Self::new(&column.name, column.data_type.clone(), column.nullable).with_metadata(metadata)
    }
}

/// One version of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// 1 for the first.
    pub number: u32,
    /// Of its file, relative to the warehouse.
    pub path: String,
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
    /// The runtime that was chosen for it.
    pub engine: String,
    /// When it was added, microseconds since 1970 UTC.
    pub created_at_micros: i64,
}

/// One change of the catalog.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there are few, and nearly all of them are Put")]
pub enum Change {
    /// Adds the entry, or replaces the one with the same id (a rename, an ALTER).
    Put(Entry),
    /// Removes the entry with this id.
    Drop(Uuid),
    /// A prepared commit of a table holds from now on, unless it was refused.
    Decide {
        /// The entry of the table.
        id: Uuid,
        /// The version of the commit's mark in the table's log.
        at: i64,
    },
    /// A prepared commit of a table does not hold, unless it was decided.
    Refuse {
        /// The entry of the table.
        id: Uuid,
        /// The version of the commit's mark in the table's log.
        at: i64,
    },
}

impl Change {
    /// The entry that it changes.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        match self {
            Self::Put(entry) => entry.id,
            Self::Drop(id) | Self::Decide { id, .. } | Self::Refuse { id, .. } => *id,
        }
    }
}
