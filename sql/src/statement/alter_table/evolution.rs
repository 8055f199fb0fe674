//! From the columns and constraints that a table has to those that it shall have.
//!
//! Each change adds to what the new columns are and how their values come from the old ones. At the end
//! the rows are checked where only the definition changes, or written anew where they do: a table keeps
//! plain files that every reader of Delta understands, rather than a mapping of column names.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use catalog::{Commit, CommitKind, DEFAULT_KEY, Definition, Entry, TableSpec};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;
use ingest::decode::{FoundColumn, RESCUED};

use crate::dml::{self, Key, TARGET};
use crate::error::{Error, Result, state};
use crate::output::Notice;
use crate::resolve::{Pinned, Resolver, fold};
use crate::schema_evolution::{self, Compatibility, Mode};
use crate::session::Session;
use crate::statement::{create_table, drop, select};
use crate::{parser, plan, semantics, types};

/// A definition on its way to another.
pub(crate) struct Evolution<'a> {
    session: &'a Session,
    pinned: &'a Pinned,
    columns: Vec<Column>,
    constraints: BTreeMap<String, String>,
    key: Option<Key>,
    configuration: BTreeMap<String, String>,
    /// Whether rows or the names or types of stored columns change.
    rewrites: bool,
    /// What every row has to meet, and the error where one does not.
    demands: Vec<(ast::Expr, Error)>,
    operation: &'static str,
}

/// A column that the table shall have.
struct Column {
    field: Field,
    /// Its value, over the columns that the table has.
    value: ast::Expr,
}

impl<'a> Evolution<'a> {
    /// The definition as it is.
    pub(crate) fn new(session: &'a Session, pinned: &'a Pinned) -> Self {
        let columns = pinned.snapshot.schema.fields().iter().map(|field| Column {
            value: ast::Expr::Identifier(ast::Ident::with_quote('"', field.name())),
            field: field.as_ref().clone(),
        });
        Self {
            session,
            pinned,
            columns: columns.collect(),
            constraints: pinned.snapshot.constraints.as_ref().clone(),
            key: Key::of(&pinned.snapshot.configuration),
            configuration: pinned.snapshot.configuration.as_ref().clone(),
            rewrites: false,
            demands: Vec::new(),
            operation: "CHANGE COLUMN",
        }
    }

    /// Makes one more change.
    pub(super) fn apply(&mut self, operation: &ast::AlterTableOperation) -> Result<()> {
        use ast::AlterTableOperation as O;
        match operation {
            O::AddColumn { if_not_exists, column_def, column_position: None, .. } => {
                self.add_column(column_def, *if_not_exists)
            }
            O::DropColumn { column_names, if_exists, drop_behavior, .. } => {
                if matches!(drop_behavior, Some(ast::DropBehavior::Cascade)) {
                    return Err(Error::unsupported("DROP COLUMN ... CASCADE is not supported")
                        .with_hint("Drop the views that read the column first."));
                }
                column_names.iter().try_for_each(|name| self.drop_column(&fold(name), *if_exists))
            }
            O::RenameColumn { old_column_name, new_column_name } => {
                self.rename_column(&fold(old_column_name), &fold(new_column_name))
            }
            O::AlterColumn { column_name, op } => self.alter_column(&fold(column_name), op),
            O::AddConstraint {
                constraint: ast::TableConstraint::Check(check),
                not_valid: false,
            } => self.add_check(check),
            O::AddConstraint {
                constraint: ast::TableConstraint::PrimaryKey(constraint),
                not_valid: false,
            } => self.add_key(constraint),
            O::DropConstraint { if_exists, name, .. } => {
                self.drop_constraint(&fold(name), *if_exists)
            }
            O::RenameConstraint { old_name, new_name } => {
                self.rename_constraint(&fold(old_name), fold(new_name))
            }
            O::SetOptionsParens { options } => self.set_options(options),
            other => Err(Error::unsupported(format!("ALTER TABLE ... {other} is not supported"))),
        }
    }

    fn set_options(&mut self, options: &[ast::SqlOption]) -> Result<()> {
        for (option, value) in create_table::options(options)? {
            if !schema_evolution::set(&mut self.configuration, &option, &value)? {
                return Err(create_table::unknown_option(&option, &schema_evolution::OPTIONS));
            }
        }
        self.operation = "SET TBLPROPERTIES";
        if Mode::of(&self.configuration) == Mode::Rescue {
            let fields: Vec<Field> = self.columns.iter().map(|c| c.field.clone()).collect();
            if let Some(field) = create_table::missing_rescued_column(&fields)? {
                self.columns.push(Column { value: dml::default_expression(&field), field });
            }
        }
        Ok(())
    }

    /// Makes the columns fit what an input has, as far as the table's mode goes. What they do not fit
    /// then is for whoever reads the rows to refuse.
    pub(crate) fn follow(&mut self, found: &[FoundColumn]) -> Result<()> {
        let mode = Mode::of(&self.configuration);
        for column in found.iter().filter(|_| mode.follows()) {
            let name = column.field.name();
            let alike = |known: &Column| known.field.name().eq_ignore_ascii_case(name);
            let known = self.position(name).or_else(|| self.columns.iter().position(alike));
            match known {
                Some(at) if mode == Mode::Widen => self.widen(at, column)?,
                Some(_) => {}
                None if name.is_empty() => {}
                None if create_table::RAW_COLUMNS.iter().any(|(raw, _)| raw == name) => {}
                None => {
                    let field = create_table::stored_field(&Arc::new(column.field.clone()), name)?;
                    self.columns.push(Column { value: dml::default_expression(&field), field });
                    self.operation = "ADD COLUMNS";
                }
            }
        }
        Ok(())
    }

    /// Files lie by the values of partition columns, and keys say which rows are the same: these keep
    /// their types.
    fn widen(&mut self, at: usize, found: &FoundColumn) -> Result<()> {
        let Some(field) = schema_evolution::widened(&self.columns[at].field, found) else {
            return Ok(());
        };
        if self.refuse_special(at, "widen").is_err() {
            return Ok(());
        }
        self.refuse_readers(field.name(), "widen")?;
        self.columns[at].field = field;
        self.rewrites = true;
        self.operation = "CHANGE COLUMN";
        Ok(())
    }

    fn add_column(&mut self, column: &ast::ColumnDef, if_not_exists: bool) -> Result<()> {
        let mut constraints = self.constraints.clone();
        let table = &self.pinned.name.name;
        let field = create_table::column_field(self.session, column, table, &mut constraints)?;
        let taken = self.columns.iter().any(|c| c.field.name().eq_ignore_ascii_case(field.name()));
        if taken && if_not_exists {
            let note = format!("column \"{}\" already exists, skipping", field.name());
            self.session.notice(Notice::note(note));
            return Ok(());
        }
        if taken {
            return Err(Error::new(
                state::DUPLICATE_COLUMN,
                format!("column \"{}\" of relation \"{table}\" already exists", field.name()),
            ));
        }
        let has_default = field.metadata().contains_key(DEFAULT_KEY);
        if !field.is_nullable() && !has_default && self.has_rows() {
            return Err(self.contains_nulls(field.name()));
        }
        // Rows that are there get the default now; a later one is not theirs.
        self.rewrites |= has_default || constraints.len() > self.constraints.len();
        self.constraints = constraints;
        self.columns.push(Column { value: dml::default_expression(&field), field });
        self.operation = "ADD COLUMNS";
        Ok(())
    }

    fn drop_column(&mut self, name: &str, if_exists: bool) -> Result<()> {
        let Some(at) = self.position(name) else {
            if if_exists {
                let table = &self.pinned.name.name;
                let note =
                    format!("column \"{name}\" of relation \"{table}\" does not exist, skipping");
                self.session.notice(Notice::note(note));
                return Ok(());
            }
            return Err(self.no_column(name));
        };
        self.refuse_special(at, "drop")?;
        self.refuse_readers(name, "drop")?;
        if self.columns.len() == 1 {
            return Err(Error::new(
                state::INVALID_TABLE_DEFINITION,
                format!("cannot drop \"{name}\": it is the only column of the table"),
            ));
        }
        // As in PostgreSQL, a constraint goes with a column that it is about.
        self.constraints.retain(|_, check| !mentions(check, name));
        self.columns.remove(at);
        self.rewrites = true;
        self.operation = "DROP COLUMNS";
        Ok(())
    }

    fn rename_column(&mut self, name: &str, new: &str) -> Result<()> {
        let at = self.position(name).ok_or_else(|| self.no_column(name))?;
        self.refuse_special(at, "rename")?;
        self.refuse_readers(name, "rename")?;
        let others = self.columns.iter().enumerate().filter(|(other, _)| *other != at);
        if others.map(|(_, c)| c.field.name()).any(|other| other.eq_ignore_ascii_case(new)) {
            return Err(Error::new(
                state::DUPLICATE_COLUMN,
                format!(
                    "column \"{new}\" of relation \"{}\" already exists",
                    self.pinned.name.name
                ),
            ));
        }
        if create_table::RAW_COLUMNS.iter().any(|(raw, _)| *raw == new) {
            return Err(Error::new(
                state::INVALID_TABLE_DEFINITION,
                format!("column name \"{new}\" is reserved for what the server adds to raw tables"),
            ));
        }
        for check in self.constraints.values_mut() {
            *check = renamed(check, name, new)?;
        }
        let column = &mut self.columns[at];
        column.field = column.field.clone().with_name(new);
        self.rewrites = true;
        self.operation = "RENAME COLUMN";
        Ok(())
    }

    fn alter_column(&mut self, name: &str, change: &ast::AlterColumnOperation) -> Result<()> {
        use ast::AlterColumnOperation as C;
        let at = self.position(name).ok_or_else(|| self.no_column(name))?;
        let field = self.columns[at].field.clone();
        match change {
            C::SetDefault { value } => {
                self.refuse_generated(at, "change")?;
                create_table::check_default(self.session, &value.to_string(), &field)?;
                self.set_metadata(at, Some(value.to_string()));
            }
            C::DropDefault => self.set_metadata(at, None),
            C::SetNotNull => {
                self.refuse_generated(at, "change")?;
                let error = self.contains_nulls(name);
                let value = Box::new(self.columns[at].value.clone());
                self.demands.push((ast::Expr::IsNotNull(value), error));
                self.columns[at].field = field.with_nullable(false);
            }
            C::DropNotNull => {
                self.refuse_key(name, "drop NOT NULL of")?;
                self.columns[at].field = field.with_nullable(true);
            }
            C::SetDataType { data_type, using, .. } => {
                self.refuse_special(at, "alter type of")?;
                self.refuse_readers(name, "alter type of")?;
                let changed = types::field_of_sql_type(data_type, name, field.is_nullable())?;
                let mut metadata = changed.metadata().clone();
                let kept = field.metadata().iter().filter(|(key, _)| *key != catalog::TYPE_KEY);
                metadata.extend(kept.map(|(key, value)| (key.clone(), value.clone())));
                let changed = changed.with_metadata(metadata);
                if let Some(default) = changed.metadata().get(DEFAULT_KEY) {
                    create_table::check_default(self.session, default, &changed)?;
                }
                if using.is_none() && !semantics::assignable(&field, &changed, false) {
                    return Err(Error::new(
                        state::DATATYPE_MISMATCH,
                        format!(
                            "column \"{name}\" cannot be cast automatically to type {data_type}"
                        ),
                    )
                    .with_hint(format!(
                        "You might need to specify \"USING {name}::{data_type}\"."
                    )));
                }
                let column = &mut self.columns[at];
                column.value = using.clone().unwrap_or_else(|| column.value.clone());
                column.field = changed;
                self.rewrites = true;
            }
            C::AddGenerated { .. } => {
                return Err(Error::unsupported(format!(
                    "ALTER COLUMN ... {change} is not supported"
                )));
            }
        }
        Ok(())
    }

    fn add_check(&mut self, check: &ast::CheckConstraint) -> Result<()> {
        let table = &self.pinned.name.name;
        let known: Vec<String> = self.constraints.keys().cloned().collect();
        create_table::add_check(check, table, "", &mut self.constraints)?;
        let name = self.constraints.keys().find(|name| !known.contains(name)).cloned();
        let name = name.unwrap_or_default();
        let error = Error::new(
            state::CHECK_VIOLATION,
            format!("check constraint \"{name}\" of relation \"{table}\" is violated by some row"),
        );
        let holds = ast::Expr::IsNotFalse(Box::new(ast::Expr::Nested(check.expr.clone())));
        self.demands.push((holds, error));
        self.operation = "ADD CONSTRAINT";
        Ok(())
    }

    fn add_key(&mut self, constraint: &ast::PrimaryKeyConstraint) -> Result<()> {
        let table = &self.pinned.name.name;
        if self.key.is_some() {
            return Err(Error::new(
                state::INVALID_TABLE_DEFINITION,
                format!("multiple primary keys for table \"{table}\" are not allowed"),
            ));
        }
        let key = Key::declared(constraint, None, table)?;
        let fields: Vec<Field> = self.columns.iter().map(|column| column.field.clone()).collect();
        key.check(&fields)?;
        for column in &key.columns {
            self.alter_column(column, &ast::AlterColumnOperation::SetNotNull)?;
        }
        self.key = Some(key);
        self.operation = "ADD CONSTRAINT";
        Ok(())
    }

    fn drop_constraint(&mut self, name: &str, if_exists: bool) -> Result<()> {
        self.operation = "DROP CONSTRAINT";
        if self.constraints.remove(name).is_some() {
            return Ok(());
        }
        if self.key.take_if(|key| key.name == name).is_some() {
            return Ok(());
        }
        let table = &self.pinned.name.name;
        if if_exists {
            let note =
                format!("constraint \"{name}\" of relation \"{table}\" does not exist, skipping");
            self.session.notice(Notice::note(note));
            return Ok(());
        }
        Err(self.no_constraint(name))
    }

    fn rename_constraint(&mut self, name: &str, new: String) -> Result<()> {
        if let Some(key) = self.key.as_mut().filter(|key| key.name == name) {
            key.name = new;
            return Ok(());
        }
        let check = self.constraints.remove(name).ok_or_else(|| self.no_constraint(name))?;
        if self.constraints.contains_key(&new) {
            let table = &self.pinned.name.name;
            return Err(Error::new(
                state::DUPLICATE_OBJECT,
                format!("constraint \"{new}\" for relation \"{table}\" already exists"),
            ));
        }
        self.constraints.insert(new, check);
        Ok(())
    }

    /// Checks the rows, or writes them anew, and commits.
    pub(super) async fn commit(self) -> Result<()> {
        let (session, pinned) = (self.session, self.pinned);
        match self.prepare().await? {
            None => Ok(()),
            Some((_, commit)) => dml::land(session, pinned, commit).await,
        }
    }

    /// The new definition, and the commit that makes it the table's. None: nothing changes.
    pub(crate) async fn prepare(self) -> Result<Option<(TableSpec, Commit)>> {
        let snapshot = &self.pinned.snapshot;
        let fields: Vec<Field> = self.columns.iter().map(|column| column.field.clone()).collect();
        let mut spec = TableSpec {
            schema: Arc::new(Schema::new(fields)),
            constraints: self.constraints.clone(),
            configuration: self.configuration.clone(),
            ..snapshot.spec()
        };
        Key::set(self.key.as_ref(), &mut spec.configuration);
        create_table::check_constraints(self.session, &spec)?;
        if spec == snapshot.spec() {
            return Ok(None);
        }
        let compatibility = Compatibility::of(&spec.configuration);
        compatibility.check(&self.pinned.name.name, &snapshot.schema, &spec.schema)?;
        let rewrites = self.rewrites && self.has_rows();
        // Rows that are written anew are checked on their way.
        for (demand, error) in self.demands.iter().filter(|_| !rewrites) {
            self.demand(demand, error).await?;
        }
        let reads = rewrites || !self.demands.is_empty();
        let mut commit = Commit::new(self.operation, CommitKind::Metadata { read_all: reads });
        if rewrites {
            let defined = snapshot.with_definition(&spec);
            let checks = dml::compile_checks(self.session, &spec.schema, &spec.constraints)?;
            let table = self.pinned.name.name.clone();
            let validation = Arc::new(ingest::Validation { table, checks });
            let writer = self.session.engine().writer(self.pinned.id, &self.pinned.table);
            let rows = self.rows().await?;
            commit.adds = writer.write(&defined, rows, &validation).await?.adds;
            commit.removes = snapshot.files().map(|file| file.path().to_owned()).collect();
        }
        commit.metadata = Some(spec.clone());
        Ok(Some((spec, commit)))
    }

    /// The rows with their new columns.
    async fn rows(&self) -> Result<SendableRecordBatchStream> {
        let columns = self.columns.iter().map(|Column { field, value }| {
            let alias = ast::Ident::with_quote('"', field.name());
            ast::SelectItem::ExprWithAlias { expr: value.clone(), alias }
        });
        let schema = Arc::new(Schema::new(
            self.columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>(),
        ));
        let state = self.session.planning_state();
        let plan = self.planned(&state, columns.collect(), None).await?;
        let plan = dml::project_to(plan, &schema)?;
        select::execute(&state, plan).await
    }

    /// An error where a row does not meet a demand.
    async fn demand(&self, demand: &ast::Expr, error: &Error) -> Result<()> {
        if !self.has_rows() {
            return Ok(());
        }
        let one = ast::SelectItem::UnnamedExpr(parser::parse_expression("1")?);
        let broken = ast::Expr::UnaryOp {
            op: ast::UnaryOperator::Not,
            expr: Box::new(ast::Expr::Nested(Box::new(demand.clone()))),
        };
        let state = self.session.planning_state();
        let plan = self.planned(&state, vec![one], Some(broken)).await?;
        let plan = datafusion::logical_expr::LogicalPlanBuilder::from(plan).limit(0, Some(1))?;
        let mut rows = select::execute(&state, plan.build()?).await?;
        while let Some(batch) = rows.try_next().await? {
            if batch.num_rows() > 0 {
                return Err(error.clone());
            }
        }
        Ok(())
    }

    /// `SELECT columns FROM table WHERE condition`, over the columns that the table has.
    async fn planned(
        &self,
        state: &datafusion::execution::session_state::SessionState,
        columns: Vec<ast::SelectItem>,
        condition: Option<ast::Expr>,
    ) -> Result<datafusion::logical_expr::LogicalPlan> {
        let name = self.pinned.name.name.replace('"', "\"\"");
        let mut query = parser::parse_query(&format!("SELECT 1 FROM {TARGET} AS \"{name}\""))?;
        if let ast::SetExpr::Select(select) = query.body.as_mut() {
            select.projection = columns;
            select.selection = condition;
        }
        let statement = ast::Statement::Query(query);
        let mut names = Resolver::new(self.session, state).resolve(&statement).await?;
        let scan = self.pinned.table.scan(Arc::clone(&self.pinned.snapshot));
        names.tables.insert(TARGET.into(), provider_as_source(scan));
        plan::statement(state, &names, statement, &[])
    }

    fn has_rows(&self) -> bool {
        self.pinned.snapshot.file_count() > 0
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.field.name() == name)
    }

    fn set_metadata(&mut self, at: usize, default: Option<String>) {
        let field = &mut self.columns[at].field;
        let mut metadata: HashMap<String, String> = field.metadata().clone();
        match default {
            Some(text) => metadata.insert(DEFAULT_KEY.to_owned(), text),
            None => metadata.remove(DEFAULT_KEY),
        };
        *field = field.clone().with_metadata(metadata);
    }

    /// Columns that the server fills are its own.
    fn refuse_generated(&self, at: usize, verb: &str) -> Result<()> {
        let field = &self.columns[at].field;
        if dml::generated(field) {
            return Err(Error::new(
                state::INVALID_TABLE_DEFINITION,
                format!("cannot {verb} column \"{}\": the server fills it", field.name()),
            ));
        }
        Ok(())
    }

    /// The files lie by the values of partition columns.
    fn refuse_special(&self, at: usize, verb: &str) -> Result<()> {
        self.refuse_generated(at, verb)?;
        let name = self.columns[at].field.name();
        if name == RESCUED && Mode::of(&self.configuration) == Mode::Rescue {
            return Err(Error::new(
                state::INVALID_TABLE_DEFINITION,
                format!("cannot {verb} column \"{name}\": the table keeps in it what is rescued"),
            )
            .with_hint(format!(
                "ALTER TABLE {} SET (schema_evolution = 'strict') first.",
                self.pinned.name.name
            )));
        }
        if self.pinned.snapshot.partition_columns.contains(name) {
            return Err(Error::unsupported(format!(
                "cannot {verb} column \"{name}\": the table is partitioned by it"
            ))
            .with_hint("CREATE TABLE ... AS makes a table with another partitioning."));
        }
        self.refuse_key(name, verb)
    }

    /// The key names its columns.
    fn refuse_key(&self, column: &str, verb: &str) -> Result<()> {
        match self.key.as_ref().filter(|key| key.columns.iter().any(|name| name == column)) {
            None => Ok(()),
            Some(key) => Err(Error::new(
                state::INVALID_TABLE_DEFINITION,
                format!("cannot {verb} column \"{column}\": it is in the primary key"),
            )
            .with_hint(format!(
                "ALTER TABLE {} DROP CONSTRAINT {} first, and add the key again.",
                self.pinned.name.name, key.name
            ))),
        }
    }

    /// A view knows its columns by name; which of its tables' columns it means is in its query.
    fn refuse_readers(&self, column: &str, verb: &str) -> Result<()> {
        let snapshot = self.session.snapshot();
        let reads = |entry: &&Arc<Entry>| {
            drop::reads(&snapshot, entry).contains(&self.pinned.id) && may_read(entry, column)
        };
        let Some(reader) = snapshot.entries().find(reads) else { return Ok(()) };
        let table = &self.pinned.name.name;
        Err(Error::new(
            state::DEPENDENT_OBJECTS,
            format!(
                "cannot {verb} column \"{column}\" of table \"{table}\" because other objects depend on it"
            ),
        )
        .with_detail(format!("{} {} reads it.", reader.kind(), reader.qualified_name()))
        .with_hint("Drop the view, alter the table, and create the view again."))
    }

    fn no_column(&self, name: &str) -> Error {
        let table = &self.pinned.name.name;
        Error::new(
            state::UNDEFINED_COLUMN,
            format!("column \"{name}\" of relation \"{table}\" does not exist"),
        )
    }

    fn no_constraint(&self, name: &str) -> Error {
        let table = &self.pinned.name.name;
        Error::new(
            state::UNDEFINED_OBJECT,
            format!("constraint \"{name}\" of relation \"{table}\" does not exist"),
        )
    }

    fn contains_nulls(&self, name: &str) -> Error {
        let table = &self.pinned.name.name;
        Error::new(
            state::NOT_NULL_VIOLATION,
            format!("column \"{name}\" of relation \"{table}\" contains null values"),
        )
    }
}

/// Whether the query of a view may read a column of this name.
fn may_read(view: &Entry, column: &str) -> bool {
    struct Find<'a>(&'a str);
    impl ast::Visitor for Find<'_> {
        type Break = ();
        fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
            let is_all = |item: &ast::SelectItem| {
                matches!(
                    item,
                    ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..)
                )
            };
            match query.body.as_ref() {
                ast::SetExpr::Select(select) if select.projection.iter().any(is_all) => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            if is_column(expr, self.0) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    let (Definition::View { sql, .. } | Definition::MaterializedView { sql, .. }) =
        &view.definition
    else {
        return false;
    };
    let Ok(query) = parser::parse_query(sql) else { return true };
    // USING and NATURAL name columns outside of expressions.
    let text = query.to_string().to_uppercase();
    text.contains(" USING(")
        || text.contains("NATURAL ")
        || ast::Visit::visit(query.as_ref(), &mut Find(column)).is_break()
}

fn is_column(expr: &ast::Expr, name: &str) -> bool {
    match expr {
        ast::Expr::Identifier(ident) => fold(ident) == name,
        ast::Expr::CompoundIdentifier(parts) => parts.iter().any(|part| fold(part) == name),
        _ => false,
    }
}

/// Whether the text of a CHECK is about a column.
fn mentions(check: &str, column: &str) -> bool {
    let Ok(expr) = parser::parse_expression(check) else { return false };
    ast::visit_expressions(&expr, |expr| {
        if is_column(expr, column) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .is_break()
}

/// The text of a CHECK with another name for a column.
fn renamed(check: &str, column: &str, new: &str) -> Result<String> {
    let mut expr = parser::parse_expression(check)?;
    let _ = ast::visit_expressions_mut(&mut expr, |expr| {
        if is_column(expr, column) {
            *expr = ast::Expr::Identifier(ast::Ident::with_quote('"', new));
        }
        ControlFlow::<()>::Continue(())
    });
    Ok(expr.to_string())
}
