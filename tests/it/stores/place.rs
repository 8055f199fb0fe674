//! A warehouse and a landing place on one kind of store, and the servers that work there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tests::components::{self, ObjectServer};
use tests::{PgDatabase, TestServer, repository};
use tokio_postgres::SimpleQueryMessage;

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    S3,
    Azure,
    Memory,
    Disk,
}

/// A store with a bucket `lake` for the warehouse and a bucket `landing` beside it.
pub(super) struct Place {
    kind: Kind,
    server: Option<ObjectServer>,
    folder: TempDir,
    tools: PathBuf,
    /// Where the server is told to find the store, if that is not the store itself.
    pub(super) through: Option<SocketAddr>,
    /// Further variables of the server.
    pub(super) extra: Vec<(&'static str, String)>,
}

impl Place {
    /// The error says what is missing.
    pub(super) fn open(kind: Kind, tools: &Path) -> Result<Self, String> {
        let buckets = ["lake", "landing"];
        let server = match kind {
            Kind::S3 => Some(ObjectServer::s3(tools, &buckets)?),
            Kind::Azure => Some(ObjectServer::azure(tools, &buckets)?),
            Kind::Memory | Kind::Disk => None,
        };
        let folder = tempfile::Builder::new().prefix("tarn-test-").tempdir();
        let folder = folder.map_err(|error| error.to_string())?;
        let tools = tools.to_path_buf();
        if kind == Kind::Disk {
            let landing = folder.path().join("landing/in");
            std::fs::create_dir_all(landing).map_err(|error| error.to_string())?;
        }
        Ok(Self { kind, server, folder, tools, through: None, extra: Vec::new() })
    }

    /// Whether what was written outlives the server.
    pub(super) fn is_durable(&self) -> bool {
        self.kind != Kind::Memory
    }

    /// The address of the store itself.
    pub(super) fn address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().address()
    }

    /// The URL of a path in a bucket.
    pub(super) fn url(&self, bucket: &str, path: &str) -> String {
        let scheme = match self.kind {
            Kind::S3 => "s3",
            Kind::Azure => "az",
            Kind::Memory => "memory",
            Kind::Disk => return self.folder.path().join(bucket).join(path).display().to_string(),
        };
        format!("{scheme}://{bucket}/{path}")
    }

    /// The variables by which a server, or another reader, finds the store.
    fn environment(&self, address: SocketAddr) -> Vec<(&'static str, String)> {
        match self.kind {
            Kind::S3 => vec![
                ("AWS_ENDPOINT_URL", format!("http://{address}")),
                ("AWS_ALLOW_HTTP", "true".to_owned()),
                ("AWS_REGION", "us-east-1".to_owned()),
                ("AWS_ACCESS_KEY_ID", "tests".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", "tests".to_owned()),
            ],
            Kind::Azure => vec![
                ("AZURE_STORAGE_USE_EMULATOR", "true".to_owned()),
                ("AZURITE_BLOB_STORAGE_URL", format!("http://{address}")),
            ],
            Kind::Memory | Kind::Disk => Vec::new(),
        }
    }

    /// The same for another reader than the server.
    fn own_environment(&self) -> Vec<(&'static str, String)> {
        self.server.as_ref().map_or_else(Vec::new, |server| self.environment(server.address()))
    }

    /// A server on the warehouse.
    pub(super) fn start(&self, arguments: &[&str]) -> TestServer {
        let mut variables = match &self.server {
            Some(server) => self.environment(self.through.unwrap_or_else(|| server.address())),
            None => Vec::new(),
        };
        variables.extend(self.extra.iter().cloned());
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let landing = self.url("landing", "in");
        let arguments = [&["--location", landing.as_str()][..], arguments].concat();
        TestServer::start_on(&self.url("lake", "warehouse"), &arguments, &variables)
    }

    /// The rows of a table as Python's `deltalake` reads them from the store itself, a JSON list each.
    pub(super) fn read_by_python(
        &self,
        path: &str,
        columns: &[&str],
    ) -> Result<Vec<String>, String> {
        let python = components::python(&self.tools)?;
        let mut options = serde_json::Map::new();
        for (name, value) in self.own_environment() {
            options.insert(name.to_ascii_lowercase(), value.into());
        }
        let mut command = Command::new(python);
        command
            .arg(repository().join("tests/python/read_table.py"))
            .arg(self.url("lake", &format!("warehouse/{path}")))
            .arg(serde_json::Value::Object(options).to_string())
            .args(columns)
            .envs(self.own_environment());
        let output = components::run(&mut command)?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(ToOwned::to_owned).collect())
    }
}

/// One connection to a server.
pub(super) async fn connect(server: &TestServer) -> PgDatabase {
    PgDatabase::connect(server.pg()).await.unwrap()
}

/// Runs statements whose answers do not matter.
pub(super) async fn execute(database: &PgDatabase, sql: &str) {
    database.client().batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// The rows of an answer, their values between bars.
pub(super) async fn rows(database: &PgDatabase, sql: &str) -> Vec<String> {
    let answer = database.client().simple_query(sql).await;
    let messages = answer.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = |message: SimpleQueryMessage| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        let values: Vec<_> = (0..row.len()).map(|index| row.get(index).unwrap_or("NULL")).collect();
        Some(values.join("|"))
    };
    messages.into_iter().filter_map(row).collect()
}

/// The folder of a table, relative to the warehouse.
pub(super) async fn folder(database: &PgDatabase, table: &str) -> String {
    rows(database, &format!("SELECT pg_relation_filepath('{table}')")).await.remove(0)
}
