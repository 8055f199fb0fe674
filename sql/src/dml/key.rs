//! The key that a table declares: `PRIMARY KEY (columns) NOT ENFORCED`.
//!
//! It tells INSERT ... ON CONFLICT by which columns rows are the same. Nothing looks a row up at every
//! INSERT, so it is not enforced, and has to be declared so. It is kept as a table property.

use std::collections::BTreeMap;

use arrow::datatypes::{Field, SchemaRef};
use datafusion::sql::sqlparser::ast;
use serde_json::{Value, json};

use crate::error::{Error, Result, state};
use crate::resolve::fold;

/// The table property that holds it.
const PROPERTY: &str = "tarn.primaryKey";

/// A declared key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// In the order in which they were declared.
    pub(crate) columns: Vec<String>,
}

impl Key {
    /// The key among the properties of a table.
    pub(crate) fn of(properties: &BTreeMap<String, String>) -> Option<Self> {
        let value: Value = serde_json::from_str(properties.get(PROPERTY)?).ok()?;
        let columns = value.get("columns")?.as_array()?.iter();
        let columns: Option<Vec<String>> =
            columns.map(|column| column.as_str().map(str::to_owned)).collect();
        Some(Self { name: value.get("name")?.as_str()?.to_owned(), columns: columns? })
    }

    /// Puts a key, or none, among the properties of a table.
    pub(crate) fn set(key: Option<&Self>, properties: &mut BTreeMap<String, String>) {
        match key {
            None => properties.remove(PROPERTY),
            Some(key) => {
                let value = json!({ "name": key.name, "columns": key.columns });
                properties.insert(PROPERTY.to_owned(), value.to_string())
            }
        };
    }

    /// The key that a constraint declares, of a column where it stands with one.
    pub(crate) fn declared(
        constraint: &ast::PrimaryKeyConstraint,
        column: Option<&str>,
        table: &str,
    ) -> Result<Self> {
        refuse_other_clauses(constraint)?;
        let enforced = constraint.characteristics.as_ref().and_then(|how| how.enforced);
        let columns = constraint.columns.iter().map(|column| match &column.column.expr {
            ast::Expr::Identifier(ident) => Ok(fold(ident)),
            other => Err(Error::syntax(format!("syntax error: \"{other}\" is not a column"))),
        });
        let mut columns = columns.collect::<Result<Vec<String>>>()?;
        columns.extend(column.map(str::to_owned));
        if enforced != Some(false) {
            return Err(Error::unsupported("an enforced PRIMARY KEY is not supported")
                .with_detail("Rows are not looked up at every INSERT.")
                .with_hint(format!(
                    "PRIMARY KEY ({}) NOT ENFORCED declares the key that INSERT ... ON CONFLICT uses.",
                    columns.join(", ")
                )));
        }
        let name = constraint.name.as_ref().map_or_else(|| format!("{table}_pkey"), fold);
        Ok(Self { name, columns })
    }

    /// Refuses a key that a table with these columns cannot have.
    pub(crate) fn check(&self, fields: &[Field]) -> Result<()> {
        for (at, column) in self.columns.iter().enumerate() {
            let Some(field) = fields.iter().find(|field| field.name() == column) else {
                return Err(Error::new(
                    state::UNDEFINED_COLUMN,
                    format!("column \"{column}\" named in key does not exist"),
                ));
            };
            if super::generated(field) {
                return Err(Error::new(
                    state::INVALID_TABLE_DEFINITION,
                    format!("column \"{column}\" cannot be in a key: the server fills it"),
                ));
            }
            if self.columns[..at].contains(column) {
                return Err(Error::new(
                    state::DUPLICATE_COLUMN,
                    format!("column \"{column}\" appears twice in primary key constraint"),
                ));
            }
        }
        Ok(())
    }

    /// The key of a table, for a statement that needs one.
    pub(crate) fn needed(properties: &BTreeMap<String, String>, table: &str) -> Result<Self> {
        Self::of(properties).ok_or_else(|| {
            Error::new(
                "42P10",
                "there is no unique or exclusion constraint matching the ON CONFLICT specification",
            )
            .with_hint(format!(
                "Declare the key: ALTER TABLE {table} ADD PRIMARY KEY (columns) NOT ENFORCED"
            ))
        })
    }
}

/// What an index or a check at the end of a transaction would need.
fn refuse_other_clauses(constraint: &ast::PrimaryKeyConstraint) -> Result<()> {
    let of_column = |column: &ast::IndexColumn| {
        let order = &column.column;
        column.operator_class.is_some()
            || order.with_fill.is_some()
            || order.options.asc.is_some()
            || order.options.nulls_first.is_some()
    };
    let deferred = constraint.characteristics.as_ref();
    let deferred = deferred.is_some_and(|how| how.deferrable.is_some() || how.initially.is_some());
    let refused = match constraint {
        _ if deferred => "DEFERRABLE and INITIALLY",
        _ if constraint.index_name.is_some() => "the name of an index",
        _ if constraint.index_type.is_some() => "USING",
        _ if !constraint.index_options.is_empty() => "options of an index",
        _ if constraint.columns.iter().any(of_column) => "the order of a column",
        _ => return Ok(()),
    };
    Err(Error::unsupported(format!("PRIMARY KEY does not support {refused}")))
}

/// The columns of a table that has this key: none of them is NULL in any row.
pub(crate) fn not_null(schema: &SchemaRef, key: &Key) -> Vec<Field> {
    let fields = schema.fields().iter().map(|field| {
        let nullable = field.is_nullable() && !key.columns.contains(field.name());
        field.as_ref().clone().with_nullable(nullable)
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_as_it_was_put() {
        let key = Key { name: "k".to_owned(), columns: vec!["b c".to_owned(), "a\"".to_owned()] };
        let mut properties = BTreeMap::new();
        Key::set(Some(&key), &mut properties);
        assert_eq!(Key::of(&properties), Some(key));
        Key::set(None, &mut properties);
        assert_eq!(Key::of(&properties), None);
    }
}
