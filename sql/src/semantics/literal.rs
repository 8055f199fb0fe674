//! The syntax tree before it is planned: `AT TIME ZONE` becomes a call of `timezone`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, VisitMut, VisitorMut};

/// Rewrites what the planner would take for something else.
pub(crate) fn rewrite(tree: &mut impl VisitMut) {
    let _ = tree.visit(&mut Rewriter);
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::AtTimeZone { timestamp, time_zone } = expr {
            let arguments = [time_zone.as_ref().clone(), timestamp.as_ref().clone()];
            *expr = call("timezone", arguments);
        }
        ControlFlow::Continue(())
    }
}

fn call(name: &str, arguments: impl IntoIterator<Item = ast::Expr>) -> ast::Expr {
    let arguments = arguments
        .into_iter()
        .map(|argument| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(argument)));
    ast::Expr::Function(ast::Function {
        name: ast::ObjectName::from(vec![ast::Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
