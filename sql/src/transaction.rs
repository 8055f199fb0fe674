//! What an open transaction holds: the catalog that it sees, the versions that it pinned, the
//! files that it wrote and no version names yet.
//!
//! Definitions commit together, as one catalog commit; rows of one existing table as one commit of
//! that table. Where there are several of these, the catalog's commit decides for all of them
//! (`Catalog::commit_transaction`).
//! Never: a half of it is visible to others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use catalog::{
    Add, Change, Commit, CommitKind, LakeTable, LoadedFile, Snapshot, TableCommit, TableSnapshot,
    TableSpec,
};
use uuid::Uuid;

use crate::engine::Engine;
use crate::error::{Error, Result, state};
use crate::session::TemporaryTable;
use crate::settings::Settings;

/// Files that come to and go from one table at COMMIT.
#[derive(Debug, Clone)]
pub(crate) struct Staged {
    pub(crate) table: Arc<LakeTable>,
    pub(crate) name: String,
    /// The version that the statements read.
    pub(crate) base: Arc<TableSnapshot>,
    pub(crate) adds: Vec<Add>,
    pub(crate) removes: Vec<String>,
    /// Whether what was added depends on every row of the table.
    pub(crate) read_all: bool,
    /// Files whose rows came.
    pub(crate) loaded: Vec<LoadedFile>,
    /// The new columns and constraints, where they change.
    pub(crate) definition: Option<TableSpec>,
}

impl Staged {
    /// The table as the transaction sees it.
    pub(crate) fn snapshot(&self) -> Arc<TableSnapshot> {
        let staged = self.base.with_staged(&self.adds, &self.removes).with_loaded(&self.loaded);
        Arc::new(match &self.definition {
            Some(definition) => staged.with_definition(definition),
            None => staged,
        })
    }
}

/// A point to roll back to.
#[derive(Debug, Clone)]
struct Savepoint {
    name: String,
    changes: Vec<Change>,
    created: HashSet<Uuid>,
    staged: HashMap<Uuid, Staged>,
    beside: Beside,
    read_only: bool,
}

/// What a session holds beside its transaction, and gets back when that is rolled back.
#[derive(Debug, Clone)]
pub(crate) struct Beside {
    pub(crate) settings: Settings,
    /// Temporary tables, by name.
    pub(crate) temporary: HashMap<String, TemporaryTable>,
    /// The number that the next cursor will have.
    pub(crate) next_cursor: u64,
}

/// An open transaction.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// The catalog when the transaction began.
    base: Arc<Snapshot>,
    changes: Vec<Change>,
    /// `base` with `changes`: what the transaction sees.
    overlay: Arc<Snapshot>,
    pins: HashMap<Uuid, Arc<TableSnapshot>>,
    staged: HashMap<Uuid, Staged>,
    /// Tables made in this transaction: nobody else can see them, so rows go straight in, but for
    /// those that a savepoint may have to take out again.
    created: HashSet<Uuid>,
    savepoints: Vec<Savepoint>,
    /// What `now()` is in it.
    pub(crate) started_at: SystemTime,
    /// What to go back to on ROLLBACK.
    pub(crate) beside: Beside,
    pub(crate) read_only: bool,
    /// Whether a statement in it has read or changed anything.
    pub(crate) queried: bool,
    /// Whether a statement in it went wrong: only its end is possible.
    pub(crate) failed: bool,
    /// Whether it is that of statements which came together; else BEGIN opened it.
    pub(crate) implicit: bool,
}

impl Transaction {
    #[expect(clippy::disallowed_methods, reason = "the planner's own now() is of this clock")]
    pub(crate) fn new(base: Arc<Snapshot>, beside: Beside, read_only: bool) -> Self {
        Self {
            overlay: Arc::clone(&base),
            base,
            changes: Vec::new(),
            pins: HashMap::new(),
            staged: HashMap::new(),
            created: HashSet::new(),
            savepoints: Vec::new(),
            started_at: SystemTime::now(),
            beside,
            read_only,
            queried: false,
            failed: false,
            implicit: false,
        }
    }

    /// The catalog as the transaction sees it.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.overlay)
    }

    /// Whether it sees anything that others do not.
    pub(crate) fn has_changed(&self) -> bool {
        !(self.changes.is_empty() && self.staged.is_empty() && self.created.is_empty())
    }

    /// The version of a table that the transaction reads, if it read the table before.
    pub(crate) fn pinned(&self, id: Uuid) -> Option<Arc<TableSnapshot>> {
        match self.staged.get(&id) {
            Some(staged) => Some(staged.snapshot()),
            None => self.pins.get(&id).cloned(),
        }
    }

    /// Keeps the version of a table that a statement read.
    pub(crate) fn pin(&mut self, id: Uuid, snapshot: Arc<TableSnapshot>) {
        if !self.created.contains(&id) {
            self.pins.entry(id).or_insert(snapshot);
        }
    }

    /// Whether rows go straight into the table: it was made here, and after every savepoint.
    pub(crate) fn writes_through(&self, id: Uuid) -> bool {
        self.created.contains(&id)
            && !self.staged.contains_key(&id)
            && !self.savepoints.iter().any(|point| point.created.contains(&id))
    }

    /// Adds changes of the catalog; the whole list must still make sense.
    pub(crate) fn change(&mut self, changes: Vec<Change>, created: Option<Uuid>) -> Result<()> {
        let overlay = self.overlay.with_changes(&changes)?;
        self.overlay = Arc::new(overlay);
        self.changes.extend(changes);
        self.created.extend(created);
        Ok(())
    }

    /// Adds files to and takes files from a table, to be committed at COMMIT.
    pub(crate) fn stage(&mut self, id: Uuid, staged: Staged) -> Result<()> {
        match self.staged.get_mut(&id) {
            Some(known) => {
                // A file that came and goes again within the transaction was never there.
                known.adds.retain(|add| !staged.removes.contains(&add.path));
                let gone: Vec<String> = staged
                    .removes
                    .into_iter()
                    .filter(|path| known.base.file(path).is_some())
                    .collect();
                known.adds.extend(staged.adds);
                known.removes.extend(gone);
                known.read_all |= staged.read_all;
                known.loaded.extend(staged.loaded);
                known.definition = staged.definition.or_else(|| known.definition.take());
            }
            None => {
                self.staged.insert(id, staged);
            }
        }
        Ok(())
    }

    pub(crate) fn savepoint(&mut self, name: &str, beside: Beside) {
        self.savepoints.push(Savepoint {
            name: name.to_owned(),
            changes: self.changes.clone(),
            created: self.created.clone(),
            staged: self.staged.clone(),
            beside,
            read_only: self.read_only,
        });
    }

    pub(crate) fn release(&mut self, name: &str) -> Result<()> {
        let at = self.find_savepoint(name)?;
        self.savepoints.truncate(at);
        Ok(())
    }

    /// Undoes what came after a savepoint; gives what the session held beside it then.
    pub(crate) fn rollback_to(&mut self, name: &str) -> Result<Beside> {
        let at = self.find_savepoint(name)?;
        self.savepoints.truncate(at + 1);
        let point = self.savepoints[at].clone();
        self.overlay = Arc::new(self.base.with_changes(&point.changes)?);
        self.changes = point.changes;
        self.created = point.created;
        self.staged = point.staged;
        self.read_only = point.read_only;
        self.failed = false;
        Ok(point.beside)
    }

    fn find_savepoint(&self, name: &str) -> Result<usize> {
        self.savepoints.iter().rposition(|point| point.name == name).ok_or_else(|| {
            Error::new(state::INVALID_SAVEPOINT, format!("savepoint \"{name}\" does not exist"))
        })
    }

    /// Makes everything visible to everyone at once. The session's own tables, `temporary`, follow; what
    /// went wrong with them is given back, since the transaction holds by then.
    pub(crate) async fn commit(
        self,
        engine: &Engine,
        user: &str,
        temporary: &HashSet<Uuid>,
    ) -> Result<Vec<Error>> {
        let Self { base, changes, overlay, staged, created, .. } = self;
        if !staged.is_empty() {
            engine.catch_up().await?;
        }
        let head = engine.catalog.snapshot();
        let mut commits = Vec::new();
        for (id, staged) in staged.iter().filter(|(id, _)| overlay.entry_by_id(**id).is_some()) {
            if created.contains(id) {
                // It has no name yet, so nobody sees it before the definitions are committed.
                staged.commit_alone(*id, user).await?;
            } else if head.entry_by_id(*id).is_none() {
                return Err(retry(&format!("table \"{}\" was dropped meanwhile", staged.name)));
            } else {
                commits.push(staged.commit(*id, user));
            }
        }
        engine.catalog.commit_transaction(&base, changes, commits).await.map_err(|failure| {
            let name = failure.id.and_then(|id| staged.get(&id)).map(|staged| &*staged.name);
            failed(failure.error, name)
        })?;
        let mut failures = Vec::new();
        for (id, staged) in staged.iter().filter(|(id, _)| temporary.contains(id)) {
            failures.extend(staged.commit_alone(*id, user).await.err());
        }
        Ok(failures)
    }
}

impl Staged {
    /// Commits it to a table that only this session sees.
    async fn commit_alone(&self, id: Uuid, user: &str) -> Result<()> {
        let TableCommit { table, base, commit, .. } = self.commit(id, user);
        table.commit(&base, commit).await.map_err(|error| failed(error, Some(&self.name)))?;
        Ok(())
    }

    /// Its commit to the table with this id.
    fn commit(&self, id: Uuid, user: &str) -> TableCommit {
        let rewrite = !self.removes.is_empty();
        let kind = match self.definition {
            Some(_) => CommitKind::Metadata { read_all: rewrite || self.read_all },
            None if rewrite || self.read_all => CommitKind::Rewrite { read_all: self.read_all },
            None => CommitKind::Append,
        };
        let commit = Commit {
            adds: self.adds.clone(),
            removes: self.removes.clone(),
            loaded: self.loaded.clone(),
            metadata: self.definition.clone(),
            user: Some(user.to_owned()),
            parameters: BTreeMap::from([("transaction".to_owned(), "true".to_owned())]),
            ..Commit::new("WRITE", kind)
        };
        TableCommit { id, table: Arc::clone(&self.table), base: Arc::clone(&self.base), commit }
    }
}

/// An error after which the transaction can be run again.
fn retry(reason: &str) -> Error {
    Error::new(state::SERIALIZATION_FAILURE, format!("could not commit: {reason}"))
        .with_hint("Run the transaction again.")
}

/// Why a transaction did not commit, over the table of this name.
fn failed(error: catalog::Error, name: Option<&str>) -> Error {
    let Some(name) = name else { return error.into() };
    let reason = match &error {
        catalog::Error::MetadataChanged { .. } => format!("table \"{name}\" was altered meanwhile"),
        catalog::Error::AlreadyApplied { app_id, .. } => {
            format!("file \"{app_id}\" was loaded meanwhile")
        }
        catalog::Error::Conflict { .. } => {
            format!("rows of table \"{name}\" were changed meanwhile")
        }
        _ => return error.into(),
    };
    retry(&reason)
}
