//! Small syntax trees: names, calls, texts.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, ObjectNamePart, OrderByExpr, Value,
};

/// A call of a function of the server.
pub(super) fn call(name: &str, arguments: impl IntoIterator<Item = Expr>) -> Expr {
    Expr::Function(function(name, arguments, Vec::new()))
}

/// A call of an aggregate over rows in an order.
pub(super) fn aggregate(name: &str, argument: Expr, order: Vec<OrderByExpr>) -> Expr {
    let clauses = match order.as_slice() {
        [] => Vec::new(),
        _ => vec![FunctionArgumentClause::OrderBy(order)],
    };
    Expr::Function(function(name, [argument], clauses))
}

fn function(
    name: &str,
    arguments: impl IntoIterator<Item = Expr>,
    clauses: Vec<FunctionArgumentClause>,
) -> Function {
    let unnamed = |argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument));
    let args = arguments.into_iter().map(unnamed).collect();
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses };
    Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

/// A text literal.
pub(super) fn text(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

/// The parts of a name, as PostgreSQL folds them; none if a part is not a plain name.
pub(super) fn parts(name: &ObjectName) -> Option<Vec<String>> {
    name.0.iter().map(|part| part.as_ident().map(folded)).collect()
}

/// Unquoted names fold to lower case.
pub(super) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The name of a function of the server itself: bare, or in `pg_catalog` or `information_schema`.
pub(super) fn function_name(name: &ObjectName) -> Option<String> {
    let mut parts = parts(name)?;
    match parts.as_slice() {
        [_] => parts.pop(),
        [schema, _] if system_schema(schema) => parts.pop(),
        _ => None,
    }
}

/// Whether a schema is the system's own.
pub(super) fn system_schema(schema: &str) -> bool {
    matches!(schema, "pg_catalog" | "information_schema")
}

/// Replaces a name by its last part.
pub(super) fn keep_last(name: &mut ObjectName) {
    if let Some(ObjectNamePart::Identifier(last)) = name.0.pop() {
        *name = ObjectName::from(vec![last]);
    }
}

/// A literal text, whatever its quotes.
pub(super) fn literal_text(expr: &Expr) -> Option<&str> {
    let Expr::Value(value) = expr else { return None };
    match &value.value {
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
        _ => None,
    }
}

/// Takes an expression out of the tree; what stays behind is about to be replaced.
pub(super) fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(Value::Null))
}
