//! Casts: `'t'::regclass`, `oid::regtype::text`, `'{a,b}'::text[]`, types of `information_schema`.

use datafusion::sql::sqlparser::ast::{
    Array, ArrayElemTypeDef, CastKind, DataType, Expr, Ident, ObjectName, TypedString, Value,
};

use super::build;

/// The types whose values are OIDs that PostgreSQL shows by name. Each is a function here.
const IDENTIFIERS: &[&str] =
    &["regclass", "regtype", "regproc", "regprocedure", "regnamespace", "regrole"];

/// `x::regclass` is `regclass(x)`, and `x::regclass::text` is `regclass_text(regclass(x))`.
pub(super) fn object_identifiers(expr: &mut Expr) {
    match expr {
        Expr::Cast { expr: inner, data_type, .. } => {
            let Some(replacement) = replacement(inner, data_type) else { return };
            let inner = build::take(inner);
            *expr = build::call(replacement, [inner]);
        }
        Expr::TypedString(TypedString { data_type, value, .. }) => {
            if let Some(name) = identifier_type(data_type) {
                *expr = build::call(name, [Expr::Value(value.clone())]);
            }
        }
        _ => {}
    }
}

/// What a cast of `inner` calls instead.
fn replacement(inner: &Expr, data_type: &DataType) -> Option<&'static str> {
    if let Some(name) = identifier_type(data_type) {
        return Some(name);
    }
    let text = matches!(
        data_type,
        DataType::Text | DataType::Varchar(None) | DataType::CharacterVarying(None)
    ) || type_name(data_type).is_some_and(|name| matches!(name.as_str(), "text" | "name" | "varchar"));
    if !text {
        return None;
    }
    match called(inner)?.as_str() {
        "regclass" | "to_regclass" => Some("regclass_text"),
        "regtype" | "to_regtype" | "pg_typeof" => Some("regtype_text"),
        "regproc" | "to_regproc" => Some("regproc_text"),
        "regprocedure" => Some("regprocedure_text"),
        "regnamespace" | "to_regnamespace" => Some("regnamespace_text"),
        "regrole" | "to_regrole" => Some("regrole_text"),
        _ => None,
    }
}

fn called(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Function(function) => build::function_name(&function.name),
        Expr::Nested(inner) => called(inner),
        _ => None,
    }
}

fn identifier_type(data_type: &DataType) -> Option<&'static str> {
    if matches!(data_type, DataType::Regclass) {
        return Some("regclass");
    }
    let name = type_name(data_type)?;
    IDENTIFIERS.iter().find(|known| **known == name).copied()
}

/// The name of a type that the parser has no word for: bare, or in `pg_catalog`.
fn type_name(data_type: &DataType) -> Option<String> {
    let DataType::Custom(name, modifiers) = data_type else { return None };
    let mut parts = build::parts(name)?;
    match parts.as_slice() {
        [_] if modifiers.is_empty() => parts.pop(),
        [schema, _] if schema == "pg_catalog" && modifiers.is_empty() => parts.pop(),
        _ => None,
    }
}

/// `'{a,b}'::text[]` is `ARRAY['a', 'b']::text[]`. Quoted and nested elements are left alone.
pub(super) fn array_literals(expr: &mut Expr) {
    let Expr::Cast { expr: inner, data_type, .. } = expr else { return };
    let DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) = data_type else { return };
    let Some(elements) = build::literal_text(inner).and_then(array_elements) else { return };
    let cast = |text: Option<String>| {
        let literal = text.map_or_else(|| Expr::value(Value::Null), |text| build::text(&text));
        Expr::Cast {
            kind: CastKind::DoubleColon,
            expr: Box::new(literal),
            data_type: element.as_ref().clone(),
            array: false,
            format: None,
        }
    };
    let elem = elements.into_iter().map(cast).collect();
    **inner = Expr::Array(Array { elem, named: true });
}

/// The elements of an array in its text form, NULL as none.
fn array_elements(text: &str) -> Option<Vec<Option<String>>> {
    let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    if inside.contains(['"', '{', '}', '\\']) {
        return None;
    }
    if inside.trim().is_empty() {
        return Some(Vec::new());
    }
    let element = |text: &str| {
        let text = text.trim();
        (!text.eq_ignore_ascii_case("null")).then(|| text.to_owned())
    };
    Some(inside.split(',').map(element).collect())
}

/// The domains of `information_schema` are the types below them.
pub(super) fn system_domains(expr: &mut Expr) {
    let Expr::Cast { data_type, .. } = expr else { return };
    let DataType::Custom(name, modifiers) = data_type else { return };
    let parts = build::parts(name);
    let Some([schema, domain]) = parts.as_deref() else { return };
    if schema != "information_schema" || !modifiers.is_empty() {
        return;
    }
    let base = match domain.as_str() {
        "sql_identifier" => DataType::Custom(ObjectName::from(vec![Ident::new("name")]), Vec::new()),
        "character_data" | "yes_or_no" => DataType::Varchar(None),
        "cardinal_number" => DataType::Int4(None),
        _ => return,
    };
    *data_type = base;
}
