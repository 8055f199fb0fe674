//! `pg_proc` and `pg_aggregate`: models as functions, the server's own functions, and those that
//! read and write values of types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use catalog::{ColumnEntry, Definition, Entry};
use datafusion::logical_expr::{Signature, Volatility};

use super::super::context::{SystemContext, Wanted};
use super::super::names;
use super::super::rows::{Rows, Value};
use super::data_type;
use crate::error::Result;
use crate::types;

/// The server's own functions are numbered from here; PostgreSQL's types' functions lie below.
const FIRST_OID: u32 = 0x3000_0000;

/// `pg_type.oid` of `record` and `cstring`.
const RECORD: u32 = 2249;

pub(super) fn pg_proc(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in context.model_entries() {
        model(context, entry, rows)?;
    }
    let owner = names::role_oid(&context.session.user);
    for function in data_type::type_functions() {
        rows.push([
            ("oid", function.oid.into()),
            ("proname", function.name.into()),
            ("pronamespace", names::PG_CATALOG.into()),
            ("proowner", owner.into()),
            ("prolang", names::LANGUAGE_INTERNAL.into()),
            ("procost", Value::Float(1.0)),
            ("prokind", "f".into()),
            ("proisstrict", function.strict.into()),
            ("provolatile", function.volatility.into()),
            ("proparallel", "s".into()),
            ("pronargs", count(function.arguments.len())),
            ("prorettype", function.result.into()),
            ("proargtypes", function.arguments.clone().into()),
            ("prosrc", function.name.into()),
        ])?;
    }
    for built_in in built_in(context) {
        rows.push([
            ("oid", built_in.oid.into()),
            ("proname", built_in.name.as_str().into()),
            ("pronamespace", names::PG_CATALOG.into()),
            ("proowner", owner.into()),
            ("prolang", names::LANGUAGE_INTERNAL.into()),
            ("procost", Value::Float(1.0)),
            ("prokind", built_in.kind.into()),
            ("provolatile", built_in.volatility.into()),
            ("proparallel", "s".into()),
            ("pronargs", count(built_in.arguments.len())),
            ("prorettype", built_in.result.into()),
            ("proargtypes", built_in.arguments.into()),
            ("prosrc", built_in.name.into()),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_aggregate(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for function in built_in(context).filter(|function| function.kind == "a") {
        rows.push([("aggfnoid", function.oid.into()), ("aggkind", "n".into())])?;
    }
    Ok(())
}

fn model(context: &SystemContext, entry: &Arc<Entry>, rows: &mut Rows) -> Result<()> {
    let Definition::Model { inputs, outputs, versions, default_version, .. } = &entry.definition
    else {
        return Ok(());
    };
    let taken: Vec<u32> = inputs.iter().map(type_oid).collect();
    let several = outputs.len() > 1;
    let all = inputs.iter().chain(if several { outputs.as_slice() } else { &[] });
    let path = versions.iter().find(|version| version.number == *default_version);
    rows.push([
        ("oid", entry.oid.into()),
        ("proname", entry.name.as_str().into()),
        ("pronamespace", names::schema_oid(context, &entry.schema).unwrap_or_default().into()),
        ("proowner", names::role_oid(&entry.owner).into()),
        ("prolang", names::LANGUAGE_MODEL.into()),
        ("procost", Value::Float(1.0)),
        ("prokind", "f".into()),
        ("provolatile", "i".into()),
        ("proparallel", "s".into()),
        ("pronargs", count(inputs.len())),
        ("prorettype", if several { RECORD } else { outputs.first().map_or(RECORD, type_oid) }.into()),
        ("proargtypes", taken.into()),
        ("proargnames", all.clone().map(|column| column.name.clone()).collect::<Vec<_>>().into()),
        ("proallargtypes", if several { all.clone().map(type_oid).collect::<Vec<_>>().into() } else { Value::Null }),
        ("proargmodes", if several { modes(inputs.len(), outputs.len()) } else { Value::Null }),
        ("prosrc", path.map_or("", |version| version.path.as_str()).into()),
    ])
}

fn modes(inputs: usize, outputs: usize) -> Value {
    let modes = std::iter::repeat_n("i", inputs).chain(std::iter::repeat_n("o", outputs));
    modes.collect::<Vec<_>>().into()
}

fn type_oid(column: &ColumnEntry) -> u32 {
    types::pg_type_of(&Field::from(column)).oid
}

fn count(number: usize) -> Value {
    i16::try_from(number).unwrap_or(i16::MAX).into()
}

/// `pg_get_function_arguments` of a model: `amount real, OUT score real, OUT reason text`.
pub(crate) fn arguments(context: &SystemContext, oid: u32) -> Option<String> {
    let (inputs, outputs) = signature(context, oid)?;
    let several = outputs.len() > 1;
    let taken = inputs.iter().map(declared);
    let yielded = outputs.iter().filter(|_| several).map(|c| format!("OUT {}", declared(c)));
    Some(taken.chain(yielded).collect::<Vec<_>>().join(", "))
}

/// `pg_get_function_identity_arguments` of a model: what it takes.
pub(crate) fn identity_arguments(context: &SystemContext, oid: u32) -> Option<String> {
    let (inputs, _) = signature(context, oid)?;
    Some(inputs.iter().map(declared).collect::<Vec<_>>().join(", "))
}

/// `pg_get_function_result` of a model.
pub(crate) fn result_type(context: &SystemContext, oid: u32) -> Option<String> {
    let (_, outputs) = signature(context, oid)?;
    match outputs {
        [only] => Some(types::type_name(&Field::from(only))),
        _ => Some("record".to_owned()),
    }
}

fn declared(column: &ColumnEntry) -> String {
    let field = Field::from(column);
    format!("{} {}", names::quote_identifier(&column.name), types::type_name(&field))
}

fn signature(context: &SystemContext, oid: u32) -> Option<(&[ColumnEntry], &[ColumnEntry])> {
    match &context.snapshot.entry_by_oid(oid)?.definition {
        Definition::Model { inputs, outputs, .. } => Some((inputs, outputs)),
        _ => None,
    }
}

/// A function of the server's own, with one list of argument types.
struct BuiltIn {
    oid: u32,
    name: String,
    kind: &'static str,
    volatility: &'static str,
    arguments: Vec<u32>,
    result: u32,
}

/// The server's own functions, numbered in the order of their names and argument types.
fn built_in(context: &SystemContext) -> impl Iterator<Item = BuiltIn> {
    let functions = &context.functions;
    let mut found: Vec<BuiltIn> = Vec::new();
    for function in &functions.scalar {
        let result = |types: &[DataType]| function.return_type(types).ok();
        each(&mut found, function.name(), "f", function.signature(), result);
    }
    for function in &functions.aggregate {
        let result = |types: &[DataType]| function.return_type(types).ok();
        each(&mut found, function.name(), "a", function.signature(), result);
    }
    for function in &functions.window {
        let result = |types: &[DataType]| {
            let fields: Vec<_> = types.iter().map(|t| Arc::new(Field::new("", t.clone(), true))).collect();
            function.field(datafusion::logical_expr::function::WindowUDFFieldArgs::new(&fields, "")).ok()
                .map(|field| field.data_type().clone())
        };
        each(&mut found, function.name(), "w", function.signature(), result);
    }
    found.sort_by(|a, b| (&a.name, a.kind, &a.arguments).cmp(&(&b.name, b.kind, &b.arguments)));
    found.dedup_by(|a, b| a.name == b.name && a.kind == b.kind && a.arguments == b.arguments);
    (FIRST_OID..).zip(found).map(|(oid, function)| BuiltIn { oid, ..function })
}

/// One row for each list of argument types that the signature gives as an example.
fn each(
    found: &mut Vec<BuiltIn>,
    name: &str,
    kind: &'static str,
    signature: &Signature,
    result: impl Fn(&[DataType]) -> Option<DataType>,
) {
    let volatility = match signature.volatility {
        Volatility::Immutable => "i",
        Volatility::Stable => "s",
        Volatility::Volatile => "v",
    };
    let oid_of = |arrow: &DataType| types::pg_type_of(&Field::new("", arrow.clone(), true)).oid;
    for taken in signature.type_signature.get_example_types() {
        let Some(result) = result(&taken) else { continue };
        found.push(BuiltIn {
            oid: 0,
            name: name.to_owned(),
            kind,
            volatility,
            arguments: taken.iter().map(oid_of).collect(),
            result: oid_of(&result),
        });
    }
}
