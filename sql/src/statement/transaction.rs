//! `BEGIN`, `COMMIT`, `ROLLBACK`, `SAVEPOINT`, `ROLLBACK TO`, `RELEASE`.
//!
//! Every isolation level that Postgres knows is taken and gives snapshot isolation: the versions
//! that a transaction read hold until its end.

use datafusion::sql::sqlparser::ast;

use crate::dml;
use crate::error::{Error, Result, state};
use crate::output::{Notice, Output};
use crate::resolve::fold;
use crate::session::Session;
use crate::transaction::{Beside, Transaction};

/// `BEGIN` or `START TRANSACTION`. Among statements that came together it opens a transaction that
/// holds those before it, too, as in PostgreSQL.
pub(crate) fn begin(session: &Session, modes: &[ast::TransactionMode]) -> Result<Output> {
    let snapshot = session.snapshot();
    let already = session.with(|s| {
        let read_only = read_only(modes);
        match &mut s.transaction {
            Some(open) if open.implicit => {
                open.implicit = false;
                open.read_only = read_only.unwrap_or(open.read_only);
                false
            }
            Some(_) => true,
            None => {
                let default = || s.settings.bool("default_transaction_read_only");
                let read_only = read_only.unwrap_or_else(default);
                s.transaction = Some(Transaction::new(snapshot, s.beside(), read_only));
                false
            }
        }
    });
    if already {
        let warning = "there is already a transaction in progress";
        session.notice(Notice::warning(state::ACTIVE_TRANSACTION, warning));
    }
    Ok(Output::done("BEGIN"))
}

/// What `READ ONLY` or `READ WRITE` says, the last one; every isolation level is the same.
fn read_only(modes: &[ast::TransactionMode]) -> Option<bool> {
    modes.iter().rev().find_map(|mode| match mode {
        ast::TransactionMode::AccessMode(mode) => {
            Some(*mode == ast::TransactionAccessMode::ReadOnly)
        }
        ast::TransactionMode::IsolationLevel(_) => None,
    })
}

/// `COMMIT` or `END`. Of a failed transaction it is a ROLLBACK, and its tag says so.
pub(crate) async fn commit(session: &Session, chain: bool) -> Result<Output> {
    refuse_chain(chain)?;
    if !begun(session) {
        session.notice(no_transaction());
    }
    let tag = if finish(session).await? { "COMMIT" } else { "ROLLBACK" };
    Ok(Output::done(tag))
}

/// Ends the open transaction, if there is one: commits it unless a statement in it failed. Tells
/// whether everything holds.
pub(crate) async fn finish(session: &Session) -> Result<bool> {
    // From here on it is not known whether the transaction holds until the commit has ended.
    let commitment = session.commitment();
    let _committing = commitment.make();
    let Some(transaction) = session.with(|s| s.transaction.take()) else { return Ok(true) };
    if transaction.failed {
        give_back(session, transaction.beside);
        return Ok(false);
    }
    let before = transaction.beside.clone();
    let temporary = session.with(|s| s.temporary_ids());
    let committed = transaction.commit(session.engine(), session.user(), &temporary).await;
    match committed {
        Ok(failures) => {
            session.cursors().close_without_hold();
            session.with(|s| s.settings.end_transaction());
            for failure in failures {
                let what = failure.message();
                let warning = format!("committed, but a temporary table lost its changes: {what}");
                session.notice(Notice::warning(state::IO_ERROR, warning));
            }
            Ok(true)
        }
        Err(error) => {
            give_back(session, before);
            Err(error)
        }
    }
}

/// Carries out what takes several commits so that all of it holds, or nothing: in the open transaction, or
/// in one of its own, over again while others are faster.
pub(crate) async fn as_one<F: Future<Output = Result<()>> + Send>(
    session: &Session,
    work: impl Fn() -> F + Send + Sync,
) -> Result<()> {
    if session.in_transaction() {
        return work().await;
    }
    let mut attempt = 1;
    loop {
        session.begin_implicit();
        let abandoned = Abandoned(session);
        let done = work().await;
        if done.is_err() {
            session.fail();
        }
        let ended = finish(session).await;
        drop(abandoned);
        match done.and_then(|()| ended.map(drop)) {
            Err(error) if dml::is_lost_race(&error, attempt) => attempt += 1,
            done => return done,
        }
        session.engine().catalog.refresh().await?;
    }
}

/// Takes the transaction of a statement back that is not carried on.
struct Abandoned<'a>(&'a Session);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if let Some(transaction) = self.0.with(|s| s.transaction.take()) {
            give_back(self.0, transaction.beside);
        }
    }
}

/// Whether a BEGIN opened a transaction.
fn begun(session: &Session) -> bool {
    session.with(|s| s.transaction.as_ref().is_some_and(|open| !open.implicit))
}

/// `ROLLBACK`, `ABORT` or `ROLLBACK TO SAVEPOINT`.
pub(crate) fn rollback(
    session: &Session,
    chain: bool,
    savepoint: Option<&ast::Ident>,
) -> Result<Output> {
    refuse_chain(chain)?;
    if let Some(name) = savepoint {
        let beside = open(session, "ROLLBACK TO SAVEPOINT", |t| t.rollback_to(&fold(name)))?;
        session.cursors().close_since(beside.next_cursor);
        session.with(|s| s.restore(beside));
        return Ok(Output::done("ROLLBACK"));
    }
    if !begun(session) {
        session.notice(no_transaction());
    }
    if let Some(transaction) = session.with(|s| s.transaction.take()) {
        give_back(session, transaction.beside);
    }
    Ok(Output::done("ROLLBACK"))
}

/// What the session held before a transaction that did not hold.
fn give_back(session: &Session, beside: Beside) {
    session.cursors().close_since(beside.next_cursor);
    session.cursors().close_without_hold();
    session.with(|s| s.restore(beside));
}

/// `SAVEPOINT name`.
pub(crate) fn savepoint(session: &Session, name: &ast::Ident) -> Result<Output> {
    let beside = session.with(|s| s.beside());
    open(session, "SAVEPOINT", |t| {
        t.savepoint(&fold(name), beside);
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
        Some(transaction) if !transaction.implicit => f(transaction),
        _ => Err(Error::new(
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

#[cfg(test)]
mod tests {
    use super::as_one;
    use crate::session::TransactionStatus;
    use crate::{Engine, EngineConfig, Error, SessionStart};

    #[tokio::test]
    async fn a_statement_of_several_commits_leaves_no_transaction_open() {
        let config = EngineConfig { warehouse: "memory://".to_owned(), ..EngineConfig::default() };
        let engine = Engine::open(config).await.unwrap();
        let session = engine.session(SessionStart::default()).unwrap();
        tokio::select! {
            biased;
            _ = as_one(&session, std::future::pending) => unreachable!("it waits for ever"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(session.transaction_status(), TransactionStatus::Idle);
        let failed = as_one(&session, || async { Err(Error::internal("it went wrong")) }).await;
        assert_eq!(failed.unwrap_err().message(), "it went wrong");
        assert_eq!(session.transaction_status(), TransactionStatus::Idle);
    }
}
