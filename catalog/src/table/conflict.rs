//! Whether a commit, decided over one version, may land on a later one.
//!
//! The two versions are compared as states. A commit in between that left no trace is no conflict.

use super::{Commit, CommitKind, LoadedFile, TableSnapshot};
use crate::error::{Error, Result};

pub(super) fn check(
    object: &str,
    base: &TableSnapshot,
    head: &TableSnapshot,
    commit: &Commit,
) -> Result<()> {
    let conflict = |reason: &str| {
        Err(Error::Conflict { object: object.to_owned(), reason: reason.to_owned() })
    };
    if commit.kind == CommitKind::Exact && base.version != head.version {
        return conflict("another commit came first");
    }
    check_replay(object, head, commit)?;
    check_properties(object, head, commit)?;
    check_removes(object, head, commit)?;
    if base.version == head.version {
        return Ok(());
    }
    let redefined = base.metadata() != head.metadata() || base.protocol() != head.protocol();
    let read_all = match commit.kind {
        CommitKind::Append | CommitKind::Exact => false,
        CommitKind::Rewrite { read_all } | CommitKind::Metadata { read_all } => read_all,
    };
    if redefined {
        return if commit.metadata.is_some() {
            conflict("its definition was changed meanwhile")
        } else {
            Err(Error::MetadataChanged { object: object.to_owned() })
        };
    }
    if read_all && head.rows_came_since(base) {
        return conflict("rows were added meanwhile");
    }
    Ok(())
}

/// A numbered producer only goes forward, across restarts, too.
fn check_replay(object: &str, head: &TableSnapshot, commit: &Commit) -> Result<()> {
    for (app_id, version) in &commit.txns {
        if let Some(committed) = head.txn(app_id).filter(|committed| committed >= version) {
            let (object, app_id) = (object.to_owned(), app_id.clone());
            return Err(Error::AlreadyApplied { object, app_id, committed });
        }
    }
    for entry in &commit.loaded {
        let known = head.loaded_file(&entry.file).filter(|known| known.load >= entry.load);
        if let Some(LoadedFile { load: committed, file: app_id, .. }) = known {
            return Err(Error::AlreadyApplied { object: object.to_owned(), app_id, committed });
        }
    }
    Ok(())
}

fn check_removes(object: &str, head: &TableSnapshot, commit: &Commit) -> Result<()> {
    match commit.removes.iter().find(|path| head.file(path).is_none()) {
        None => Ok(()),
        Some(path) => Err(Error::Conflict {
            object: object.to_owned(),
            reason: format!("file \"{path}\" was removed meanwhile"),
        }),
    }
}

/// What Delta's table properties forbid or ask for that a commit of ours does not do.
fn check_properties(object: &str, head: &TableSnapshot, commit: &Commit) -> Result<()> {
    let on = |key: &str| head.configuration.get(key).is_some_and(|value| value == "true");
    if commit.removes.is_empty() || !commit.data_change {
        return Ok(());
    }
    let refused = if on("delta.appendOnly") {
        "it is append-only"
    } else if on("delta.enableChangeDataFeed") {
        "its change data feed would miss the change"
    } else {
        return Ok(());
    };
    Err(Error::Unsupported { what: format!("cannot change rows of {object}: {refused}") })
}
