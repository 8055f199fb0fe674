//! `table_changes('t', from, to)`: the rows that the versions of a table inserted and deleted.
//!
//! ```text
//! commits that only add files     rows of the files ──────────────────────────────> inserts
//! commits that only take files    rows of the files ──────────────────────────────> deletes
//! commits that do both            rows of both, counted up and down ── what is left ─┘
//! ```
//!
//! A file that is written anew holds mostly rows that stay: they are on both sides, and cancel out. An
//! UPDATE is a delete and an insert.
//! Never: a row that a commit left as it was. Never: two equal rows where one was changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use catalog::{Add, ChangedFiles, FILE_COLUMN, ROW_COLUMN};
use datafusion::common::{Column, JoinType};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::functions_nested::expr_fn::range;
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, cast, col, ident, lit, when,
};
use datafusion::prelude::abs;

use crate::error::{Error, Result, state};
use crate::resolve::Pinned;

/// Further columns, as Delta's change data feed names them.
const TYPE: &str = "_change_type";
const VERSION: &str = "_commit_version";
const TIMESTAMP: &str = "_commit_timestamp";

/// 1 for a row that came, -1 for one that went.
const SIGN: &str = "__tarn_sign";
/// How often a row came, or, below 0, went.
const TIMES: &str = "__tarn_times";

/// Plans the changes of the versions `from` to `to`, both included; `to` is the pinned one where it is not
/// given.
pub(crate) async fn plan(pinned: &Pinned, from: i64, to: Option<i64>) -> Result<LogicalPlan> {
    let newest = pinned.snapshot.version;
    let to = to.unwrap_or(newest);
    if from < 0 || from > to || to > newest {
        return Err(Error::new(
            state::INVALID_PARAMETER_VALUE,
            format!(
                "table \"{}\" has no versions {from} to {to}; its newest is {newest}",
                pinned.name
            ),
        )
        .with_hint("DESCRIBE HISTORY lists the versions."));
    }
    let changed = pinned.table.changed_files(from, to, &pinned.snapshot).await?;
    let (both, one): (Vec<ChangedFiles>, Vec<ChangedFiles>) =
        changed.into_iter().partition(|commit| !commit.came.is_empty() && !commit.went.is_empty());
    let mut plan: Option<LogicalPlan> = None;
    let mut add = |more: LogicalPlan| -> Result<()> {
        plan = Some(match plan.take() {
            None => more,
            Some(plan) => LogicalPlanBuilder::from(plan).union(more)?.build()?,
        });
        Ok(())
    };
    for rows in signed(pinned, &one)? {
        let times = ident(SIGN).alias(TIMES);
        add(shown(pinned, rows, times)?)?;
    }
    let mut rewritten: Option<LogicalPlan> = None;
    for rows in signed(pinned, &both)? {
        rewritten = Some(match rewritten.take() {
            None => rows,
            Some(plan) => LogicalPlanBuilder::from(plan).union(rows)?.build()?,
        });
    }
    if let Some(rewritten) = rewritten {
        add(left_over(pinned, rewritten)?)?;
    }
    match plan {
        Some(plan) => Ok(plan),
        None => nothing(pinned),
    }
}

/// The rows of the files of commits, each with its version, time and sign.
fn signed(pinned: &Pinned, commits: &[ChangedFiles]) -> Result<Vec<LogicalPlan>> {
    let mut plans = Vec::new();
    for (sign, files) in [(1_i64, true), (-1, false)] {
        let files = commits.iter().flat_map(|commit| {
            let files = if files { &commit.came } else { &commit.went };
            files.iter().map(move |file| (file, commit))
        });
        // A file that comes again, as by RESTORE, has a plan of its own each time.
        let mut groups: Vec<BTreeMap<&str, (&Add, &ChangedFiles)>> = Vec::new();
        for (file, commit) in files {
            let free = groups.iter_mut().find(|group| !group.contains_key(file.path.as_str()));
            let known = (file, commit);
            match free {
                Some(group) => drop(group.insert(&file.path, known)),
                None => groups.push(BTreeMap::from([(file.path.as_str(), known)])),
            }
        }
        for group in groups {
            plans.push(rows_of(pinned, &group, sign)?);
        }
    }
    Ok(plans)
}

/// The rows of files, joined with what made each of them come or go.
fn rows_of(
    pinned: &Pinned,
    files: &BTreeMap<&str, (&Add, &ChangedFiles)>,
    sign: i64,
) -> Result<LogicalPlan> {
    let adds = files.values().map(|(file, _)| Add::clone(file));
    let snapshot = Arc::new(pinned.snapshot.with_only(adds));
    let scan = provider_as_source(pinned.table.scan_with_places(snapshot));
    let zone: Arc<str> = Arc::from("UTC");
    let commits = Arc::new(Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        Field::new(VERSION, DataType::Int64, false),
        Field::new(TIMESTAMP, DataType::Timestamp(TimeUnit::Microsecond, Some(zone)), false),
    ]));
    let of = files.values().map(|(_, commit)| *commit);
    let batch = RecordBatch::try_new(
        Arc::clone(&commits),
        vec![
            Arc::new(StringArray::from_iter_values(files.keys())),
            Arc::new(Int64Array::from_iter_values(of.clone().map(|commit| commit.version))),
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(of.map(|c| c.timestamp_micros))
                    .with_timezone("UTC"),
            ),
        ],
    )?;
    let commits = provider_as_source(Arc::new(MemTable::try_new(commits, vec![vec![batch]])?));
    let commits = LogicalPlanBuilder::scan("commits", commits, None)?.build()?;
    let mut columns: Vec<Expr> = own_columns(pinned);
    columns.push(ident(VERSION));
    columns.push(ident(TIMESTAMP));
    columns.push(lit(sign).alias(SIGN));
    let file = Column::new(Some("files"), FILE_COLUMN);
    let path = Column::new(Some("commits"), "path");
    let joined = LogicalPlanBuilder::scan("files", scan, None)?
        .join(commits, JoinType::Inner, (vec![file], vec![path]), None)?
        .project(columns)?;
    Ok(joined.build()?)
}

/// The columns of the table, without a relation's name.
fn own_columns(pinned: &Pinned) -> Vec<Expr> {
    let names = pinned.snapshot.schema.fields().iter().map(|field| field.name());
    debug_assert!(names.clone().all(|name| name != FILE_COLUMN && name != ROW_COLUMN));
    names.map(ident).collect()
}

/// What is left of the rows of commits that write files anew: those that came and did not go, and those
/// that went and did not come.
fn left_over(pinned: &Pinned, rows: LogicalPlan) -> Result<LogicalPlan> {
    let mut row = own_columns(pinned);
    row.push(ident(VERSION));
    row.push(ident(TIMESTAMP));
    let counted = LogicalPlanBuilder::from(rows)
        .aggregate(row, [sum(ident(SIGN)).alias(TIMES)])?
        .filter(ident(TIMES).not_eq(lit(0_i64)))?
        .build()?;
    shown(pinned, counted, ident(TIMES))
}

/// Rows as the function gives them, each as often as it came or went.
fn shown(pinned: &Pinned, rows: LogicalPlan, times: Expr) -> Result<LogicalPlan> {
    const EACH: &str = "__tarn_each";
    let once = matches!(times, Expr::Alias(_));
    let kind = when(ident(if once { SIGN } else { TIMES }).gt(lit(0_i64)), lit("insert"))
        .otherwise(lit("delete"))?
        .alias(TYPE);
    let mut columns = own_columns(pinned);
    columns.extend([kind, ident(VERSION), ident(TIMESTAMP)]);
    if once {
        return Ok(LogicalPlanBuilder::from(rows).project(columns)?.build()?);
    }
    columns.push(range(lit(0_i64), abs(cast(times, DataType::Int64)), lit(1_i64)).alias(EACH));
    let mut last = own_columns(pinned);
    last.extend([col(TYPE), col(VERSION), col(TIMESTAMP)]);
    Ok(LogicalPlanBuilder::from(rows)
        .project(columns)?
        .unnest_column(EACH)?
        .project(last)?
        .build()?)
}

/// No rows, of the same columns.
fn nothing(pinned: &Pinned) -> Result<LogicalPlan> {
    let none = rows_of(pinned, &BTreeMap::new(), 1)?;
    shown(pinned, none, ident(SIGN).alias(TIMES))
}
