//! Calls: `pg_catalog.` before a name, CURRENT_USER and the like, functions that return rows.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
};

use super::build;

/// Functions that are called without parentheses.
const BARE: &[&str] =
    &["current_catalog", "current_role", "current_schema", "current_user", "session_user", "user"];

/// `pg_catalog.f(x)` is `f(x)`; subscripts and expanded arrays are rows of an array.
pub(super) fn system_function(expr: &mut Expr) {
    if let Expr::Identifier(ident) = expr
        && let Some(name) = bare(ident)
    {
        *expr = build::call(name, []);
        return;
    }
    let Expr::Function(function) = expr else { return };
    let Some(name) = build::function_name(&function.name) else { return };
    if function.name.0.len() > 1 {
        build::keep_last(&mut function.name);
    }
    match name.as_str() {
        "generate_subscripts" => *expr = unnest_of("array_subscripts", function),
        "_pg_expandarray" => *expr = unnest_of("array_expanded", function),
        name if BARE.contains(&name) && matches!(function.args, FunctionArguments::None) => {
            let args = Vec::new();
            let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
            function.args = FunctionArguments::List(list);
        }
        _ => {}
    }
}

/// The parser takes some of these for names of columns, which they cannot be.
fn bare(ident: &Ident) -> Option<&'static str> {
    let lower = ident.value.to_lowercase();
    let unquoted = ident.quote_style.is_none();
    BARE.iter().find(|known| unquoted && **known == lower && **known != "current_schema").copied()
}

/// A function that returns rows, as the elements of an array.
fn unnest_of(name: &str, function: &Function) -> Expr {
    let mut inner = function.clone();
    inner.name = ObjectName::from(vec![Ident::new(name)]);
    build::call("unnest", [Expr::Function(inner)])
}

/// `(f(x)).a` is a field of a value.
pub(super) fn field_of_value(expr: &mut Expr) {
    let Expr::CompoundFieldAccess { root, access_chain } = expr else { return };
    let [AccessExpr::Dot(Expr::Identifier(field))] = access_chain.as_slice() else { return };
    if !matches!(root.as_ref(), Expr::Nested(_) | Expr::Function(_)) {
        return;
    }
    let field = build::text(&build::folded(field));
    let root = build::take(root);
    *expr = build::call("get_field", [root, field]);
}
