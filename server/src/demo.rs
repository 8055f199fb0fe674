//! `tarn serve --demo`: runs the SQL files of the sample project, as a user would with psql.
//!
//! The files can be run any number of times, so a warehouse that has the demo already stays as it is.
//! Never: anything that the files do not say.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use sql::{Engine, Output, Session, SessionStart};

use crate::error::{Error, Result};

/// Folders that the files name relative to their project.
const FOLDERS: [&str; 2] = ["data/", "models/"];

/// What to type first in psql.
const SUGGESTIONS: [&str; 5] = [
    "\\dt raw.*",
    "SELECT * FROM processed.airline_punctuality ORDER BY late_percent DESC;",
    "\\d features.flight_features",
    "\\df features.*",
    "SELECT * FROM features.delay_score_check ORDER BY tenth;",
];

/// The sample project on disk.
#[derive(Debug)]
pub(crate) struct Demo {
    folder: PathBuf,
    /// Its SQL files in the order of their names.
    files: Vec<PathBuf>,
}

impl Demo {
    /// Looks for the project in a folder.
    pub(crate) fn find(folder: &Path) -> Result<Self> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::DemoFile { path, source }
        };
        let folder = fs::canonicalize(folder).map_err(unreadable(folder))?;
        let sql = folder.join("sql");
        let entries = fs::read_dir(&sql).map_err(unreadable(&sql))?;
        let mut files = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(unreadable(&sql))?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
        files.sort();
        Ok(Self { folder, files })
    }

    /// What the files must be allowed to read.
    pub(crate) fn location(&self) -> String {
        self.folder.display().to_string()
    }

    /// Runs the files, in order, up to the first error.
    pub(crate) async fn load(&self, engine: &Arc<Engine>) -> Result<()> {
        let start = SessionStart {
            user: "tarn".to_owned(),
            database: "tarn".to_owned(),
            application_name: "tarn demo".to_owned(),
            ..SessionStart::default()
        };
        for path in &self.files {
            tracing::info!(file = %path.display(), "loading the sample project");
            let text = fs::read_to_string(path)
                .map_err(|source| Error::DemoFile { path: path.clone(), source })?;
            let ran = async {
                let session = engine.session(start.clone())?;
                run(&session, &self.with_paths(&text)).await
            };
            ran.await.map_err(|source| Error::Demo { path: path.clone(), source })?;
        }
        Ok(())
    }

    /// The text with paths that hold wherever the server was started.
    fn with_paths(&self, text: &str) -> String {
        FOLDERS.iter().fold(text.to_owned(), |text, folder| {
            let absolute = format!("'{}/{folder}", self.location().replace('\'', "''"));
            text.replace(&format!("'{folder}"), &absolute)
        })
    }

    /// Says what to look at first.
    pub(crate) fn suggest(postgres: SocketAddr) -> Result<()> {
        let (host, port) = (postgres.ip(), postgres.port());
        let mut out = io::stdout().lock();
        writeln!(out, "The sample project is loaded. Try:")?;
        writeln!(out, "  psql -h {host} -p {port}")?;
        for line in SUGGESTIONS {
            writeln!(out, "  {line}")?;
        }
        writeln!(out, "README.md has a tour of it.")?;
        Ok(out.flush()?)
    }
}

async fn run(session: &Session, text: &str) -> sql::Result<()> {
    for statement in session.parse(text)? {
        let prepared = session.prepare(statement, &[]).await?;
        match session.run(&prepared, Vec::new()).await? {
            Output::Rows(rows) => rows.try_for_each(|_| async { Ok(()) }).await?,
            Output::Done { .. } => {}
            Output::CopyIn(copy) => return Err(copy.abort("there is no client to copy from")),
            Output::CopyOut(copy) => copy.drain().await?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn files_are_taken_by_name_and_their_paths_made_absolute() {
        let folder = tempfile::tempdir().unwrap();
        let sql = folder.path().join("sql");
        fs::create_dir(&sql).unwrap();
        for name in ["02_b.sql", "01_a.sql", "notes.md"] {
            fs::write(sql.join(name), "").unwrap();
        }
        let demo = Demo::find(folder.path()).unwrap();
        let names: Vec<_> = demo.files.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(names, ["01_a.sql", "02_b.sql"]);
        let text = demo.with_paths("COPY t FROM 'data/x.csv'; SELECT 'my data/'");
        let expected = format!("COPY t FROM '{}/data/x.csv'; SELECT 'my data/'", demo.location());
        assert_eq!(text, expected);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Demo::find(Path::new("/nowhere/demo")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/demo"), "{error}");
    }
}
