//! `PREPARE`, `EXECUTE`, `DEALLOCATE`: prepared statements by SQL, beside those of the wire.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::sql::sqlparser::ast;

use crate::error::{Error, Result, state};
use crate::output::Output;
use crate::plan;
use crate::resolve::{fold, split_name};
use crate::session::{Prepared, Session};
use crate::statement::{Kind, Statement};
use crate::types;

/// `PREPARE name [(types)] AS statement`.
#[derive(Debug, Clone)]
pub(crate) struct Prepare {
    name: String,
    data_types: Vec<ast::DataType>,
    statement: Statement,
}

/// `EXECUTE name [(values)]`.
#[derive(Debug, Clone)]
pub(crate) struct Execute {
    name: String,
    values: Vec<ast::Expr>,
}

impl Prepare {
    pub(crate) fn from_ast(statement: ast::Statement) -> Result<Self> {
        let ast::Statement::Prepare { name, data_types, statement } = statement else {
            return Err(Error::internal("not a PREPARE"));
        };
        let text = statement.to_string();
        let kind = Kind::from_ast(*statement, false)?;
        let takes_parameters = matches!(
            kind,
            Kind::Query(_) | Kind::Insert(_) | Kind::Update(_) | Kind::Delete(_) | Kind::Merge(_)
        );
        if !takes_parameters {
            let word = text.split_whitespace().next().unwrap_or_default();
            return Err(Error::syntax(format!("syntax error at or near \"{word}\""))
                .with_hint("PREPARE takes SELECT, INSERT, UPDATE, DELETE, MERGE or VALUES."));
        }
        Ok(Self { name: fold(&name), data_types, statement: Statement::new(&text, kind) })
    }
}

impl Execute {
    pub(crate) fn from_ast(statement: ast::Statement) -> Result<Self> {
        match statement {
            ast::Statement::Execute {
                name: Some(name),
                parameters,
                immediate: false,
                into,
                using,
                output: false,
                default: false,
                ..
            } if into.is_empty() && using.is_empty() => {
                Ok(Self { name: split_name(&name)?.1, values: parameters })
            }
            other => Err(Error::unsupported(format!("{other} is not supported"))
                .with_hint("Use EXECUTE name (value, ...).")),
        }
    }
}

/// Keeps a statement under a name.
pub(crate) async fn prepare(session: &Session, prepare: &Prepare) -> Result<Output> {
    if session.with(|s| s.prepared.contains_key(&prepare.name)) {
        return Err(Error::new(
            state::DUPLICATE_STATEMENT,
            format!("prepared statement \"{}\" already exists", prepare.name),
        ));
    }
    let given = prepare
        .data_types
        .iter()
        .map(|t| Ok(Some(Arc::new(types::field_of_value_type(without_length(t), "", true)?))))
        .collect::<Result<Vec<Option<FieldRef>>>>()?;
    let prepared = Box::pin(session.prepare(prepare.statement.clone(), &given)).await?;
    session.with(|s| s.prepared.insert(prepare.name.clone(), prepared));
    Ok(Output::done("PREPARE"))
}

/// Parameters have no length, as in PostgreSQL.
const fn without_length(data_type: &ast::DataType) -> &ast::DataType {
    match data_type {
        ast::DataType::Varchar(Some(_)) | ast::DataType::CharacterVarying(Some(_)) => {
            &ast::DataType::Varchar(None)
        }
        other => other,
    }
}

/// The columns that EXECUTE yields.
pub(crate) fn execute_schema(session: &Session, execute: &Execute) -> Result<Option<SchemaRef>> {
    Ok(find(session, &execute.name)?.columns())
}

/// What a statement runs, where it is an EXECUTE.
pub(crate) fn executed(session: &Session, statement: &Statement) -> Option<Arc<Prepared>> {
    match &statement.kind {
        Kind::Execute(execute) => find(session, &execute.name).ok(),
        _ => None,
    }
}

/// Runs a statement that PREPARE kept.
pub(crate) async fn execute(session: &Session, execute: &Execute) -> Result<Output> {
    let prepared = find(session, &execute.name)?;
    let state = session.planning_state();
    let fields = prepared.parameter_fields();
    if fields.len() != execute.values.len() {
        return Err(Error::syntax(format!(
            "wrong number of parameters for prepared statement \"{}\"",
            execute.name
        ))
        .with_detail(format!(
            "It takes {}, but {} came.",
            fields.len(),
            execute.values.len()
        )));
    }
    let values = execute
        .values
        .iter()
        .zip(fields)
        .map(|(value, field)| plan::constant_of(&state, &value.to_string(), field));
    session.run(&prepared, values.collect::<Result<Vec<_>>>()?).await
}

/// `DEALLOCATE name` or `DEALLOCATE ALL`.
pub(crate) fn deallocate(session: &Session, name: &ast::Ident) -> Result<Output> {
    if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all") {
        session.with(|s| s.prepared.clear());
        return Ok(Output::done("DEALLOCATE ALL"));
    }
    let name = fold(name);
    match session.with(|s| s.prepared.remove(&name)) {
        Some(_) => Ok(Output::done("DEALLOCATE")),
        None => Err(unknown(&name)),
    }
}

fn find(session: &Session, name: &str) -> Result<Arc<Prepared>> {
    session.with(|s| s.prepared.get(name).map(Arc::clone)).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Error {
    Error::new(
        state::INVALID_STATEMENT_NAME,
        format!("prepared statement \"{name}\" does not exist"),
    )
}
