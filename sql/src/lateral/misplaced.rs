//! Calls of functions that give rows where no rows may come, refused in PostgreSQL's words.
//!
//! Never: one that is let through because the planner makes something of it.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};

use super::{Call, Function};
use crate::error::{Error, Result, state};
use crate::resolve::fold;

/// Refuses such calls in a statement or a query, and two relations of one name where one is a call.
pub(crate) fn refuse(node: &impl Visit) -> Result<()> {
    match node.visit(&mut Places) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Places;

type Found = ControlFlow<Error>;

impl Visitor for Places {
    type Break = Error;

    fn pre_visit_statement(&mut self, statement: &ast::Statement) -> Found {
        use ast::Statement as S;
        match statement {
            S::Update(update) => {
                assigned(&update.assignments)?;
                none_in(update.selection.iter(), "WHERE")?;
                returning(update.returning.as_deref())
            }
            S::Delete(delete) => {
                none_in(delete.selection.iter(), "WHERE")?;
                returning(delete.returning.as_deref())
            }
            S::Insert(insert) => {
                if let Some(ast::OnInsert::OnConflict(ast::OnConflict {
                    action: ast::OnConflictAction::DoUpdate(update),
                    ..
                })) = &insert.on
                {
                    assigned(&update.assignments)?;
                    none_in(update.selection.iter(), "WHERE")?;
                }
                returning(insert.returning.as_deref())
            }
            S::Merge(merge) => {
                none_in([merge.on.as_ref()], "JOIN conditions")?;
                for clause in &merge.clauses {
                    none_in(clause.predicate.iter(), "MERGE WHEN")?;
                    match &clause.action {
                        ast::MergeAction::Update(update) => assigned(&update.assignments)?,
                        ast::MergeAction::Insert(insert) => {
                            if let ast::MergeInsertKind::Values(values) = &insert.kind {
                                let rows = values.rows.iter().flat_map(|row| row.content.iter());
                                none_in(rows, "VALUES")?;
                            }
                        }
                        ast::MergeAction::Delete { .. } => {}
                    }
                }
                Found::Continue(())
            }
            _ => Found::Continue(()),
        }
    }

    fn pre_visit_query(&mut self, query: &ast::Query) -> Found {
        use ast::LimitClause as L;
        match &query.limit_clause {
            Some(L::LimitOffset { limit, offset, .. }) => {
                none_in(limit.iter(), "LIMIT")?;
                none_in(offset.iter().map(|offset| &offset.value), "OFFSET")?;
            }
            Some(L::OffsetCommaLimit { offset, limit }) => none_in([offset, limit], "LIMIT")?,
            None => {}
        }
        match query.body.as_ref() {
            // A row alone is as a select list.
            ast::SetExpr::Values(values) if values.rows.len() > 1 => {
                none_in(values.rows.iter().flat_map(|row| row.content.iter()), "VALUES")
            }
            _ => Found::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &ast::Select) -> Found {
        none_in(select.selection.iter(), "WHERE")?;
        none_in(select.having.iter(), "HAVING")?;
        for join in select.from.iter().flat_map(|item| &item.joins) {
            none_in(condition(join), "JOIN conditions")?;
        }
        named_once(&select.from)
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> Found {
        match expr {
            ast::Expr::Case { operand, conditions, else_result, .. } => {
                let branches = conditions.iter().flat_map(|when| [&when.condition, &when.result]);
                let others = operand.iter().chain(else_result).map(AsRef::as_ref);
                none_in(branches.chain(others), "CASE").map_break(with_hint)
            }
            ast::Expr::Function(call) => match Function::named(&call.name) {
                Some(function) => plain(function, call),
                None if call.name.to_string().eq_ignore_ascii_case("coalesce") => {
                    none_in(arguments(call), "COALESCE").map_break(with_hint)
                }
                None => Found::Continue(()),
            },
            _ => Found::Continue(()),
        }
    }
}

fn with_hint(error: Error) -> Error {
    error.with_hint("Move the function that gives rows into FROM.")
}

fn assigned(assignments: &[ast::Assignment]) -> Found {
    none_in(assignments.iter().map(|assignment| &assignment.value), "UPDATE")
}

fn returning(items: Option<&[ast::SelectItem]>) -> Found {
    let expressions = items.into_iter().flatten().filter_map(|item| match item {
        ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => {
            Some(expr)
        }
        _ => None,
    });
    none_in(expressions, "RETURNING")
}

/// What a join asks of its rows.
fn condition(join: &ast::Join) -> Option<&ast::Expr> {
    use ast::{JoinConstraint as C, JoinOperator as J};
    match &join.join_operator {
        J::Join(C::On(on))
        | J::Inner(C::On(on))
        | J::Left(C::On(on))
        | J::LeftOuter(C::On(on))
        | J::Right(C::On(on))
        | J::RightOuter(C::On(on))
        | J::FullOuter(C::On(on)) => Some(on),
        _ => None,
    }
}

fn arguments(call: &ast::Function) -> impl Iterator<Item = &ast::Expr> {
    let list = match &call.args {
        ast::FunctionArguments::List(list) => list.args.as_slice(),
        _ => &[],
    };
    list.iter().filter_map(|argument| match argument {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    })
}

/// What is said of aggregates and windows alone.
fn plain(function: Function, call: &ast::Function) -> Found {
    let (mut distinct, mut ordered) = (false, !call.within_group.is_empty());
    if let ast::FunctionArguments::List(list) = &call.args {
        distinct = list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct);
        let order = |clause: &_| matches!(clause, ast::FunctionArgumentClause::OrderBy(_));
        ordered |= list.clauses.iter().any(order);
    }
    let of_aggregates = "an aggregate function";
    let (said, wanted) = match () {
        () if distinct => ("DISTINCT", of_aggregates),
        () if ordered => ("ORDER BY", of_aggregates),
        () if call.filter.is_some() => ("FILTER", of_aggregates),
        () if call.over.is_some() => ("OVER", "a window function nor an aggregate function"),
        () => return Found::Continue(()),
    };
    let message = format!("{said} specified, but {} is not {wanted}", function.name);
    Found::Break(Error::new(state::WRONG_OBJECT_TYPE, message))
}

/// No call in expressions, apart from queries within them.
fn none_in<'a>(expressions: impl IntoIterator<Item = &'a ast::Expr>, place: &str) -> Found {
    for expr in expressions {
        if matches!(expr, ast::Expr::Value(_)) {
            continue;
        }
        if expr.visit(&mut Calls { depth: 0 }).is_break() {
            let message = format!("set-returning functions are not allowed in {place}");
            return Found::Break(Error::unsupported(message));
        }
    }
    Found::Continue(())
}

/// Finds a call that is not within a query.
struct Calls {
    depth: usize,
}

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        match expr {
            ast::Expr::Function(call)
                if self.depth == 0 && Function::named(&call.name).is_some() =>
            {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Relations of one FROM have different names. The planner sees to that, but for calls.
fn named_once(from: &[ast::TableWithJoins]) -> Found {
    let factors = from.iter().flat_map(|item| {
        std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation))
    });
    let (mut names, mut called) = (HashSet::new(), HashSet::new());
    for factor in factors {
        let call = Call::of(factor);
        let is_call = call.is_some();
        let name = match (call, factor) {
            (Some(call), _) => match call.alias {
                Some(alias) => fold(&alias.name),
                None => call.function.name.to_owned(),
            },
            (_, ast::TableFactor::Table { alias: Some(alias), .. })
            | (_, ast::TableFactor::Derived { alias: Some(alias), .. })
            | (_, ast::TableFactor::Function { alias: Some(alias), .. })
            | (_, ast::TableFactor::UNNEST { alias: Some(alias), .. }) => fold(&alias.name),
            (_, ast::TableFactor::Table { name, alias: None, .. }) => {
                let last = name.0.last().and_then(ast::ObjectNamePart::as_ident);
                let Some(last) = last else { continue };
                fold(last)
            }
            _ => continue,
        };
        let is_new = names.insert(name.clone());
        if !is_new && (is_call || called.contains(&name)) {
            let message = format!("table name \"{name}\" specified more than once");
            return Found::Break(Error::new("42712", message));
        }
        if is_call {
            called.insert(name);
        }
    }
    Found::Continue(())
}
