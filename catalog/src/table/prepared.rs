//! A table's part in a transaction over several tables.
//!
//! ```text
//! version m      a mark: what the commit will do, but nothing is done
//! the catalog    "the prepared commit m holds", in one commit with those of the other tables
//! version m+1    what the mark promised; or, if the catalog refused m, that it is taken back
//! ```
//!
//! This is two-phase commit (Gray, *Notes on Data Base Operating Systems*, 1978) whose decision is a
//! commit of the catalog. The coordinator may die anywhere: whoever comes to a mark next asks the
//! catalog and completes it, or has it refused when nobody decides. Other programs that read the
//! table see an entry without effect, and then its effect.
//!
//! Never: anybody of this server or another commits between a mark and its settlement.
//! Never: a mark is taken back before the catalog refused it, except by its own coordinator.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use uuid::Uuid;

use super::uploads::Uploads;
use super::{Commit, CommitKind, LakeTable, TableSnapshot, conflict};
use crate::error::{Error, Result};
use crate::log::{Action, LogEntry, Transaction};

/// The numbered producer that says which mark waits for its decision; -1: none.
pub(super) const PREPARED: &str = "tarn.prepared";
/// The numbered producer that says which mark was completed last.
pub(super) const SETTLED: &str = "tarn.settled";
/// Where a mark keeps the actions that it promises, in its `commitInfo`.
const PROMISE: &str = "tarnPrepared";
/// How long a coordinator may take before others have its commit refused.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 2_000 });
const PAUSE: Duration = Duration::from_millis(20);

/// What the catalog says of a prepared commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It holds.
    Holds,
    /// It does not, and never will.
    Refused,
    /// Nothing yet.
    Open,
}

/// Who decides over the prepared commits of one table.
pub(crate) trait Decisions: fmt::Debug + Send + Sync {
    /// What is known of the commit marked at a version.
    fn verdict(&self, at: i64) -> BoxFuture<'_, Result<Verdict>>;

    /// Refuses the commit, unless it was decided meanwhile.
    fn refuse(&self, at: i64) -> BoxFuture<'_, Result<()>>;
}

/// A commit that stands in the log and waits for its decision. Holds the table's turn.
#[derive(Debug)]
pub(crate) struct Prepared {
    table: Arc<LakeTable>,
    at: i64,
    /// That of the commit itself.
    operation: Uuid,
    _turn: OwnedMutexGuard<()>,
}

impl Prepared {
    /// The version of its mark.
    pub(crate) const fn at(&self) -> i64 {
        self.at
    }

    /// Whether somebody has done what the mark promised.
    pub(crate) async fn is_completed(&self) -> Result<bool> {
        self.table.update().await?;
        if self.table.version_of(self.operation).is_some() {
            return Ok(true);
        }
        self.table.expect_none_skipped(self.at, self.operation).map(|()| false)
    }

    /// Does what the mark promised. For who knows that the catalog decided so.
    pub(crate) async fn complete(self) -> Result<Arc<TableSnapshot>> {
        self.table.complete(self.at).await
    }

    /// Takes the mark back. For the coordinator alone, when it will not ask for a decision, or was
    /// refused one.
    pub(crate) async fn take_back(self) {
        if let Err(error) = self.table.take_back(self.at).await {
            // Who commits next finds the mark and has it refused.
            tracing::warn!(table = %self.table.location, at = self.at, %error, "could not take a prepared commit back");
        }
    }
}

impl LakeTable {
    /// Says who knows what became of prepared commits; once, before the table is shared.
    pub(crate) fn ask_of_prepared(&self, decisions: Arc<dyn Decisions>) {
        let _ = self.decisions.set(decisions);
    }

    /// Waits until nobody else of this process commits. Who needs the turns of several tables takes
    /// them in the order of their ids.
    pub(crate) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Puts the mark of a commit that was decided over `base`. Fails as the commit itself would.
    pub(crate) async fn prepare(
        self: &Arc<Self>,
        turn: OwnedMutexGuard<()>,
        base: &TableSnapshot,
        commit: &Commit,
    ) -> Result<Prepared> {
        let mark = Commit::new("PREPARE", CommitKind::Append);
        let mut at = 0;
        let none = &mut Uploads::none(&self.location);
        self.put_entry(mark.operation_id, base.version, none, None, |head| {
            conflict::check(&self.object, base, head, commit)?;
            at = head.version + 1;
            let promise = self.actions(head, base.version, commit)?;
            let mut actions = self.actions(head, base.version, &mark)?;
            for action in &mut actions {
                if let Action::CommitInfo(info) = action {
                    info.other.insert(PROMISE.to_owned(), to_json(&promise)?);
                }
            }
            actions.push(counted(PREPARED, at));
            Ok(Some(actions))
        })
        .await?;
        Ok(Prepared { table: Arc::clone(self), at, operation: commit.operation_id, _turn: turn })
    }

    /// `snapshot`, or another version near it, that holds the prepared commits up to `decided` and
    /// none after it: so that what a reader sees of several tables fits the one catalog that it reads.
    pub(crate) async fn settled_as(
        self: &Arc<Self>,
        mut snapshot: Arc<TableSnapshot>,
        decided: Option<i64>,
    ) -> Result<Arc<TableSnapshot>> {
        if snapshot.settled() < decided {
            let _turn = self.turn().await;
            let newest = self.update().await?;
            snapshot = self.settle(newest).await?;
        }
        while let Some(at) = snapshot.settled().filter(|_| snapshot.settled() > decided) {
            // The version of the mark is the last one without the commit.
            snapshot = self.at_version(at).await?;
            if snapshot.settled() >= Some(at) {
                return Err(self.damaged(at, "comes before its mark"));
            }
        }
        match decided.filter(|_| snapshot.settled() != decided) {
            Some(at) => Err(self.damaged(at, "holds, but is not in the log")),
            None => Ok(snapshot),
        }
    }

    /// Completes or takes back what waits for its decision at `head`. The caller has the turn.
    pub(super) async fn settle(
        self: &Arc<Self>,
        mut head: Arc<TableSnapshot>,
    ) -> Result<Arc<TableSnapshot>> {
        let begun = Instant::now();
        while let Some(at) = head.prepared() {
            let Some(decisions) = self.decisions.get() else {
                return Err(self.damaged(at, "cannot be decided: the table is in no catalog"));
            };
            head = match decisions.verdict(at).await? {
                Verdict::Holds => self.complete(at).await?,
                Verdict::Refused => self.take_back(at).await?,
                // Its coordinator is at work elsewhere, or is gone.
                Verdict::Open if begun.elapsed() < PATIENCE && self.is_young(&head) => {
                    tokio::time::sleep(PAUSE).await;
                    self.update().await?
                }
                Verdict::Open => {
                    decisions.refuse(at).await?;
                    continue;
                }
            };
        }
        Ok(head)
    }

    fn is_young(&self, head: &TableSnapshot) -> bool {
        let age = self.clock.now_micros().saturating_sub(head.timestamp_micros);
        u64::try_from(age).is_ok_and(|age| Duration::from_micros(age) < PATIENCE)
    }

    /// Does what the mark at a version promised, unless that was done.
    async fn complete(self: &Arc<Self>, at: i64) -> Result<Arc<TableSnapshot>> {
        let promise = self.promise(at).await?;
        let marked = self.at_version(at).await?;
        // Readers of a catalog from before the decision come back for it.
        self.keep(&marked);
        let operation = super::operation_of(&promise).unwrap_or_else(Uuid::new_v4);
        let none = &mut Uploads::none(&self.location);
        self.put_entry(operation, i64::MAX, none, Some(at), |head| {
            if head.prepared() != Some(at) {
                return Ok(None);
            }
            self.refuse_foreign_changes(&marked, head, &promise)?;
            let mut actions = promise.clone();
            actions.extend([counted(PREPARED, -1), counted(SETTLED, at)]);
            Ok(Some(actions))
        })
        .await
    }

    /// Ends the wait of the mark at a version without doing what it promised.
    async fn take_back(self: &Arc<Self>, at: i64) -> Result<Arc<TableSnapshot>> {
        let commit = Commit::new("TAKE BACK", CommitKind::Append);
        let none = &mut Uploads::none(&self.location);
        self.put_entry(commit.operation_id, i64::MAX, none, Some(at), |head| {
            if head.prepared() != Some(at) {
                return Ok(None);
            }
            let mut actions = self.actions(head, head.version, &commit)?;
            actions.push(counted(PREPARED, -1));
            Ok(Some(actions))
        })
        .await
    }

    /// The actions that the mark at a version promises.
    async fn promise(&self, at: i64) -> Result<Vec<Action>> {
        let missing = || self.damaged(at, "has lost its mark");
        let LogEntry { actions, .. } = self.log.read(at).await?.ok_or_else(missing)?;
        let promise = actions.into_iter().find_map(|action| match action {
            Action::CommitInfo(mut info) => info.other.remove(PROMISE),
            _ => None,
        });
        let Some(Value::Array(promise)) = promise else { return Err(missing()) };
        let read = |value| Action::from_json(value).ok().flatten().ok_or_else(missing);
        promise.into_iter().map(read).collect()
    }

    /// Only other programs can have come between. New rows of theirs do no harm.
    fn refuse_foreign_changes(
        &self,
        marked: &TableSnapshot,
        head: &TableSnapshot,
        promise: &[Action],
    ) -> Result<()> {
        let gone = promise.iter().find_map(|action| match action {
            Action::Remove(remove) if head.file(&remove.path).is_none() => Some(&remove.path),
            _ => None,
        });
        let redefined =
            marked.metadata() != head.metadata() || marked.protocol() != head.protocol();
        let reason = match gone {
            Some(path) => format!("another program removed its file \"{path}\""),
            None if redefined => "another program changed its definition".to_owned(),
            None => return Ok(()),
        };
        Err(Error::Blocked { object: self.object.clone(), reason, version: marked.version })
    }

    fn damaged(&self, at: i64, what: &str) -> Error {
        let reason = format!("the commit prepared at version {at} {what}");
        Error::Corrupt { path: self.object.clone(), reason }
    }
}

fn counted(app_id: &str, version: i64) -> Action {
    Action::Txn(Transaction { app_id: app_id.to_owned(), version, last_updated: None })
}

fn to_json(actions: &[Action]) -> Result<Value> {
    serde_json::to_value(actions)
        .map_err(|error| Error::Unsupported { what: format!("cannot write a log entry: {error}") })
}
