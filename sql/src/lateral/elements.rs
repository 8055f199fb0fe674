//! `FROM jsonb_array_elements(doc) AS e`: what `e` means alone.
//!
//! Never: a column of another relation is taken for the element.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::logical_expr::TableSource;
use datafusion::sql::sqlparser::ast::{self, Visit, VisitMut, Visitor, VisitorMut};

use super::{Call, Gives};
use crate::json::{KEY, VALUE, What};
use crate::resolve::fold;

/// `FROM jsonb_array_elements(doc) AS e`: where no column is called `e`, that is the element, `e.value`.
pub(crate) fn name_values(
    statement: &mut ast::Statement,
    tables: &HashMap<TableReference, Arc<dyn TableSource>>,
) {
    let mut queries = Queries(BTreeSet::new());
    let _: ControlFlow<()> = Visit::visit(statement, &mut queries);
    let _: ControlFlow<()> =
        VisitMut::visit(statement, &mut Elements { tables, queries: queries.0 });
}

/// The names of common table expressions.
struct Queries(BTreeSet<String>);

impl Visitor for Queries {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0.extend(with.map(|query| fold(&query.alias.name)));
        ControlFlow::Continue(())
    }
}

struct Elements<'a> {
    tables: &'a HashMap<TableReference, Arc<dyn TableSource>>,
    queries: BTreeSet<String>,
}

impl Elements<'_> {
    /// Whether it is known that a relation of FROM has no column of this name.
    fn lacks(&self, factor: &ast::TableFactor, column: &str) -> bool {
        if let Some(call) = Call::of(factor) {
            let alias = call.alias.map(|alias| fold(&alias.name));
            let own = match call.function.gives {
                Gives::Parts(What::Elements, _) => vec![VALUE],
                Gives::Parts(What::Fields, _) => vec![KEY, VALUE],
                _ => vec![alias.as_deref().unwrap_or(call.function.name)],
            };
            let given = call.alias.map_or(&[][..], |alias| &alias.columns);
            return !own.contains(&column) && !given.iter().any(|c| fold(&c.name) == column);
        }
        let ast::TableFactor::Table { name, args: None, alias, .. } = factor else { return false };
        let parts: Option<Vec<String>> =
            name.0.iter().map(|part| part.as_ident().map(fold)).collect();
        let table = match parts.as_deref() {
            Some([table]) if !self.queries.contains(table) => TableReference::bare(table.clone()),
            Some([schema, table]) => TableReference::partial(schema.clone(), table.clone()),
            _ => return false,
        };
        let renamed = alias.iter().any(|alias| !alias.columns.is_empty());
        let source = self.tables.get(&table).filter(|_| !renamed);
        source.is_some_and(|source| source.schema().field_with_name(column).is_err())
    }
}

impl VisitorMut for Elements<'_> {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        let factors: Vec<&ast::TableFactor> = select
            .from
            .iter()
            .flat_map(|item| {
                let joined = item.joins.iter().map(|join| &join.relation);
                std::iter::once(&item.relation).chain(joined)
            })
            .collect();
        let called = factors.iter().filter_map(|factor| Call::of(factor)).filter_map(|call| {
            let alias = call.alias.filter(|alias| alias.columns.is_empty())?;
            matches!(call.function.gives, Gives::Parts(What::Elements, _))
                .then(|| fold(&alias.name))
        });
        let names = called.filter(|name| factors.iter().all(|factor| self.lacks(factor, name)));
        for name in names.collect::<Vec<_>>() {
            for item in &mut select.projection {
                if let ast::SelectItem::UnnamedExpr(ast::Expr::Identifier(ident)) = item
                    && fold(ident) == name
                {
                    let (expr, alias) = (ast::Expr::Identifier(ident.clone()), ident.clone());
                    *item = ast::SelectItem::ExprWithAlias { expr, alias };
                }
            }
            let _ = select.visit(&mut Element { name, depth: 0 });
        }
        ControlFlow::Continue(())
    }
}

/// Puts `e.value` for `e`, except in queries within, where it may be a column.
struct Element {
    name: String,
    depth: usize,
}

impl VisitorMut for Element {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::Identifier(ident) = expr
            && self.depth == 0
            && fold(ident) == self.name
        {
            *expr = ast::Expr::CompoundIdentifier(vec![ident.clone(), ast::Ident::new(VALUE)]);
        }
        ControlFlow::Continue(())
    }
}
