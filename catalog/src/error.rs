//! What can go wrong in the catalog, by the cause a caller can act on.
//!
//! Never: a cause that nobody could act on differently gets a variant of its own.

use std::io::{self, ErrorKind};

use datafusion::error::DataFusionError;
use uuid::Uuid;

use crate::entry::Kind;

/// The result of the catalog's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A cause of failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name is taken: the statement's author chooses another.
    #[error("{kind} \"{name}\" already exists")]
    Duplicate {
        /// What has the name.
        kind: Kind,
        /// The name, with its schema where it has one.
        name: String,
    },

    /// A name or id leads nowhere.
    #[error("{kind} \"{name}\" does not exist")]
    NotFound {
        /// What was looked for.
        kind: Kind,
        /// Its name or id.
        name: String,
    },

    /// An entry would stand in a schema that is not there: it was never created, or the change drops
    /// it and leaves the entry behind.
    #[error("schema \"{schema}\" of \"{entry}\" would not exist")]
    MissingSchema {
        /// The schema.
        schema: String,
        /// One of the entries in it.
        entry: String,
    },

    /// Somebody else committed first what this commit contradicts: read again, then retry.
    #[error("could not commit to {object}: {reason}")]
    Conflict {
        /// The table or the catalog.
        object: String,
        /// What was changed meanwhile.
        reason: String,
    },

    /// The definition of the table changed since the rows were checked: check them again.
    #[error("could not commit to {object}: its definition changed")]
    MetadataChanged {
        /// The table.
        object: String,
    },

    /// The work is in the table already: a replay of a producer, harmless.
    #[error("{object} already holds version {committed} of application \"{app_id}\"")]
    AlreadyApplied {
        /// The table.
        object: String,
        /// The application that numbers its work.
        app_id: String,
        /// The newest number that the table holds, at least the one that was to be committed.
        committed: i64,
    },

    /// A version that the table does not have, or no longer.
    #[error("{object} has no version {version}")]
    VersionNotFound {
        /// The table.
        object: String,
        /// The version asked for.
        version: i64,
    },

    /// No version of the table is as old as the time asked for.
    #[error("{object} has no version at or before the time asked for")]
    TimeNotFound {
        /// The table.
        object: String,
    },

    /// Stored bytes that cannot be what was written: the operator restores them.
    #[error("\"{path}\" is damaged: {reason}")]
    Corrupt {
        /// The object.
        path: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A location outside what the operator declared.
    #[error("location \"{location}\" is not one of the declared locations")]
    LocationRefused {
        /// The location as it was given.
        location: String,
    },

    /// A location that SQL may not declare: the operator has not allowed it.
    #[error("location \"{location}\" cannot be declared by SQL")]
    LocationUndeclarable {
        /// The location as it was given.
        location: String,
    },

    /// Secrets cannot be kept, or one cannot be read: the operator acts on the key.
    #[error("{reason}")]
    SecretKey {
        /// What went wrong; never a secret.
        reason: String,
    },

    /// A location that cannot be read as one.
    #[error("cannot use location \"{location}\": {reason}")]
    LocationMalformed {
        /// The location as it was given.
        location: String,
        /// Why not.
        reason: String,
    },

    /// What is said of a remote store cannot be used: the operator, or whoever declared it, corrects
    /// it. Never holds a value of an option.
    #[error("cannot open store \"{store}\": {reason}")]
    StoreOption {
        /// Scheme and authority of its URL.
        store: String,
        /// Why not.
        reason: String,
    },

    /// The folder of the read cache cannot be used: the operator names another.
    #[error("cannot use the cache folder \"{directory}\": {reason}")]
    Cache {
        /// The folder.
        directory: String,
        /// Why not.
        reason: String,
    },

    /// A thing that Delta or the server cannot hold.
    #[error("{what}")]
    Unsupported {
        /// A sentence without its full stop: what is not supported.
        what: String,
    },

    /// Rows that do not have the shape of the table: a bug of the caller.
    #[error("cannot write to {object}: {reason}")]
    Mismatch {
        /// The table.
        object: String,
        /// The difference.
        reason: String,
    },

    /// A NULL where the table allows none.
    #[error("null value in column \"{column}\" of {object} violates its not-null constraint")]
    NotNull {
        /// The table.
        object: String,
        /// The column.
        column: String,
    },

    /// A transaction over several tables holds, but cannot be completed in one of them: a program that
    /// knows nothing of it has changed the table.
    #[error("could not complete a committed transaction in {object}: {reason}")]
    Blocked {
        /// The table.
        object: String,
        /// What was changed.
        reason: String,
        /// The version that the transaction can be completed over.
        version: i64,
    },

    /// The store did not say whether a commit landed, and could not be asked. It is in the table
    /// once or not at all; the same server finds out by committing again with the same operation id,
    /// any other by a numbered producer.
    #[error("could not learn whether the commit to {object} was stored")]
    OutcomeUnknown {
        /// The table or the catalog.
        object: String,
        /// The operation that may have landed.
        operation_id: Uuid,
        /// What the store said last.
        #[source]
        source: object_store::Error,
    },

    /// The object store failed.
    #[error("could not {action} \"{path}\"")]
    Store {
        /// A verb: read, write, list, delete.
        action: &'static str,
        /// The object.
        path: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },

    /// The rows could not be produced or encoded.
    #[error("could not write rows to {object}")]
    Rows {
        /// The table.
        object: String,
        /// What the producer or the encoder said.
        #[source]
        source: DataFusionError,
    },
}

impl Error {
    /// For `map_err` on a store's answer.
    pub(crate) fn store(
        action: &'static str,
        path: &impl ToString,
    ) -> impl FnOnce(object_store::Error) -> Self {
        let path = path.to_string();
        move |source| Self::Store { action, path, source }
    }

    /// Whether a disk is full beneath it all.
    #[must_use]
    pub fn is_storage_full(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>()
                && matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
            {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// Whether the same call may succeed when it is made again.
    #[must_use]
    pub const fn may_retry(&self) -> bool {
        matches!(
            self,
            Self::Conflict { .. }
                | Self::MetadataChanged { .. }
                | Self::OutcomeUnknown { .. }
                | Self::Store { .. }
        )
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}
