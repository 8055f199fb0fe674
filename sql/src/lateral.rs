//! Functions that give several rows: in FROM, where they may read what stands before them, and in a
//! select list.
//!
//! ```text
//! FROM t, jsonb_array_elements(t.doc) AS e      the join of t with the function is wrapped by `rewrite`,
//!                                               and planned here as an unnest over t
//! SELECT jsonb_array_elements(doc) FROM t       unnest of the list that is behind the function
//! ```
//!
//! Never: a function is called once where it reads a row: its rows are those of each row before it.

mod flat;
mod misplaced;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{Column, DFSchema, NullHandling, TableReference, UnnestOptions};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource, lit, when,
};
use datafusion::sql::sqlparser::ast::{self, Visit, VisitMut, Visitor, VisitorMut};

use crate::error::{Error, state};
use crate::json::{AsJson, Expand, KEY, VALUE, What};
use crate::resolve::fold;
use crate::semantics::{self, call};
use crate::types::TYPE_KEY;
use flat::{FLAT, Flat, OfType};
pub(crate) use misplaced::refuse as refuse_misplaced;

/// The list, and then each of its elements, on the way to the columns.
const EACH: &str = "__each";

/// What a function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gives {
    /// The elements of an SQL array.
    Elements,
    /// Parts of a JSON value, as JSON or as text.
    Parts(What, bool),
    /// A row for each object of an array, with the columns that the statement says.
    RecordSet,
    /// One row of an object.
    Record,
}

/// A function that gives rows.
#[derive(Debug, Clone, Copy)]
struct Function {
    name: &'static str,
    /// The function from a value to a list that is behind it.
    behind: &'static str,
    /// The function that checks each object of which it makes a row.
    object: &'static str,
    gives: Gives,
}

const fn of(name: &'static str, behind: &'static str, gives: Gives) -> Function {
    Function { name, behind, object: "", gives }
}

/// One that makes a row of each object.
const fn of_objects(
    name: &'static str,
    behind: &'static str,
    object: &'static str,
    gives: Gives,
) -> Function {
    Function { name, behind, object, gives }
}

const JSON: &str = "__json";
const JSONB: &str = "__jsonb";

const FUNCTIONS: [Function; 15] = {
    use What::{Elements, Fields, Keys};
    [
        of("unnest", "", Gives::Elements),
        of("json_array_elements", "__json_array_elements", Gives::Parts(Elements, false)),
        of("jsonb_array_elements", "__jsonb_array_elements", Gives::Parts(Elements, false)),
        of("json_array_elements_text", "__json_array_elements_text", Gives::Parts(Elements, true)),
        of(
            "jsonb_array_elements_text",
            "__jsonb_array_elements_text",
            Gives::Parts(Elements, true),
        ),
        of("json_each", "__json_each", Gives::Parts(Fields, false)),
        of("jsonb_each", "__jsonb_each", Gives::Parts(Fields, false)),
        of("json_each_text", "__json_each_text", Gives::Parts(Fields, true)),
        of("jsonb_each_text", "__jsonb_each_text", Gives::Parts(Fields, true)),
        of("json_object_keys", "__json_object_keys", Gives::Parts(Keys, true)),
        of("jsonb_object_keys", "__jsonb_object_keys", Gives::Parts(Keys, true)),
        of_objects(
            "json_to_recordset",
            "__json_array_elements",
            "__json_to_recordset",
            Gives::RecordSet,
        ),
        of_objects(
            "jsonb_to_recordset",
            "__jsonb_array_elements",
            "__jsonb_to_recordset",
            Gives::RecordSet,
        ),
        of_objects("json_to_record", JSON, "__json_to_record", Gives::Record),
        of_objects("jsonb_to_record", JSONB, "__jsonb_to_record", Gives::Record),
    ]
};

impl Function {
    fn named(name: &ast::ObjectName) -> Option<Self> {
        let parts = name.0.iter().map(|part| part.as_ident().map(fold));
        let parts: Vec<String> = parts.collect::<Option<_>>()?;
        let name = match parts.as_slice() {
            [name] => name,
            [schema, name] if schema == "pg_catalog" => name,
            _ => return None,
        };
        FUNCTIONS.into_iter().find(|function| function.name == name.as_str())
    }

    /// An argument of no type yet as the JSON that it takes.
    fn typed(self, argument: ast::Expr) -> ast::Expr {
        if !is_untyped(&argument) || self.gives == Gives::Elements {
            return argument;
        }
        let data_type = match self.json() {
            "jsonb" => ast::DataType::JSONB,
            _ => ast::DataType::JSON,
        };
        let (kind, expr) = (ast::CastKind::Cast, Box::new(argument));
        ast::Expr::Cast { kind, expr, data_type, array: false, format: None }
    }

    /// The type of the JSON that it takes and gives.
    fn json(self) -> &'static str {
        if self.name.starts_with("jsonb") { "jsonb" } else { "json" }
    }
}

/// The functions that lie behind, for rewritten statements.
pub(crate) fn functions() -> Vec<ScalarUDF> {
    let mut functions = vec![AsJson::function(JSON, "json"), AsJson::function(JSONB, "jsonb")];
    functions.push(Flat::function());
    functions.extend(FUNCTIONS.iter().filter_map(|function| match function.gives {
        Gives::Parts(what, as_text) => {
            Some(Expand::function(function.behind, function.name, what, as_text))
        }
        Gives::Record | Gives::RecordSet => {
            Some(AsJson::object(function.object, function.json(), function.name))
        }
        Gives::Elements => None,
    }));
    functions
}

/// Whether it is a literal or a parameter, whose type is that of where it stands.
fn is_untyped(argument: &ast::Expr) -> bool {
    use ast::Value as V;
    match argument {
        ast::Expr::Nested(inner) => is_untyped(inner),
        ast::Expr::Value(value) => matches!(
            value.value,
            V::SingleQuotedString(_)
                | V::EscapedStringLiteral(_)
                | V::DollarQuotedString(_)
                | V::Null
                | V::Placeholder(_)
        ),
        _ => false,
    }
}

/// A call in FROM.
#[derive(Debug)]
struct Call<'a> {
    function: Function,
    arguments: Vec<&'a ast::Expr>,
    alias: Option<&'a ast::TableAlias>,
}

impl<'a> Call<'a> {
    /// The call that a relation is, if it is one.
    fn of(factor: &'a ast::TableFactor) -> Option<Self> {
        use ast::TableFactor as F;
        let plain = |argument: &'a ast::FunctionArg| match argument {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        };
        match factor {
            F::Table { name, args: Some(args), alias, with_ordinality: false, .. } => {
                let arguments = args.args.iter().map(plain).collect::<Option<_>>()?;
                let (function, alias) = (Function::named(name)?, alias.as_ref());
                Some(Self { function, arguments, alias })
            }
            F::Function { name, args, with_ordinality: false, alias, .. } => {
                let arguments = args.iter().map(plain).collect::<Option<_>>()?;
                let (function, alias) = (Function::named(name)?, alias.as_ref());
                Some(Self { function, arguments, alias })
            }
            F::UNNEST {
                alias, array_exprs, with_offset: false, with_ordinality: false, ..
            } => {
                let alias = alias.as_ref();
                Some(Self {
                    function: FUNCTIONS[0],
                    arguments: array_exprs.iter().collect(),
                    alias,
                })
            }
            _ => None,
        }
    }
}

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

/// Wraps each call in FROM with what stands before it, and puts lists behind calls in select lists.
pub(crate) fn rewrite(statement: &mut ast::Statement) {
    let _: ControlFlow<()> = statement.visit(&mut Rewriter);
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();

    // After the parts, so that what is wrapped here is not visited again.
    fn post_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        join_calls(&mut select.from);
        select.from.iter_mut().for_each(wrap);
        for item in &mut select.projection {
            if let ast::SelectItem::UnnamedExpr(expr)
            | ast::SelectItem::ExprWithAlias { expr, .. } = item
            {
                let _ = expr.visit(&mut SelectList { depth: 0 });
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<()> {
        if let ast::TableFactor::NestedJoin { table_with_joins, .. } = factor
            && lone_call(table_with_joins).is_none()
        {
            wrap(table_with_joins);
        }
        ControlFlow::Continue(())
    }
}

/// `FROM a, b, f(b.x)` is `FROM (a CROSS JOIN b) CROSS JOIN f(b.x)`.
fn join_calls(from: &mut Vec<ast::TableWithJoins>) {
    let calls = |item: &ast::TableWithJoins| Call::of(&item.relation).is_some();
    let Some(last) = from.iter().rposition(calls).filter(|last| *last > 0) else { return };
    // A row that only the right side has would stand beside no row of what comes before, and what joins
    // by the names of its left side would see more of them.
    let stays = |join: &ast::Join| keeps_right(join) || joins_by_name(join);
    if from[1..=last].iter().any(|item| calls(item) && item.joins.iter().any(stays)) {
        return;
    }
    let rest = from.split_off(last + 1);
    let mut items = mem::take(from).into_iter();
    let Some(mut all) = items.next() else { return };
    for mut item in items {
        if Call::of(&item.relation).is_none() && !item.joins.is_empty() {
            nest(&mut item);
        }
        all.joins.push(cross_join(item.relation));
        all.joins.append(&mut item.joins);
    }
    from.push(all);
    from.extend(rest);
}

const fn keeps_right(join: &ast::Join) -> bool {
    use ast::JoinOperator as J;
    matches!(join.join_operator, J::Right(_) | J::RightOuter(_) | J::FullOuter(_))
}

/// Whether it joins on columns that it does not say, or not of which side.
fn joins_by_name(join: &ast::Join) -> bool {
    use ast::{JoinConstraint as C, JoinOperator as J};
    !matches!(
        join.join_operator,
        J::CrossJoin(C::None)
            | J::Join(C::On(_))
            | J::Inner(C::On(_))
            | J::Left(C::On(_))
            | J::LeftOuter(C::On(_))
    )
}

const fn cross_join(relation: ast::TableFactor) -> ast::Join {
    let join_operator = ast::JoinOperator::CrossJoin(ast::JoinConstraint::None);
    ast::Join { relation, global: false, join_operator }
}

/// Wraps each call of a FROM item with everything before it, from left to right.
fn wrap(item: &mut ast::TableWithJoins) {
    if !item.joins.iter().any(may_read_left) {
        return;
    }
    for join in mem::take(&mut item.joins) {
        let wraps = may_read_left(&join);
        if wraps && !item.joins.is_empty() {
            nest(item);
        }
        item.joins.push(join);
        if wraps {
            nest(item);
        }
    }
}

/// Makes a FROM item one parenthesised relation.
fn nest(item: &mut ast::TableWithJoins) {
    let (relation, joins) = (item.relation.clone(), mem::take(&mut item.joins));
    let table_with_joins = Box::new(ast::TableWithJoins { relation, joins });
    item.relation = ast::TableFactor::NestedJoin { table_with_joins, alias: None };
}

/// Whether it is a join with a call that can be planned over its left side. With another the call stands
/// alone: it may have rows that the left side does not.
fn may_read_left(join: &ast::Join) -> bool {
    use ast::{JoinConstraint as C, JoinOperator as J};
    let operator = match &join.join_operator {
        J::CrossJoin(C::None) => true,
        J::Join(C::On(_)) | J::Inner(C::On(_)) => true,
        J::Left(C::On(on)) | J::LeftOuter(C::On(on)) => is_true(on),
        _ => false,
    };
    operator && Call::of(&join.relation).is_some()
}

/// The join, if the relation is joined exactly once, with a call that may read it.
fn lone_call(item: &ast::TableWithJoins) -> Option<&ast::Join> {
    match item.joins.as_slice() {
        [join] if may_read_left(join) => Some(join),
        _ => None,
    }
}

/// Calls in a select list, but neither in the queries within it nor where a value may not be asked for:
/// there PostgreSQL refuses them, and here they are functions that do not exist.
struct SelectList {
    depth: usize,
}

/// Whether the parts of an expression are computed for some rows alone, or for several at once.
fn is_conditional(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Case { .. } => true,
        ast::Expr::Function(function) => {
            let name = function.name.to_string();
            function.over.is_some()
                || function.filter.is_some()
                || name.eq_ignore_ascii_case("coalesce")
        }
        _ => false,
    }
}

impl VisitorMut for SelectList {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        self.depth += usize::from(is_conditional(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        self.depth -= usize::from(is_conditional(expr));
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let ast::Expr::Function(found) = &mut *expr else { return ControlFlow::Continue(()) };
        let Some(function) = Function::named(&found.name) else { return ControlFlow::Continue(()) };
        let as_text = match function.gives {
            Gives::Parts(What::Elements | What::Keys, as_text) => as_text,
            Gives::Elements => {
                flatten(found);
                return ControlFlow::Continue(());
            }
            _ => return ControlFlow::Continue(()),
        };
        found.name = ast::ObjectName::from(vec![ast::Ident::new(function.behind)]);
        if let ast::FunctionArguments::List(list) = &mut found.args {
            for argument in &mut list.args {
                if let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(argument)) = argument {
                    *argument = function.typed(argument.clone());
                }
            }
        }
        let rows = call("unnest", [expr.clone()]);
        *expr = match as_text {
            true => rows,
            false => call(if function.json() == "jsonb" { JSONB } else { JSON }, [rows]),
        };
        ControlFlow::Continue(())
    }
}

/// `unnest(x)` as `unnest(__flat(x))`.
fn flatten(unnest: &mut ast::Function) {
    let ast::FunctionArguments::List(list) = &mut unnest.args else { return };
    if let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(array))] = list.args.as_mut_slice()
    {
        *array = call(FLAT, [array.clone()]);
    }
}

/// Plans what [`rewrite`] has wrapped, and calls that stand alone.
#[derive(Debug)]
pub(crate) struct CallPlanner;

impl RelationPlanner for CallPlanner {
    fn plan_relation(
        &self,
        relation: ast::TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<RelationPlanning> {
        let plan = match &relation {
            ast::TableFactor::NestedJoin { table_with_joins, alias: None }
                if lone_call(table_with_joins).is_some() =>
            {
                plan_join(table_with_joins, context)?
            }
            alone => match Call::of(alone) {
                // Several arrays side by side are for the planner's own unnest.
                Some(call) if call.arguments.len() == 1 => {
                    let nothing = LogicalPlanBuilder::empty(true).build()?;
                    expand(nothing, &call, NullHandling::Drop, context)?
                }
                _ => return Ok(RelationPlanning::Original(Box::new(relation))),
            },
        };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

fn plan_join(
    item: &ast::TableWithJoins,
    context: &mut dyn RelationPlannerContext,
) -> DfResult<LogicalPlan> {
    use ast::JoinOperator as J;
    let left = context.plan(item.relation.clone())?;
    let Some((join, call)) =
        lone_call(item).and_then(|join| Some((join, Call::of(&join.relation)?)))
    else {
        return Ok(left);
    };
    let nulls = match &join.join_operator {
        J::Left(_) | J::LeftOuter(_) => NullHandling::PreserveAndExpandEmpty,
        _ => NullHandling::Drop,
    };
    let plan = expand(left, &call, nulls, context)?;
    match &join.join_operator {
        J::Join(ast::JoinConstraint::On(on)) | J::Inner(ast::JoinConstraint::On(on)) => {
            let condition = context.sql_to_expr(on.clone(), plan.schema())?;
            LogicalPlanBuilder::from(plan).filter(condition)?.build()
        }
        _ => Ok(plan),
    }
}

fn is_true(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Value(value) if value.value == ast::Value::Boolean(true))
}

/// The rows of a call for each row of `input`, beside it.
fn expand(
    input: LogicalPlan,
    call: &Call<'_>,
    nulls: NullHandling,
    context: &mut dyn RelationPlannerContext,
) -> DfResult<LogicalPlan> {
    let schema = Arc::clone(input.schema());
    let [argument] = call.arguments[..] else { return Err(call.refused(&[]).into()) };
    let argument = context.sql_to_expr(call.function.typed(argument.clone()), &schema)?;
    let (_, field) = argument.to_field(&schema)?;
    let list = match call.function.gives {
        Gives::Elements => Flat::function().call(vec![argument]),
        _ if crate::types::pg_type_of(&field).name == call.function.json() => {
            behind(call.function.behind, argument, context)?
        }
        _ => return Err(call.refused(&[crate::types::type_name(&field)]).into()),
    };
    let (_, given) = list.to_field(&schema)?;
    let element = match given.data_type() {
        // Columns keep the type of their elements with the list.
        DataType::List(item) => {
            let kind = item.metadata().get(TYPE_KEY).or_else(|| given.metadata().get(TYPE_KEY));
            Some(kind.map(|kind| kind.strip_suffix("[]").unwrap_or(kind).to_owned()))
        }
        _ => None,
    };
    let before: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    let with_list = before.iter().cloned().chain([list.alias(EACH)]);
    let mut plan = LogicalPlanBuilder::from(input).project(with_list.collect::<Vec<_>>())?;
    if element.is_some() {
        let options = UnnestOptions { null_handling: nulls, ..UnnestOptions::default() };
        plan = plan.unnest_column_with_options(Column::from_name(EACH), options)?;
    }
    let plan = plan.build()?;
    let columns = call.columns(element.flatten(), plan.schema(), context)?;
    let all = before.into_iter().chain(columns);
    LogicalPlanBuilder::from(plan).project(all.collect::<Vec<_>>())?.build()
}

fn behind(name: &str, argument: Expr, context: &dyn RelationPlannerContext) -> DfResult<Expr> {
    match context.context_provider().get_function_meta(name) {
        Some(function) => Ok(function.call(vec![argument])),
        None => Err(Error::internal(format!("function {name} is not registered")).into()),
    }
}

impl Call<'_> {
    fn refused(&self, types: &[String]) -> Error {
        let message =
            format!("function {}({}) does not exist", self.function.name, types.join(", "));
        let error = Error::new(state::UNDEFINED_FUNCTION, message);
        match self.function.gives {
            Gives::Elements => error.with_hint("It takes one array."),
            _ => error.with_hint(format!("It takes one value of type {}.", self.function.json())),
        }
    }

    /// The columns over what [`EACH`] has become, named as the alias says.
    fn columns(
        &self,
        element: Option<String>,
        schema: &DFSchema,
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<Vec<Expr>> {
        let function = self.function;
        let table = self.alias.map(|alias| fold(&alias.name));
        let table = table.unwrap_or_else(|| function.name.to_owned());
        let each = || Expr::Column(Column::from_name(EACH));
        let json = Some(function.json().to_owned());
        let of_struct = |name: &str| {
            let get = context.context_provider().get_function_meta("get_field");
            let get = get.ok_or_else(|| Error::internal("get_field is not registered"))?;
            Ok::<_, Error>(get.call(vec![each(), lit(name)]))
        };
        let mut columns: Vec<(String, Expr, Option<String>)> = match function.gives {
            Gives::Elements => vec![(table.clone(), each(), element)],
            Gives::Parts(What::Elements, as_text) => {
                vec![(VALUE.to_owned(), each(), json.filter(|_| !as_text))]
            }
            Gives::Parts(What::Keys, _) => vec![(table.clone(), each(), None)],
            Gives::Parts(What::Fields, as_text) => vec![
                (KEY.to_owned(), of_struct(KEY)?, None),
                (VALUE.to_owned(), of_struct(VALUE)?, json.filter(|_| !as_text)),
            ],
            Gives::RecordSet | Gives::Record => self.record(schema, context)?,
        };
        let given = self.alias.map_or(&[][..], |alias| &alias.columns);
        if given.len() > columns.len() {
            let message = format!(
                "table \"{table}\" has {} columns available but {} columns specified",
                columns.len(),
                given.len()
            );
            return Err(Error::new("42P10", message).into());
        }
        let is_record = matches!(function.gives, Gives::RecordSet | Gives::Record);
        if !is_record && given.iter().any(|column| column.data_type.is_some()) {
            let message =
                "a column definition list is only allowed for functions returning \"record\"";
            return Err(Error::syntax(message).into());
        }
        for ((name, ..), given) in columns.iter_mut().zip(given) {
            *name = fold(&given.name);
        }
        let mut named = Vec::with_capacity(columns.len());
        for (name, expr, kind) in columns {
            // A type in the alias alone is lost where the optimizer puts the expression elsewhere.
            let (expr, kind) = match kind.as_deref() {
                Some("json") => (behind(JSON, expr, context)?, kind),
                Some("jsonb") => (behind(JSONB, expr, context)?, kind),
                Some(other) if matches!(function.gives, Gives::Elements) => {
                    (OfType::function(other).call(vec![expr]), kind)
                }
                _ => (expr, kind),
            };
            let metadata = kind.map(|kind| BTreeMap::from([(TYPE_KEY.to_owned(), kind)]));
            let metadata = metadata.map(FieldMetadata::from);
            named.push(expr.alias_qualified_with_metadata(Some(table.as_str()), name, metadata));
        }
        Ok(named)
    }

    /// The fields of an object that the alias names, each of the type that it says.
    fn record(
        &self,
        schema: &DFSchema,
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<Vec<(String, Expr, Option<String>)>> {
        let given = self.alias.map_or(&[][..], |alias| &alias.columns);
        let undefined = || {
            let message = "a column definition list is required for functions returning \"record\"";
            Error::syntax(message)
                .with_hint(format!("{}(...) AS r(id bigint, name text)", self.function.name))
        };
        if given.is_empty() {
            return Err(undefined().into());
        }
        let object =
            call(self.function.object, [ast::Expr::Identifier(ast::Ident::with_quote('"', EACH))]);
        let column = |column: &ast::TableAliasColumnDef| {
            let data_type = column.data_type.clone().ok_or_else(undefined)?;
            let name = fold(&column.name);
            let key = ast::Value::SingleQuotedString(name.clone()).with_empty_span();
            let field = |op| {
                let (left, right) = (object.clone(), ast::Expr::Value(key.clone()));
                ast::Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
            };
            let is_json = matches!(data_type, ast::DataType::JSON | ast::DataType::JSONB);
            let text = context.sql_to_expr(field(ast::BinaryOperator::LongArrow), schema)?;
            let inner = match is_json {
                true => field(ast::BinaryOperator::Arrow),
                false => field(ast::BinaryOperator::LongArrow),
            };
            let (kind, expr) = (ast::CastKind::Cast, Box::new(inner));
            let cast = ast::Expr::Cast { kind, expr, data_type, array: false, format: None };
            let cast = context.sql_to_expr(cast, schema)?;
            let target = cast.to_field(schema)?.1;
            // A null of JSON is no value of any type; a text that is too long is refused, not cut.
            let value = match is_json {
                true => when(text.is_not_null(), cast).end()?,
                false => {
                    let source = text.to_field(schema)?.1;
                    semantics::assign(text, &source, &target)?
                }
            };
            Ok((name, value, target.metadata().get(TYPE_KEY).cloned()))
        };
        given.iter().map(column).collect()
    }
}
