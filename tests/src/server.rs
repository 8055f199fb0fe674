//! `TestServer`: the built `tarn` in a temporary folder on free ports.
//!
//! Never: leaves a process behind (it is killed on drop), shares a warehouse with another test,
//! or sleeps a fixed time: it polls until the server says that it is ready.

#![expect(clippy::panic, reason = "a test whose server does not start must stop")]

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything that must come true may take, on a slow and busy machine.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// The binary under test: `TARN_BIN`, or the one that cargo built beside this test.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = crate::setting("TARN_BIN") {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().expect("a process knows its own path");
    let folder = test.parent().and_then(Path::parent).expect("cargo puts tests under deps/");
    folder.join("tarn")
}

/// One running server and its folder.
#[derive(Debug)]
pub struct TestServer {
    folder: TempDir,
    /// Where it is not a folder of the server's own.
    warehouse_url: Option<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    running: Option<Running>,
    starts: usize,
}

#[derive(Debug)]
struct Running {
    child: Child,
    pg: SocketAddr,
    flight: Option<SocketAddr>,
}

impl TestServer {
    /// Starts a server on a new, empty warehouse.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further command line arguments.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::launch(None, arguments, &[])
    }

    /// Starts one on a warehouse that stands elsewhere, with variables of the environment.
    #[must_use]
    pub fn start_on(warehouse: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::launch(Some(warehouse), arguments, environment)
    }

    fn launch(warehouse: Option<&str>, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("tarn-test-").tempdir();
        let mut server = Self {
            folder: folder.expect("the temporary folder is writable"),
            warehouse_url: warehouse.map(ToOwned::to_owned),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            running: None,
            starts: 0,
        };
        fs::create_dir(server.files()).expect("the temporary folder is writable");
        server.start_again();
        server
    }

    /// Starts it again on the same warehouse, on new ports. Kills it first if it still runs.
    pub fn start_again(&mut self) {
        self.kill();
        self.starts += 1;
        let log = self.log_path();
        let output = File::create(&log).expect("the temporary folder is writable");
        let errors = output.try_clone().expect("a file handle can be cloned");
        let files = self.files();
        let child = Command::new(binary())
            .arg("serve")
            .args(["--pg", "127.0.0.1:0", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .arg("--warehouse")
            .arg(self.warehouse_url.as_ref().map_or_else(|| self.warehouse(), PathBuf::from))
            .arg("--location")
            .arg(&files)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&files)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn();
        let mut child = child.unwrap_or_else(|error| {
            let path = binary();
            panic!("could not start {}: {error}", path.display())
        });
        let (pg, flight) = addresses(&mut child, &log);
        self.running = Some(Running { child, pg, flight });
    }

    /// SIGKILL: no destructor runs, nothing is flushed.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            // It may be dead already; either way it is gone after the wait.
            drop(running.child.kill());
            drop(running.child.wait());
        }
    }

    /// SIGTERM, and how the process ended.
    pub fn terminate(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("the server runs");
        let id = running.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "could not send SIGTERM");
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            if let Some(status) = running.child.try_wait().expect("the child is ours") {
                return status;
            }
            assert!(Instant::now() < deadline, "the server still runs {WAIT_MAX:?} after SIGTERM");
            std::thread::sleep(POLL);
        }
    }

    /// Where it listens for Postgres clients.
    #[must_use]
    pub fn pg(&self) -> SocketAddr {
        self.now().pg
    }

    /// Where it listens for Flight SQL clients.
    #[must_use]
    pub fn flight(&self) -> SocketAddr {
        self.now().flight.expect("the server announced no address for Flight SQL")
    }

    /// The same, where a test can do without it.
    #[must_use]
    pub fn flight_if_any(&self) -> Option<SocketAddr> {
        self.now().flight
    }

    /// The process id, for memory measurements.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.now().child.id()
    }

    /// Whether `/readyz` answers 200.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        address(&self.log(), "http").is_some_and(ready)
    }

    /// What `/metrics` says of one of them.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<u64> {
        let text = http_get(address(&self.log(), "http")?, "/metrics").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    }

    /// The processor time that the process has used so far.
    #[must_use]
    pub fn processor_time(&self) -> Duration {
        const TICK: Duration = Duration::from_millis(10);
        let path = format!("/proc/{}/stat", self.process_id());
        let text = fs::read_to_string(path).expect("the process runs");
        // After the name in parentheses: state is field 3, user and system time 14 and 15.
        let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u32 = fields.skip(11).take(2).filter_map(|n| n.parse::<u32>().ok()).sum();
        TICK * ticks
    }

    /// The folder that holds the Delta tables.
    #[must_use]
    pub fn warehouse(&self) -> PathBuf {
        self.folder.path().join("warehouse")
    }

    /// A folder that SQL may read and write: the server's one declared location.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// What the server has printed since its last start.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn now(&self) -> &Running {
        self.running.as_ref().expect("the server runs")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join(format!("server-{}.log", self.starts))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            crate::note(&format!("the server of the failed test printed:\n{}", self.log()));
        }
    }
}

/// Waits until the server has printed its addresses and says that it is ready.
fn addresses(child: &mut Child, log: &Path) -> (SocketAddr, Option<SocketAddr>) {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        if let Some(pg) = address(&text, "postgres")
            && address(&text, "http").is_some_and(ready)
        {
            return (pg, address(&text, "flight"));
        }
        let ended = child.try_wait().expect("the child is ours");
        let late = Instant::now() > deadline;
        if ended.is_some() || late {
            drop(child.kill());
            drop(child.wait());
            panic!("the server did not get ready, it printed:\n{text}");
        }
        std::thread::sleep(POLL);
    }
}

/// The address in a line such as `tarn: postgres on 127.0.0.1:5433`.
fn address(text: &str, listener: &str) -> Option<SocketAddr> {
    let mark = format!("tarn: {listener} on ");
    text.lines()
        .filter(|line| line.len() < 200)
        .find_map(|line| line.strip_prefix(&mark)?.parse().ok())
}

/// Does `/readyz` answer 200?
fn ready(http: SocketAddr) -> bool {
    http_get(http, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

fn http_get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: tarn\r\nConnection: close\r\n\r\n")?;
    std::io::read_to_string(stream)
}
