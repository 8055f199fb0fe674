//! `OPTIMIZE [TABLE] name [ZORDER BY (column, ...)]`: the same rows in fewer and larger files.
//!
//! Each group of files is one commit that changes no row. A group of which another statement has
//! changed a file meanwhile stays as it is: the other statement wins.
//! Never: a row is changed, or waits for a writer or a reader.

mod zorder;

use std::collections::HashSet;
use std::sync::Arc;

use catalog::{Commit, CommitKind, DataFile, LakeTable, TableSnapshot};
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::{IsOptional, Parser};

use crate::dml;
use crate::error::{Error, Result, state};
use crate::output::{Notice, Output};
use crate::parser::{expect_word, expected, parse_word, parse_words, syntax_error};
use crate::resolve::fold;
use crate::session::Session;
use crate::statement::select;
use zorder::ZOrder;

/// A table whose files are to be written anew.
#[derive(Debug, Clone)]
pub(crate) struct Optimize {
    pub(crate) table: ast::ObjectName,
    /// Columns whose values are to lie together.
    zorder: Vec<ast::Ident>,
}

/// Reads `OPTIMIZE`.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<Optimize> {
    expect_word(parser, "OPTIMIZE")?;
    parse_word(parser, "TABLE");
    let table = parser.parse_object_name(false).map_err(syntax_error)?;
    if parse_word(parser, "WHERE") {
        return Err(Error::unsupported("OPTIMIZE ... WHERE is not supported")
            .with_hint("OPTIMIZE leaves files alone that are large enough."));
    }
    let mut zorder = Vec::new();
    if parse_words(parser, &["ZORDER", "BY"]) {
        let listed = parser.parse_parenthesized_column_list(IsOptional::Mandatory, false);
        zorder = listed.map_err(syntax_error)?;
    } else if parse_word(parser, "ZORDER") {
        return expected(parser, "BY");
    }
    Ok(Optimize { table, zorder })
}

/// What was written anew.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Rewritten {
    files_removed: u64,
    files_added: u64,
    bytes_removed: u64,
    bytes_added: u64,
}

/// Writes files anew and tells how many.
pub(crate) async fn run(session: &Session, optimize: &Optimize) -> Result<Output> {
    session.refuse_read_only()?;
    session.refuse_in_transaction("OPTIMIZE")?;
    let entry = dml::existing_with_files(session, &optimize.table)?;
    let pinned = session.pin(&entry).await?;
    let (table, snapshot) = (&pinned.table, &pinned.snapshot);
    let columns = columns(optimize, snapshot)?;
    let state = session.planning_state();
    let mut done = Rewritten::default();
    let groups =
        if columns.is_empty() { snapshot.groups_to_compact() } else { snapshot.partitions() };
    for group in groups {
        done += rewrite(&state, table, snapshot, &group, &columns, session.user()).await?;
    }
    let Rewritten { files_removed, files_added, bytes_removed, bytes_added } = done;
    session.notice(Notice::note(format!(
        "{files_removed} files of {bytes_removed} bytes became {files_added} files of {bytes_added} bytes"
    )));
    Ok(Output::done("OPTIMIZE"))
}

/// The columns of `ZORDER BY`, in the words of the table.
fn columns(optimize: &Optimize, snapshot: &TableSnapshot) -> Result<Vec<String>> {
    let mut columns: Vec<String> = Vec::new();
    for ident in &optimize.zorder {
        let name = fold(ident);
        if snapshot.schema.field_with_name(&name).is_err() {
            return Err(Error::new(
                state::UNDEFINED_COLUMN,
                format!("column \"{name}\" of relation \"{}\" does not exist", optimize.table),
            ));
        }
        if snapshot.partition_columns.contains(&name) {
            return Err(Error::new(
                state::INVALID_PARAMETER_VALUE,
                format!("ZORDER BY cannot use \"{name}\": the table is partitioned by it"),
            ));
        }
        if columns.contains(&name) {
            return Err(Error::new(
                state::DUPLICATE_COLUMN,
                format!("column \"{name}\" is named twice in ZORDER BY"),
            ));
        }
        columns.push(name);
    }
    if columns.len() > zorder::COLUMNS_MAX {
        return Err(Error::new(
            state::INVALID_PARAMETER_VALUE,
            format!("ZORDER BY takes at most {} columns", zorder::COLUMNS_MAX),
        ));
    }
    Ok(columns)
}

/// Writes one group of files anew, in one commit, unless one of them is gone by then.
pub(crate) async fn rewrite(
    state: &SessionState,
    table: &Arc<LakeTable>,
    snapshot: &Arc<TableSnapshot>,
    group: &[Arc<DataFile>],
    zorder: &[String],
    user: &str,
) -> Result<Rewritten> {
    let paths: HashSet<&str> = group.iter().map(|file| file.path()).collect();
    let others = snapshot.files().map(|file| file.path()).filter(|path| !paths.contains(path));
    let others: Vec<String> = others.map(str::to_owned).collect();
    let only = Arc::new(snapshot.with_staged(&[], &others));
    let mut state = state.clone();
    // One stream, so that rows stay in the order in which they came.
    state.config_mut().options_mut().execution.target_partitions = 1;
    let source = provider_as_source(table.scan(Arc::clone(&only)));
    let mut plan = LogicalPlanBuilder::scan("files", source, None)?.build()?;
    let mut parameters = vec![("files".to_owned(), group.len().to_string())];
    if !zorder.is_empty() {
        let order = ZOrder::sample(&state, plan.clone(), zorder).await?;
        plan = LogicalPlanBuilder::from(plan).sort([order.expression()])?.build()?;
        parameters.push(("zOrderBy".to_owned(), zorder.join(", ")));
    }
    let rows = select::execute(&state, plan).await?;
    let adds = table.write_files(snapshot, rows).await?;
    let bytes_added = adds.iter().map(|add| u64::try_from(add.size).unwrap_or(0)).sum();
    let done = Rewritten {
        files_removed: group.len() as u64,
        files_added: adds.len() as u64,
        bytes_removed: group.iter().map(|file| file.byte_count()).sum(),
        bytes_added,
    };
    let unused = adds.clone();
    let commit = Commit {
        adds,
        removes: paths.into_iter().map(str::to_owned).collect(),
        data_change: false,
        parameters: parameters.into_iter().collect(),
        user: Some(user.to_owned()),
        ..Commit::new("OPTIMIZE", CommitKind::Rewrite { read_all: false })
    };
    match table.commit(snapshot, commit).await {
        Ok(_) => Ok(done),
        Err(catalog::Error::Conflict { .. } | catalog::Error::MetadataChanged { .. }) => {
            table.delete_files(&unused).await;
            Ok(Rewritten::default())
        }
        Err(error) => Err(error.into()),
    }
}

impl std::ops::AddAssign for Rewritten {
    fn add_assign(&mut self, other: Self) {
        self.files_removed += other.files_removed;
        self.files_added += other.files_added;
        self.bytes_removed += other.bytes_removed;
        self.bytes_added += other.bytes_added;
    }
}
