//! `CREATE [TEMPORARY] TABLE`, with columns or `AS query`.
//!
//! The Delta table is made first and has no name; the catalog commit that names it is the last
//! act. A crash before it leaves a folder that nobody sees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use catalog::{
    COMMENT_KEY, Change, ColumnSource, DEFAULT_KEY, Definition, Entry, LakeTable, TableRef,
    TableSpec, Zone,
};
use datafusion::common::DFSchema;
use datafusion::sql::sqlparser::ast;

use crate::dml::{self, Key};
use crate::error::{Error, Result, nearest, state};
use crate::lineage;
use crate::output::{Notice, Output};
use crate::plan;
use crate::resolve::{Pinned, QualifiedName, fold, split_name};
use crate::schema_evolution::{self, Mode};
use crate::session::Session;
use crate::statement::select;
use crate::types;

/// A table to be made.
#[derive(Debug, Clone)]
pub(crate) struct CreateTable {
    pub(crate) ast: ast::CreateTable,
    /// What `AS query` calls its columns.
    pub(crate) names: Vec<ast::Ident>,
    pub(crate) with_no_data: bool,
}

/// Marks a column that the server fills.
pub(crate) const GENERATED_KEY: &str = "tarn.generated";

/// Makes the table, fills it where a query is given, and names it.
pub(crate) async fn run(session: &Session, create: &CreateTable) -> Result<Output> {
    session.refuse_read_only()?;
    let ast = &create.ast;
    let configuration = configuration(ast)?;
    let tag = if ast.query.is_some() { "CREATE TABLE AS" } else { "CREATE TABLE" };
    let (name, temporary) = target(session, ast)?;
    if ast.if_not_exists && exists(session, &name, temporary) {
        session
            .notice(Notice::note(format!("relation \"{}\" already exists, skipping", name.name)));
        return Ok(Output::done(tag));
    }
    refuse_taken(session, &name, temporary)?;
    let state = session.planning_state();
    let query = match &ast.query {
        Some(query) => Some(select::plan_query(session, &state, query, &[]).await?),
        None => None,
    };
    let mut spec = match &query {
        Some(planned) => query_spec(create, planned)?,
        None => column_spec(session, ast)?,
    };
    let sources = match &query {
        Some(planned) => {
            lineage::of(planned, spec.schema.fields().iter().map(|f| f.name().as_str()))?
        }
        None => Vec::new(),
    };
    spec.configuration.extend(configuration);
    if Mode::of(&spec.configuration) == Mode::Rescue {
        if query.is_some() {
            let what = "CREATE TABLE ... AS does not take schema_evolution = 'rescue'";
            return Err(Error::unsupported(what)
                .with_hint("ALTER TABLE ... SET (schema_evolution = 'rescue') after it."));
        }
        let mut fields: Vec<Field> =
            spec.schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        fields.extend(missing_rescued_column(&fields)?);
        spec.schema = Arc::new(Schema::new(fields));
    }
    spec.partition_columns = partition_columns(ast.partition_by.as_deref(), &spec.schema)?;
    if zone(session, &name) == Some(Zone::Raw) && !temporary {
        spec.schema = with_raw_columns(&spec.schema)?;
    }
    check_constraints(session, &spec)?;
    let (made, reference) = make(session, &name, temporary, spec).await?;
    let mut rows = None;
    if let Some(planned) = query.filter(|_| !create.with_no_data) {
        let plan = dml::project_to(planned.plan, &dml::user_schema(&made.snapshot.schema))?;
        let stream = select::execute(&state, plan).await?;
        rows = Some(dml::append_unnamed(session, &made, stream).await?);
    }
    name_it(session, &name, &made, reference, sources).await?;
    Ok(match rows {
        Some(rows) => Output::Done { tag: format!("SELECT {rows}"), rows: Some(rows) },
        None => Output::done(tag),
    })
}

/// A table that has no name yet.
pub(crate) async fn make(
    session: &Session,
    name: &QualifiedName,
    temporary: bool,
    spec: TableSpec,
) -> Result<(Pinned, Option<TableRef>)> {
    let engine = session.engine();
    if temporary {
        let id = uuid::Uuid::new_v4();
        let location = engine.temporary_stores().in_warehouse(&id.to_string())?;
        let clock = Arc::clone(engine.catalog.clock());
        let table = LakeTable::create(location, spec, clock).await?;
        let snapshot = table.current();
        return Ok((Pinned { id, name: name.clone(), table, snapshot }, None));
    }
    let (reference, table) = engine.catalog.create_table(&name.schema, spec).await?;
    let snapshot = table.current();
    let id = reference.table_id;
    let pinned = Pinned { id, name: name.clone(), table, snapshot };
    Ok((pinned, Some(reference)))
}

async fn name_it(
    session: &Session,
    name: &QualifiedName,
    made: &Pinned,
    reference: Option<TableRef>,
    sources: Vec<ColumnSource>,
) -> Result<()> {
    let Some(reference) = reference else {
        return session.add_temporary_table(name.name.clone(), Arc::clone(&made.table));
    };
    let entry = Entry::new(
        name.schema.clone(),
        name.name.clone(),
        session.user(),
        session.engine().now_micros(),
        Definition::Table(reference),
    );
    let entry = Entry { sources, ..entry };
    let id = entry.id;
    session.change(vec![Change::Put(entry)], Some(id)).await
}

fn target(session: &Session, ast: &ast::CreateTable) -> Result<(QualifiedName, bool)> {
    let (schema, name) = split_name(&ast.name)?;
    let temporary = ast.temporary || schema.as_deref() == Some("pg_temp");
    if temporary {
        if schema.as_deref().is_some_and(|s| s != "pg_temp") {
            return Err(Error::new(
                state::INVALID_TABLE_DEFINITION,
                "cannot create temporary relation in non-temporary schema",
            ));
        }
        return Ok((QualifiedName { schema: "pg_temp".to_owned(), name }, true));
    }
    Ok((new_name(session, schema, name)?, false))
}

/// The full name of a new relation, in a schema that exists.
pub(crate) fn new_name(
    session: &Session,
    schema: Option<String>,
    name: String,
) -> Result<QualifiedName> {
    let schema = match schema {
        Some(schema) => schema,
        None => session.creation_schema()?,
    };
    let snapshot = session.snapshot();
    if snapshot.schema(&schema).is_none() {
        let error =
            Error::new(state::INVALID_SCHEMA_NAME, format!("schema \"{schema}\" does not exist"));
        let known: Vec<String> = snapshot.schemas().map(|s| s.name.clone()).collect();
        return Err(match nearest(&schema, known.iter().map(String::as_str)) {
            Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
            None => error.with_hint(format!("CREATE SCHEMA {schema};")),
        });
    }
    Ok(QualifiedName { schema, name })
}

/// 42P07 before any work is done; the commit checks again.
pub(crate) fn refuse_taken(session: &Session, name: &QualifiedName, temporary: bool) -> Result<()> {
    if exists(session, name, temporary) {
        return Err(Error::new(
            state::DUPLICATE_TABLE,
            format!("relation \"{}\" already exists", name.name),
        ));
    }
    Ok(())
}

fn exists(session: &Session, name: &QualifiedName, temporary: bool) -> bool {
    if temporary {
        return session.temporary_table(&name.name).is_some();
    }
    session.snapshot().entry(&name.schema, &name.name).is_some()
}

pub(crate) fn zone(session: &Session, name: &QualifiedName) -> Option<Zone> {
    match session.snapshot().schema(&name.schema)?.definition {
        Definition::Schema { zone } => Some(zone),
        _ => None,
    }
}

/// The properties that `WITH` gives the table. Whatever else sqlparser reads and this server does not do
/// is refused: after the known clauses are taken away, nothing may be left.
fn configuration(create: &ast::CreateTable) -> Result<BTreeMap<String, String>> {
    let mut configuration = BTreeMap::new();
    let mut rest = create.clone();
    let allowed_options =
        match std::mem::replace(&mut rest.table_options, ast::CreateTableOptions::None) {
            ast::CreateTableOptions::None => Vec::new(),
            ast::CreateTableOptions::With(options) => options,
            other => {
                return Err(Error::unsupported(format!(
                    "CREATE TABLE ... {other} is not supported"
                )));
            }
        };
    for (key, value) in options(&allowed_options)? {
        if !schema_evolution::set(&mut configuration, &key, &value)? {
            return Err(unknown_option(&key, &schema_evolution::OPTIONS));
        }
    }
    rest.temporary = false;
    rest.if_not_exists = false;
    rest.columns = Vec::new();
    rest.constraints = Vec::new();
    rest.query = None;
    rest.partition_by = None;
    let plain = ast::helpers::stmt_create_table::CreateTableBuilder::new(rest.name.clone()).build();
    let (left, plain) = (rest.to_string(), plain.to_string());
    if left != plain {
        let clause = left.replacen("CREATE TABLE", "", 1);
        return Err(Error::unsupported(format!(
            "CREATE TABLE does not support this clause: {}",
            clause.split_whitespace().collect::<Vec<_>>().join(" ")
        )));
    }
    Ok(configuration)
}

/// `WITH (key = value, ...)` as pairs, keys in lower case, each once.
pub(crate) fn options(options: &[ast::SqlOption]) -> Result<Vec<(String, String)>> {
    let mut seen = BTreeSet::new();
    options
        .iter()
        .map(|option| {
            let ast::SqlOption::KeyValue { key, value } = option else {
                return Err(Error::syntax(format!("syntax error: \"{option}\" is not an option")));
            };
            let key = key.value.to_lowercase();
            if !seen.insert(key.clone()) {
                return Err(Error::syntax(format!("option \"{key}\" specified more than once")));
            }
            let value = match value {
                ast::Expr::Value(v) => match &v.value {
                    ast::Value::SingleQuotedString(text) => text.clone(),
                    other => other.to_string(),
                },
                other => other.to_string(),
            };
            Ok((key, value))
        })
        .collect()
}

/// An option that there is not, with the nearest that there is.
pub(crate) fn unknown_option(name: &str, known: &[&str]) -> Error {
    let error =
        Error::new(state::INVALID_PARAMETER_VALUE, format!("unrecognized option \"{name}\""));
    match nearest(name, known.iter().copied()) {
        Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
        None => error.with_hint(format!("Known options: {}.", known.join(", "))),
    }
}

fn query_spec(create: &CreateTable, planned: &select::Planned) -> Result<TableSpec> {
    if !create.ast.columns.is_empty() {
        return Err(Error::syntax("syntax error: CREATE TABLE ... AS takes names, not types")
            .with_hint("Cast in the query: SELECT ...::type."));
    }
    if !create.ast.constraints.is_empty() {
        return Err(Error::unsupported("CREATE TABLE ... AS takes no constraints"));
    }
    let schema = planned.plan.schema();
    let mut names: Vec<String> = match &planned.names {
        Some(names) => names.clone(),
        None => schema.fields().iter().map(|f| f.name().clone()).collect(),
    };
    if create.names.len() > names.len() {
        return Err(Error::syntax("too many column names were specified"));
    }
    for (name, given) in names.iter_mut().zip(&create.names) {
        *name = fold(given);
    }
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| {
            let name = names.get(at).unwrap_or_else(|| field.name());
            stored_field(field, name)
        })
        .collect::<Result<_>>()?;
    refuse_double_names(fields.iter().map(|f| f.name().as_str()))?;
    Ok(TableSpec::new(Arc::new(Schema::new(fields))))
}

/// What a column of a query becomes when it is stored.
pub(crate) fn stored_field(field: &FieldRef, name: &str) -> Result<Field> {
    let data_type = stored_type(field.data_type()).ok_or_else(|| {
        Error::unsupported(format!(
            "column \"{name}\" has type {}, which cannot be stored",
            types::type_name(field)
        ))
        .with_hint("Cast it to a type that can.")
    })?;
    let kind = field.metadata().get(catalog::TYPE_KEY);
    let kept = kind.filter(|kind| {
        ["uuid", "json", "jsonb", "time", "varchar", "char"].iter().any(|k| kind.starts_with(k))
    });
    let metadata = kept.map(|kind| (catalog::TYPE_KEY.to_owned(), kind.clone()));
    Ok(Field::new(name, data_type, true).with_metadata(metadata.into_iter().collect()))
}

fn stored_type(data_type: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match data_type {
        T::Boolean | T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64 | T::Date32 => {
            data_type.clone()
        }
        T::Int8 | T::UInt8 => T::Int16,
        T::UInt16 => T::Int32,
        T::UInt32 | T::UInt64 => T::Int64,
        T::Float16 => T::Float32,
        T::Decimal128(..) => data_type.clone(),
        T::Decimal32(p, s) | T::Decimal64(p, s) => T::Decimal128(*p, *s),
        T::Decimal256(p, s) => T::Decimal128((*p).min(38), *s),
        T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Null => T::Utf8,
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => T::Binary,
        T::Date64 => T::Timestamp(TimeUnit::Microsecond, None),
        T::Time32(_) | T::Time64(_) => T::Utf8,
        T::Timestamp(_, None) => T::Timestamp(TimeUnit::Microsecond, None),
        T::Timestamp(_, Some(_)) => T::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
        T::Dictionary(_, value) => stored_type(value)?,
        T::List(item) | T::LargeList(item) | T::ListView(item) | T::FixedSizeList(item, _) => {
            let stored = stored_type(item.data_type())?;
            T::List(Arc::new(item.as_ref().clone().with_data_type(stored)))
        }
        T::Struct(fields) => T::Struct(
            fields
                .iter()
                .map(|f| Some(f.as_ref().clone().with_data_type(stored_type(f.data_type())?)))
                .collect::<Option<Vec<Field>>>()?
                .into(),
        ),
        _ => return None,
    })
}

fn column_spec(session: &Session, create: &ast::CreateTable) -> Result<TableSpec> {
    let mut fields = Vec::with_capacity(create.columns.len());
    let mut constraints = BTreeMap::new();
    let mut key = None;
    let table = split_name(&create.name)?.1;
    for column in &create.columns {
        let (column, declared) = without_key(column, &table)?;
        declare(&mut key, declared, &table)?;
        fields.push(column_field(session, &column, &table, &mut constraints)?);
    }
    if fields.is_empty() {
        return Err(Error::new(
            state::INVALID_TABLE_DEFINITION,
            format!("table \"{table}\" has no columns"),
        ));
    }
    refuse_double_names(fields.iter().map(|f| f.name().as_str()))?;
    for constraint in &create.constraints {
        match constraint {
            ast::TableConstraint::Check(check) => add_check(check, &table, "", &mut constraints)?,
            ast::TableConstraint::PrimaryKey(constraint) => {
                declare(&mut key, Some(Key::declared(constraint, None, &table)?), &table)?;
            }
            other => return Err(no_keys(&other.to_string())),
        }
    }
    let mut spec = TableSpec::new(Arc::new(Schema::new(fields)));
    if let Some(key) = key {
        let fields = dml::not_null(&spec.schema, &key);
        key.check(&fields)?;
        spec.schema = Arc::new(Schema::new(fields));
        Key::set(Some(&key), &mut spec.configuration);
    }
    spec.constraints = constraints;
    Ok(spec)
}

/// Takes a key of one column out of the column's own options.
fn without_key(column: &ast::ColumnDef, table: &str) -> Result<(ast::ColumnDef, Option<Key>)> {
    let mut column = column.clone();
    let mut key = None;
    for option in &column.options {
        if let ast::ColumnOption::PrimaryKey(constraint) = &option.option {
            let mut constraint = constraint.clone();
            constraint.name = constraint.name.or_else(|| option.name.clone());
            let declared = Key::declared(&constraint, Some(&fold(&column.name)), table)?;
            declare(&mut key, Some(declared), table)?;
        }
    }
    column.options.retain(|option| !matches!(option.option, ast::ColumnOption::PrimaryKey(_)));
    Ok((column, key))
}

/// A table has one key.
fn declare(key: &mut Option<Key>, declared: Option<Key>, table: &str) -> Result<()> {
    match (&key, declared) {
        (_, None) => Ok(()),
        (None, declared) => {
            *key = declared;
            Ok(())
        }
        (Some(_), Some(_)) => Err(Error::new(
            state::INVALID_TABLE_DEFINITION,
            format!("multiple primary keys for table \"{table}\" are not allowed"),
        )),
    }
}

/// A column as a statement declares it.
pub(crate) fn column_field(
    session: &Session,
    column: &ast::ColumnDef,
    table: &str,
    constraints: &mut BTreeMap<String, String>,
) -> Result<Field> {
    let name = fold(&column.name);
    if name.starts_with('_') && RAW_COLUMNS.iter().any(|(raw, _)| *raw == name) {
        return Err(Error::new(
            state::INVALID_TABLE_DEFINITION,
            format!("column name \"{name}\" is reserved for what the server adds to raw tables"),
        ));
    }
    let mut nullable = true;
    let mut metadata = BTreeMap::new();
    for option in &column.options {
        match &option.option {
            ast::ColumnOption::Null => {}
            ast::ColumnOption::NotNull => nullable = false,
            ast::ColumnOption::Default(expr) => {
                metadata.insert(DEFAULT_KEY.to_owned(), expr.to_string());
            }
            ast::ColumnOption::Check(check) => {
                let mut check = check.clone();
                check.name = check.name.or_else(|| option.name.clone());
                add_check(&check, table, &name, constraints)?;
            }
            ast::ColumnOption::Comment(text) => {
                metadata.insert(COMMENT_KEY.to_owned(), text.clone());
            }
            other => return Err(no_keys(&other.to_string())),
        }
    }
    let field = types::field_of_sql_type(&column.data_type, &name, nullable)?;
    if let Some(default) = metadata.get(DEFAULT_KEY) {
        check_default(session, default, &field)?;
    }
    let mut all = field.metadata().clone();
    all.extend(metadata);
    Ok(field.with_metadata(all))
}

fn no_keys(clause: &str) -> Error {
    let error = Error::unsupported(format!("CREATE TABLE does not support this clause: {clause}"));
    if clause.contains("KEY") || clause.contains("UNIQUE") {
        return error
            .with_detail("Rows are not looked up at every INSERT.")
            .with_hint("PRIMARY KEY (columns) NOT ENFORCED declares the key of ON CONFLICT.");
    }
    error
}

pub(crate) fn add_check(
    check: &ast::CheckConstraint,
    table: &str,
    column: &str,
    constraints: &mut BTreeMap<String, String>,
) -> Result<()> {
    if check.enforced == Some(false) {
        return Err(Error::unsupported("NOT ENFORCED is not supported"));
    }
    let name = match &check.name {
        Some(name) => fold(name),
        None => {
            let stem = if column.is_empty() {
                format!("{table}_check")
            } else {
                format!("{table}_{column}_check")
            };
            let numbered = (1..).map(|n| format!("{stem}{n}"));
            let mut names = std::iter::once(stem.clone()).chain(numbered);
            names.find(|name| !constraints.contains_key(name)).unwrap_or(stem)
        }
    };
    if constraints.insert(name.clone(), check.expr.to_string()).is_some() {
        return Err(Error::new(
            state::DUPLICATE_OBJECT,
            format!("constraint \"{name}\" for relation \"{table}\" already exists"),
        ));
    }
    Ok(())
}

/// A default must be an expression without columns that fits its column.
pub(crate) fn check_default(session: &Session, text: &str, field: &Field) -> Result<()> {
    let state = session.planning_state();
    let empty = DFSchema::empty();
    let expr = plan::expression(&state, text, &empty)?;
    let found = datafusion::logical_expr::ExprSchemable::get_type(&expr, &empty)?;
    if found != DataType::Null && !arrow::compute::can_cast_types(&found, field.data_type()) {
        return Err(Error::new(
            state::DATATYPE_MISMATCH,
            format!(
                "column \"{}\" is of type {} but default expression is of another type",
                field.name(),
                types::type_name(field)
            ),
        ));
    }
    Ok(())
}

/// Every CHECK must be a boolean over the columns of its table.
pub(crate) fn check_constraints(session: &Session, spec: &TableSpec) -> Result<()> {
    dml::compile_checks(session, &spec.schema, &spec.constraints).map(|_| ())
}

fn partition_columns(expr: Option<&ast::Expr>, schema: &Schema) -> Result<Vec<String>> {
    let Some(expr) = expr else { return Ok(Vec::new()) };
    let columns: Vec<&ast::Expr> = match expr {
        ast::Expr::Tuple(columns) => columns.iter().collect(),
        ast::Expr::Nested(column) => vec![column.as_ref()],
        other => vec![other],
    };
    let names = columns
        .into_iter()
        .map(|column| match column {
            ast::Expr::Identifier(ident) => {
                let name = fold(ident);
                match schema.field_with_name(&name) {
                    Ok(_) => Ok(name),
                    Err(_) => Err(Error::new(
                        state::UNDEFINED_COLUMN,
                        format!("column \"{name}\" named in partition key does not exist"),
                    )),
                }
            }
            other => Err(Error::unsupported(format!("cannot partition by \"{other}\""))
                .with_hint("PARTITION BY takes columns of the table.")),
        })
        .collect::<Result<Vec<String>>>()?;
    refuse_double_names(names.iter().map(String::as_str))?;
    if names.len() == schema.fields().len() {
        return Err(Error::new(
            state::INVALID_TABLE_DEFINITION,
            "cannot partition by every column of a table",
        ));
    }
    Ok(names)
}

/// Two names that differ only in case are one to many readers of Delta.
pub(crate) fn refuse_double_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name.to_lowercase()) {
            return Err(Error::new(
                state::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            ));
        }
    }
    Ok(())
}

/// The column of what is rescued, where the table has none yet.
pub(crate) fn missing_rescued_column(fields: &[Field]) -> Result<Option<Field>> {
    let rescued = schema_evolution::rescued_column();
    let kind = |field: &Field| field.metadata().get(catalog::TYPE_KEY).cloned();
    match fields.iter().find(|field| field.name() == rescued.name()) {
        None => Ok(Some(rescued)),
        Some(known) if kind(known) == kind(&rescued) && known.is_nullable() => Ok(None),
        Some(known) => Err(Error::new(
            state::INVALID_TABLE_DEFINITION,
            format!(
                "column \"{}\" must be jsonb and nullable to keep what is rescued",
                known.name()
            ),
        )),
    }
}

/// What the server adds to every row of a raw table.
pub(crate) const RAW_COLUMNS: [(&str, &str); 4] = [
    ("_ingested_at", "When the server took the row"),
    ("_batch_id", "The statement that brought the row"),
    ("_source", "Where the row came from"),
    ("_source_row", "Its line or row there, from 1"),
];

pub(crate) fn with_raw_columns(schema: &SchemaRef) -> Result<SchemaRef> {
    let types = [
        DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
        DataType::Utf8,
        DataType::Utf8,
        DataType::Int64,
    ];
    let added = RAW_COLUMNS.iter().zip(types).map(|((name, comment), data_type)| {
        let metadata = [(GENERATED_KEY, "ingest"), (COMMENT_KEY, comment)];
        let metadata = metadata.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
        Arc::new(Field::new(*name, data_type, true).with_metadata(metadata.collect()))
    });
    let fields: Vec<FieldRef> = schema.fields().iter().map(Arc::clone).chain(added).collect();
    refuse_double_names(fields.iter().map(|f| f.name().as_str()))?;
    Ok(Arc::new(Schema::new(fields)))
}
