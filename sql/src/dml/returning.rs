//! `RETURNING`: expressions over the rows that a statement inserted, changed or deleted.
//!
//! What they give is held until the statement has committed: a client never sees rows of a statement
//! that failed. It counts as memory of queries.
//! Never: a row more, or a row less, than the command tag tells.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{Field, FieldRef, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::error::Result as DfResult;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{EmptyRelation, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;

use crate::error::{Error, Result, state};
use crate::output::Output;
use crate::resolve::{Resolver, fold};
use crate::session::Session;
use crate::statement::select;
use crate::{parser, plan};

/// The rows that RETURNING sees.
pub(crate) struct Rows {
    pub(crate) columns: DFSchema,
    /// In which order `*` gives them.
    pub(crate) order: Vec<usize>,
}

impl Rows {
    /// The columns of one relation.
    pub(crate) fn of(relation: &str, schema: &SchemaRef) -> Result<Self> {
        let columns = DFSchema::try_from_qualified_schema(relation, schema)?;
        Ok(Self { order: (0..columns.fields().len()).collect(), columns })
    }
}

/// A planned RETURNING.
pub(crate) struct Returning {
    /// A projection of rows that are not there yet.
    plan: LogicalPlan,
    names: Vec<String>,
}

impl Returning {
    pub(crate) async fn plan(
        session: &Session,
        state: &SessionState,
        items: &[ast::SelectItem],
        rows: Rows,
    ) -> Result<Self> {
        let (names, items): (Vec<String>, Vec<ast::SelectItem>) =
            expand(items, &rows)?.into_iter().unzip();
        let mut query = parser::parse_query("SELECT 1")?;
        if let ast::SetExpr::Select(select) = query.body.as_mut() {
            select.projection = items;
        }
        let statement = ast::Statement::Query(query);
        let functions = Resolver::new(session, state).resolve(&statement).await?;
        let expressions = plan::expressions(state, &functions, statement, &rows.columns)?;
        let input = LogicalPlan::EmptyRelation(EmptyRelation {
            produce_one_row: false,
            schema: Arc::new(rows.columns),
        });
        // By number: two of them may have one name.
        let numbered = expressions.into_iter().enumerate();
        let numbered = numbered.map(|(at, expr)| expr.alias(at.to_string()));
        Ok(Self { plan: LogicalPlanBuilder::from(input).project(numbered)?.build()?, names })
    }

    /// The parameters of the statement, those that are only here among them.
    pub(crate) fn parameters(&self, given: &[Option<FieldRef>]) -> Result<Vec<Field>> {
        select::parameter_fields(&self.plan, given)
    }

    /// The columns that it gives.
    pub(crate) fn schema(&self, state: &SessionState) -> SchemaRef {
        let settled = select::coerced(state, &self.plan);
        let schema = Arc::new(settled.schema().as_arrow().clone());
        select::renamed(&schema, Some(&self.names))
    }

    /// Ready to take rows.
    pub(crate) fn start(
        self,
        state: &SessionState,
        parameters: &[ScalarValue],
    ) -> Result<Arc<Returned>> {
        let schema = self.schema(state);
        let LogicalPlan::Projection(projection) = select::bind(self.plan, parameters)? else {
            return Err(Error::internal("RETURNING has no expressions"));
        };
        let columns = projection.input.schema();
        let expressions = projection
            .expr
            .iter()
            .map(|expr| {
                let simple = plan::simplify(state, expr.clone().unalias(), columns)?;
                Ok(state.create_physical_expr(simple, columns)?)
            })
            .collect::<Result<Vec<_>>>()?;
        let memory = MemoryConsumer::new("RETURNING").register(&state.runtime_env().memory_pool);
        Ok(Arc::new(Returned {
            input: Arc::new(columns.as_arrow().clone()),
            schema,
            expressions,
            held: Mutex::new(Held { batches: Vec::new(), memory }),
        }))
    }
}

/// The items with `*` and `relation.*` written out, and the name of each.
fn expand(items: &[ast::SelectItem], rows: &Rows) -> Result<Vec<(String, ast::SelectItem)>> {
    let mut expanded = Vec::new();
    for item in items {
        match item {
            ast::SelectItem::Wildcard(options) => {
                refuse_options(options)?;
                expanded.extend(rows.order.iter().map(|index| column(rows, *index)));
            }
            ast::SelectItem::QualifiedWildcard(
                ast::SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) => {
                refuse_options(options)?;
                let wanted = name.0.last().and_then(|part| part.as_ident()).map(fold);
                let before = expanded.len();
                let of_it = rows.order.iter().filter(|index| {
                    let (qualifier, _) = rows.columns.qualified_field(**index);
                    qualifier.map(|qualifier| qualifier.table()) == wanted.as_deref()
                });
                expanded.extend(of_it.map(|index| column(rows, *index)));
                if expanded.len() == before {
                    return Err(Error::new(
                        state::UNDEFINED_TABLE,
                        format!("missing FROM-clause entry for table \"{name}\""),
                    ));
                }
            }
            ast::SelectItem::UnnamedExpr(expr) => {
                refuse_subquery(expr)?;
                expanded.push((select::column_name(expr), item.clone()));
            }
            ast::SelectItem::ExprWithAlias { expr, alias } => {
                refuse_subquery(expr)?;
                expanded.push((fold(alias), item.clone()));
            }
            other => {
                return Err(Error::unsupported(format!("RETURNING does not support \"{other}\"")));
            }
        }
    }
    Ok(expanded)
}

fn column(rows: &Rows, index: usize) -> (String, ast::SelectItem) {
    let (qualifier, field) = rows.columns.qualified_field(index);
    let quoted = |name: &str| ast::Ident::with_quote('"', name);
    let mut parts: Vec<ast::Ident> = qualifier.iter().map(|q| quoted(q.table())).collect();
    parts.push(quoted(field.name()));
    let expr = ast::Expr::CompoundIdentifier(parts);
    (field.name().clone(), ast::SelectItem::UnnamedExpr(expr))
}

fn refuse_options(options: &ast::WildcardAdditionalOptions) -> Result<()> {
    let written = options.to_string();
    match written.is_empty() {
        true => Ok(()),
        false => Err(Error::unsupported(format!("RETURNING does not support \"*{written}\""))),
    }
}

fn refuse_subquery(expr: &ast::Expr) -> Result<()> {
    struct Find;
    impl ast::Visitor for Find {
        type Break = ();
        fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    match ast::Visit::visit(expr, &mut Find).is_break() {
        false => Ok(()),
        true => Err(Error::unsupported("RETURNING does not support subqueries")
            .with_hint("Return the key, and SELECT after the statement.")),
    }
}

/// What RETURNING gave of the rows that the statement has met so far.
pub(crate) struct Returned {
    input: SchemaRef,
    schema: SchemaRef,
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    held: Mutex<Held>,
}

struct Held {
    batches: Vec<RecordBatch>,
    memory: MemoryReservation,
}

impl Returned {
    /// Takes rows with the columns that it was planned for, in whichever way Arrow holds their values.
    pub(super) fn take(&self, columns: &[ArrayRef], count: usize) -> DfResult<()> {
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let columns = self.input.fields().iter().zip(columns).map(|(field, column)| {
            match column.data_type() == field.data_type() {
                true => Ok(Arc::clone(column)),
                false => cast(column, field.data_type()),
            }
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.input), columns, &options)?;
        let given = self.expressions.iter().zip(self.schema.fields()).map(|(expression, field)| {
            let value = expression.evaluate(&rows)?.into_array(count)?;
            match value.data_type() == field.data_type() {
                true => Ok(value),
                false => Ok(cast(&value, field.data_type())?),
            }
        });
        let given = given.collect::<DfResult<Vec<ArrayRef>>>()?;
        let given = RecordBatch::try_new_with_options(Arc::clone(&self.schema), given, &options)?;
        let mut held = self.held.lock();
        held.memory.try_grow(given.get_array_memory_size())?;
        held.batches.push(given);
        Ok(())
    }

    /// All of it, for the client.
    pub(crate) fn output(&self) -> Output {
        let mut held = self.held.lock();
        let batches = std::mem::take(&mut held.batches);
        // Given back when the last of the rows has gone out.
        let memory = held.memory.take();
        let rows = futures::stream::iter(batches.into_iter().map(move |batch| {
            let _held = &memory;
            Ok(batch)
        }));
        Output::Rows(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows)))
    }
}
