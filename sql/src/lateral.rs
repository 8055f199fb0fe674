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

mod elements;
mod flat;
mod misplaced;
mod planner;

use std::mem;
use std::ops::ControlFlow;

use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast::{self, VisitMut, VisitorMut};

use crate::json::{AsJson, Expand, What};
use crate::resolve::fold;
use crate::semantics::call;
pub(crate) use elements::name_values;
use flat::{FLAT, Flat};
pub(crate) use misplaced::refuse as refuse_misplaced;
pub(crate) use planner::CallPlanner;

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

fn is_true(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Value(value) if value.value == ast::Value::Boolean(true))
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
