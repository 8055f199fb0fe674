//! What the operator decides: command line, environment, file and defaults, in this order.
//!
//! The only file that reads the environment. Each key is declared once, in [`Options`]: it is a flag
//! (`--drain-timeout-s`), an environment variable (`TARN_DRAIN_TIMEOUT_S`) and a key of the TOML
//! file (`drain_timeout_s`) alike. What object stores need besides stands in the variables that their
//! other tools read too (`AWS_REGION`), in AWS profiles, and in tables of the file.
//! Never: an unknown key that is passed over.

mod address;
mod file;
mod profile;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use sql::EngineConfig;

use self::address::Address;
use self::file::Value;
use crate::error::{Error, Result};

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "tarn",
    version,
    about = "A SQL-first lakehouse query server over open Delta Lake tables."
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What `tarn` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a warehouse over the Postgres wire, Arrow Flight SQL and HTTP
    ///
    /// A flag wins over its environment variable, that over the configuration file, that over the
    /// default.
    Serve(Box<Serve>),
    /// Copy a warehouse, as it is at one moment, while servers go on
    ///
    /// Done again to the same place, it copies what is new alone.
    Backup {
        #[command(flatten)]
        warehouse: Warehouse,
        /// Where to: a path or URL that is empty, or holds an older backup of this warehouse
        #[arg(long, value_name = "URL")]
        to: String,
    },
    /// Copy a backup into a new warehouse
    Restore {
        #[command(flatten)]
        warehouse: Warehouse,
        /// Where the backup is: a path or URL
        #[arg(long, value_name = "URL")]
        from: String,
    },
    /// Compare what the logs of a warehouse say with what its store holds
    ///
    /// Prints a line for each problem, and fails if there is one.
    Check {
        #[command(flatten)]
        warehouse: Warehouse,
        /// Read every data file, too
        #[arg(long)]
        deep: bool,
    },
}

/// Which warehouse a command is about, and how its store is reached.
#[derive(Debug, Args)]
pub(crate) struct Warehouse {
    /// TOML file with the keys of `tarn serve`, of which this uses those of stores; none by default
    #[arg(long, value_name = "FILE", env = "TARN_CONFIG")]
    config: Option<PathBuf>,
    /// The warehouse: a path, or a file://, s3://, gs:// or az:// URL [default: ./warehouse]
    #[arg(long, value_name = "URL", env = "TARN_WAREHOUSE")]
    warehouse: Option<String>,
}

impl Warehouse {
    /// Puts the sources together.
    pub(crate) fn config(self) -> Result<EngineConfig> {
        let options = Options { warehouse: self.warehouse, ..Options::default() };
        Ok(Serve { config: self.config, options }.config()?.engine)
    }
}

/// The command line of `tarn serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// TOML file with any of the keys below, `drain_timeout_s` for `--drain-timeout-s`; none by
    /// default
    #[arg(long, value_name = "FILE", env = "TARN_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// Every key. None: not given here.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Where everything durable lives: a path, or a file://, s3://, gs://, az:// or memory:// URL
    /// [default: ./warehouse]
    #[arg(long, value_name = "URL", env = "TARN_WAREHOUSE")]
    warehouse: Option<String>,
    /// Location outside the warehouse that COPY may read and write; repeat for more [default: none]
    #[arg(long = "location", value_name = "URL", env = "TARN_LOCATIONS", value_delimiter = ',')]
    locations: Option<Vec<String>>,
    /// URL below which CREATE LOCATION may declare locations; repeat for more [default: none]
    #[arg(
        long = "location-root",
        value_name = "URL",
        env = "TARN_LOCATION_ROOTS",
        value_delimiter = ','
    )]
    location_roots: Option<Vec<String>>,
    /// File with the key that seals secrets, 64 hexadecimal digits [default: none]
    #[arg(long, value_name = "FILE", env = "TARN_SECRET_KEY_FILE")]
    secret_key_file: Option<PathBuf>,
    /// Address for Postgres clients; port 0 picks a free one [default: 127.0.0.1:5433]
    #[arg(long, value_name = "ADDR", env = "TARN_PG")]
    pg: Option<Address>,
    /// Address for Arrow Flight SQL clients; port 0 picks a free one [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR", env = "TARN_FLIGHT")]
    flight: Option<Address>,
    /// Address for /healthz, /readyz and /metrics; port 0 picks a free one
    /// [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "TARN_HTTP")]
    http: Option<Address>,
    /// Load the sample project into the warehouse before the first client [default: false]
    #[arg(
        long,
        value_name = "BOOL",
        env = "TARN_DEMO",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    demo: Option<bool>,
    /// Folder of the sample project [default: ./clients/demo]
    #[arg(long, value_name = "PATH", env = "TARN_DEMO_DIR")]
    demo_dir: Option<PathBuf>,
    /// Memory for queries, in MiB [default: half of the machine's]
    #[arg(long, value_name = "MIB", env = "TARN_MEMORY_LIMIT_MIB")]
    memory_limit_mib: Option<u64>,
    /// The part of it for results that sessions ask to keep, in MiB; 0: none are kept [default: 256]
    #[arg(long, value_name = "MIB", env = "TARN_RESULT_CACHE_LIMIT_MIB")]
    result_cache_limit_mib: Option<u64>,
    /// Folder for what does not fit into memory [default: the system's temporary folder]
    #[arg(long, value_name = "PATH", env = "TARN_SPILL_DIR")]
    spill_dir: Option<PathBuf>,
    /// Disk space for what does not fit into memory, in MiB [default: 102400]
    #[arg(long, value_name = "MIB", env = "TARN_SPILL_LIMIT_MIB")]
    spill_limit_mib: Option<u64>,
    /// Folder for data files of a remote warehouse, once they were read [default: none]
    #[arg(long, value_name = "PATH", env = "TARN_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// Disk space for data files of a remote warehouse, in MiB [default: 10240]
    #[arg(long, value_name = "MIB", env = "TARN_CACHE_LIMIT_MIB")]
    cache_limit_mib: Option<u64>,
    /// Threads that run queries [default: one for each core]
    #[arg(long, value_name = "COUNT", env = "TARN_THREADS")]
    threads: Option<usize>,
    /// Longest statement, in bytes [default: 16777216]
    #[arg(long, value_name = "BYTES", env = "TARN_STATEMENT_BYTES_MAX")]
    statement_bytes_max: Option<usize>,
    /// Longest message of a Postgres client, in bytes [default: 268435456]
    #[arg(long, value_name = "BYTES", env = "TARN_MESSAGE_BYTES_MAX")]
    message_bytes_max: Option<usize>,
    /// How old the knowledge of other servers' commits may be, in milliseconds [default: 1000]
    #[arg(long, value_name = "MS", env = "TARN_CATALOG_STALENESS_MS")]
    catalog_staleness_ms: Option<u64>,
    /// Whether many small files of a table become few large ones in the background [default: true]
    #[arg(long, value_name = "BOOL", env = "TARN_COMPACTION")]
    compaction: Option<bool>,
    /// Postgres sessions at once [default: 500]
    #[arg(long, value_name = "COUNT", env = "TARN_CONNECTIONS_MAX")]
    connections_max: Option<u64>,
    /// Postgres connections at once that have not logged in yet [default: 1000]
    #[arg(long, value_name = "COUNT", env = "TARN_UNAUTHENTICATED_CONNECTIONS_MAX")]
    unauthenticated_connections_max: Option<u64>,
    /// Time that a client has to log in, in seconds [default: 10]
    #[arg(long, value_name = "S", env = "TARN_AUTHENTICATION_TIMEOUT_S")]
    authentication_timeout_s: Option<u64>,
    /// Time that running statements have to finish when the server stops, in seconds [default: 30]
    #[arg(long, value_name = "S", env = "TARN_DRAIN_TIMEOUT_S")]
    drain_timeout_s: Option<u64>,
    /// What is logged to standard error: a level, or a list of module=level [default: info]
    #[arg(long, value_name = "FILTER", env = "TARN_LOG")]
    log: Option<String>,
    /// In the file alone: what single buckets and containers have of their own, by URL.
    #[arg(skip)]
    #[serde(default)]
    store: BTreeMap<String, BTreeMap<String, Value>>,
}

/// The values in force.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) pg: SocketAddr,
    pub(crate) flight: SocketAddr,
    pub(crate) http: SocketAddr,
    /// The folder of the sample project, where it is to be loaded.
    pub(crate) demo_dir: Option<PathBuf>,
    pub(crate) message_bytes_max: usize,
    pub(crate) connections_max: u64,
    pub(crate) unauthenticated_connections_max: u64,
    pub(crate) authentication_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) log: String,
    pub(crate) engine: EngineConfig,
}

impl Serve {
    /// Puts the sources together.
    pub(crate) fn config(self) -> Result<Config> {
        let from_file = match &self.config {
            Some(path) => file::read(path)?,
            None => Options::default(),
        };
        let mut config = self.options.or(from_file).config()?;
        config.engine.store_environment = store_environment()?;
        Ok(config)
    }
}

impl Options {
    /// These, and where they say nothing, those.
    fn or(self, other: Self) -> Self {
        Self {
            warehouse: self.warehouse.or(other.warehouse),
            locations: self.locations.or(other.locations),
            location_roots: self.location_roots.or(other.location_roots),
            secret_key_file: self.secret_key_file.or(other.secret_key_file),
            pg: self.pg.or(other.pg),
            flight: self.flight.or(other.flight),
            http: self.http.or(other.http),
            demo: self.demo.or(other.demo),
            demo_dir: self.demo_dir.or(other.demo_dir),
            memory_limit_mib: self.memory_limit_mib.or(other.memory_limit_mib),
            result_cache_limit_mib: self.result_cache_limit_mib.or(other.result_cache_limit_mib),
            spill_dir: self.spill_dir.or(other.spill_dir),
            spill_limit_mib: self.spill_limit_mib.or(other.spill_limit_mib),
            cache_dir: self.cache_dir.or(other.cache_dir),
            cache_limit_mib: self.cache_limit_mib.or(other.cache_limit_mib),
            threads: self.threads.or(other.threads),
            statement_bytes_max: self.statement_bytes_max.or(other.statement_bytes_max),
            message_bytes_max: self.message_bytes_max.or(other.message_bytes_max),
            catalog_staleness_ms: self.catalog_staleness_ms.or(other.catalog_staleness_ms),
            compaction: self.compaction.or(other.compaction),
            connections_max: self.connections_max.or(other.connections_max),
            unauthenticated_connections_max: self
                .unauthenticated_connections_max
                .or(other.unauthenticated_connections_max),
            authentication_timeout_s: self
                .authentication_timeout_s
                .or(other.authentication_timeout_s),
            drain_timeout_s: self.drain_timeout_s.or(other.drain_timeout_s),
            log: self.log.or(other.log),
            store: if self.store.is_empty() { other.store } else { self.store },
        }
    }

    /// These, and where they say nothing, the defaults.
    fn config(self) -> Result<Config> {
        let engine = self.engine()?;
        let demo_dir = self.demo_dir.unwrap_or_else(|| PathBuf::from("./clients/demo"));
        let connections_max = self.connections_max.unwrap_or(500);
        at_least_one("connections_max", connections_max)?;
        let unauthenticated_connections_max = self.unauthenticated_connections_max.unwrap_or(1_000);
        at_least_one("unauthenticated_connections_max", unauthenticated_connections_max)?;
        let authentication_timeout_s = self.authentication_timeout_s.unwrap_or(10);
        at_least_one("authentication_timeout_s", authentication_timeout_s)?;
        let message_bytes_max = self.message_bytes_max.unwrap_or(256 << 20);
        if message_bytes_max > i32::MAX as usize {
            return Err(Error::ConfigValue {
                key: "message_bytes_max",
                value: message_bytes_max.to_string(),
                reason: "the Postgres protocol has room for 2147483647 bytes",
            });
        }
        Ok(Config {
            pg: self.pg.map_or_else(|| loopback(5433), Into::into),
            flight: self.flight.map_or_else(|| loopback(50051), Into::into),
            http: self.http.map_or_else(|| loopback(8080), Into::into),
            demo_dir: self.demo.unwrap_or(false).then_some(demo_dir),
            message_bytes_max,
            connections_max,
            unauthenticated_connections_max,
            authentication_timeout: Duration::from_secs(authentication_timeout_s),
            drain_timeout: Duration::from_secs(self.drain_timeout_s.unwrap_or(30)),
            log: self.log.unwrap_or_else(|| "info".to_owned()),
            engine,
        })
    }

    /// The keys that are the engine's.
    fn engine(&self) -> Result<EngineConfig> {
        let default = EngineConfig::default();
        let memory_limit_mib = self.memory_limit_mib.unwrap_or_else(half_of_memory_mib);
        at_least_one("memory_limit_mib", memory_limit_mib)?;
        let threads = self.threads.unwrap_or(default.threads);
        at_least_one("threads", threads as u64)?;
        let result_cache_limit_mib = self.result_cache_limit_mib.unwrap_or(256);
        let spill_limit_mib = self.spill_limit_mib.unwrap_or(102_400);
        Ok(EngineConfig {
            warehouse: self.warehouse.clone().unwrap_or(default.warehouse),
            locations: self.locations.clone().unwrap_or_default(),
            location_roots: self.location_roots.clone().unwrap_or_default(),
            secret_key: self.secret_key_file.as_deref().map(secret_key).transpose()?,
            stores: self.stores(),
            memory_limit_bytes: mib("memory_limit_mib", memory_limit_mib)? as usize,
            result_cache_limit_bytes: mib("result_cache_limit_mib", result_cache_limit_mib)?
                as usize,
            store_cache: self.cache()?,
            spill_dir: self.spill_dir.clone(),
            spill_limit_bytes: mib("spill_limit_mib", spill_limit_mib)?,
            threads,
            statement_bytes_max: self.statement_bytes_max.unwrap_or(default.statement_bytes_max),
            catalog_staleness_ms: self.catalog_staleness_ms.unwrap_or(default.catalog_staleness_ms),
            compaction: self.compaction.unwrap_or(default.compaction),
            ..default
        })
    }

    fn cache(&self) -> Result<Option<sql::CacheOptions>> {
        let limit_mib = self.cache_limit_mib.unwrap_or(10_240);
        let limit_bytes = mib("cache_limit_mib", limit_mib)?;
        let options =
            |directory: &PathBuf| sql::CacheOptions { directory: directory.clone(), limit_bytes };
        Ok(self.cache_dir.as_ref().map(options))
    }

    fn stores(&self) -> BTreeMap<String, sql::Options> {
        let store = |(url, options): (&String, &BTreeMap<String, Value>)| {
            let options = options.iter().map(|(key, value)| (key.clone(), value.to_string()));
            (url.clone(), options.collect())
        };
        self.store.iter().map(store).collect()
    }
}

/// The key that the operator keeps in a file: flags and variables are seen by others.
fn secret_key(path: &Path) -> Result<sql::SecretKey> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::SecretKeyFile { path: path.to_owned(), source })?;
    sql::SecretKey::parse(&text).map_err(|_| Error::ConfigValue {
        key: "secret_key_file",
        value: format!("\"{}\"", path.display()),
        reason: "it does not hold 64 hexadecimal digits, as \"openssl rand -hex 32\" prints them",
    })
}

/// The variables that object stores have in common with their other tools. Which of them mean
/// something to a store, the store knows.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the environment")]
fn store_environment() -> Result<sql::Options> {
    let variable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let variables = std::env::vars_os().filter_map(variable);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    from_variables(variables, home.as_deref())
}

fn from_variables(
    variables: impl Iterator<Item = (String, String)>,
    home: Option<&Path>,
) -> Result<sql::Options> {
    let known = variables.filter_map(|(name, value)| match name.as_str() {
        "SERVICE_ACCOUNT" => Some(("GOOGLE_SERVICE_ACCOUNT".to_owned(), value)),
        "IDENTITY_ENDPOINT" => Some(("AZURE_IDENTITY_ENDPOINT".to_owned(), value)),
        _ => ["AWS_", "AZURE_", "GOOGLE_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
            .then_some((name, value)),
    });
    let known = known.filter(|(_, value)| !value.is_empty()).collect();
    Ok(profile::complete(known, home)?.into_iter().collect())
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn at_least_one(key: &'static str, value: u64) -> Result<()> {
    if value > 0 {
        return Ok(());
    }
    Err(Error::ConfigValue { key, value: value.to_string(), reason: "it must be at least 1" })
}

fn mib(key: &'static str, value: u64) -> Result<u64> {
    value.checked_mul(1 << 20).ok_or_else(|| Error::ConfigValue {
        key,
        value: value.to_string(),
        reason: "it is more than a machine can have",
    })
}

/// Half of the machine's memory; 4 GiB where the system does not say how much it has.
fn half_of_memory_mib() -> u64 {
    const UNKNOWN: u64 = 4_096;
    let Ok(text) = std::fs::read_to_string("/proc/meminfo") else { return UNKNOWN };
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(UNKNOWN, |kib| (kib / 2_048).max(1))
}
