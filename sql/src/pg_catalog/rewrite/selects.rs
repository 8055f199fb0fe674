//! SELECT lists with two columns of one name.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::{
    Ident, Query, SelectItem, SetExpr,
};

use super::build;

/// What a second column of one name is called inside a query.
const DUPLICATE: &str = "__column_";

/// The planner refuses two columns of one name; PostgreSQL does only where one is asked for.
pub(super) fn name_duplicates(query: &mut Query) {
    in_body(query.body.as_mut());
}

fn in_body(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => in_list(&mut select.projection),
        SetExpr::SetOperation { left, right, .. } => {
            in_body(left);
            in_body(right);
        }
        _ => {}
    }
}

fn in_list(list: &mut [SelectItem]) {
    let mut seen = HashSet::new();
    for (position, item) in list.iter_mut().enumerate() {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = &*item else {
            continue;
        };
        let name = match &*item {
            SelectItem::ExprWithAlias { alias, .. } => build::folded(alias),
            _ => expr.to_string(),
        };
        if !seen.insert(name) {
            let alias = Ident::with_quote('"', format!("{DUPLICATE}{position}"));
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}
