//! `BEGIN`, `COMMIT`, `ROLLBACK`, `SAVEPOINT`, `ROLLBACK TO`, `RELEASE`.
//!
//! Every isolation level that Postgres knows is taken and gives snapshot isolation: the versions
//! that a transaction read hold until its end.

use datafusion::sql::sqlparser::ast;

use crate::error::{Error, Result, state};
use crate::output::{Notice, Output};
use crate::resolve::fold;
use crate::session::Session;
use crate::transaction::Transaction;

/// `BEGIN` or `START TRANSACTION`.
pub(crate) fn begin(session: &Session, modes: &[ast::TransactionMode]) -> Result<Output> {
    if session.in_transaction() {
        let warning = "there is already a transaction in progress";
        session.notice(Notice::warning(state::ACTIVE_TRANSACTION, warning));
        return Ok(Output::done("BEGIN"));
    }
    let snapshot = session.snapshot();
    session.with(|s| {
        let mut read_only = s.settings.bool("default_transaction_read_only");
        for mode in modes {
            match mode {
                ast::TransactionMode::AccessMode(mode) => {
                    read_only = *mode == ast::TransactionAccessMode::ReadOnly;
                }
                ast::TransactionMode::IsolationLevel(_) => {}
            }
        }
        s.transaction = Some(Transaction::new(snapshot, s.settings.clone(), read_only));
    });
    Ok(Output::done("BEGIN"))
}

/// `COMMIT` or `END`. Of a failed transaction it is a ROLLBACK, and its tag says so.
pub(crate) async fn commit(session: &Session, chain: bool) -> Result<Output> {
    refuse_chain(chain)?;
    let Some(transaction) = session.with(|s| s.transaction.take()) else {
        session.notice(no_transaction());
        return Ok(Output::done("COMMIT"));
    };
    session.cursors().close_without_hold();
    if transaction.failed {
        session.with(|s| s.settings = transaction.settings);
        return Ok(Output::done("ROLLBACK"));
    }
    let before = transaction.settings.clone();
    let committed = transaction.commit(session.engine()).await;
    session.with(|s| match committed {
        Ok(()) => s.settings.end_transaction(),
        Err(_) => s.settings = before,
    });
    committed?;
    Ok(Output::done("COMMIT"))
}

/// `ROLLBACK`, `ABORT` or `ROLLBACK TO SAVEPOINT`.
pub(crate) fn rollback(
    session: &Session,
    chain: bool,
    savepoint: Option<&ast::Ident>,
) -> Result<Output> {
    refuse_chain(chain)?;
    if let Some(name) = savepoint {
        open(session, "ROLLBACK TO SAVEPOINT", |t| t.rollback_to(&fold(name)))?;
        return Ok(Output::done("ROLLBACK"));
    }
    session.cursors().close_without_hold();
    let rolled_back = session.with(|s| {
        let transaction = s.transaction.take()?;
        s.settings = transaction.settings;
        Some(())
    });
    if rolled_back.is_none() {
        session.notice(no_transaction());
    }
    Ok(Output::done("ROLLBACK"))
}

/// `SAVEPOINT name`.
pub(crate) fn savepoint(session: &Session, name: &ast::Ident) -> Result<Output> {
    open(session, "SAVEPOINT", |t| {
        t.savepoint(&fold(name));
        Ok(())
    })?;
    Ok(Output::done("SAVEPOINT"))
}

/// `RELEASE [SAVEPOINT] name`.
pub(crate) fn release(session: &Session, name: &ast::Ident) -> Result<Output> {
    open(session, "RELEASE SAVEPOINT", |t| t.release(&fold(name)))?;
    Ok(Output::done("RELEASE"))
}

fn open<T>(
    session: &Session,
    statement: &str,
    f: impl FnOnce(&mut Transaction) -> Result<T>,
) -> Result<T> {
    session.with(|s| match &mut s.transaction {
        Some(transaction) => f(transaction),
        None => Err(Error::new(
            state::NO_ACTIVE_TRANSACTION,
            format!("{statement} can only be used in transaction blocks"),
        )),
    })
}

fn no_transaction() -> Notice {
    Notice::warning(state::NO_ACTIVE_TRANSACTION, "there is no transaction in progress")
}

fn refuse_chain(chain: bool) -> Result<()> {
    if chain {
        return Err(Error::unsupported("AND CHAIN is not supported").with_hint("Use BEGIN."));
    }
    Ok(())
}
