//! `pg_type`: the types that columns can have, as PostgreSQL 15 describes them.
//!
//! `types.tsv` and `type_functions.tsv` are rows of its `pg_type` and of the functions by which it
//! reads and writes values of those types; drivers compare their OIDs.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::super::context::{SystemContext, Wanted};
use super::super::names;
use super::super::rows::{Rows, Value};
use crate::error::Result;

static TYPES: LazyLock<BTreeMap<u32, TypeRow>> = LazyLock::new(|| {
    include_str!("../types.tsv").lines().filter_map(parse_type).map(|row| (row.oid, row)).collect()
});

static FUNCTIONS: LazyLock<BTreeMap<u32, FunctionRow>> = LazyLock::new(|| {
    let rows = include_str!("../type_functions.tsv").lines().filter_map(parse_function);
    rows.map(|row| (row.oid, row)).collect()
});

/// A row of `types.tsv`.
#[derive(Debug)]
pub(crate) struct TypeRow {
    pub(crate) oid: u32,
    pub(crate) name: &'static str,
    length: i16,
    pub(crate) by_value: bool,
    kind: &'static str,
    category: &'static str,
    preferred: bool,
    delimiter: &'static str,
    element: u32,
    array: u32,
    /// Subscript, input, output, receive, send, modifier input and output.
    functions: [u32; 7],
    pub(crate) alignment: &'static str,
    pub(crate) storage: &'static str,
    pub(crate) collation: u32,
}

/// A row of `type_functions.tsv`.
#[derive(Debug)]
pub(crate) struct FunctionRow {
    pub(crate) oid: u32,
    pub(crate) name: &'static str,
    pub(crate) result: u32,
    pub(crate) arguments: Vec<u32>,
    pub(crate) volatility: &'static str,
    pub(crate) strict: bool,
}

fn parse_type(line: &'static str) -> Option<TypeRow> {
    let cells: Vec<&str> = line.split('\t').collect();
    let [oid, name, length, by_value, kind, category, preferred, delimiter, subscript, element, array, input, output, receive, send, modifier_in, modifier_out, alignment, storage, collation] =
        cells.as_slice()
    else {
        return None;
    };
    let mut functions = [0; 7];
    let texts = [subscript, input, output, receive, send, modifier_in, modifier_out];
    for (slot, text) in functions.iter_mut().zip(texts) {
        *slot = text.parse().ok()?;
    }
    Some(TypeRow {
        oid: oid.parse().ok()?,
        name,
        length: length.parse().ok()?,
        by_value: *by_value == "t",
        kind,
        category,
        preferred: *preferred == "t",
        delimiter,
        element: element.parse().ok()?,
        array: array.parse().ok()?,
        functions,
        alignment,
        storage,
        collation: collation.parse().ok()?,
    })
}

fn parse_function(line: &'static str) -> Option<FunctionRow> {
    let cells: Vec<&str> = line.split('\t').collect();
    let [oid, name, result, _, arguments, volatility, strict] = cells.as_slice() else {
        return None;
    };
    Some(FunctionRow {
        oid: oid.parse().ok()?,
        name,
        result: result.parse().ok()?,
        arguments: arguments.split_whitespace().map(|oid| oid.parse().ok()).collect::<Option<_>>()?,
        volatility,
        strict: *strict == "t",
    })
}

/// The catalog's row of a type.
pub(crate) fn type_row(oid: u32) -> Option<&'static TypeRow> {
    TYPES.get(&oid)
}

/// The functions that read and write values of types.
pub(crate) fn type_functions() -> impl Iterator<Item = &'static FunctionRow> {
    FUNCTIONS.values()
}

/// The name of a function that reads or writes values of a type.
pub(crate) fn function_name(oid: u32) -> Option<&'static str> {
    FUNCTIONS.get(&oid).map(|row| row.name)
}

/// The OID of a function that reads or writes values of a type.
pub(crate) fn function_oid(name: &str) -> Option<u32> {
    FUNCTIONS.values().find(|row| row.name == name).map(|row| row.oid)
}

pub(crate) fn pg_type(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    let owner = names::role_oid(&context.session.user);
    for row in TYPES.values() {
        let [subscript, input, output, receive, send, modifier_in, modifier_out] = row.functions;
        rows.push([
            ("oid", row.oid.into()),
            ("typname", row.name.into()),
            ("typnamespace", names::PG_CATALOG.into()),
            ("typowner", owner.into()),
            ("typlen", row.length.into()),
            ("typbyval", row.by_value.into()),
            ("typtype", row.kind.into()),
            ("typcategory", row.category.into()),
            ("typispreferred", row.preferred.into()),
            ("typisdefined", true.into()),
            ("typdelim", row.delimiter.into()),
            ("typsubscript", subscript.into()),
            ("typelem", row.element.into()),
            ("typarray", row.array.into()),
            ("typinput", input.into()),
            ("typoutput", output.into()),
            ("typreceive", receive.into()),
            ("typsend", send.into()),
            ("typmodin", modifier_in.into()),
            ("typmodout", modifier_out.into()),
            ("typalign", row.alignment.into()),
            ("typstorage", row.storage.into()),
            ("typtypmod", Value::Int(-1)),
            ("typcollation", row.collation.into()),
        ])?;
    }
    Ok(())
}
