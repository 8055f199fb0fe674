//! `SET`, `SHOW`, `RESET`, `DISCARD`: the settings of a session.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast;

use crate::error::{Error, Result, state};
use crate::output::{Notice, Output};
use crate::resolve::fold;
use crate::session::Session;
use crate::transaction::Transaction;

/// `SET name = value`, `SET LOCAL`, `SET TIME ZONE`, `SET TRANSACTION`, `SET NAMES`.
pub(crate) fn run(session: &Session, set: &ast::Set) -> Result<Output> {
    match set {
        ast::Set::SingleAssignment { scope, hivevar: false, variable, values } => {
            let local = match scope {
                None | Some(ast::ContextModifier::Session) => false,
                Some(ast::ContextModifier::Local) => true,
                Some(ast::ContextModifier::Global) => {
                    return Err(Error::unsupported("SET GLOBAL is not supported"));
                }
            };
            let name = dotted(variable);
            let words = values.iter().map(value_text).collect::<Result<Vec<String>>>()?;
            assign(session, &name, &joined(&name, &words), local)?;
        }
        ast::Set::SetTimeZone { local, value } => {
            assign(session, "TimeZone", &value_text(value)?, *local)?;
        }
        ast::Set::SetNames { charset_name, collation_name: None } => {
            assign(session, "client_encoding", &charset_name.value, false)?;
        }
        ast::Set::SetTransaction { modes, snapshot: None, session: for_session } => {
            transaction_modes(session, modes, *for_session)?;
        }
        ast::Set::SetSessionParam(_) | ast::Set::SetRole { .. } => {
            return Err(Error::unsupported(format!("{set} is not supported"))
                .with_detail("There are no roles to change to."));
        }
        other => return Err(Error::unsupported(format!("{other} is not supported"))),
    }
    Ok(Output::done("SET"))
}

fn assign(session: &Session, name: &str, value: &str, local: bool) -> Result<()> {
    if local && !session.in_transaction() {
        let warning = "SET LOCAL can only be used in transaction blocks";
        session.notice(Notice::warning(state::NO_ACTIVE_TRANSACTION, warning));
        return session.with(|s| s.settings.clone().set(name, value));
    }
    if name.eq_ignore_ascii_case("transaction_read_only") {
        let read_only = session.with(|s| {
            let mut asked = s.settings.clone();
            asked.set(name, value)?;
            Ok::<bool, Error>(asked.bool(name))
        })?;
        return session.with(|s| s.transaction.as_mut().map_or(Ok(()), |t| set_mode(t, read_only)));
    }
    session.with(|s| {
        if local { s.settings.set_local(name, value) } else { s.settings.set(name, value) }
    })
}

fn transaction_modes(
    session: &Session,
    modes: &[ast::TransactionMode],
    for_session: bool,
) -> Result<()> {
    for mode in modes {
        let ast::TransactionMode::AccessMode(access) = mode else { continue };
        let read_only = *access == ast::TransactionAccessMode::ReadOnly;
        session.with(|s| match &mut s.transaction {
            _ if for_session => {
                let value = if read_only { "on" } else { "off" };
                s.settings.set("default_transaction_read_only", value)
            }
            Some(open) => set_mode(open, read_only),
            None => Ok(()),
        })?;
    }
    if !for_session && !session.in_transaction() {
        let warning = "SET TRANSACTION can only be used in transaction blocks";
        session.notice(Notice::warning(state::NO_ACTIVE_TRANSACTION, warning));
    }
    Ok(())
}

/// A transaction that only reads may be opened to writes before it has read anything.
fn set_mode(open: &mut Transaction, read_only: bool) -> Result<()> {
    if open.read_only && !read_only && open.queried {
        return Err(Error::new(
            state::ACTIVE_TRANSACTION,
            "transaction read-write mode must be set before any query",
        ));
    }
    open.read_only = read_only;
    Ok(())
}

fn dotted(name: &ast::ObjectName) -> String {
    let parts = name.0.iter().filter_map(|part| part.as_ident()).map(fold);
    parts.collect::<Vec<_>>().join(".")
}

/// A list is joined as Postgres shows it; a schema that needs quotes gets them.
fn joined(name: &str, words: &[String]) -> String {
    if !name.eq_ignore_ascii_case("search_path") {
        return words.join(", ");
    }
    let quoted = words.iter().map(|word| {
        let plain = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if plain || word.starts_with('"') { word.clone() } else { format!("\"{word}\"") }
    });
    quoted.collect::<Vec<_>>().join(", ")
}

fn value_text(value: &ast::Expr) -> Result<String> {
    match value {
        ast::Expr::Value(v) => match &v.value {
            ast::Value::SingleQuotedString(text) => Ok(text.clone()),
            ast::Value::Number(digits, _) => Ok(digits.clone()),
            ast::Value::Boolean(on) => Ok(on.to_string()),
            other => Err(not_a_value(other)),
        },
        ast::Expr::Identifier(ident) => Ok(ident.value.clone()),
        ast::Expr::CompoundIdentifier(parts) => {
            Ok(parts.iter().map(|p| p.value.as_str()).collect::<Vec<_>>().join("."))
        }
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => {
            Ok(format!("-{}", value_text(expr)?))
        }
        other => Err(not_a_value(other)),
    }
}

fn not_a_value(value: &impl std::fmt::Display) -> Error {
    Error::syntax(format!("syntax error: a setting cannot take \"{value}\""))
}

/// The setting that `SHOW` names, in one word.
pub(crate) fn shown_name(words: &[ast::Ident]) -> String {
    let words: Vec<String> = words.iter().map(|w| w.value.to_lowercase()).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["transaction", "isolation", "level"] => "transaction_isolation".to_owned(),
        ["time", "zone"] => "TimeZone".to_owned(),
        ["session", "authorization"] => "session_authorization".to_owned(),
        other => other.join("."),
    }
}

/// One column under the setting's name, or three for `SHOW ALL`.
pub(crate) fn show_schema(name: &str) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    if name.eq_ignore_ascii_case("all") {
        let columns = vec![text("name"), text("setting"), text("description")];
        return Arc::new(Schema::new(columns));
    }
    Arc::new(Schema::new(vec![text(name)]))
}

/// `SHOW name`, `SHOW ALL`.
pub(crate) fn show(session: &Session, name: &str) -> Result<Output> {
    let schema = show_schema(name);
    let columns: Vec<ArrayRef> = if name.eq_ignore_ascii_case("all") {
        let all = session.with(|s| s.settings.all());
        vec![
            Arc::new(StringArray::from_iter_values(all.iter().map(|row| row.0))),
            Arc::new(StringArray::from_iter_values(all.iter().map(|row| row.1.as_str()))),
            Arc::new(StringArray::from_iter_values(all.iter().map(|row| row.2))),
        ]
    } else {
        let value = session.with(|s| s.shown(name))?;
        vec![Arc::new(StringArray::from(vec![value]))]
    };
    let batch = RecordBatch::try_new(schema, columns)?;
    Ok(rows_of(batch))
}

/// Rows that are known already, as an output.
pub(crate) fn rows_of(batch: RecordBatch) -> Output {
    let schema = batch.schema();
    let stream = futures::stream::once(async move { Ok(batch) });
    let rows = datafusion::physical_plan::stream::RecordBatchStreamAdapter::new(schema, stream);
    Output::Rows(Box::pin(rows))
}

/// `RESET name`, `RESET ALL`.
pub(crate) fn reset(session: &Session, what: &ast::Reset) -> Result<Output> {
    session.with(|s| match what {
        ast::Reset::ALL => {
            s.settings.reset_all();
            Ok(())
        }
        ast::Reset::ConfigurationParameter(name) => s.settings.reset(&dotted(name)),
    })?;
    Ok(Output::done("RESET"))
}

/// `DISCARD ALL | PLANS | SEQUENCES | TEMP`.
pub(crate) fn discard(session: &Session, object: &ast::DiscardObject) -> Result<Output> {
    match object {
        ast::DiscardObject::ALL => {
            session.refuse_in_transaction("DISCARD ALL")?;
            session.cursors().close_all();
            session.drop_temporary_tables();
            session.with(|s| {
                s.settings.reset_all();
                s.prepared.clear();
            });
            Ok(Output::done("DISCARD ALL"))
        }
        ast::DiscardObject::PLANS => Ok(Output::done("DISCARD PLANS")),
        ast::DiscardObject::SEQUENCES => Ok(Output::done("DISCARD SEQUENCES")),
        ast::DiscardObject::TEMP => {
            session.drop_temporary_tables();
            Ok(Output::done("DISCARD TEMP"))
        }
    }
}
