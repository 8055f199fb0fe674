//! What UPDATE, DELETE, MERGE and INSERT ... ON CONFLICT have in common: a query over the target and
//! other relations finds rows, and each of them meets at most one branch of the statement.
//!
//! The query gives for each row its place in the target, the number of its branch and the values that
//! it will have. It runs once over one pinned version, so that no row can be changed and kept, or
//! neither.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use catalog::{FILE_COLUMN, ROW_COLUMN};
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Case, Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;

use super::returning::{Returning, Rows};
use super::{default_expression, generated, is_default, placeholder, target, user_schema};
use crate::error::{Error, Result, nearest, state};
use crate::parser;
use crate::plan;
use crate::resolve::{Pinned, Resolver, fold, split_name};
use crate::semantics;
use crate::session::Session;
use crate::statement::{insert, select};

/// What the table that a statement changes is called in its plans; resolving leaves it alone.
pub(crate) const TARGET: &str = "__tarn_target";

/// What the rows of INSERT ... ON CONFLICT are called in its plan.
pub(crate) const EXCLUDED: &str = "__tarn_excluded";

/// How many columns of the plan tell a row's place and branch.
pub(super) const PLACE_COLUMNS: usize = 3;

/// What is not a column of any relation, though `*` would give it, begins with this.
const OWN: &str = "__tarn_";

/// In a source that may be missing in a joined row: not NULL where it is there.
pub(crate) const PRESENT: &str = "__tarn_present";

/// The number of the branch that a row meets, from 1; 0: none.
const BRANCH: &str = "__tarn_branch";

/// A statement that changes rows.
pub(crate) struct Change<'a> {
    /// `DELETE`, `UPDATE`, `MERGE`, for messages and the history.
    pub(crate) operation: &'static str,
    pub(crate) target: &'a ast::ObjectName,
    /// What the target is called in the statement.
    pub(crate) alias: String,
    pub(crate) with: Option<&'a ast::With>,
    /// FROM of the query, the target in it.
    pub(crate) from: Vec<ast::TableWithJoins>,
    /// WHERE of the query.
    pub(crate) predicate: Option<&'a ast::Expr>,
    /// A row meets the first one whose condition holds.
    pub(crate) branches: Vec<Branch>,
    /// What happens when a second row of the query would change a row of the target.
    pub(crate) repeated: Repeated,
    /// Columns in whose values the inserted rows differ, or are `repeated`.
    pub(crate) key: Vec<String>,
    /// The rows of INSERT ... ON CONFLICT.
    pub(crate) excluded: Option<&'a ast::Insert>,
    pub(crate) returning: Option<&'a [ast::SelectItem]>,
}

/// What becomes of rows that meet a condition.
pub(crate) struct Branch {
    /// None: of all.
    pub(crate) when: Option<ast::Expr>,
    pub(crate) action: Action,
}

/// What becomes of a row.
pub(crate) enum Action {
    /// It stays as it is.
    Nothing,
    Delete,
    /// New values by column.
    Update(Vec<(String, ast::Expr)>),
    /// The values of a new row: of the columns named, or of the first ones.
    Insert {
        columns: Vec<String>,
        values: Vec<ast::Expr>,
    },
}

/// What to do about a row that the statement has changed already.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Repeated {
    /// Pass it over.
    Skipped,
    /// Refuse the statement.
    Refused { message: &'static str, hint: &'static str },
}

impl Change<'_> {
    /// Whether it takes all rows away, so that none of them need be read.
    pub(super) fn empties(&self) -> bool {
        self.predicate.is_none()
            && self.from.len() == 1
            && self.returning.is_none()
            && matches!(self.branches.as_slice(), [Branch { when: None, action: Action::Delete }])
    }

    /// Whether it depends on which rows are not there.
    pub(super) fn inserts(&self) -> bool {
        self.branches.iter().any(|branch| matches!(branch.action, Action::Insert { .. }))
    }

    /// Its command tag.
    pub(super) fn tag(&self) -> &'static str {
        if self.excluded.is_some() { "INSERT 0" } else { self.operation }
    }

    /// Whether its rows have a branch each.
    fn is_conditional(&self) -> bool {
        !matches!(self.branches.as_slice(), [Branch { when: None, .. }])
    }
}

/// What a relation is called in its statement, if it is called anything.
pub(crate) fn relation_name(relation: &ast::TableFactor) -> Result<Option<String>> {
    Ok(match relation {
        ast::TableFactor::Table { alias: Some(alias), .. }
        | ast::TableFactor::Derived { alias: Some(alias), .. }
        | ast::TableFactor::TableFunction { alias: Some(alias), .. }
        | ast::TableFactor::Function { alias: Some(alias), .. }
        | ast::TableFactor::UNNEST { alias: Some(alias), .. } => Some(fold(&alias.name)),
        ast::TableFactor::Table { name, .. } => Some(split_name(name)?.1),
        _ => None,
    })
}

/// Two relations of a statement have one name.
pub(crate) fn specified_twice(name: &str) -> Error {
    Error::new("42712", format!("table name \"{name}\" specified more than once"))
        .with_hint("Give one of them another alias.")
}

/// The target as FROM has it.
pub(crate) fn target_relation(alias: &str) -> Result<ast::TableWithJoins> {
    relation(&format!("{TARGET} AS \"{}\"", alias.replace('"', "\"\"")))
}

/// A source under its name, with a column that tells whether a joined row has it.
pub(crate) fn marked_source(source: &ast::TableFactor, name: &str) -> Result<ast::TableFactor> {
    let name = name.replace('"', "\"\"");
    let text = format!("(SELECT *, TRUE AS \"{PRESENT}\" FROM source) AS \"{name}\"");
    let mut marked = relation(&text)?.relation;
    if let ast::TableFactor::Derived { subquery, .. } = &mut marked
        && let ast::SetExpr::Select(select) = subquery.body.as_mut()
        && let [from] = select.from.as_mut_slice()
    {
        from.relation = source.clone();
    }
    Ok(marked)
}

/// A relation as FROM has it: `name AS alias`, `(SELECT ...) AS alias`.
pub(crate) fn relation(text: &str) -> Result<ast::TableWithJoins> {
    let query = parser::parse_query(&format!("SELECT 1 FROM {text}"))?;
    match *query.body {
        ast::SetExpr::Select(mut select) if select.from.len() == 1 => Ok(select.from.remove(0)),
        _ => Err(Error::internal("a relation did not parse")),
    }
}

/// A change, planned.
pub(super) struct Planned {
    /// Gives [`FILE_COLUMN`], [`ROW_COLUMN`], the branch, all columns of the table, and for RETURNING
    /// those of the other relations. Where nothing needs the values, they are left out.
    pub(super) plan: LogicalPlan,
    pub(super) returning: Option<Returning>,
}

/// The values of one branch: the place of each column that has one, and its expression.
type Values = Vec<(usize, ast::Expr)>;

/// Plans a change over one version of its target.
pub(super) async fn plan(
    session: &Session,
    state: &SessionState,
    pinned: &Pinned,
    change: &Change<'_>,
    given: &[Option<FieldRef>],
) -> Result<Planned> {
    let values = change
        .branches
        .iter()
        .map(|branch| values_of(&branch.action, pinned))
        .collect::<Result<Vec<Values>>>()?;
    let statement = query(change, &values)?;
    let resolver = Resolver::new(session, state).with_pinned(pinned);
    let mut names = resolver.resolve(&statement).await?;
    let scan = pinned.table.scan_with_places(Arc::clone(&pinned.snapshot));
    names.tables.insert(TARGET.into(), provider_as_source(scan));
    if let Some(insert) = change.excluded {
        let rows = insert::plan_rows(session, state, insert, pinned, given).await?;
        let rows = Arc::new(ViewTable::new(rows, None));
        names.tables.insert(EXCLUDED.into(), provider_as_source(rows));
    }
    let found = plan::statement(state, &names, statement, given)?;
    refuse_volatile(&found, change.operation)?;
    let table = &pinned.snapshot.schema;
    let with_values = change.returning.is_some() || values.iter().any(|values| !values.is_empty());
    let mut columns = place(change);
    if with_values {
        for (index, field) in table.fields().iter().enumerate() {
            let value = new_value(&found, change, &values, index, field)?;
            let alias = Some(TableReference::bare(change.alias.as_str()));
            columns.push(value.alias_qualified(alias, field.name()));
        }
    }
    if change.returning.is_some() && change.excluded.is_none() {
        columns.extend(others(&found, change));
    }
    let plan = LogicalPlanBuilder::from(found).project(columns)?.build()?;
    let returning = match change.returning {
        None => None,
        Some(items) => {
            let rows = returned_rows(state, &plan, change, table.fields().len())?;
            Some(Returning::plan(session, state, items, rows).await?)
        }
    };
    Ok(Planned { plan, returning })
}

/// Conditions of branches are computed for each value again, and have to come to the same.
fn refuse_volatile(found: &LogicalPlan, operation: &str) -> Result<()> {
    let LogicalPlan::Projection(projection) = found else { return Ok(()) };
    let branches = projection.expr.iter().zip(projection.schema.fields());
    let mut branches = branches.filter(|(_, field)| field.name() == BRANCH);
    match branches.any(|(expr, _)| expr.is_volatile()) {
        false => Ok(()),
        true => Err(Error::unsupported(format!(
            "{operation} with a condition that is not deterministic is not supported"
        ))),
    }
}

/// The parameters of a change, and the columns of its RETURNING.
pub(crate) async fn describe(
    session: &Session,
    change: &Change<'_>,
    given: &[Option<FieldRef>],
) -> Result<(Vec<Field>, Option<SchemaRef>)> {
    let pinned = target(session, change.target).await?;
    let state = session.planning_state();
    // A parameter that is assigned has its column's type, which a plain projection cannot tell.
    let mut given = given.to_vec();
    for branch in &change.branches {
        for (index, expr) in values_of(&branch.action, &pinned)? {
            if let Some(at) = placeholder(&expr) {
                if given.len() <= at {
                    given.resize(at + 1, None);
                }
                let field = pinned.snapshot.schema.field(index);
                given[at].get_or_insert_with(|| Arc::new(field.clone()));
            }
        }
    }
    let Planned { plan, returning } =
        Box::pin(plan(session, &state, &pinned, change, &given)).await?;
    let mut fields = select::parameter_fields(&plan, &given)?;
    let Some(returning) = returning else { return Ok((fields, None)) };
    let known: Vec<_> = fields.iter().map(|field| Some(Arc::new(field.clone()))).collect();
    fields = returning.parameters(&known)?;
    Ok((fields, Some(returning.schema(&state))))
}

/// The values that an action gives, by the places of their columns.
fn values_of(action: &Action, pinned: &Pinned) -> Result<Values> {
    let table = &pinned.snapshot.schema;
    let value = |index: usize, expr: &ast::Expr| match is_default(expr) {
        true => (index, default_expression(table.field(index))),
        false => (index, expr.clone()),
    };
    match action {
        Action::Nothing | Action::Delete => Ok(Vec::new()),
        Action::Update(assigned) => assigned
            .iter()
            .map(|(column, expr)| Ok(value(column_index(pinned, column, "update")?, expr)))
            .collect(),
        Action::Insert { columns, values } => {
            let own = user_schema(table);
            let first = || own.fields().iter().take(values.len()).map(|field| field.name().clone());
            let columns = if columns.is_empty() { first().collect() } else { columns.clone() };
            if columns.len() < values.len() {
                return Err(Error::syntax("INSERT has more expressions than target columns"));
            }
            if columns.len() > values.len() {
                return Err(Error::syntax("INSERT has more target columns than expressions"));
            }
            let mut inserted = Vec::with_capacity(table.fields().len());
            for (column, expr) in columns.iter().zip(values) {
                let index = column_index(pinned, column, "insert into")?;
                if inserted.iter().any(|(known, _)| *known == index) {
                    return Err(Error::new(
                        "42701",
                        format!("column \"{column}\" specified more than once"),
                    ));
                }
                inserted.push(value(index, expr));
            }
            for (index, field) in table.fields().iter().enumerate() {
                if !inserted.iter().any(|(known, _)| *known == index) {
                    inserted.push((index, default_expression(field)));
                }
            }
            Ok(inserted)
        }
    }
}

/// Where a column that a client may give stands in the table.
pub(crate) fn column_index(pinned: &Pinned, column: &str, verb: &str) -> Result<usize> {
    let table = &pinned.snapshot.schema;
    match table.index_of(column) {
        Ok(index) if generated(table.field(index)) => {
            Err(Error::new("428C9", format!("cannot {verb} column \"{column}\""))
                .with_detail("The server fills this column."))
        }
        Ok(index) => Ok(index),
        Err(_) => {
            let error = Error::new(
                state::UNDEFINED_COLUMN,
                format!("column \"{column}\" of relation \"{}\" does not exist", pinned.name.name),
            );
            let names = table.fields().iter().map(|field| field.name().as_str());
            Err(match nearest(column, names) {
                Some(near) => error.with_hint(format!("Perhaps you meant the column \"{near}\".")),
                None => error,
            })
        }
    }
}

/// What the value of a branch for a column is called in the query.
fn value_name(branch: usize, index: usize) -> String {
    format!("{OWN}value_{branch}_{index}")
}

/// `SELECT branch, values, * FROM ... WHERE ...`.
fn query(change: &Change<'_>, values: &[Values]) -> Result<ast::Statement> {
    let item = |expr, name: &str| ast::SelectItem::ExprWithAlias {
        expr,
        alias: ast::Ident::with_quote('"', name),
    };
    let mut items = Vec::new();
    let number = change.is_conditional().then(|| branch_number(&change.branches));
    items.extend(number.iter().map(|number| item(number.clone(), BRANCH)));
    for (branch, values) in values.iter().enumerate() {
        for (index, expr) in values {
            let expr = match &number {
                // A value is computed for the rows of its branch alone: elsewhere it may be an error.
                Some(number) if !is_constant(expr) => within(number, branch, expr),
                _ => expr.clone(),
            };
            items.push(item(expr, &value_name(branch, *index)));
        }
    }
    let mut query = parser::parse_query("SELECT *")?;
    query.with = change.with.cloned();
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        select.projection.splice(..0, items);
        select.from = change.from.clone();
        select.selection = change.predicate.cloned();
    }
    Ok(ast::Statement::Query(query))
}

/// The number of the first branch whose condition holds.
fn branch_number(branches: &[Branch]) -> ast::Expr {
    let yes = || ast::Expr::value(ast::Value::Boolean(true));
    let conditions = branches.iter().enumerate().map(|(nth, branch)| ast::CaseWhen {
        condition: branch.when.clone().unwrap_or_else(yes),
        result: number(nth + 1),
    });
    case(conditions.collect(), Some(number(0)))
}

/// `expr` where the row's branch is this one, else NULL.
fn within(branch_number: &ast::Expr, branch: usize, expr: &ast::Expr) -> ast::Expr {
    let condition = ast::Expr::BinaryOp {
        left: Box::new(branch_number.clone()),
        op: ast::BinaryOperator::Eq,
        right: Box::new(number(branch + 1)),
    };
    case(vec![ast::CaseWhen { condition, result: expr.clone() }], None)
}

fn case(conditions: Vec<ast::CaseWhen>, otherwise: Option<ast::Expr>) -> ast::Expr {
    ast::Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions,
        else_result: otherwise.map(Box::new),
    }
}

fn number(number: usize) -> ast::Expr {
    ast::Expr::value(ast::Value::Number(number.to_string(), false))
}

/// Whether an expression is a constant or a parameter, which may not have its type yet.
fn is_constant(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Value(_) => true,
        ast::Expr::UnaryOp { expr, .. } | ast::Expr::Nested(expr) => is_constant(expr),
        _ => false,
    }
}

fn own(name: impl Into<String>) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

fn of_target(change: &Change<'_>, name: &str) -> Column {
    Column::new(Some(TableReference::bare(change.alias.as_str())), name)
}

/// The first columns of the plan: where the row is, and which branch it meets.
fn place(change: &Change<'_>) -> Vec<Expr> {
    let branch = if change.is_conditional() { own(BRANCH) } else { lit(1_i64) };
    vec![
        Expr::Column(of_target(change, FILE_COLUMN)).alias(FILE_COLUMN),
        Expr::Column(of_target(change, ROW_COLUMN)).alias(ROW_COLUMN),
        cast(branch, DataType::Int64).alias(BRANCH),
    ]
}

/// What a column will have: the value of the row's branch, or what it has.
fn new_value(
    found: &LogicalPlan,
    change: &Change<'_>,
    values: &[Values],
    index: usize,
    field: &Field,
) -> Result<Expr> {
    let mut by_branch = Vec::new();
    for (branch, values) in values.iter().enumerate() {
        if values.iter().any(|(known, _)| *known == index) {
            let name = value_name(branch, index);
            let source = found.schema().field_with_unqualified_name(&name)?;
            let value = match generated(field) {
                // The server fills it in later.
                true => Expr::Literal(ScalarValue::try_from(field.data_type())?, None),
                false => semantics::assign(own(name), source, field)?,
            };
            by_branch.push((branch, value));
        }
    }
    let old = Expr::Column(of_target(change, field.name()));
    if by_branch.is_empty() {
        return Ok(old);
    }
    if !change.is_conditional() {
        return Ok(by_branch.swap_remove(0).1);
    }
    let number = |branch: usize| lit(i64::try_from(branch + 1).unwrap_or(i64::MAX));
    let when = by_branch
        .into_iter()
        .map(|(branch, value)| (Box::new(number(branch)), Box::new(value)))
        .collect();
    let branch = Box::new(cast(own(BRANCH), DataType::Int64));
    Ok(Expr::Case(Case::new(Some(branch), when, Some(Box::new(old)))))
}

/// The columns of the other relations.
fn others(found: &LogicalPlan, change: &Change<'_>) -> Vec<Expr> {
    let target = TableReference::bare(change.alias.as_str());
    let columns = found
        .schema()
        .iter()
        .filter(|(qualifier, field)| *qualifier != Some(&target) && !field.name().starts_with(OWN));
    columns.map(|(qualifier, field)| Expr::Column(Column::from((qualifier, field)))).collect()
}

/// The rows that RETURNING sees, as they will be once types are settled.
fn returned_rows(
    state: &SessionState,
    plan: &LogicalPlan,
    change: &Change<'_>,
    width: usize,
) -> Result<Rows> {
    let settled = select::coerced(state, plan);
    let columns = settled.schema().iter().skip(PLACE_COLUMNS);
    let columns = columns.map(|(qualifier, field)| {
        let field = Arc::new(field.as_ref().clone().with_nullable(true));
        (qualifier.cloned(), field)
    });
    let columns = DFSchema::new_with_metadata(columns.collect(), HashMap::new())?;
    // As PostgreSQL orders `*`: MERGE names its source first.
    let order = match change.operation {
        "MERGE" => (width..columns.fields().len()).chain(0..width).collect(),
        _ => (0..columns.fields().len()).collect(),
    };
    Ok(Rows { columns, order })
}
