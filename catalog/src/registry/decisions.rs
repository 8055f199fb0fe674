//! Commits over several tables, all or none: the catalog decides.
//!
//! Each table's commit is prepared in its own log (`table/prepared.rs`), then one commit of the catalog
//! says that they hold, and with it whatever definitions the transaction changed. A reader sees the
//! transaction in all of its tables, or in none: which, the catalog says that it reads
//! ([`Catalog::pin`]).
//!
//! Never: an answer that a transaction failed while its decision may stand in the catalog.

use std::sync::{Arc, Weak};

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use uuid::Uuid;

use super::Catalog;
use crate::entry::{Change, Entry};
use crate::error::{Error, Result};
use crate::snapshot::Snapshot;
use crate::table::{Commit, Decisions, LakeTable, Prepared, TableSnapshot, Verdict};

/// How often a transaction is prepared again when somebody has had it refused.
const ATTEMPTS_MAX: usize = 5;

/// What a transaction does to one table.
#[derive(Debug)]
pub struct TableCommit {
    /// The entry of the table.
    pub id: Uuid,
    /// The table.
    pub table: Arc<LakeTable>,
    /// The version that it was decided over.
    pub base: Arc<TableSnapshot>,
    /// The commit.
    pub commit: Commit,
}

/// Why a transaction failed, and over which of its tables; none: over the catalog.
#[derive(Debug)]
pub struct TransactionFailure {
    /// The entry of the table.
    pub id: Option<Uuid>,
    /// The cause.
    pub error: Error,
}

impl From<Error> for TransactionFailure {
    fn from(error: Error) -> Self {
        Self { id: None, error }
    }
}

impl Catalog {
    /// Commits `changes` of definitions, decided over `base`, and the commits of tables: all or none.
    /// A single commit costs what it costs alone.
    ///
    /// # Errors
    ///
    /// Those of [`Self::commit`] and [`LakeTable::commit`]. After [`Error::OutcomeUnknown`] it is not
    /// known whether the transaction holds; after any other it does not.
    pub async fn commit_transaction(
        &self,
        base: &Snapshot,
        changes: Vec<Change>,
        mut commits: Vec<TableCommit>,
    ) -> Result<(), TransactionFailure> {
        // In one order everywhere, so that no two transactions wait for each other.
        commits.sort_by_key(|commit| commit.id);
        if commits.is_empty() {
            self.commit(base, changes).await?;
            return Ok(());
        }
        if commits.len() == 1 && changes.is_empty() {
            let TableCommit { id, table, base, commit } = commits.remove(0);
            let failed = |error| TransactionFailure { id: Some(id), error };
            return table.commit(&base, commit).await.map(drop).map_err(failed);
        }
        let ids: Vec<Uuid> = commits.iter().map(|commit| commit.id).collect();
        for _ in 1..ATTEMPTS_MAX {
            let failed = self.decide(base, changes.clone(), &commits).await;
            // A coordinator that is slow, on a busy machine say, is refused by who waits for it.
            match failed {
                Err(TransactionFailure { error: Error::Conflict { .. }, id: None })
                    if self.definitions_hold(base, &changes, &ids) => {}
                done => return done,
            }
        }
        self.decide(base, changes, &commits).await
    }

    /// Whether nothing but a refusal can have been in the way of a decision over `base`.
    fn definitions_hold(&self, base: &Snapshot, changes: &[Change], ids: &[Uuid]) -> bool {
        let head = self.snapshot();
        super::apply(base, &head, changes).is_ok()
            && ids.iter().all(|id| head.entry_by_id(*id).is_some())
    }

    /// Prepares, decides and completes once.
    async fn decide(
        &self,
        base: &Snapshot,
        mut changes: Vec<Change>,
        commits: &[TableCommit],
    ) -> Result<(), TransactionFailure> {
        let prepared = prepare(commits).await?;
        changes.extend(prepared.iter().map(|(id, one)| Change::Decide { id: *id, at: one.at() }));
        let decided = match self.commit(base, changes).await {
            Ok(_) => Ok(()),
            Err(error) if is_before_the_put(&error) => Err(error),
            // It may be in the log. To have it refused makes it certain.
            Err(error) => self.refuse(&prepared, error).await?,
        };
        match decided {
            Ok(()) => complete(prepared).await,
            Err(error) => {
                join_all(prepared.into_iter().map(|(_, one)| one.take_back())).await;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Has prepared commits refused whose decision met `error`: `error`, if that was done; `Ok`, if
    /// they hold. Where neither can be learned the outer error says so.
    async fn refuse(&self, prepared: &[(Uuid, Prepared)], error: Error) -> Result<Result<()>> {
        let refusals = prepared.iter().map(|(id, one)| Change::Refuse { id: *id, at: one.at() });
        let refusals: Vec<Change> = refusals.collect();
        let refused = async {
            let head = self.refresh().await?;
            self.commit(&head, refusals).await
        };
        match refused.await {
            Ok(_) => Ok(Err(error)),
            Err(refusal) => match self.is_decided(prepared).await {
                Ok(true) => Ok(Ok(())),
                // Another commit, a refusal or a DROP, stands where the decision was to be put.
                Ok(false) if is_before_the_put(&refusal) => Ok(Err(error)),
                _ => Err(unknown(error)),
            },
        }
    }

    /// Whether the catalog, as it is now, holds the decision for prepared commits.
    async fn is_decided(&self, prepared: &[(Uuid, Prepared)]) -> Result<bool> {
        let head = self.refresh().await?;
        for (id, one) in prepared {
            let Some(table) = head.entry_by_id(*id).and_then(|entry| entry.table()) else {
                // Dropped since; the others tell.
                continue;
            };
            let at = Some(one.at());
            return match () {
                () if table.decided == at => Ok(true),
                () if table.decided < at => Ok(false),
                // Others were decided since, so this one is settled: in the log, or taken back.
                () => one.is_completed().await,
            };
        }
        Ok(false)
    }

    /// The table of an entry of `snapshot`, known not longer ago than `age_micros`, with exactly those
    /// transactions over several tables that the snapshot holds.
    pub async fn pin(
        &self,
        entry: &Entry,
        age_micros: i64,
    ) -> Result<(Arc<LakeTable>, Arc<TableSnapshot>)> {
        let table = self.table(entry).await?;
        let snapshot = table.update_if_older(age_micros).await?;
        let decided = entry.table().and_then(|table| table.decided);
        if snapshot.settled() == decided {
            return Ok((table, snapshot));
        }
        let snapshot = table.settled_as(snapshot, decided).await?;
        Ok((table, snapshot))
    }

    pub(super) fn decisions(&self, table_id: Uuid) -> Arc<dyn Decisions> {
        Arc::new(OfTable { catalog: Weak::clone(&self.me), table_id })
    }
}

/// Prepares all commits, which are in order, or none.
pub(super) async fn prepare(
    commits: &[TableCommit],
) -> Result<Vec<(Uuid, Prepared)>, TransactionFailure> {
    let mut turns = Vec::with_capacity(commits.len());
    for commit in commits {
        turns.push(commit.table.turn().await);
    }
    let all = commits.iter().zip(turns).map(|(one, turn)| async move {
        let prepared = one.table.prepare(turn, &one.base, &one.commit).await;
        prepared
            .map(|prepared| (one.id, prepared))
            .map_err(|error| TransactionFailure { id: Some(one.id), error })
    });
    let (mut prepared, mut failure) = (Vec::new(), None);
    for done in join_all(all).await {
        match done {
            Ok(one) => prepared.push(one),
            Err(failed) => failure = failure.or(Some(failed)),
        }
    }
    match failure {
        None => Ok(prepared),
        Some(mut failure) => {
            join_all(prepared.into_iter().map(|(_, one)| one.take_back())).await;
            if let Error::OutcomeUnknown { object, source, .. } = failure.error {
                // Only the mark is unknown: without a decision it has no effect.
                failure.error = Error::Store { action: "commit to", path: object, source };
            }
            Err(failure)
        }
    }
}

/// Completes commits that the catalog has decided. One that cannot be completed now is completed by
/// whoever comes to its table next.
async fn complete(prepared: Vec<(Uuid, Prepared)>) {
    let all = prepared.into_iter().map(|(id, one)| async move {
        if let Err(error) = one.complete().await {
            tracing::warn!(table = %id, %error, "a committed transaction is to be completed later");
        }
    });
    join_all(all).await;
}

/// What met a decision that may stand in the catalog.
fn unknown(error: Error) -> Error {
    let source = match error {
        Error::Store { source, .. } => source,
        other @ Error::OutcomeUnknown { .. } => return other,
        other => object_store::Error::Generic { store: "catalog", source: Box::new(other) },
    };
    let object = "the catalog".to_owned();
    Error::OutcomeUnknown { object, operation_id: Uuid::nil(), source }
}

/// Whether a failed commit of the catalog was given up before anything was put.
const fn is_before_the_put(error: &Error) -> bool {
    matches!(
        error,
        Error::Conflict { .. }
            | Error::Duplicate { .. }
            | Error::NotFound { .. }
            | Error::MissingSchema { .. }
            | Error::Unsupported { .. }
    )
}

/// The catalog's word on the prepared commits of one table.
#[derive(Debug)]
struct OfTable {
    catalog: Weak<Catalog>,
    table_id: Uuid,
}

impl OfTable {
    /// The catalog, and the table's entry as it is now.
    async fn look(&self) -> Result<(Arc<Catalog>, Arc<Snapshot>, Option<Arc<Entry>>)> {
        let closed = || Error::Unsupported { what: "the catalog is closed".to_owned() };
        let catalog = self.catalog.upgrade().ok_or_else(closed)?;
        let snapshot = catalog.refresh().await?;
        let is_mine =
            |entry: &&Arc<Entry>| entry.table().is_some_and(|t| t.table_id == self.table_id);
        let entry = snapshot.entries().find(is_mine).cloned();
        Ok((catalog, snapshot, entry))
    }

    async fn ask(&self, at: i64) -> Result<Verdict> {
        let (_, _, entry) = self.look().await?;
        // A table without a name takes part in nothing.
        let Some(table) = entry.as_ref().and_then(|entry| entry.table()) else {
            return Ok(Verdict::Refused);
        };
        Ok(match () {
            () if table.decided == Some(at) => Verdict::Holds,
            // After a later mark this one is settled, and whoever still waits for it sees so.
            () if table.decided.max(table.refused) >= Some(at) => Verdict::Refused,
            () => Verdict::Open,
        })
    }
}

impl Decisions for OfTable {
    fn verdict(&self, at: i64) -> BoxFuture<'_, Result<Verdict>> {
        self.ask(at).boxed()
    }

    fn refuse(&self, at: i64) -> BoxFuture<'_, Result<()>> {
        async move {
            let (catalog, snapshot, entry) = self.look().await?;
            let Some(entry) = entry else { return Ok(()) };
            match catalog.commit(&snapshot, vec![Change::Refuse { id: entry.id, at }]).await {
                // Decided or dropped meanwhile.
                Ok(_) | Err(Error::Conflict { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        }
        .boxed()
    }
}
