//! `pg_description`: comments on schemas, relations, columns and models.

use catalog::COMMENT_KEY;

use super::super::context::{SystemContext, Wanted};
use super::super::names;
use super::super::rows::{Rows, Value};
use crate::error::Result;

pub(super) fn pg_description(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in context.snapshot.schemas() {
        describe(rows, names::PG_NAMESPACE, (entry.oid, 0), entry.comment.as_deref())?;
    }
    for entry in context.model_entries() {
        describe(rows, names::PG_PROC, (entry.oid, 0), entry.comment.as_deref())?;
    }
    for entry in context.relation_entries().filter(|entry| wanted.includes(entry)) {
        describe(rows, names::PG_CLASS, (entry.oid, 0), entry.comment.as_deref())?;
        let Some(relation) = context.relation(entry.oid) else { continue };
        for (number, field) in (1_i32..).zip(relation.columns.fields()) {
            let comment = field.metadata().get(COMMENT_KEY).map(String::as_str);
            describe(rows, names::PG_CLASS, (entry.oid, number), comment)?;
        }
    }
    Ok(())
}

fn describe(
    rows: &mut Rows,
    class: u32,
    (object, column): (u32, i32),
    comment: Option<&str>,
) -> Result<()> {
    let Some(comment) = comment else { return Ok(()) };
    rows.push([
        ("objoid", object.into()),
        ("classoid", class.into()),
        ("objsubid", Value::Int(column.into())),
        ("description", comment.into()),
    ])
}
