//! Carries a change out: the rows that its query finds become files, and take the place of the files
//! that held them.
//!
//! ```text
//! query ── rows by branch ──> hits, new rows ──┐
//! touched files ── rows that were not hit ─────┴──> new files ──> one commit
//! ```
//!
//! Never: more than a few batches are held, but for one bit a row of the touched files, the keys of
//! inserted rows, and what RETURNING gives.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, filter_record_batch, take};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use catalog::{Commit, CommitKind, FILE_COLUMN, LakeTable, ROW_COLUMN, TableSnapshot};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result as DfResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use super::append::Stamp;
use super::change::{self, Action, Branch, Change, PLACE_COLUMNS, Repeated};
use super::hits::Hits;
use super::returning::Returned;
use super::{generated, goes_again, land, target, validation};
use crate::error::{Error, Result, state};
use crate::output::Output;
use crate::resolve::Pinned;
use crate::session::Session;
use crate::statement::select;

/// Carries a change out, again and again while others are faster.
pub(crate) async fn run(
    session: &Session,
    change: &Change<'_>,
    parameters: &[ScalarValue],
) -> Result<Output> {
    let mut attempt = 1;
    loop {
        let pinned = target(session, change.target).await?;
        match Box::pin(once(session, &pinned, change, parameters)).await {
            Err(error) => {
                if !goes_again(session, &pinned, &error, &mut attempt).await? {
                    return Err(error);
                }
            }
            done => return done,
        }
    }
}

/// Takes all rows of a table away.
pub(crate) async fn delete_all(
    session: &Session,
    name: &ast::ObjectName,
    operation: &'static str,
) -> Result<u64> {
    let alias = crate::resolve::split_name(name)?.1;
    let change = Change {
        operation,
        target: name,
        from: vec![change::target_relation(&alias)?],
        alias,
        with: None,
        predicate: None,
        branches: vec![Branch { when: None, action: Action::Delete }],
        repeated: Repeated::Skipped,
        key: Vec::new(),
        excluded: None,
        returning: None,
    };
    match run(session, &change, &[]).await? {
        Output::Done { rows, .. } => Ok(rows.unwrap_or_default()),
        _ => Err(Error::internal("rows of a deletion")),
    }
}

async fn once(
    session: &Session,
    pinned: &Pinned,
    change: &Change<'_>,
    parameters: &[ScalarValue],
) -> Result<Output> {
    let snapshot = &pinned.snapshot;
    let mut commit =
        Commit::new(change.operation, CommitKind::Rewrite { read_all: change.inserts() });
    let predicate = change.predicate.map(|p| ("predicate".to_owned(), p.to_string()));
    commit.parameters = predicate.into_iter().collect();
    if change.empties()
        && let Some(count) = snapshot.row_count()
    {
        commit.removes = snapshot.files().map(|file| file.path().to_owned()).collect();
        if !commit.removes.is_empty() {
            land(session, pinned, commit).await?;
        }
        return Ok(Output::counted(change.tag(), count));
    }
    let state = session.planning_state();
    let given = select::types_of(parameters);
    let planned = Box::pin(change::plan(session, &state, pinned, change, &given)).await?;
    let returned = match planned.returning {
        Some(returning) => Some(returning.start(&state, parameters)?),
        None => None,
    };
    let found = select::execute(&state, select::bind(planned.plan, parameters)?).await?;
    let applied = Arc::new(Mutex::new(Applied::new(session, pinned, change, returned.clone())?));
    let rows = rows(found, &state, pinned, &applied);
    let validation = validation(session, pinned)?;
    let writer = session.engine().writer(pinned.id, &pinned.table);
    commit.adds = writer.write(snapshot, rows, &validation).await?.adds;
    let count = {
        let applied = applied.lock();
        commit.removes = applied.hits.files().map(|(file, _)| file.to_owned()).collect();
        applied.count
    };
    if count > 0 {
        land(session, pinned, commit).await?;
    }
    Ok(match returned {
        Some(returned) => returned.output(),
        None => Output::counted(change.tag(), count),
    })
}

/// The rows that the table gets: new ones, and after them those of the touched files that stay.
fn rows(
    found: SendableRecordBatchStream,
    state: &SessionState,
    pinned: &Pinned,
    applied: &Arc<Mutex<Applied>>,
) -> SendableRecordBatchStream {
    let schema = Arc::clone(&pinned.snapshot.schema);
    let taking = Arc::clone(applied);
    let new = found.map(move |batch| taking.lock().take(&batch?)).map_ok(batches).try_flatten();
    let (state, applied) = (state.clone(), Arc::clone(applied));
    let (table, snapshot) = (Arc::clone(&pinned.table), Arc::clone(&pinned.snapshot));
    let kept = stream::once(async move { kept(&state, &table, &snapshot, applied).await });
    let kept = kept.try_flatten();
    Box::pin(RecordBatchStreamAdapter::new(schema, new.chain(kept)))
}

fn batches(batches: Vec<RecordBatch>) -> impl futures::Stream<Item = DfResult<RecordBatch>> {
    stream::iter(batches.into_iter().map(Ok))
}

/// The rows of touched files that were not hit.
async fn kept(
    state: &SessionState,
    table: &Arc<LakeTable>,
    snapshot: &Arc<TableSnapshot>,
    applied: Arc<Mutex<Applied>>,
) -> DfResult<SendableRecordBatchStream> {
    let partly: BTreeSet<String> = {
        let applied = applied.lock();
        let partly = applied.hits.files().filter(|(path, hit)| {
            snapshot.file(path).and_then(|file| file.row_count()) != Some(*hit)
        });
        partly.map(|(path, _)| path.to_owned()).collect()
    };
    let schema = Arc::clone(&snapshot.schema);
    if partly.is_empty() {
        return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::empty())));
    }
    let others = snapshot.files().map(|file| file.path().to_owned());
    let others: Vec<String> = others.filter(|path| !partly.contains(path)).collect();
    let partly = Arc::new(snapshot.with_staged(&[], &others));
    let scan = provider_as_source(table.scan_with_places(partly));
    let plan = LogicalPlanBuilder::scan(change::TARGET, scan, None)?.build()?;
    let rows = select::execute(state, plan).await?;
    let names = rows.schema();
    let (file, row) = (names.index_of(FILE_COLUMN)?, names.index_of(ROW_COLUMN)?);
    let columns: Vec<usize> = (0..schema.fields().len()).collect();
    let kept = rows.map(move |batch| {
        let batch = batch?;
        let (files, rows) = (strings(batch.column(file))?, numbers(batch.column(row))?);
        let missed = applied.lock().hits.missed(&files, &rows);
        let batch = batch.project(&columns)?;
        if missed.true_count() == batch.num_rows() {
            return Ok(batch);
        }
        Ok(filter_record_batch(&batch, &missed)?)
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, kept)))
}

fn strings(column: &ArrayRef) -> DfResult<StringArray> {
    Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn numbers(column: &ArrayRef) -> DfResult<Int64Array> {
    Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// What becomes of the rows of one branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Goes,
    Changes,
    Comes,
}

impl Fate {
    const fn of(action: &Action) -> Self {
        match action {
            Action::Nothing => Self::Stays,
            Action::Delete => Self::Goes,
            Action::Update(_) => Self::Changes,
            Action::Insert { .. } => Self::Comes,
        }
    }
}

/// What the query's rows have come to so far.
struct Applied {
    table: SchemaRef,
    /// The branches, from number 1.
    fates: Vec<Fate>,
    repeated: Repeated,
    hits: Hits,
    key: Option<Key>,
    stamp: Stamp,
    returned: Option<Arc<Returned>>,
    /// Rows inserted, changed or deleted.
    count: u64,
}

impl Applied {
    fn new(
        session: &Session,
        pinned: &Pinned,
        change: &Change<'_>,
        returned: Option<Arc<Returned>>,
    ) -> Result<Self> {
        let table = Arc::clone(&pinned.snapshot.schema);
        let source = if change.excluded.is_some() { "insert" } else { "merge" };
        Ok(Self {
            key: Key::new(&table, &change.key)?,
            table,
            fates: change.branches.iter().map(|branch| Fate::of(&branch.action)).collect(),
            repeated: change.repeated,
            hits: Hits::default(),
            stamp: Stamp::new(session, source),
            returned,
            count: 0,
        })
    }

    /// Takes rows of the query; gives those that the table gets in their place.
    fn take(&mut self, batch: &RecordBatch) -> DfResult<Vec<RecordBatch>> {
        let files = strings(batch.column(0))?;
        let rows = numbers(batch.column(1))?;
        let branches = numbers(batch.column(2))?;
        let (mut gone, mut changed, mut come) = (Vec::new(), Vec::new(), Vec::new());
        for (at, branch) in (0_u32..).zip(branches.values()) {
            let fate = usize::try_from(*branch - 1).ok().and_then(|nth| self.fates.get(nth));
            let place = at as usize;
            match fate {
                None | Some(Fate::Stays) => {}
                Some(Fate::Comes) => come.push(at),
                Some(fate) => {
                    if self.hits.hit(files.value(place), rows.value(place)) {
                        let list = if *fate == Fate::Goes { &mut gone } else { &mut changed };
                        list.push(at);
                    } else {
                        self.met_again()?;
                    }
                }
            }
        }
        let columns = &batch.columns()[PLACE_COLUMNS..];
        if let Some(key) = &mut self.key {
            let doubled = key.keep_new(columns, &mut come)?;
            if doubled {
                self.met_again()?;
            }
        }
        let mut new = Vec::with_capacity(2);
        let every = batch.num_rows();
        if !changed.is_empty() {
            let columns = pick(columns, changed, every)?;
            self.met(&columns)?;
            new.push(self.of_table(&columns)?);
        }
        if !come.is_empty() {
            let mut columns = pick(columns, come, every)?;
            let rows = self.stamped(&columns)?;
            columns.splice(..self.table.fields().len(), rows.columns().iter().map(Arc::clone));
            self.met(&columns)?;
            new.push(rows);
        }
        if !gone.is_empty() {
            match self.returned {
                Some(_) => self.met(&pick(columns, gone, every)?)?,
                None => self.count += gone.len() as u64,
            }
        }
        Ok(new)
    }

    /// Another row of the query for a row that has been dealt with.
    fn met_again(&self) -> DfResult<()> {
        match self.repeated {
            Repeated::Skipped => Ok(()),
            Repeated::Refused { message, hint } => {
                Err(Error::new(state::CARDINALITY_VIOLATION, message).with_hint(hint).into())
            }
        }
    }

    /// Counts rows, and gives them to RETURNING.
    fn met(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        let count = columns.first().map_or(0, |column| column.len());
        self.count += count as u64;
        self.returned.as_ref().map_or(Ok(()), |returned| returned.take(columns, count))
    }

    fn of_table(&self, columns: &[ArrayRef]) -> DfResult<RecordBatch> {
        let columns = &columns[..self.table.fields().len()];
        let fields = self.table.fields().iter().zip(columns).map(|(field, column)| {
            let data_type = column.data_type().clone();
            field.as_ref().clone().with_data_type(data_type).with_nullable(true)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(RecordBatch::try_new(schema, columns.to_vec())?)
    }

    /// New rows with what the server fills in.
    fn stamped(&mut self, columns: &[ArrayRef]) -> DfResult<RecordBatch> {
        let count = columns.first().map_or(0, |column| column.len());
        let given = self.table.fields().iter().zip(columns).filter(|(field, _)| !generated(field));
        let given: Vec<ArrayRef> = given.map(|(_, column)| Arc::clone(column)).collect();
        self.stamp.fill(&given, count, &self.table)
    }
}

/// These rows of the columns.
fn pick(columns: &[ArrayRef], rows: Vec<u32>, of: usize) -> DfResult<Vec<ArrayRef>> {
    if rows.len() == of {
        return Ok(columns.to_vec());
    }
    let rows = UInt32Array::from(rows);
    Ok(columns.iter().map(|column| take(column, &rows, None)).collect::<Result<_, _>>()?)
}

/// The keys of the rows that a statement has inserted.
struct Key {
    /// Where its columns stand, and their types.
    columns: Vec<(usize, DataType)>,
    converter: RowConverter,
    known: HashSet<OwnedRow>,
}

impl Key {
    fn new(table: &SchemaRef, names: &[String]) -> Result<Option<Self>> {
        if names.is_empty() {
            return Ok(None);
        }
        let columns = names
            .iter()
            .map(|name| {
                let index = table.index_of(name)?;
                Ok((index, table.field(index).data_type().clone()))
            })
            .collect::<Result<Vec<_>>>()?;
        let types = columns.iter().map(|(_, data_type)| SortField::new(data_type.clone()));
        let converter = RowConverter::new(types.collect())?;
        Ok(Some(Self { columns, converter, known: HashSet::new() }))
    }

    /// Keeps those of the rows whose key is new; whether there were others.
    fn keep_new(&mut self, columns: &[ArrayRef], rows: &mut Vec<u32>) -> DfResult<bool> {
        let keys = self.columns.iter().map(|(at, data_type)| cast(&columns[*at], data_type));
        let keys = self.converter.convert_columns(&keys.collect::<Result<Vec<_>, _>>()?)?;
        let before = rows.len();
        rows.retain(|row| self.known.insert(keys.row(*row as usize).owned()));
        Ok(rows.len() < before)
    }
}
