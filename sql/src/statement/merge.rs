//! `[WITH ...] MERGE INTO table [[AS] alias] USING source ON condition WHEN ... THEN ... [RETURNING
//! ...]`.
//!
//! Target and source are joined as the WHEN clauses need it: without NOT MATCHED, rows of the source
//! that match nothing need not be there, without NOT MATCHED BY SOURCE none of the target.

use std::ops::ControlFlow;

use arrow::datatypes::{Field, FieldRef, SchemaRef};
use catalog::FILE_COLUMN;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, MergeClauseKind as When};

use crate::dml::{self, Action, Branch, Change, PRESENT, Repeated};
use crate::error::{Error, Result, state};
use crate::output::Output;
use crate::parser;
use crate::resolve::fold;
use crate::session::Session;
use crate::statement::delete::plain_table;
use crate::statement::{insert, select};

/// A MERGE with the WITH before it.
#[derive(Debug, Clone)]
pub(crate) struct Merge {
    pub(crate) with: Option<ast::With>,
    pub(crate) ast: ast::Merge,
}

/// The parameters of a MERGE, and what it returns.
pub(crate) async fn describe(
    session: &Session,
    merge: &Merge,
    given: &[Option<FieldRef>],
) -> Result<(Vec<Field>, Option<SchemaRef>)> {
    let given = select::with_cast_types(&merge.ast, given);
    dml::describe(session, &change(merge)?, &given).await
}

/// Inserts, changes and deletes rows of the target as those of the source say.
pub(crate) async fn run(
    session: &Session,
    merge: &Merge,
    parameters: &[ScalarValue],
) -> Result<Output> {
    dml::run(session, &change(merge)?, parameters).await
}

fn change(merge: &Merge) -> Result<Change<'_>> {
    let Merge { with, ast: merge } = merge;
    let returning = match &merge.output {
        None => None,
        Some(ast::OutputClause::Returning { select_items, .. }) => Some(select_items.as_slice()),
        Some(ast::OutputClause::Output { .. }) => {
            return Err(
                Error::unsupported("MERGE does not support OUTPUT").with_hint("Use RETURNING.")
            );
        }
    };
    let (target, alias) = plain_table(&merge.table, "MERGE")?;
    let source = dml::relation_name(&merge.source)?.ok_or_else(|| {
        Error::syntax("the source of a MERGE needs a name").with_hint("Write USING (...) AS name.")
    })?;
    if source == alias {
        return Err(dml::specified_twice(&alias));
    }
    refuse_unreachable(&merge.clauses)?;
    let names = Names { target: &alias, source: &source };
    let branches = merge.clauses.iter().map(|clause| names.branch(clause));
    let branches = branches.collect::<Result<Vec<_>>>()?;
    let kept = |kind: fn(&When) -> bool| merge.clauses.iter().any(|c| kind(&c.clause_kind));
    let join = match (kept(is_not_matched), kept(|kind| *kind == When::NotMatchedBySource)) {
        (true, true) => ast::JoinOperator::FullOuter,
        (true, false) => ast::JoinOperator::Right,
        (false, true) => ast::JoinOperator::Left,
        (false, false) => ast::JoinOperator::Inner,
    };
    let mut from = dml::target_relation(&alias)?;
    from.joins.push(ast::Join {
        relation: dml::marked_source(&merge.source, &source)?,
        global: false,
        join_operator: join(ast::JoinConstraint::On(merge.on.as_ref().clone())),
    });
    Ok(Change {
        operation: "MERGE",
        target,
        alias,
        with: with.as_ref(),
        from: vec![from],
        predicate: None,
        branches,
        repeated: Repeated::Refused {
            message: "MERGE command cannot affect row a second time",
            hint: "Ensure that not more than one source row matches any one target row.",
        },
        key: Vec::new(),
        excluded: None,
        returning,
    })
}

fn is_not_matched(kind: &When) -> bool {
    matches!(kind, When::NotMatched | When::NotMatchedByTarget)
}

/// A clause after one of its kind that has no condition would never be met.
fn refuse_unreachable(clauses: &[ast::MergeClause]) -> Result<()> {
    let group = |kind: &When| if is_not_matched(kind) { When::NotMatchedByTarget } else { *kind };
    for (at, clause) in clauses.iter().enumerate() {
        let kind = group(&clause.clause_kind);
        let covered = clauses[..at]
            .iter()
            .any(|before| before.predicate.is_none() && group(&before.clause_kind) == kind);
        if covered {
            return Err(Error::syntax(
                "unreachable WHEN clause specified after unconditional WHEN clause",
            ));
        }
    }
    Ok(())
}

/// What the two sides are called.
struct Names<'a> {
    target: &'a str,
    source: &'a str,
}

impl Names<'_> {
    fn branch(&self, clause: &ast::MergeClause) -> Result<Branch> {
        let mut condition = parser::parse_expression(&self.presence(&clause.clause_kind))?;
        if let Some(predicate) = &clause.predicate {
            let mut predicate = predicate.clone();
            self.look_up(clause, &mut predicate)?;
            condition = ast::Expr::BinaryOp {
                left: Box::new(condition),
                op: ast::BinaryOperator::And,
                right: Box::new(ast::Expr::Nested(Box::new(predicate))),
            };
        }
        let mut action = match &clause.action {
            ast::MergeAction::Delete { .. } => Action::Delete,
            ast::MergeAction::Update(update) => {
                if update.update_predicate.is_some() || update.delete_predicate.is_some() {
                    return Err(Error::unsupported("MERGE does not support WHERE after SET")
                        .with_hint("Write WHEN MATCHED AND condition THEN UPDATE ..."));
                }
                let assigned = dml::assignments(&update.assignments)?;
                match assigned.as_slice() {
                    [(column, _)] if column == parser::NOTHING => Action::Nothing,
                    _ => Action::Update(assigned),
                }
            }
            ast::MergeAction::Insert(insert) => insert_action(insert)?,
        };
        match &mut action {
            Action::Nothing | Action::Delete => {}
            Action::Update(assigned) => {
                assigned.iter_mut().try_for_each(|(_, value)| self.look_up(clause, value))?;
            }
            Action::Insert { values, .. } => {
                values.iter_mut().try_for_each(|value| self.look_up(clause, value))?;
            }
        }
        Ok(Branch { when: Some(condition), action })
    }

    /// Which of the two rows a clause is about.
    fn presence(&self, kind: &When) -> String {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let target = format!("{}.\"{FILE_COLUMN}\" IS", quoted(self.target));
        let source = format!("{}.\"{PRESENT}\" IS", quoted(self.source));
        match kind {
            When::Matched => format!("{target} NOT NULL AND {source} NOT NULL"),
            When::NotMatched | When::NotMatchedByTarget => format!("{target} NULL"),
            When::NotMatchedBySource => format!("{source} NULL"),
        }
    }

    /// Where a clause has a row of one side only, names without a relation are of that side, and the
    /// other cannot be named.
    fn look_up(&self, clause: &ast::MergeClause, expr: &mut ast::Expr) -> Result<()> {
        let (known, missing) = match clause.clause_kind {
            When::Matched => return Ok(()),
            When::NotMatched | When::NotMatchedByTarget => (self.source, self.target),
            When::NotMatchedBySource => (self.target, self.source),
        };
        if dml::is_default(expr) {
            return Ok(());
        }
        let mut look_up = LookUp { known, missing, depth: 0 };
        match ast::VisitMut::visit(expr, &mut look_up).is_break() {
            false => Ok(()),
            true => Err(Error::new(
                state::UNDEFINED_TABLE,
                format!("invalid reference to FROM-clause entry for table \"{missing}\""),
            )
            .with_detail(format!(
                "There is an entry for table \"{missing}\", but it has no row WHEN {}.",
                clause.clause_kind
            ))),
        }
    }
}

struct LookUp<'a> {
    known: &'a str,
    missing: &'a str,
    /// Within a query, a name alone may be another relation's.
    depth: usize,
}

impl ast::VisitorMut for LookUp<'_> {
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
        match expr {
            ast::Expr::Identifier(column) if self.depth == 0 => {
                let relation = ast::Ident::with_quote('"', self.known);
                *expr = ast::Expr::CompoundIdentifier(vec![relation, column.clone()]);
                ControlFlow::Continue(())
            }
            ast::Expr::CompoundIdentifier(parts)
                if parts.len() > 1 && parts.first().map(fold).as_deref() == Some(self.missing) =>
            {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn insert_action(inserted: &ast::MergeInsertExpr) -> Result<Action> {
    if inserted.insert_predicate.is_some() {
        return Err(Error::unsupported("MERGE does not support WHERE after VALUES")
            .with_hint("Write WHEN NOT MATCHED AND condition THEN INSERT ..."));
    }
    let columns =
        inserted.columns.iter().map(insert::column_name).collect::<Result<Vec<String>>>()?;
    if columns.as_slice() == [parser::NOTHING] {
        return Ok(Action::Nothing);
    }
    match &inserted.kind {
        ast::MergeInsertKind::Values(values) => match values.rows.as_slice() {
            [row] => Ok(Action::Insert { columns, values: row.content.clone() }),
            _ => Err(Error::syntax("INSERT of a MERGE has one row of VALUES")),
        },
        ast::MergeInsertKind::Row => Err(Error::unsupported("MERGE does not support INSERT ROW")
            .with_hint("Write INSERT VALUES (...).")),
    }
}
