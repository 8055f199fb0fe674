//! Real programs that tests need beside the server: a PostgreSQL as oracle, object stores, a Python
//! with clients.
//!
//! Each is looked for once. Where it is missing, the caller gets the reason and counts its test as
//! skipped by name. Never: a stand-in that lets such a test pass.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::repository;

/// A PostgreSQL server of the version that is installed.
#[derive(Debug)]
pub struct PostgreSql {
    folder: TempDir,
    address: SocketAddr,
}

impl PostgreSql {
    /// Starts one; the error says what is missing.
    pub fn start() -> Result<Self, String> {
        // It must be a folder that the package's own user can enter.
        let folder = tempfile::Builder::new().prefix("tarn-oracle-").tempdir();
        let folder = folder.map_err(|error| error.to_string())?;
        let open = Command::new("chmod").arg("755").arg(folder.path()).status();
        open.map_err(|error| error.to_string())?;
        let port = free_port().to_string();
        let mut command = Command::new(script());
        let output = run(command.arg("start").arg(folder.path()).arg(port).arg("fsync=off"))?;
        let address = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let address = address.parse().map_err(|_| format!("not an address: {address}"))?;
        Ok(Self { folder, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for PostgreSql {
    fn drop(&mut self) {
        // There is nobody left to tell.
        drop(Command::new(script()).arg("stop").arg(self.folder.path()).status());
    }
}

fn script() -> PathBuf {
    repository().join("tests/services/postgres.sh")
}

/// An object store of a real kind, started by a script of `tests/services`.
#[derive(Debug)]
pub struct ObjectServer {
    folder: TempDir,
    script: PathBuf,
    address: SocketAddr,
}

impl ObjectServer {
    /// An S3 server with these buckets.
    pub fn s3(tools: &Path, buckets: &[&str]) -> Result<Self, String> {
        Self::start(tools, "s3.sh", buckets)
    }

    /// An Azure Blob server with these containers.
    pub fn azure(tools: &Path, containers: &[&str]) -> Result<Self, String> {
        Self::start(tools, "azurite.sh", containers)
    }

    /// `tools` is where packages go, and stay for the next run. The error says what is missing.
    fn start(tools: &Path, script: &str, names: &[&str]) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("tarn-store-").tempdir();
        let folder = folder.map_err(|error| error.to_string())?;
        let script = repository().join("tests/services").join(script);
        let mut command = Command::new(&script);
        command.env("TARN_TEST_TOOLS", tools).arg("start").arg(folder.path());
        // What the script leaves running must not hold the pipe of its output.
        let answer = folder.path().join("address");
        let failure = folder.path().join("failure");
        let status = command
            .arg(free_port().to_string())
            .args(names)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&answer).map_err(|error| error.to_string())?)
            .stderr(fs::File::create(&failure).map_err(|error| error.to_string())?)
            .status();
        let status = status.map_err(|error| error.to_string())?;
        if !status.success() {
            let text = fs::read_to_string(&failure).unwrap_or_default();
            return Err(format!("{} ended with {status}: {}", script.display(), text.trim()));
        }
        let address = fs::read_to_string(&answer).map_err(|error| error.to_string())?;
        let address = address.trim().parse().map_err(|_| format!("not an address: {address}"))?;
        Ok(Self { folder, script, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        // There is nobody left to tell.
        drop(Command::new(&self.script).arg("stop").arg(self.folder.path()).status());
    }
}

/// Is there a PostgreSQL to start?
#[must_use]
pub fn has_postgresql() -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql");
    versions.is_ok_and(|mut found| {
        found.any(|entry| entry.is_ok_and(|one| one.path().join("bin/initdb").exists()))
    })
}

/// The Python of a virtual environment with the pinned client packages, made on first use in
/// `folder` and kept for the next run. The error says what is missing.
pub fn python(folder: &Path) -> Result<PathBuf, String> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MADE.get_or_init(|| make_environment(&folder.join("python"))).clone()
}

fn make_environment(folder: &Path) -> Result<PathBuf, String> {
    let wanted = repository().join("tests/python/requirements.txt");
    let text = fs::read_to_string(&wanted).map_err(|error| error.to_string())?;
    let python = folder.join("bin/python");
    let installed = folder.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|have| have == text) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    run(Command::new(&python).args(pip).arg(&wanted))?;
    fs::write(installed, text).map_err(|error| error.to_string())?;
    Ok(python)
}

/// Runs a command to its end; the error holds the last lines that it printed.
pub fn run(command: &mut Command) -> Result<Output, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("could not run {name}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(80)..].join("\n");
    Err(format!("{name} ended with {}:\n{last}", output.status))
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}
