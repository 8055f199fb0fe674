//! Runs every `tests/slt/**/*.slt` three times: over the Postgres wire, over Flight SQL, and against
//! a real PostgreSQL. One expected answer serves all three.
//!
//! - `skipif postgresql`: ours alone; `onlyif postgresql`: how PostgreSQL words it.
//! - `skipif flight`, `skipif pg`: what one protocol cannot carry.
//! - a file whose first lines hold `# tarn only` is not shown to PostgreSQL.
//! - errors are expected as `SQLSTATE: message`.
//! - with `control substitution on`, `$MADE` is a free schema name, `$FILES` a folder that SQL may use and `$DATA` is `tests/data`
//!   copied there.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libtest_mimic::{Completion, Failed, Trial};
use sqllogictest::{AsyncDB, MakeConnection, Runner};
use tests::{FlightDatabase, PgDatabase, SqlError, TestServer, components, repository};

use crate::shared::Shared;
use crate::{run, skipped};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Through {
    Pg,
    Flight,
    PostgreSql,
}

pub(crate) fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for file in files(&repository().join("tests/slt")) {
        for through in [Through::Pg, Through::Flight, Through::PostgreSql] {
            if through == Through::PostgreSql && tarn_only(&file) {
                continue;
            }
            trials.push(one(shared, file.clone(), through));
        }
    }
    trials
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn tarn_only(file: &Path) -> bool {
    let text = fs::read_to_string(file).unwrap();
    text.lines().take(5).any(|line| line == "# tarn only")
}

fn one(shared: &Arc<Shared>, file: PathBuf, through: Through) -> Trial {
    let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
    let side = format!("{through:?}").to_lowercase();
    let shared = Arc::clone(shared);
    Trial::ignorable_test(format!("sqllogic::{side}::{stem}"), move || {
        let schema = format!("slt_{side}_{stem}");
        if through == Through::PostgreSql {
            if !components::has_postgresql() {
                return Ok(skipped("PostgreSQL is not installed"));
            }
            let address = shared.oracle().map_err(Failed::from)?;
            return run(on_postgresql(address, &file, &schema));
        }
        let (pg, folder) = shared.tarn(|tarn| (tarn.pg(), tarn.files()));
        let flight = shared.tarn(TestServer::flight_if_any);
        if through == Through::Flight && flight.is_none() {
            return Ok(skipped("the server has no Flight SQL listener"));
        }
        let flight = flight.filter(|_| through == Through::Flight);
        let folder = copy_data(&folder.join(&schema));
        run(on_tarn(pg, flight, &file, &schema, &folder))
    })
}

/// Gives the file a folder of its own, with the test data in it.
pub(crate) fn copy_data(folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    for entry in fs::read_dir(repository().join("tests/data")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    folder.to_path_buf()
}

async fn on_tarn(
    pg: SocketAddr,
    flight: Option<SocketAddr>,
    file: &Path,
    schema: &str,
    folder: &Path,
) -> Result<Completion, Failed> {
    let mut setup = PgDatabase::connect(pg).await?;
    setup.run(&format!("CREATE SCHEMA {schema}")).await?;
    let path = format!("SET search_path = {schema}, public");
    match flight {
        Some(flight) => {
            let runner = Runner::new(|| async {
                let mut database = FlightDatabase::connect(flight).await?;
                database.run(&path).await?;
                Ok(database)
            });
            records(runner, file, schema, folder, &[]).await
        }
        None => {
            let runner = Runner::new(|| async {
                let mut database = PgDatabase::connect(pg).await?;
                database.run(&path).await?;
                Ok(database)
            });
            records(runner, file, schema, folder, &[]).await
        }
    }
}

async fn on_postgresql(
    address: SocketAddr,
    file: &Path,
    schema: &str,
) -> Result<Completion, Failed> {
    let connect = || PgDatabase::connect_as(address, "postgres", "postgres");
    connect().await?.run(&format!("CREATE SCHEMA {schema}")).await?;
    let folder = tempfile::Builder::new().prefix("tarn-slt-").tempdir()?;
    // PostgreSQL may run as a user of its own, and reads and writes the same files.
    components::run(std::process::Command::new("chmod").arg("777").arg(folder.path()))?;
    let data = copy_data(folder.path());
    let path = format!("SET search_path = {schema}, public");
    let runner = Runner::new(|| async {
        let mut database = connect().await?;
        database.run(&path).await?;
        Ok(database)
    });
    records(runner, file, schema, &data, &["postgresql"]).await
}

async fn records<D, M>(
    mut runner: Runner<D, M>,
    file: &Path,
    schema: &str,
    folder: &Path,
    labels: &[&str],
) -> Result<Completion, Failed>
where
    D: AsyncDB<Error = SqlError>,
    M: MakeConnection<Conn = D>,
{
    for label in labels {
        runner.add_label(label);
    }
    let folder = folder.to_string_lossy().into_owned();
    runner.set_var("MADE".to_owned(), format!("{schema}_made"));
    runner.set_var("FILES".to_owned(), folder.clone());
    runner.set_var("DATA".to_owned(), folder);
    // Every record runs, so that one run shows all that is wrong in a file.
    let mut wrong = Vec::new();
    for record in sqllogictest::parse_file(file).map_err(|error| error.to_string())? {
        if let Err(error) = runner.run_async(record).await {
            wrong.push(error.to_string());
        }
    }
    if wrong.is_empty() { Ok(Completion::Completed) } else { Err(wrong.join("\n").into()) }
}
