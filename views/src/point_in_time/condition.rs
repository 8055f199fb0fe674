//! What an ASOF JOIN is joined by: equal keys, times in order, and conditions on the best row.
//!
//! Never: accepts a condition that the join would not honour. Whatever is not recognised is a
//! named error.

use std::fmt;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::types::{Pair, coerce_keys, coerce_times, sql_text};
use crate::Error;

/// How a left value must stand to a right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub(super) enum MatchOperator {
    GtEq,
    Gt,
    LtEq,
    Lt,
}

impl MatchOperator {
    fn new(operator: Operator) -> Option<Self> {
        match operator {
            Operator::GtEq => Some(Self::GtEq),
            Operator::Gt => Some(Self::Gt),
            Operator::LtEq => Some(Self::LtEq),
            Operator::Lt => Some(Self::Lt),
            _ => None,
        }
    }

    fn swap(self) -> Self {
        match self {
            Self::GtEq => Self::LtEq,
            Self::Gt => Self::Lt,
            Self::LtEq => Self::GtEq,
            Self::Lt => Self::Gt,
        }
    }

    /// Whether equal values do not match.
    pub(super) fn strict(self) -> bool {
        matches!(self, Self::Gt | Self::Lt)
    }

    /// Whether the right value comes after the left one.
    pub(super) fn forward(self) -> bool {
        matches!(self, Self::LtEq | Self::Lt)
    }
}

impl fmt::Display for MatchOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GtEq => ">=",
            Self::Gt => ">",
            Self::LtEq => "<=",
            Self::Lt => "<",
        })
    }
}

/// `left operator right`, one expression over each side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(super) struct Comparison {
    pub(super) left: Expr,
    pub(super) operator: MatchOperator,
    pub(super) right: Expr,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.left, self.operator, self.right)
    }
}

/// The longest distance in time between a left row and its right row.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(super) struct Tolerance {
    /// An expression without columns.
    pub(super) limit: Expr,
    /// `<` instead of `<=`.
    pub(super) strict: bool,
}

/// The whole condition of an ASOF JOIN. Both sides of every comparison have one type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(super) struct Condition {
    pub(super) on: Vec<Pair>,
    pub(super) time: Comparison,
    pub(super) tolerance: Option<Tolerance>,
    /// Further comparisons that the best row must satisfy, such as the known-at cut.
    pub(super) cuts: Vec<Comparison>,
}

impl Condition {
    /// All expressions, in the order that [`Self::with_expressions`] takes.
    pub(super) fn expressions(&self) -> Vec<Expr> {
        let comparisons = std::iter::once(&self.time).chain(&self.cuts);
        let sides = comparisons.flat_map(|c| [c.left.clone(), c.right.clone()]);
        let keys = self.on.iter().flat_map(|(left, right)| [left.clone(), right.clone()]);
        let limit = self.tolerance.iter().map(|tolerance| tolerance.limit.clone());
        keys.chain(sides).chain(limit).collect()
    }

    /// The same condition over other expressions; `None` if there are too few or too many.
    pub(super) fn with_expressions(&self, expressions: Vec<Expr>) -> Option<Self> {
        // The optimizer may have named an expression that it changed.
        let mut rest = expressions.into_iter().map(|expression| expression.unalias());
        let mut on = Vec::with_capacity(self.on.len());
        for _ in &self.on {
            on.push((rest.next()?, rest.next()?));
        }
        let mut comparison = |old: &Comparison| {
            let (left, right) = (rest.next()?, rest.next()?);
            Some(Comparison { left, operator: old.operator, right })
        };
        let time = comparison(&self.time)?;
        let cuts = self.cuts.iter().map(comparison).collect::<Option<Vec<_>>>()?;
        let tolerance = match &self.tolerance {
            Some(old) => Some(Tolerance { limit: rest.next()?, strict: old.strict }),
            None => None,
        };
        rest.next().is_none().then_some(Self { on, time, tolerance, cuts })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.time)?;
        if !self.on.is_empty() {
            let keys = self.on.iter().map(|(left, right)| format!("{left} = {right}"));
            write!(f, ", on=[{}]", keys.collect::<Vec<_>>().join(", "))?;
        }
        if let Some(Tolerance { limit, strict }) = &self.tolerance {
            write!(f, ", age {} {}", if *strict { "<" } else { "<=" }, sql_text(limit))?;
        }
        if !self.cuts.is_empty() {
            let cuts = self.cuts.iter().map(ToString::to_string);
            write!(f, ", and=[{}]", cuts.collect::<Vec<_>>().join(", "))?;
        }
        Ok(())
    }
}

/// Reads the parts of an ASOF JOIN's condition from planned expressions.
pub(super) struct ConditionReader<'a> {
    pub(super) left: &'a DFSchema,
    pub(super) right: &'a DFSchema,
}

/// Which sides of the join an expression reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Nothing,
    Left,
    Right,
    Both,
}

const MATCH: &str = "MATCH_CONDITION";
const MATCH_HINT: &str = "Write MATCH_CONDITION (l.ts >= r.ts), then AND l.ts - r.ts <= INTERVAL \
     '7 days' for a longest age, and AND r.known_at <= l.ts for further comparisons.";
const ON_HINT: &str = "Write ON l.key = r.key AND ...; filter a side in a subquery or in WHERE.";

impl ConditionReader<'_> {
    /// Reads MATCH_CONDITION and the pairs of keys from ON or USING.
    pub(super) fn read(&self, matching: Expr, keys: Vec<Pair>) -> Result<Condition> {
        let on = keys
            .into_iter()
            .map(|pair| coerce_keys(pair, self.left, self.right))
            .collect::<Result<Vec<_>>>()?;
        let mut conjuncts = split_conjunction_owned(matching).into_iter();
        let Some(first) = conjuncts.next() else {
            return Err(form(MATCH, "it is empty", MATCH_HINT));
        };
        self.check(&first, MATCH)?;
        let Some(time) = self.comparison(&first) else {
            let reason =
                "it must begin with a comparison (>=, >, <=, <) of a left with a right time";
            return Err(form(&place(&first, MATCH), reason, MATCH_HINT));
        };
        let (mut tolerance, mut cuts) = (None, Vec::new());
        for conjunct in conjuncts {
            self.check(&conjunct, MATCH)?;
            if let Some(cut) = self.comparison(&conjunct) {
                cuts.push(self.coerce(cut)?);
            } else if let Some(limit) = self.tolerance(&conjunct, &time) {
                if tolerance.replace(limit).is_some() {
                    let reason = "there are two longest ages";
                    return Err(form(&place(&conjunct, MATCH), reason, MATCH_HINT));
                }
            } else {
                let reason = "it is neither a longest age nor a comparison of both sides";
                return Err(form(&place(&conjunct, MATCH), reason, MATCH_HINT));
            }
        }
        Ok(Condition { on, time: self.coerce(time)?, tolerance, cuts })
    }

    /// Reads ON: equalities of a left with a right expression, joined by AND.
    pub(super) fn keys(&self, on: Expr) -> Result<Vec<Pair>> {
        split_conjunction_owned(on).into_iter().map(|conjunct| self.key(conjunct)).collect()
    }

    fn key(&self, conjunct: Expr) -> Result<Pair> {
        self.check(&conjunct, "ON")?;
        let part = place(&conjunct, "ON");
        let reason = "only equalities of a left with a right column are joined by";
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = conjunct else {
            return Err(form(&part, reason, ON_HINT));
        };
        match (self.reads(&left), self.reads(&right)) {
            (Reads::Left, Reads::Right) => Ok((*left, *right)),
            (Reads::Right, Reads::Left) => Ok((*right, *left)),
            _ => Err(form(&part, reason, ON_HINT)),
        }
    }

    /// `left operator right` or `right operator left`, turned so that left comes first.
    fn comparison(&self, conjunct: &Expr) -> Option<Comparison> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = conjunct else { return None };
        let operator = MatchOperator::new(*op)?;
        let (first, second) = (left.as_ref().clone(), right.as_ref().clone());
        match (self.reads(left), self.reads(right)) {
            (Reads::Left, Reads::Right) => {
                Some(Comparison { left: first, operator, right: second })
            }
            (Reads::Right, Reads::Left) => {
                Some(Comparison { left: second, operator: operator.swap(), right: first })
            }
            _ => None,
        }
    }

    /// `later - earlier <= limit`, where the two are the compared times and the limit has no
    /// columns; also `<`, and the same turned round.
    fn tolerance(&self, conjunct: &Expr, time: &Comparison) -> Option<Tolerance> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = conjunct else { return None };
        let (age, operator, limit) = match (self.reads(left), self.reads(right)) {
            (Reads::Both, Reads::Nothing) => (left, MatchOperator::new(*op)?, right),
            (Reads::Nothing, Reads::Both) => (right, MatchOperator::new(*op)?.swap(), left),
            _ => return None,
        };
        let Expr::BinaryExpr(BinaryExpr { left: later, op: Operator::Minus, right: earlier }) =
            age.as_ref()
        else {
            return None;
        };
        let (expected_later, expected_earlier) = match time.operator.forward() {
            true => (&time.right, &time.left),
            false => (&time.left, &time.right),
        };
        let measures = **later == *expected_later && **earlier == *expected_earlier;
        (measures && operator.forward())
            .then(|| Tolerance { limit: limit.as_ref().clone(), strict: operator.strict() })
    }

    fn coerce(&self, comparison: Comparison) -> Result<Comparison> {
        let Comparison { left, operator, right } = comparison;
        let (left, right) = coerce_times((left, right), self.left, self.right)?;
        Ok(Comparison { left, operator, right })
    }

    /// Refuses what no part of the condition may contain.
    fn check(&self, conjunct: &Expr, clause: &'static str) -> Result<()> {
        let hint = if clause == MATCH { MATCH_HINT } else { ON_HINT };
        if let Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) = conjunct {
            let reason = "its conditions can be joined by AND only";
            return Err(form(&place(conjunct, clause), reason, hint));
        }
        let mut reason = None;
        conjunct.apply(|expression| {
            reason = match expression {
                Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) => {
                    Some("it contains a subquery")
                }
                Expr::OuterReferenceColumn(_, _) => Some("it reads a column of an outer query"),
                _ if expression.is_volatile_node() => Some("its value changes from row to row"),
                _ => return Ok(TreeNodeRecursion::Continue),
            };
            Ok(TreeNodeRecursion::Stop)
        })?;
        match reason {
            Some(reason) => Err(form(&place(conjunct, clause), reason, hint)),
            None => Ok(()),
        }
    }

    fn reads(&self, expression: &Expr) -> Reads {
        let columns = expression.column_refs();
        let reads = |schema: &DFSchema| columns.iter().any(|c| schema.is_column_from_schema(c));
        match (reads(self.left), reads(self.right)) {
            (true, true) => Reads::Both,
            (true, false) => Reads::Left,
            (false, true) => Reads::Right,
            (false, false) => Reads::Nothing,
        }
    }
}

/// The pair of columns that USING (name) stands for.
pub(super) fn using_pair(name: &str, left: &DFSchema, right: &DFSchema) -> Result<Pair> {
    let column = |schema: &DFSchema, side: &'static str| {
        let columns = schema.qualified_fields_with_unqualified_name(name);
        match columns.as_slice() {
            [(qualifier, field)] => {
                Ok(Expr::Column(Column::new(qualifier.cloned(), field.name().clone())))
            }
            _ => Err(Error::AsOfUsing { column: name.to_owned(), side, count: columns.len() }),
        }
    };
    Ok((column(left, "left")?, column(right, "right")?))
}

pub(super) fn form(
    part: &str,
    reason: &'static str,
    hint: &'static str,
) -> datafusion::error::DataFusionError {
    Error::AsOfForm { part: part.to_owned(), reason, hint }.into()
}

fn place(expression: &Expr, clause: &str) -> String {
    format!("\"{}\" in {clause}", sql_text(expression))
}
