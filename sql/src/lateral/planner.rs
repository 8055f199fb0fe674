//! Plans of calls: an unnest over what stands before them.
//!
//! Never: a row of the left side that is lost, or a type of an element.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{Column, DFSchema, NullHandling, UnnestOptions};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit, when};
use datafusion::sql::sqlparser::ast;

use super::flat::{Flat, OfType};
use super::{Call, Gives, JSON, JSONB, lone_call};
use crate::error::{Error, state};
use crate::json::{KEY, VALUE, What};
use crate::resolve::fold;
use crate::semantics::{self, call};
use crate::types::TYPE_KEY;

/// The list, and then each of its elements, on the way to the columns.
const EACH: &str = "__each";

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
