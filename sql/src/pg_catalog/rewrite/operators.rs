//! Operators: `OPERATOR(pg_catalog.~)`, COLLATE, `= ANY (ARRAY[...])`.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, ObjectName, Value};

use super::build;

/// `a OPERATOR(pg_catalog.~) b` is `a ~ b`; a collation that is the server's own says nothing.
pub(super) fn plain(expr: &mut Expr) {
    match expr {
        Expr::BinaryOp { op, .. } => {
            if let BinaryOperator::PGCustomBinaryOperator(parts) = op
                && let Some(known) = operator(parts)
            {
                *op = known;
            }
        }
        Expr::Collate { expr: inner, collation } if by_bytes(collation) => {
            *expr = build::take(inner);
        }
        _ => {}
    }
}

fn operator(parts: &[String]) -> Option<BinaryOperator> {
    let symbol = match parts {
        [symbol] => symbol,
        [schema, symbol] if schema == "pg_catalog" => symbol,
        _ => return None,
    };
    Some(match symbol.as_str() {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "||" => BinaryOperator::StringConcat,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        _ => return None,
    })
}

/// Text is compared by its bytes, which is what these collations ask for.
fn by_bytes(collation: &ObjectName) -> bool {
    let name = match build::parts(collation).as_deref() {
        Some([name]) => name.clone(),
        Some([schema, name]) if schema == "pg_catalog" => name.clone(),
        _ => return false,
    };
    matches!(name.as_str(), "default" | "C" | "POSIX" | "ucs_basic")
}

/// `x = ANY (ARRAY[a, b])` is `x IN (a, b)`, and `x <> ALL (ARRAY[a, b])` its opposite.
pub(super) fn membership(expr: &mut Expr) {
    let (left, right, negated) = match expr {
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => (left, right, false),
        Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => (left, right, true),
        _ => return,
    };
    let Some(elements) = elements(right) else { return };
    let list = std::mem::take(elements);
    if list.is_empty() {
        *expr = Expr::value(Value::Boolean(negated));
        return;
    }
    let left = Box::new(build::take(left));
    *expr = Expr::InList { expr: left, list, negated };
}

/// The elements of an array that is written out, below parentheses and casts of the whole.
fn elements(expr: &mut Expr) -> Option<&mut Vec<Expr>> {
    match expr {
        Expr::Array(array) => Some(&mut array.elem),
        Expr::Nested(inner) => elements(inner),
        Expr::Cast { expr: inner, .. } => elements(inner),
        _ => None,
    }
}
