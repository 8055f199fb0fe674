//! The composed state of the process: stores, catalog, memory, functions, writers.
//!
//! Made once, shared by every session. Never: a setting of one session, or anything that a
//! statement pins.

pub(crate) mod planning;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use catalog::{
    CacheCounts, CacheOptions, Catalog, Clock, LakeTable, Options, SecretKey, StoreOptions, Stores,
    SystemClock,
};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::RelationPlanner;
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::prelude::SessionConfig;
use ingest::Writer;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::planning::{PlanningSettings, PlanningState, PlanningStates};
use crate::compute::{Compute, Threads};
use crate::error::{Error, Result};
use crate::lateral;
use crate::plan::{QueryPlanner, TypePlanner};
use crate::results::{ResultCounts, Results, YieldingPool};
use crate::semantics;
use crate::session::{Session, SessionStart};
use crate::statement::create_model::Models;
use crate::upkeep;

/// What the operator decides for the whole process.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where everything durable lives: a path, or a `file`, `s3`, `gs`, `az` or `memory` URL.
    pub warehouse: String,
    /// Locations outside the warehouse that SQL may read and write.
    pub locations: Vec<String>,
    /// Variables of the environment that say something of object stores: `AWS_REGION`, ...
    pub store_environment: Options,
    /// What single buckets and containers have of their own, by URL.
    pub stores: BTreeMap<String, Options>,
    /// Where data files of a remote warehouse are kept once they were read; none: nowhere.
    pub store_cache: Option<CacheOptions>,
    /// URLs below which `CREATE LOCATION` may declare locations.
    pub location_roots: Vec<String>,
    /// What seals the secrets of the catalog; without it there are none.
    pub secret_key: Option<SecretKey>,
    /// Memory that all queries share.
    pub memory_limit_bytes: usize,
    /// Where sorts and aggregates spill, and temporary tables live; none: the system's folder.
    pub spill_dir: Option<PathBuf>,
    /// Disk that all spills share.
    pub spill_limit_bytes: u64,
    /// Parallel streams of a plan.
    pub threads: usize,
    /// The part of that memory that results of queries may take where sessions ask to keep them.
    pub result_cache_limit_bytes: usize,
    /// Longest statement.
    pub statement_bytes_max: usize,
    /// How old the server's knowledge of others' commits may be.
    pub catalog_staleness_ms: u64,
    /// Whether small files are put together in the background.
    pub compaction: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            warehouse: "./warehouse".to_owned(),
            locations: Vec::new(),
            store_environment: Options::default(),
            stores: BTreeMap::new(),
            store_cache: None,
            location_roots: Vec::new(),
            secret_key: None,
            memory_limit_bytes: 4 << 30,
            spill_dir: None,
            spill_limit_bytes: 100 << 30,
            threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            result_cache_limit_bytes: 256 << 20,
            statement_bytes_max: 16 << 20,
            catalog_staleness_ms: 1_000,
            compaction: true,
        }
    }
}

impl EngineConfig {
    /// What it says of stores.
    pub(crate) fn store_options(&self) -> StoreOptions {
        StoreOptions {
            locations: self.locations.clone(),
            environment: self.store_environment.clone(),
            stores: self.stores.clone(),
            cache: self.store_cache.clone(),
            location_roots: self.location_roots.clone(),
            secret_key: self.secret_key.clone(),
        }
    }
}

/// The process.
pub struct Engine {
    pub(crate) config: EngineConfig,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) models: Models,
    pub(crate) results: Arc<Results>,
    base: SessionState,
    planning: PlanningStates,
    writers: Mutex<HashMap<Uuid, Arc<Writer>>>,
    temporary: Arc<Stores>,
    _temporary_dir: tempdir::Folder,
    _threads: Threads,
    stopped: CancellationToken,
    caught_up_at: AtomicI64,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the warehouse, and makes one where there is none.
    pub async fn open(config: EngineConfig) -> Result<Arc<Self>> {
        Self::open_with_clock(config, Arc::new(SystemClock)).await
    }

    /// As [`Engine::open`], with a clock of the caller's.
    pub async fn open_with_clock(config: EngineConfig, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let stores = Stores::new(&config.warehouse, config.store_options())?;
        Self::open_on(stores, config, clock).await
    }

    /// The same on stores of the caller's, whatever the configuration calls the warehouse.
    pub(crate) async fn open_on(
        stores: Stores,
        config: EngineConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let folder = tempdir::Folder::make(config.spill_dir.as_deref())?;
        let results = Results::new(config.result_cache_limit_bytes);
        let runtime = runtime(&config, folder.path(), &results)?;
        let stores = Arc::new(stores);
        stores.register(&runtime);
        let temporary = Arc::new(temporary_stores(&folder)?);
        temporary.register(&runtime);
        let catalog = Catalog::open(stores, clock).await?;
        let threads = Threads::start(config.threads).map_err(|e| {
            Error::new(crate::state::IO_ERROR, format!("could not start compute threads: {e}"))
        })?;
        let base = base_state(&config, &runtime, threads.compute());
        let compacts = config.compaction;
        let engine = Arc::new(Self {
            models: Models::default(),
            results,
            config,
            catalog,
            base,
            planning: PlanningStates::default(),
            writers: Mutex::default(),
            temporary,
            _temporary_dir: folder,
            _threads: threads,
            stopped: CancellationToken::new(),
            caught_up_at: AtomicI64::new(0),
        });
        if compacts {
            upkeep::start_compaction(&engine);
        }
        upkeep::start_clean_up(&engine);
        Ok(engine)
    }

    /// A new connection.
    pub fn session(self: &Arc<Self>, start: SessionStart) -> Result<Session> {
        Session::new(Arc::clone(self), start)
    }

    /// What the cache of remote data files did, where there is one.
    #[must_use]
    pub fn cache_counts(&self) -> Option<&Arc<CacheCounts>> {
        self.catalog.stores().cache_counts()
    }

    /// What the cache of results did.
    #[must_use]
    pub fn result_counts(&self) -> &Arc<ResultCounts> {
        self.results.counts()
    }

    /// Ends background work; what was acknowledged is durable already.
    pub async fn shutdown(&self) {
        self.stopped.cancel();
        tokio::task::yield_now().await;
    }

    /// Cancelled when the engine shuts down.
    pub(crate) fn stopped(&self) -> CancellationToken {
        self.stopped.clone()
    }

    /// The microseconds now, by the engine's clock.
    pub(crate) fn now_micros(&self) -> i64 {
        self.catalog.clock().now_micros()
    }

    /// Learns of other servers' DDL, at most as often as the operator allows to be stale.
    pub(crate) async fn catch_up(&self) -> Result<()> {
        let now = self.now_micros();
        let allowed = i64::try_from(self.config.catalog_staleness_ms).unwrap_or(i64::MAX);
        let last = self.caught_up_at.load(Ordering::Relaxed);
        if now.saturating_sub(last) < allowed.saturating_mul(1_000) {
            return Ok(());
        }
        self.caught_up_at.store(now, Ordering::Relaxed);
        self.catalog.refresh().await?;
        Ok(())
    }

    /// Functions, rules and the runtime that every session starts from.
    pub(crate) fn base_state(&self) -> &SessionState {
        &self.base
    }

    /// A state with these settings, for what does not ask for the time.
    pub(crate) fn shared_planning_state(&self, settings: &PlanningSettings) -> Arc<PlanningState> {
        self.planning.get(&self.base, settings)
    }

    /// The one writer of a table.
    pub(crate) fn writer(&self, id: Uuid, table: &Arc<LakeTable>) -> Arc<Writer> {
        let mut writers = self.writers.lock();
        let writer = writers.entry(id).or_insert_with(|| Writer::new(Arc::clone(table)));
        Arc::clone(writer)
    }

    /// Forgets the writer of a table that was dropped.
    pub(crate) fn forget_writer(&self, id: Uuid) {
        self.writers.lock().remove(&id);
    }

    /// Where temporary tables live: on local disk, not synced, gone with the process.
    pub(crate) fn temporary_stores(&self) -> &Arc<Stores> {
        &self.temporary
    }
}

fn runtime(
    config: &EngineConfig,
    folder: &std::path::Path,
    results: &Arc<Results>,
) -> Result<Arc<RuntimeEnv>> {
    let named = NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN);
    let pool = TrackConsumersPool::new(FairSpillPool::new(config.memory_limit_bytes), named);
    let pool = YieldingPool::new(pool, Arc::downgrade(results));
    let spill = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![folder.to_path_buf()]))
        .with_max_temp_directory_size(config.spill_limit_bytes);
    let builder = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(spill)
        .with_object_store_registry(Arc::new(crate::plan::ClosedRegistry::default()));
    Ok(builder.build_arc()?)
}

fn base_state(config: &EngineConfig, runtime: &Arc<RuntimeEnv>, compute: Compute) -> SessionState {
    let mut session = SessionConfig::new()
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false)
        .with_target_partitions(config.threads)
        .with_extension(Arc::new(compute));
    let options = session.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.collect_spans = false;
    options.execution.parquet.pushdown_filters = false;
    options.execution.collect_statistics = true;
    // A cast to a type that Arrow lacks (`varchar(5)`, `uuid`) is nullable to the physical planner
    // and not to the logical one, if its operand is not; the check takes that for a fault.
    options.execution.skip_physical_aggregate_schema_check = true;
    let relations: Vec<Arc<dyn RelationPlanner>> =
        vec![Arc::new(views::point_in_time::AsOfRelationPlanner), Arc::new(lateral::CallPlanner)];
    let mut rules = Optimizer::new().rules;
    views::point_in_time::PushDownToLeft::insert_into(&mut rules);
    let mut builder = SessionStateBuilder::new()
        .with_config(session)
        .with_analyzer_rules(semantics::analyzer().rules)
        .with_optimizer_rules(rules)
        .with_runtime_env(Arc::clone(runtime))
        .with_default_features()
        .with_type_planner(Arc::new(TypePlanner))
        .with_query_planner(Arc::new(QueryPlanner));
    // Before the others, which take any comparison.
    let planners = builder.expr_planners().get_or_insert_default();
    planners.insert(0, crate::pg_catalog::expr_planner());
    planners.insert(1, crate::json::planner());
    planners.insert(2, Arc::new(semantics::UnknownLiterals));
    let timezone = Arc::new(semantics::timezone_function());
    let functions = builder.scalar_functions().get_or_insert_default();
    functions.push(timezone);
    functions.extend(semantics::time_functions().map(Arc::new));
    functions.extend(crate::json::functions().into_iter().map(Arc::new));
    functions.extend(lateral::functions().into_iter().map(Arc::new));
    functions.push(Arc::new(crate::search::function()));
    builder.relation_planners().get_or_insert_default().extend(relations);
    let mut state = builder.build();
    // In a select list it gives rows in PostgreSQL, and an array here: refused, rather than that.
    let _array = state.deregister_udf("generate_series");
    state
}

fn temporary_stores(folder: &tempdir::Folder) -> Result<Stores> {
    let path = folder.path().join("tables");
    std::fs::create_dir_all(&path)
        .map_err(|e| Error::new(crate::state::IO_ERROR, format!("could not make a folder: {e}")))?;
    let store = object_store::local::LocalFileSystem::new_with_prefix(&path)?;
    Ok(Stores::from_store("tarn-temporary://local", Arc::new(store))?)
}

/// A folder of the process's own, gone when it ends.
mod tempdir {
    use std::path::{Path, PathBuf};

    use uuid::Uuid;

    use crate::error::{Error, Result, state};

    #[derive(Debug)]
    pub(super) struct Folder(PathBuf);

    impl Folder {
        pub(super) fn make(parent: Option<&Path>) -> Result<Self> {
            let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
            let path = parent.join(format!("tarn-{}", Uuid::new_v4()));
            std::fs::create_dir_all(&path).map_err(|e| {
                Error::new(
                    state::IO_ERROR,
                    format!("could not make folder \"{}\": {e}", path.display()),
                )
            })?;
            Ok(Self(path))
        }

        pub(super) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            if let Err(error) = std::fs::remove_dir_all(&self.0) {
                tracing::warn!(folder = %self.0.display(), %error, "could not remove the folder");
            }
        }
    }
}
