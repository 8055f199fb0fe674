//! Why the server could not start, and what it reports to a client that something went wrong.
//!
//! Never: a word of what lies below (a Rust type, a debug form) in what a client reads.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

/// The result of starting and running the server.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the server could not start. The operator acts on all of these.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// The configuration file is not there or cannot be read.
    #[error("could not read the configuration file \"{}\": {source}", path.display())]
    ConfigFile { path: PathBuf, source: io::Error },
    /// The configuration file is not TOML, or a value is of the wrong type.
    #[error("cannot use the configuration file \"{}\": {message}", path.display())]
    ConfigSyntax { path: PathBuf, message: String },
    /// A key that does not exist.
    #[error("unknown key \"{key}\" in the configuration file \"{}\"{}", path.display(), meant(nearest))]
    ConfigKey { path: PathBuf, key: String, nearest: Option<String> },
    /// A value outside what its key takes.
    #[error("{key} cannot be {value}: {reason}")]
    ConfigValue { key: &'static str, value: String, reason: &'static str },
    /// The file with the key for secrets is not there or cannot be read.
    #[error("could not read the secret key file \"{}\": {source}", path.display())]
    SecretKeyFile { path: PathBuf, source: io::Error },
    /// A profile of the AWS tools that does not hold what is needed.
    #[error("cannot use the AWS profile \"{profile}\": {reason}")]
    Profile { profile: String, reason: String },
    /// An address that others than this machine can reach, without authentication.
    #[error(
        "cannot listen for {listener} on {address}: there is no authentication yet, so only a \
         loopback address such as 127.0.0.1:{} is allowed",
        address.port()
    )]
    NotLoopback { listener: &'static str, address: SocketAddr },
    /// An address that is taken or not this machine's.
    #[error("could not listen for {listener} on {address}: {source}")]
    Listen { listener: &'static str, address: SocketAddr, source: io::Error },
    /// The warehouse could not be opened.
    #[error("could not open the warehouse \"{warehouse}\": {source}{}", detail(source))]
    Warehouse { warehouse: String, source: sql::Error },
    /// A backup, a restore or a check could not be done.
    #[error("{source}{}", detail(source))]
    Maintenance { source: sql::Error },
    /// A check found something.
    #[error("{problems} problems")]
    Damaged { problems: usize },
    /// A file of the sample project is not there or cannot be read.
    #[error("could not read the sample project's \"{}\": {source}", path.display())]
    DemoFile { path: PathBuf, source: io::Error },
    /// A statement of the sample project went wrong.
    #[error("could not load the sample project: {}: {source}", path.display())]
    Demo { path: PathBuf, source: sql::Error },
    /// A part of the process that should run until the end stopped.
    #[error("could not run the server: {0}")]
    Io(#[from] io::Error),
}

/// What lies behind an error, where it says so.
fn detail(error: &sql::Error) -> String {
    error.detail().map(|detail| format!("\n{detail}")).unwrap_or_default()
}

fn meant(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|key| format!("; did you mean \"{key}\"?")).unwrap_or_default()
}

/// What a client is told about an error or a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) sqlstate: &'static str,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    /// Where in the statement, in characters counted from 1.
    pub(crate) position: Option<usize>,
}

impl Report {
    pub(crate) fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into(), detail: None, hint: None, position: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<sql::Error> for Report {
    fn from(error: sql::Error) -> Self {
        Self {
            sqlstate: error.sqlstate(),
            message: error.message(),
            detail: error.detail(),
            hint: error.hint(),
            position: error.position(),
        }
    }
}

impl From<sql::Notice> for Report {
    fn from(notice: sql::Notice) -> Self {
        let sql::Notice { sqlstate, message, detail, hint, .. } = notice;
        Self { sqlstate, message, detail, hint, position: None }
    }
}
