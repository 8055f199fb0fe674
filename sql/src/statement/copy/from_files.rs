//! `COPY table FROM 'location'`: files of a declared location, each loaded once, all in one commit.
//!
//! The table's ledger of loaded files is part of its Delta log and moves with the rows: what is in
//! it is in the table, whoever loaded it and however often the statement is sent again.
//!
//! Never: a file in part, or a file that changed since it was loaded taken for the same.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use catalog::{Commit, CommitKind, LoadedFile, Location, TableSnapshot};
use datafusion::sql::sqlparser::ast;
use ingest::Origin;
use ingest::files::{self, File, ReadOptions, Tally};
use uuid::Uuid;

use crate::dml;
use crate::error::{Error, Result, state};
use crate::output::{Notice, Output};
use crate::resolve::Pinned;
use crate::schema_evolution::Mode;
use crate::session::Session;
use crate::statement::alter_table::Evolution;
use crate::statement::copy::complete::Complete;
use crate::statement::copy::options::{ChangedFile, Options};
use crate::statement::copy::{input_schema, read_schema, zone};
use crate::transaction::Staged;

/// How often the files are chosen again when another load of one of them was faster.
const ATTEMPTS_MAX: usize = 15;

/// Loads the files that are not loaded yet.
pub(super) async fn run(
    session: &Session,
    name: &ast::ObjectName,
    columns: &[String],
    location: &str,
    options: &Options,
) -> Result<Output> {
    let place = session.engine().catalog.resolve(&session.snapshot(), location)?;
    refuse_own(session, &place, location)?;
    let mut attempt = 1;
    for _ in 0..ATTEMPTS_MAX {
        let pinned = dml::target(session, name).await?;
        let input = input_schema(&pinned, columns)?;
        let found = files::list(&place.store, &place.path, place.url.as_str()).await?;
        let choice = Choice::new(&pinned.snapshot, found, options)?;
        let mode = match Mode::of(&pinned.snapshot.configuration) {
            // A list of columns says what is read.
            mode if mode.follows() && !columns.is_empty() => Mode::Strict,
            mode => mode,
        };
        let load = Load { session, pinned: &pinned, input, options, mode, evolved: None };
        let load = load.follow(&choice).await?;
        let evolves = load.evolved.is_some();
        match load.run(&choice).await {
            Ok(Some(loaded)) => {
                tell(session, choice.skipped, loaded.skipped);
                return Ok(Output::counted("COPY", loaded.rows));
            }
            Ok(None) => {
                pinned.table.update().await?;
            }
            Err(error) => {
                if !evolves || !dml::goes_again(session, &pinned, &error, &mut attempt).await? {
                    return Err(error);
                }
            }
        }
    }
    Err(Error::new(
        state::SERIALIZATION_FAILURE,
        format!("could not load \"{location}\": others load the same files again and again"),
    )
    .with_hint("Run the statement again."))
}

/// What the server keeps for itself in the warehouse is not for statements to read.
pub(crate) fn refuse_own(session: &Session, place: &Location, location: &str) -> Result<()> {
    let own = session.engine().catalog.stores().in_warehouse("_tarn")?;
    if place.url == own.url && place.path.prefix_matches(&own.path) {
        let message = format!("permission denied for location \"{location}\"");
        return Err(Error::new(state::INSUFFICIENT_PRIVILEGE, message)
            .with_detail("It is part of the warehouse that the server keeps for itself."));
    }
    Ok(())
}

/// Which files are to be loaded, and which load of each it is.
struct Choice {
    files: Vec<(File, i64)>,
    /// Files that were loaded before.
    skipped: usize,
}

impl Choice {
    fn new(snapshot: &TableSnapshot, found: Vec<File>, options: &Options) -> Result<Self> {
        let mut choice = Self { files: Vec::new(), skipped: 0 };
        for file in found {
            let load = match snapshot.loaded_file(&file.url) {
                None => Some(1),
                Some(known) if options.force => Some(known.load + 1),
                Some(known) if same(&known, &file) => None,
                Some(known) => match options.changed_file {
                    ChangedFile::Error => return Err(changed(&file)),
                    ChangedFile::Load => Some(known.load + 1),
                    ChangedFile::Skip => None,
                },
            };
            match load {
                Some(load) => choice.files.push((file, load)),
                None => choice.skipped += 1,
            }
        }
        Ok(choice)
    }
}

/// Whether a file is still what it was when it was loaded.
fn same(known: &LoadedFile, file: &File) -> bool {
    match (&known.etag, etag(file)) {
        (Some(then), Some(now)) => *then == now,
        _ => known.size == file.meta.size && known.modified_micros == modified_micros(file),
    }
}

/// The entity tag. On a local disk it is made of the inode, which a mere copy of the file changes.
fn etag(file: &File) -> Option<String> {
    if file.url.starts_with("file:") { None } else { file.meta.e_tag.clone() }
}

fn modified_micros(file: &File) -> i64 {
    file.meta.last_modified.timestamp_micros()
}

fn changed(file: &File) -> Error {
    let message = format!("file \"{}\" has changed since it was loaded", file.url);
    Error::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, message).with_hint(
        "CHANGED_FILE load adds all of its rows, CHANGED_FILE skip leaves the table as it is.",
    )
}

/// A load of chosen files into a table.
struct Load<'a> {
    session: &'a Session,
    pinned: &'a Pinned,
    input: SchemaRef,
    options: &'a Options,
    mode: Mode,
    /// The table as the files make it, and the commit that does; where they bring other columns.
    evolved: Option<(Pinned, Commit)>,
}

/// What a load did.
#[derive(Default)]
struct Loaded {
    rows: u64,
    skipped: u64,
}

impl Load<'_> {
    /// The same load, into a table whose columns follow the files as far as its mode goes.
    async fn follow(mut self, choice: &Choice) -> Result<Self> {
        let Self { session, pinned, .. } = self;
        if !self.mode.follows() || choice.files.is_empty() {
            return Ok(self);
        }
        let files: Vec<File> = choice.files.iter().map(|(file, _)| file.clone()).collect();
        let (_, read) = self.reading("")?;
        let Some(found) = files::found_columns(&files, &read).await? else { return Ok(self) };
        let mut evolution = Evolution::new(session, pinned);
        evolution.follow(&found)?;
        if let Some((spec, commit)) = Box::pin(evolution.prepare()).await? {
            let snapshot = Arc::new(pinned.snapshot.with_definition(&spec));
            let evolved = Pinned { snapshot, ..pinned.clone() };
            self.input = input_schema(&evolved, &[])?;
            self.evolved = Some((evolved, commit));
        }
        Ok(self)
    }

    /// Writes and commits the rows. None: another load of one of the files came first.
    async fn run(self, choice: &Choice) -> Result<Option<Loaded>> {
        if choice.files.is_empty() {
            return Ok(Some(Loaded::default()));
        }
        let Self { session, options, .. } = self;
        let base = self.pinned;
        let (pinned, commit) = match &self.evolved {
            None => (base, Commit::append(Vec::new())),
            Some((evolved, commit)) => (evolved, commit.clone()),
        };
        let batch_id = Uuid::now_v7().to_string();
        let tally = Tally::new(choice.files.len(), options.reject_limit);
        let files = choice.files.iter().map(|(file, _)| file.clone()).collect();
        let (schema, read) = self.reading(&batch_id)?;
        let rows = files::read_all(files, &schema, &read, &tally);
        let rows = Complete::new(session, &pinned.snapshot.schema, &schema)?.stream(rows);
        let writer = session.engine().writer(pinned.id, &pinned.table);
        let validation = dml::validation(session, pinned)?;
        let written = writer.write(&pinned.snapshot, rows, &validation).await?;
        let done = Loaded { rows: written.rows, skipped: tally.skipped() };
        let loaded = entries(choice, &tally, &batch_id);
        if session.stages(pinned) {
            let staged = Staged {
                name: pinned.name.to_string(),
                table: Arc::clone(&pinned.table),
                base: Arc::clone(&base.snapshot),
                adds: commit.adds.into_iter().chain(written.adds).collect(),
                removes: commit.removes,
                read_all: matches!(commit.kind, CommitKind::Metadata { read_all: true }),
                loaded,
                definition: commit.metadata,
            };
            session.stage(pinned.id, staged)?;
            return Ok(Some(done));
        }
        let user = Some(session.user().to_owned());
        let committed = writer.commit_load(&base.snapshot, commit, written, loaded, user).await?;
        Ok(committed.map(|_| done))
    }

    /// The columns to be read, those that the server fills among them, and how.
    fn reading(&self, batch_id: &str) -> Result<(SchemaRef, ReadOptions)> {
        let Self { session, input, options, .. } = self;
        let pinned = self.evolved.as_ref().map_or(self.pinned, |(evolved, _)| evolved);
        let input = read_schema(pinned, input);
        let filled = pinned.snapshot.schema.fields().iter().filter(|field| dml::generated(field));
        let filled: Vec<_> = filled.map(Arc::clone).collect();
        let origin = (!filled.is_empty()).then(|| Origin {
            ingested_at_micros: session.engine().now_micros(),
            batch_id: batch_id.to_owned(),
            source: None,
        });
        let read = ReadOptions {
            format: options.read_format(&input, zone(session), self.mode)?,
            compression: options.compression,
            threads: session.engine().config.threads,
            origin,
        };
        let fields = input.fields().iter().map(Arc::clone).chain(filled);
        Ok((Arc::new(Schema::new(fields.collect::<Vec<_>>())), read))
    }
}

/// What the ledger will say.
fn entries(choice: &Choice, tally: &Tally, batch_id: &str) -> Vec<LoadedFile> {
    let files = choice.files.iter().zip(tally.rows());
    let entry = |((file, load), rows): (&(File, i64), u64)| LoadedFile {
        file: file.url.clone(),
        etag: etag(file),
        modified_micros: modified_micros(file),
        size: file.meta.size,
        rows,
        batch_id: batch_id.to_owned(),
        load: *load,
    };
    files.map(entry).collect()
}

fn tell(session: &Session, files_skipped: usize, rows_skipped: u64) {
    if files_skipped > 0 {
        let files = if files_skipped == 1 { "file was" } else { "files were" };
        let message = format!("{files_skipped} {files} loaded before and skipped");
        let hint = "FORCE true loads files again.".to_owned();
        session.notice(Notice { hint: Some(hint), ..Notice::note(message) });
    }
    if let Some(notice) = super::rows_skipped(rows_skipped) {
        session.notice(notice);
    }
}
