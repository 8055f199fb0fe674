//! `pg_rewrite` and `pg_depend`: what a view reads.
//!
//! PostgreSQL keeps a view as a rule, and what the rule reads as dependencies of the rule; dbt and
//! others find a view's inputs that way.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use catalog::{Definition, Entry};
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::super::context::{SystemContext, Wanted};
use super::super::names;
use super::super::rows::Rows;
use crate::error::Result;

/// The one rule of a view.
const RULE: &str = "_RETURN";

pub(crate) fn pg_rewrite(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in context.relation_entries() {
        let Some((sql, _)) = query_of(entry) else { continue };
        rows.push([
            ("oid", entry.oid.into()),
            ("rulename", RULE.into()),
            ("ev_class", entry.oid.into()),
            ("ev_type", "1".into()),
            ("ev_enabled", "O".into()),
            ("is_instead", true.into()),
            ("ev_action", sql.into()),
        ])?;
    }
    Ok(())
}

pub(crate) fn pg_depend(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in context.relation_entries() {
        let Some(schema) = names::schema_oid(context, &entry.schema) else { continue };
        depend(rows, (names::PG_CLASS, entry.oid), (names::PG_NAMESPACE, schema), "n")?;
        if query_of(entry).is_none() {
            continue;
        }
        let rule = (names::PG_REWRITE, entry.oid);
        depend(rows, rule, (names::PG_CLASS, entry.oid), "i")?;
        for input in inputs(context, entry) {
            depend(rows, rule, (names::PG_CLASS, input), "n")?;
        }
    }
    Ok(())
}

fn depend(rows: &mut Rows, object: (u32, u32), on: (u32, u32), kind: &str) -> Result<()> {
    rows.push([
        ("classid", object.0.into()),
        ("objid", object.1.into()),
        ("refclassid", on.0.into()),
        ("refobjid", on.1.into()),
        ("deptype", kind.into()),
    ])
}

/// The query of a view or a materialized view, and where its names are looked up.
pub(crate) fn query_of(entry: &Entry) -> Option<(&str, &[String])> {
    match &entry.definition {
        Definition::View { sql, search_path, .. }
        | Definition::MaterializedView { sql, search_path, .. } => Some((sql, search_path)),
        _ => None,
    }
}

/// OIDs of the relations that a view's query names.
pub(crate) fn inputs(context: &SystemContext, view: &Entry) -> BTreeSet<u32> {
    let Some((sql, search_path)) = query_of(view) else { return BTreeSet::new() };
    let parsed = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_query());
    let Ok(query) = parsed else { return BTreeSet::new() };
    let mut named = Named::default();
    let _ = query.visit(&mut named);
    let found = named.relations.iter().filter_map(|name| {
        let entry = match name.as_slice() {
            [only] if named.queries.contains(only) => None,
            [only] => search_path.iter().find_map(|schema| context.snapshot.entry(schema, only)),
            [.., schema, last] => context.snapshot.entry(schema, last),
            [] => None,
        };
        entry.map(|entry: &Arc<Entry>| entry.oid)
    });
    found.collect()
}

/// The relations that a query names, and its WITH queries.
#[derive(Default)]
struct Named {
    relations: BTreeSet<Vec<String>>,
    queries: HashSet<String>,
}

impl Visitor for Named {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        self.queries.extend(with.map(|cte| folded(&cte.alias.name)));
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let parts: Option<Vec<String>> =
            relation.0.iter().map(|part| part.as_ident().map(folded)).collect();
        self.relations.extend(parts);
        ControlFlow::Continue(())
    }
}

fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}
