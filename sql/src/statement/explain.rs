//! `EXPLAIN [ANALYZE] [VERBOSE] query`: the plan, one line a row, as Postgres' clients show it.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::physical_plan::displayable;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;

use crate::compute::Compute;
use crate::error::{Error, Result, state};
use crate::output::Output;
use crate::session::Session;
use crate::statement::select;
use crate::statement::set::rows_of;

/// What is explained, and how.
#[derive(Debug, Clone)]
pub(crate) struct Explain {
    analyze: bool,
    verbose: bool,
    query: Box<ast::Query>,
}

impl Explain {
    pub(crate) fn from_ast(statement: ast::Statement) -> Result<Self> {
        let ast::Statement::Explain {
            mut analyze,
            mut verbose,
            query_plan: false,
            estimate: false,
            statement,
            format,
            options,
            describe_alias: ast::DescribeAlias::Explain,
        } = statement
        else {
            return Err(Error::unsupported("this form of EXPLAIN is not supported")
                .with_hint("Use EXPLAIN [ANALYZE] [VERBOSE] SELECT ..."));
        };
        if let Some(format) = format
            && format.to_string().to_ascii_uppercase().trim_start_matches("FORMAT ") != "TEXT"
        {
            return Err(Error::unsupported("EXPLAIN gives its plan as text only"));
        }
        for option in options.into_iter().flatten() {
            let name = option.name.value.to_ascii_lowercase();
            let given =
                option.arg.as_ref().map(|arg| arg.to_string().trim_matches('\'').to_owned());
            match name.as_str() {
                "analyze" => analyze = switch(&name, given.as_deref())?,
                "verbose" => verbose = switch(&name, given.as_deref())?,
                "costs" | "timing" | "summary" | "buffers" | "settings" | "wal" => {
                    switch(&name, given.as_deref())?;
                }
                "format" if given.as_ref().is_some_and(|f| f.eq_ignore_ascii_case("text")) => {}
                "format" => {
                    return Err(Error::unsupported("EXPLAIN gives its plan as text only"));
                }
                other => {
                    return Err(Error::unsupported(format!("EXPLAIN has no option \"{other}\"")));
                }
            }
        }
        match *statement {
            ast::Statement::Query(query) => Ok(Self { analyze, verbose, query }),
            other => {
                let word = other.to_string();
                let word = word.split_whitespace().next().unwrap_or_default();
                Err(Error::unsupported(format!("EXPLAIN of {word} is not supported"))
                    .with_hint("EXPLAIN takes a query."))
            }
        }
    }
}

/// Whether an option is on, as it is where nothing follows it.
fn switch(name: &str, given: Option<&str>) -> Result<bool> {
    let Some(given) = given else { return Ok(true) };
    crate::settings::parse_bool(given)
        .ok_or_else(|| Error::new(state::SYNTAX_ERROR, format!("{name} requires a Boolean value")))
}

/// The parameters of the explained query, and the one column.
pub(crate) async fn describe(
    session: &Session,
    explain: &Explain,
    given: &[Option<FieldRef>],
) -> Result<(Vec<Field>, Option<SchemaRef>)> {
    let (parameters, _) = select::describe(session, &explain.query, given).await?;
    Ok((parameters, Some(schema())))
}

/// Plans the query, with ANALYZE also runs it, and shows the plan.
pub(crate) async fn run(
    session: &Session,
    explain: &Explain,
    parameters: &[ScalarValue],
) -> Result<Output> {
    let state = session.planning_state();
    let types = select::types_of(parameters);
    let mut planned = select::plan_query(session, &state, &explain.query, &types).await?;
    let query = &explain.query;
    let kept = select::kept_size(session, &state, query, &mut planned, parameters).await?;
    let logical = state.optimize(&select::bind(planned.plan, parameters)?)?;
    let physical = state.query_planner().create_physical_plan(&logical, &state).await?;
    let mut lines = Vec::new();
    if let Some((rows, bytes)) = kept {
        lines.push(format!("Result cache: {rows} rows are kept, in {bytes} bytes"));
    }
    if explain.verbose {
        lines.push("Logical plan:".to_owned());
        lines.extend(logical.display_indent().to_string().lines().map(|l| format!("  {l}")));
        lines.push("Physical plan:".to_owned());
    }
    let shown = if explain.analyze {
        let mut running = Compute::start(physical, state.task_ctx())?;
        while running.rows.try_next().await?.is_some() {}
        running.metrics(explain.verbose)
    } else {
        let shown = displayable(physical.as_ref()).indent(explain.verbose).to_string();
        shown.lines().map(ToOwned::to_owned).collect()
    };
    lines.extend(shown);
    Ok(rows_of(RecordBatch::try_new(schema(), vec![Arc::new(StringArray::from(lines))])?))
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("QUERY PLAN", DataType::Utf8, false)]))
}
