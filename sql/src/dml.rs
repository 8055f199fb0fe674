//! What the statements that change rows share: the target table, its constraints, and the two
//! ways in which rows reach it: appended through the one `Writer`, or by files written anew.
//!
//! UPDATE and DELETE rewrite the files that hold a matching row. Which rows match is decided by
//! an ordinary query over the pinned version, subqueries included; what stays is decided so that
//! no row can be both, or neither. DataFusion's own hooks for them lose predicates and are not
//! used; see docs/decisions.
//! Never: a row that was not checked against the table's constraints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use catalog::{Commit, CommitKind, DEFAULT_KEY, Entry, FILE_COLUMN, TableSnapshot};
use datafusion::catalog::Session as DfSession;
use datafusion::common::DFSchema;
use datafusion::datasource::{TableProvider, TableType, provider_as_source};
use datafusion::error::Result as DfResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, col,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast;
use futures::{StreamExt, TryStreamExt};
use ingest::{Check, Validation};
use uuid::Uuid;

use crate::commitment::{Commitment, Committing};
use crate::error::{Error, Result, state};
use crate::plan;
use crate::resolve::{Pinned, QualifiedName, Resolver, find_in, split_name, unknown};
use crate::semantics;
use crate::session::Session;
use crate::statement::create_table::GENERATED_KEY;
use crate::statement::select;
use crate::transaction::Staged;

/// How often a statement is carried out again when others were faster.
const ATTEMPTS_MAX: usize = 15;

/// The table that a statement changes, at the version it reads.
pub(crate) async fn target(session: &Session, name: &ast::ObjectName) -> Result<Pinned> {
    let (schema, table) = split_name(name)?;
    if schema.as_deref().is_none_or(|s| s == "pg_temp")
        && let Some(temporary) = session.temporary_table(&table)
    {
        let snapshot = session.temporary_snapshot(&temporary);
        let name = QualifiedName { schema: "pg_temp".to_owned(), name: table };
        return Ok(Pinned { id: temporary.id, name, table: temporary.table, snapshot });
    }
    session.refuse_read_only()?;
    let entry = existing(session, schema.as_deref(), &table)?;
    match entry.kind() {
        catalog::Kind::Table => session.pin(&entry).await,
        kind => Err(Error::new(
            state::WRONG_OBJECT_TYPE,
            format!("cannot change rows of {kind} \"{}\"", entry.qualified_name()),
        )),
    }
}

/// The entry of a name that must exist.
pub(crate) fn existing(session: &Session, schema: Option<&str>, name: &str) -> Result<Arc<Entry>> {
    let (snapshot, path) = (session.snapshot(), session.search_path());
    if matches!(schema, Some("pg_catalog" | "information_schema")) {
        return Err(Error::new(
            state::INSUFFICIENT_PRIVILEGE,
            format!("permission denied: \"{name}\" is a system catalog"),
        ));
    }
    find_in(&snapshot, &path, schema, name).ok_or_else(|| unknown(&snapshot, &path, schema, name))
}

/// The same, of a table or a materialized view.
pub(crate) fn existing_with_files(session: &Session, name: &ast::ObjectName) -> Result<Arc<Entry>> {
    let (schema, name) = split_name(name)?;
    let entry = existing(session, schema.as_deref(), &name)?;
    if entry.table().is_none() {
        return Err(Error::new(
            state::WRONG_OBJECT_TYPE,
            format!("{} \"{}\" has no files", entry.kind(), entry.qualified_name()),
        ));
    }
    Ok(entry)
}

/// Whether a statement that met `error` is to be carried out again, and makes it over what others have
/// committed. Not within a transaction, which keeps its versions.
pub(crate) async fn goes_again(
    session: &Session,
    pinned: &Pinned,
    error: &Error,
    attempt: &mut usize,
) -> Result<bool> {
    if error.sqlstate() != state::SERIALIZATION_FAILURE
        || *attempt >= ATTEMPTS_MAX
        || session.in_transaction()
    {
        return Ok(false);
    }
    *attempt += 1;
    // What is read of a table follows the catalog, too.
    session.engine().catalog.refresh().await?;
    pinned.table.update().await?;
    Ok(true)
}

/// The columns that clients supply: all but those that the server fills.
pub(crate) fn user_schema(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().filter(|f| !generated(f)).map(Arc::clone);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Whether the server fills the column.
pub(crate) fn generated(field: &Field) -> bool {
    field.metadata().contains_key(GENERATED_KEY)
}

/// The plan's columns, in their order, under the names and types of `schema`.
pub(crate) fn project_to(plan: LogicalPlan, schema: &SchemaRef) -> Result<LogicalPlan> {
    let columns = plan.schema().columns();
    if columns.len() != schema.fields().len() {
        return Err(Error::syntax(format!(
            "the query has {} columns where {} are expected",
            columns.len(),
            schema.fields().len()
        )));
    }
    let sources: Vec<_> = plan.schema().fields().iter().map(Arc::clone).collect();
    let columns = columns.into_iter().zip(sources).zip(schema.fields());
    let expressions = columns
        .map(|((column, source), field)| {
            let assigned = semantics::assign(Expr::Column(column), &source, field)?;
            Ok(assigned.alias(field.name()))
        })
        .collect::<DfResult<Vec<Expr>>>()?;
    Ok(LogicalPlanBuilder::from(plan).project(expressions)?.build()?)
}

/// CHECK constraints, ready to run.
pub(crate) fn compile_checks(
    session: &Session,
    schema: &SchemaRef,
    constraints: &BTreeMap<String, String>,
) -> Result<Vec<Check>> {
    if constraints.is_empty() {
        return Ok(Vec::new());
    }
    let state = session.planning_state();
    let columns = DFSchema::try_from(Arc::clone(schema))?;
    constraints
        .iter()
        .map(|(name, text)| {
            let expr = plan::expression(&state, text, &columns)?;
            let expr = plan::simplify(&state, expr, &columns)?;
            let kind = datafusion::logical_expr::ExprSchemable::get_type(&expr, &columns)?;
            if !matches!(
                kind,
                arrow::datatypes::DataType::Boolean | arrow::datatypes::DataType::Null
            ) {
                return Err(Error::new(
                    state::DATATYPE_MISMATCH,
                    format!("argument of CHECK \"{name}\" must be boolean: {text}"),
                ));
            }
            if expr.is_volatile() {
                return Err(Error::unsupported(format!("CHECK \"{name}\" is not deterministic")));
            }
            let expression = state.create_physical_expr(expr, &columns)?;
            Ok(Check { name: name.clone(), expression })
        })
        .collect()
}

/// What a table asks of its rows.
pub(crate) fn validation(session: &Session, pinned: &Pinned) -> Result<Arc<Validation>> {
    let snapshot = &pinned.snapshot;
    let checks = compile_checks(session, &snapshot.schema, &snapshot.constraints)?;
    Ok(Arc::new(Validation { table: pinned.name.name.clone(), checks }))
}

/// Adds rows that have the table's user columns, in its order: at once, or with the open
/// transaction. Returns how many.
pub(crate) async fn append(
    session: &Session,
    pinned: &Pinned,
    rows: SendableRecordBatchStream,
    source: &str,
) -> Result<u64> {
    AppendJob::new(session, pinned, source)?.run(rows).await
}

/// The same for rows that are there already, of a table whose constraints are compiled already.
pub(crate) async fn append_batch(
    session: &Session,
    pinned: &Pinned,
    validation: Arc<Validation>,
    rows: RecordBatch,
    source: &str,
) -> Result<u64> {
    let schema = rows.schema();
    let rows = futures::stream::once(std::future::ready(Ok(rows)));
    let rows = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
    AppendJob::with_validation(session, pinned, validation, source).run(rows).await
}

/// An append that does not borrow its session, so that it can run beside the client's bytes.
pub(crate) struct AppendJob {
    pinned: Pinned,
    writer: Arc<ingest::Writer>,
    validation: Arc<Validation>,
    stamp: Stamp,
    user: String,
    commitment: Commitment,
    /// The session's transaction, where the files wait for its COMMIT.
    staging: Option<Arc<parking_lot::Mutex<crate::session::State>>>,
}

impl AppendJob {
    pub(crate) fn new(session: &Session, pinned: &Pinned, source: &str) -> Result<Self> {
        let validation = validation(session, pinned)?;
        Ok(Self::with_validation(session, pinned, validation, source))
    }

    fn with_validation(
        session: &Session,
        pinned: &Pinned,
        validation: Arc<Validation>,
        source: &str,
    ) -> Self {
        Self {
            writer: session.engine().writer(pinned.id, &pinned.table),
            validation,
            stamp: Stamp::new(session, source),
            user: session.user().to_owned(),
            commitment: session.commitment(),
            staging: session.stages(pinned).then(|| session.shared_state()),
            pinned: pinned.clone(),
        }
    }

    /// Takes the rows to their end, and returns how many after they are durable, or staged.
    pub(crate) async fn run(self, rows: SendableRecordBatchStream) -> Result<u64> {
        let pinned = self.pinned;
        let rows = self.stamp.apply(rows, &pinned.snapshot.schema);
        let Some(state) = self.staging else {
            let (rows, _committing) = until_committing(rows, self.commitment);
            return Ok(self.writer.append(rows, &self.validation, Some(self.user)).await?.rows);
        };
        let written = self.writer.write(&pinned.snapshot, rows, &self.validation).await?;
        let staged = Staged {
            name: pinned.name.to_string(),
            table: pinned.table,
            base: pinned.snapshot,
            adds: written.adds,
            removes: Vec::new(),
            loaded: Vec::new(),
            definition: None,
        };
        crate::session::stage(&state, pinned.id, staged)?;
        Ok(written.rows)
    }
}

/// The same rows; after the last of them the writer commits, and what this gives beside them holds
/// the mark of that.
fn until_committing(
    rows: SendableRecordBatchStream,
    commitment: Commitment,
) -> (SendableRecordBatchStream, Arc<OnceLock<Committing>>) {
    let mark = Arc::new(OnceLock::new());
    let (schema, at_end) = (rows.schema(), Arc::clone(&mark));
    let end = futures::stream::poll_fn(move |_| {
        at_end.get_or_init(|| commitment.make());
        Poll::Ready(None)
    });
    (Box::pin(RecordBatchStreamAdapter::new(schema, rows.chain(end))), mark)
}

/// Adds rows to a table that has no name yet.
pub(crate) async fn append_unnamed(
    session: &Session,
    pinned: &Pinned,
    rows: SendableRecordBatchStream,
) -> Result<u64> {
    let rows = Stamp::new(session, "query").apply(rows, &pinned.snapshot.schema);
    let validation = validation(session, pinned)?;
    let writer = ingest::Writer::new(Arc::clone(&pinned.table));
    Ok(writer.append(rows, &validation, Some(session.user().to_owned())).await?.rows)
}

/// What the server adds to the rows of raw tables: when, by which statement, from where.
struct Stamp {
    now_micros: i64,
    batch_id: String,
    source: String,
}

impl Stamp {
    fn new(session: &Session, source: &str) -> Self {
        Self {
            now_micros: session.engine().now_micros(),
            batch_id: Uuid::now_v7().to_string(),
            source: source.to_owned(),
        }
    }

    fn apply(
        self,
        rows: SendableRecordBatchStream,
        schema: &SchemaRef,
    ) -> SendableRecordBatchStream {
        if !schema.fields().iter().any(|f| generated(f)) {
            return rows;
        }
        let target = Arc::clone(schema);
        let Self { now_micros: now, batch_id, source } = self;
        let mut before: i64 = 0;
        let stamped = rows.map(move |batch| -> DfResult<RecordBatch> {
            let batch = batch?;
            let (count, first) = (batch.num_rows(), before + 1);
            before += i64::try_from(count).unwrap_or(i64::MAX);
            let mut given = batch.columns().iter();
            let mut columns: Vec<ArrayRef> = Vec::with_capacity(target.fields().len());
            for field in target.fields() {
                let filled: Option<ArrayRef> = match field.name().as_str() {
                    _ if !generated(field) => given.next().map(Arc::clone),
                    "_ingested_at" => Some(Arc::new(
                        TimestampMicrosecondArray::from_value(now, count).with_timezone("UTC"),
                    )),
                    "_batch_id" => Some(repeated(&batch_id, count)),
                    "_source" => Some(repeated(&source, count)),
                    "_source_row" => Some(Arc::new(Int64Array::from_iter_values(
                        (0..count).map(|n| first + i64::try_from(n).unwrap_or_default()),
                    ))),
                    _ => Some(arrow::array::new_null_array(field.data_type(), count)),
                };
                columns.extend(filled);
            }
            let names = Schema::new(
                target
                    .fields()
                    .iter()
                    .map(|f| f.as_ref().clone().with_nullable(true))
                    .collect::<Vec<_>>(),
            );
            Ok(RecordBatch::try_new(Arc::new(names), columns)?)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), stamped))
    }
}

fn repeated(text: &str, count: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count)))
}

/// A change of rows that match a predicate: their new values, or none when they go.
pub(crate) struct Rewrite<'a> {
    /// `WHERE`; none is every row.
    pub(crate) predicate: Option<&'a ast::Expr>,
    /// `SET`, by column; none deletes the rows.
    pub(crate) assignments: Option<Vec<(String, ast::Expr)>>,
    /// What the rows' table is called in the statement.
    pub(crate) alias: Option<String>,
    /// `DELETE` or `UPDATE`, for the history.
    pub(crate) operation: &'static str,
}

/// Carries a rewrite out, again and again while others are faster. Returns how many rows matched.
pub(crate) async fn rewrite(
    session: &Session,
    name: &ast::ObjectName,
    rewrite: &Rewrite<'_>,
    parameters: &[datafusion::scalar::ScalarValue],
) -> Result<u64> {
    let mut attempt = 1;
    loop {
        let pinned = target(session, name).await?;
        match rewrite_once(session, &pinned, rewrite, parameters).await {
            Err(error) => {
                if !goes_again(session, &pinned, &error, &mut attempt).await? {
                    return Err(error);
                }
            }
            done => return done,
        }
    }
}

async fn rewrite_once(
    session: &Session,
    pinned: &Pinned,
    rewrite: &Rewrite<'_>,
    parameters: &[datafusion::scalar::ScalarValue],
) -> Result<u64> {
    let state = session.planning_state();
    let planner = Rewriter { session, state: &state, pinned, rewrite, parameters };
    let (touched, matched) = planner.touched().await?;
    if matched == 0 {
        return Ok(0);
    }
    let whole = planner.only(&touched);
    let validation = validation(session, pinned)?;
    let mut adds = Vec::new();
    if let Some(plan) = planner.survivors(&whole).await? {
        let rows = select::execute(&state, plan).await?;
        let writer = session.engine().writer(pinned.id, &pinned.table);
        adds = writer.write(&pinned.snapshot, rows, &validation).await?.adds;
    }
    let removes: Vec<String> = touched.into_iter().collect();
    if session.stages(pinned) {
        let staged = Staged {
            table: Arc::clone(&pinned.table),
            name: pinned.name.to_string(),
            base: Arc::clone(&pinned.snapshot),
            adds,
            removes,
            loaded: Vec::new(),
            definition: None,
        };
        session.stage(pinned.id, staged)?;
        return Ok(matched);
    }
    let predicate = rewrite.predicate.map(|p| ("predicate".to_owned(), p.to_string()));
    let commit = Commit {
        adds,
        removes,
        parameters: predicate.into_iter().collect(),
        user: Some(session.user().to_owned()),
        ..Commit::new(rewrite.operation, CommitKind::Rewrite { read_all: false })
    };
    let commitment = session.commitment();
    let _committing = commitment.make();
    pinned.table.commit(&pinned.snapshot, commit).await?;
    Ok(matched)
}

/// Plans the queries of one rewrite.
struct Rewriter<'a> {
    session: &'a Session,
    state: &'a SessionState,
    pinned: &'a Pinned,
    rewrite: &'a Rewrite<'a>,
    parameters: &'a [datafusion::scalar::ScalarValue],
}

impl Rewriter<'_> {
    /// Files that hold a matching row, and how many rows match in all.
    async fn touched(&self) -> Result<(BTreeSet<String>, u64)> {
        let scan = self.pinned.table.scan_with_file_column(Arc::clone(&self.pinned.snapshot));
        let file = ast::Expr::Identifier(ast::Ident::with_quote('"', FILE_COLUMN));
        let plan =
            self.query(scan, vec![(FILE_COLUMN.to_owned(), file)], self.rewrite.predicate).await?;
        let plan = LogicalPlanBuilder::from(plan)
            .aggregate(
                vec![col(FILE_COLUMN)],
                vec![
                    datafusion::functions_aggregate::expr_fn::count(datafusion::logical_expr::lit(
                        1_i64,
                    ))
                    .alias("rows"),
                ],
            )?
            .build()?;
        let mut stream = select::execute(self.state, plan).await?;
        let (mut files, mut matched) = (BTreeSet::new(), 0);
        while let Some(batch) = stream.try_next().await? {
            let names = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8)?;
            let names = arrow::array::AsArray::as_string::<i32>(&names);
            let counts =
                arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(batch.column(1));
            for at in 0..batch.num_rows() {
                files.insert(names.value(at).to_owned());
                matched += u64::try_from(counts.value(at)).unwrap_or_default();
            }
        }
        Ok((files, matched))
    }

    /// The pinned version, reduced to these files.
    fn only(&self, files: &BTreeSet<String>) -> Arc<TableSnapshot> {
        let snapshot = &self.pinned.snapshot;
        let others = snapshot.files().map(|f| f.path().to_owned());
        let others: Vec<String> = others.filter(|path| !files.contains(path)).collect();
        Arc::new(snapshot.with_staged(&[], &others))
    }

    /// Rows that do not match, and the new values of those that do. None: nothing is left.
    async fn survivors(&self, whole: &Arc<TableSnapshot>) -> Result<Option<LogicalPlan>> {
        let scan = || self.pinned.table.scan(Arc::clone(whole));
        let all = self.columns(None);
        let kept = match self.rewrite.predicate {
            None => None,
            Some(predicate) if has_subquery(predicate) => {
                // "p IS NOT TRUE" over a subquery may be planned with other NULL rules than p.
                // Rows that are equal in every column match alike, so what does not match is
                // what is equal to no matching row.
                let every = self.query(scan(), all.clone(), None).await?;
                let hit = self.query(scan(), all, Some(predicate)).await?;
                Some(LogicalPlanBuilder::except(every, hit, true)?)
            }
            Some(predicate) => {
                let kept =
                    ast::Expr::IsNotTrue(Box::new(ast::Expr::Nested(Box::new(predicate.clone()))));
                Some(self.query(scan(), all, Some(&kept)).await?)
            }
        };
        let changed = match &self.rewrite.assignments {
            None => None,
            Some(assignments) => {
                let columns = self.columns(Some(assignments));
                Some(self.query(scan(), columns, self.rewrite.predicate).await?)
            }
        };
        let schema = &self.pinned.snapshot.schema;
        let kept = kept.map(|plan| project_to(plan, schema)).transpose()?;
        let changed = changed.map(|plan| project_to(plan, schema)).transpose()?;
        Ok(match (kept, changed) {
            (Some(kept), Some(changed)) => {
                Some(LogicalPlanBuilder::from(kept).union(changed)?.build()?)
            }
            (one, other) => one.or(other),
        })
    }

    /// Every column of the table, or its new value.
    fn columns(&self, assignments: Option<&Vec<(String, ast::Expr)>>) -> Vec<(String, ast::Expr)> {
        let schema = &self.pinned.snapshot.schema;
        let columns = schema.fields().iter().map(|field| {
            let set = assignments.and_then(|all| all.iter().find(|(name, _)| name == field.name()));
            let own = || ast::Expr::Identifier(ast::Ident::with_quote('"', field.name()));
            let expr = set.map_or_else(own, |(_, expr)| match expr {
                ast::Expr::Identifier(word)
                    if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default") =>
                {
                    default_expression(field)
                }
                other => other.clone(),
            });
            (field.name().clone(), expr)
        });
        columns.collect()
    }

    /// `SELECT columns FROM target WHERE predicate`, planned with the statement's other names.
    async fn query(
        &self,
        target: Arc<dyn TableProvider>,
        columns: Vec<(String, ast::Expr)>,
        predicate: Option<&ast::Expr>,
    ) -> Result<LogicalPlan> {
        let alias = self.rewrite.alias.clone().unwrap_or_else(|| self.pinned.name.name.clone());
        let statement = select_from(&alias, columns, predicate)?;
        let types = select::types_of(self.parameters);
        let mut names = Resolver::new(self.session, self.state).resolve(&statement).await?;
        names.tables.insert(TARGET.into(), provider_as_source(target));
        let planned = plan::statement(self.state, &names, statement, &types)?;
        let planned = select::bind(planned, self.parameters)?;
        if predicate.is_some() && filter_is_volatile(&planned) {
            return Err(Error::unsupported(format!(
                "{} with a WHERE that is not deterministic is not supported",
                self.rewrite.operation
            )));
        }
        Ok(planned)
    }
}

/// What the table that a statement changes is called in its plans; resolving leaves it alone.
pub(crate) const TARGET: &str = "__tarn_target";

/// The parameters of a rewrite.
pub(crate) async fn describe_rewrite(
    session: &Session,
    name: &ast::ObjectName,
    rewrite: &Rewrite<'_>,
    given: &[Option<arrow::datatypes::FieldRef>],
) -> Result<Vec<Field>> {
    let pinned = target(session, name).await?;
    let state = session.planning_state();
    let alias = rewrite.alias.clone().unwrap_or_else(|| pinned.name.name.clone());
    let schema = &pinned.snapshot.schema;
    // A parameter that is assigned has its column's type, which a plain projection cannot tell.
    let mut given = given.to_vec();
    for (column, expr) in rewrite.assignments.iter().flatten() {
        if let (Some(at), Ok(field)) = (placeholder(expr), schema.field_with_name(column)) {
            if given.len() <= at {
                given.resize(at + 1, None);
            }
            given[at].get_or_insert_with(|| Arc::new(field.clone()));
        }
    }
    let assigned = rewrite.assignments.iter().flatten().enumerate();
    let mut columns: Vec<(String, ast::Expr)> =
        assigned.map(|(at, (_, expr))| (format!("set{at}"), expr.clone())).collect();
    if columns.is_empty() {
        columns
            .push(("one".to_owned(), ast::Expr::value(ast::Value::Number("1".to_owned(), false))));
    }
    columns.retain(|(_, expr)| !matches!(expr, ast::Expr::Identifier(w) if w.value.eq_ignore_ascii_case("default")));
    let statement = select_from(&alias, columns, rewrite.predicate)?;
    let mut names = Resolver::new(session, &state).resolve(&statement).await?;
    let scan = pinned.table.scan(Arc::clone(&pinned.snapshot));
    names.tables.insert(TARGET.into(), provider_as_source(scan));
    let planned = plan::statement(&state, &names, statement, &given)?;
    select::parameter_fields(&planned, &given)
}

/// `$n` as an index from 0.
pub(crate) fn placeholder(expr: &ast::Expr) -> Option<usize> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Placeholder(name) => {
                name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)
            }
            _ => None,
        },
        ast::Expr::Cast { expr, .. } | ast::Expr::Nested(expr) => placeholder(expr),
        _ => None,
    }
}

fn select_from(
    alias: &str,
    columns: Vec<(String, ast::Expr)>,
    predicate: Option<&ast::Expr>,
) -> Result<ast::Statement> {
    let text = format!("SELECT 1 FROM {TARGET} AS \"{}\"", alias.replace('"', "\"\""));
    let mut query = crate::parser::parse_query(&text)?;
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        select.projection = columns
            .into_iter()
            .map(|(name, expr)| ast::SelectItem::ExprWithAlias {
                expr,
                alias: ast::Ident::with_quote('"', name),
            })
            .collect();
        select.selection = predicate.cloned();
    }
    Ok(ast::Statement::Query(query))
}

/// The DEFAULT of a column, or NULL.
pub(crate) fn default_expression(field: &Field) -> ast::Expr {
    field
        .metadata()
        .get(DEFAULT_KEY)
        .and_then(|text| crate::parser::parse_expression(text).ok())
        .unwrap_or_else(|| ast::Expr::value(ast::Value::Null))
}

fn has_subquery(expr: &ast::Expr) -> bool {
    use std::ops::ControlFlow;
    struct Find;
    impl ast::Visitor for Find {
        type Break = ();
        fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    ast::Visit::visit(expr, &mut Find).is_break()
}

fn filter_is_volatile(plan: &LogicalPlan) -> bool {
    let mut volatile = false;
    let _ = datafusion::common::tree_node::TreeNode::apply(plan, |node| {
        if let LogicalPlan::Filter(filter) = node {
            volatile |= filter.predicate.is_volatile();
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    volatile
}

/// A table as INSERT's planner sees it: only the columns that clients supply, with defaults.
#[derive(Debug)]
pub(crate) struct InsertTarget {
    schema: SchemaRef,
    defaults: BTreeMap<String, Expr>,
}

impl InsertTarget {
    pub(crate) fn new(state: &SessionState, table: &SchemaRef) -> Result<Self> {
        // NULLs are refused where the rows are checked, with the column's name in the message.
        let nullable = user_schema(table);
        let nullable = nullable.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
        let mut defaults = BTreeMap::new();
        for field in schema.fields() {
            if let Some(text) = field.metadata().get(DEFAULT_KEY) {
                let expr = plan::expression(state, text, &DFSchema::empty())?;
                defaults.insert(field.name().clone(), expr);
            }
        }
        Ok(Self { schema, defaults })
    }
}

#[async_trait]
impl TableProvider for InsertTarget {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.defaults.get(column)
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Unsupported; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn DfSession,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Err(Error::internal("the target of an INSERT cannot be read").into())
    }
}
