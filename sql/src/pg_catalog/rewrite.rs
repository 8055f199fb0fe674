//! What clients write, in a form that the planner knows: the meaning stays, the words change.
//!
//! One walk over the syntax tree; each rule is a function of one node, in the file of its subject.
//! Rules that could change the meaning of a query over a user's tables hold for the catalog's only.
//! Never: a rule that needs the catalog or the session; a cast to `regclass` becomes a call of a
//! function that does.

mod build;
mod calls;
mod casts;
pub(super) mod operators;
mod relations;
mod selects;
mod subqueries;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, VisitMut, VisitorMut,
};

pub(crate) use casts::shown_by_name;

/// Rewrites a statement in place.
pub(crate) fn rewrite(statement: &mut Statement) {
    let _ = statement.visit(&mut Rewrite);
}

struct Rewrite;

impl VisitorMut for Rewrite {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        relations::strip_database(relation);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        crate::search::rewrite(factor);
        relations::system_call(factor);
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        selects::name_duplicates(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        selects::of_nothing(select);
        selects::system_columns(select);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        operators::plain(expr);
        casts::object_identifiers(expr);
        casts::array_literals(expr);
        casts::system_domains(expr);
        operators::membership(expr);
        operators::escaped_like(expr);
        calls::system_function(expr);
        calls::field_of_value(expr);
        calls::array_or_empty(expr);
        subqueries::array_of(expr);
        subqueries::scalar(expr);
        subqueries::row_membership(expr);
        ControlFlow::Continue(())
    }
}
