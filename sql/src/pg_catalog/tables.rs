//! Which system relation is computed by what, and which are empty for want of such objects.
//!
//! Never: a relation that is empty although the server has such things; then it is unknown (42P01).

pub(crate) mod attribute;
pub(crate) mod class;
pub(crate) mod constraint;
pub(crate) mod data_type;
pub(crate) mod dependency;
mod description;
mod fixed;
mod function;
mod namespace;
mod own;
mod role;
mod setting;
mod view;

use arrow::datatypes::Schema;

use super::context::{SystemContext, Wanted};
use super::provider::Keys;
use super::relations::SystemRelation;
use super::rows::Rows;
use crate::error::Result;
use crate::information_schema;

pub(crate) use constraint::constraint_definition;
pub(crate) use function::{arguments, identity_arguments, result_type};

/// Computes the rows of a relation, or at least those that `Wanted` speaks of.
pub(crate) type Compute = fn(&SystemContext, &Wanted, &mut Rows) -> Result<()>;

/// Where a relation's rows come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// There are no such objects.
    Empty,
    /// From the statement's context.
    Computed {
        /// How.
        compute: Compute,
        /// Columns whose conditions say which relations matter.
        keys: Keys,
        /// Whether tables' metadata must be read first.
        details: Details,
    },
}

/// Whether a relation's rows need tables' own metadata.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Details {
    /// The catalog's snapshot is enough.
    Never,
    /// Without them there are no rows.
    Always,
    /// Only where one of these columns is asked for.
    For(&'static [&'static str]),
    /// Tables' commits rather than their metadata.
    Histories,
    /// The catalog's commits.
    CatalogHistory,
}

impl Details {
    /// Whether the columns of this scan need them.
    pub(crate) fn needed(self, schema: &Schema, projection: Option<&Vec<usize>>) -> bool {
        match self {
            Self::Never | Self::Histories | Self::CatalogHistory => false,
            Self::Always => true,
            Self::For(columns) => projection.is_none_or(|chosen| {
                chosen.iter().any(|&i| columns.contains(&schema.field(i).name().as_str()))
            }),
        }
    }
}

pub(crate) const fn computed(compute: Compute) -> Source {
    Source::Computed { compute, keys: NO_KEYS, details: Details::Never }
}

/// Computed from tables' metadata; conditions on these columns say of which tables.
pub(crate) const fn of_tables(compute: Compute, keys: Keys) -> Source {
    Source::Computed { compute, keys, details: Details::Always }
}

pub(crate) const NO_KEYS: Keys = Keys { oid: None, schema: None, name: None };

pub(crate) const fn by_oid(column: &'static str) -> Keys {
    Keys { oid: Some(column), ..NO_KEYS }
}

pub(crate) const fn by_name(schema: &'static str, name: &'static str) -> Keys {
    Keys { oid: None, schema: Some(schema), name: Some(name) }
}

/// Whether a relation never has rows.
pub(crate) fn empty(relation: &SystemRelation) -> bool {
    matches!(source(relation), Some(Source::Empty))
}

/// How the rows of a relation come about.
pub(crate) fn source(relation: &SystemRelation) -> Option<Source> {
    let found = match relation.schema {
        "pg_catalog" => catalog_source(relation.name),
        "tarn" => own::source(relation.name),
        _ => information_schema::source(relation.name),
    };
    let empty = EMPTY.iter().any(|(_, names)| names.contains(&relation.name));
    found.or_else(|| empty.then_some(Source::Empty))
}

fn catalog_source(name: &str) -> Option<Source> {
    Some(match name {
        "pg_aggregate" => computed(function::pg_aggregate),
        "pg_am" => computed(fixed::pg_am),
        "pg_attrdef" => of_tables(constraint::pg_attrdef, by_oid("adrelid")),
        "pg_attribute" => of_tables(attribute::pg_attribute, by_oid("attrelid")),
        "pg_authid" => computed(role::pg_authid),
        "pg_class" => Source::Computed {
            compute: class::pg_class,
            keys: Keys { oid: Some("oid"), schema: None, name: Some("relname") },
            details: Details::For(class::DETAILS),
        },
        "pg_collation" => computed(fixed::pg_collation),
        "pg_constraint" => of_tables(constraint::pg_constraint, by_oid("conrelid")),
        "pg_database" => computed(fixed::pg_database),
        "pg_depend" => computed(dependency::pg_depend),
        "pg_description" => of_tables(description::pg_description, by_oid("objoid")),
        "pg_get_keywords" => computed(fixed::pg_get_keywords),
        "pg_index" => of_tables(constraint::pg_index, by_oid("indrelid")),
        "pg_language" => computed(fixed::pg_language),
        "pg_matviews" => computed(view::pg_matviews),
        "pg_namespace" => computed(namespace::pg_namespace),
        "pg_proc" => computed(function::pg_proc),
        "pg_rewrite" => computed(dependency::pg_rewrite),
        "pg_roles" => computed(role::pg_roles),
        "pg_settings" => computed(setting::pg_settings),
        "pg_stat_activity" => computed(setting::pg_stat_activity),
        "pg_stat_all_tables" | "pg_stat_user_tables" => Source::Computed {
            compute: view::pg_stat_user_tables,
            keys: Keys { oid: Some("relid"), schema: Some("schemaname"), name: Some("relname") },
            details: Details::For(&["n_live_tup"]),
        },
        "pg_tables" => computed(view::pg_tables),
        "pg_tablespace" => computed(fixed::pg_tablespace),
        "pg_type" => computed(data_type::pg_type),
        "pg_user" => computed(role::pg_user),
        "pg_views" => computed(view::pg_views),
        _ => return None,
    })
}

/// Relations that have no rows, and why.
pub(crate) static EMPTY: &[(&str, &[&str])] = &[
    (
        "there are no indexes: keys are found by statistics and by partitions",
        &["pg_indexes", "pg_opclass", "pg_opfamily", "pg_stat_all_indexes", "pg_stat_user_indexes"],
    ),
    (
        "there are no foreign and unique keys",
        &["referential_constraints", "constraint_table_usage"],
    ),
    (
        "there are no inheriting or partitioned tables; partitions of a table are folders of its files",
        &["pg_inherits", "pg_partitioned_table"],
    ),
    (
        "there are no triggers, rules or row policies",
        &[
            "pg_trigger",
            "pg_event_trigger",
            "pg_rules",
            "pg_policy",
            "pg_policies",
            "triggers",
            "triggered_update_columns",
        ],
    ),
    ("there are no sequences", &["pg_sequence", "pg_sequences", "sequences"]),
    (
        "there are no enums, ranges, domains, composite types or transforms",
        &[
            "pg_enum",
            "pg_range",
            "pg_transform",
            "attributes",
            "domains",
            "domain_constraints",
            "domain_udt_usage",
            "user_defined_types",
            "column_domain_usage",
            "transforms",
            "udt_privileges",
            "role_udt_grants",
        ],
    ),
    ("there are no extensions", &["pg_extension", "pg_available_extensions"]),
    (
        "there are no foreign servers or tables",
        &[
            "pg_foreign_data_wrapper",
            "pg_foreign_server",
            "pg_foreign_table",
            "pg_user_mapping",
            "pg_user_mappings",
            "foreign_data_wrapper_options",
            "foreign_data_wrappers",
            "foreign_server_options",
            "foreign_servers",
            "foreign_table_options",
            "foreign_tables",
            "user_mapping_options",
            "user_mappings",
            "column_options",
        ],
    ),
    (
        "there is no replication",
        &[
            "pg_publication",
            "pg_publication_namespace",
            "pg_publication_rel",
            "pg_publication_tables",
            "pg_subscription",
            "pg_subscription_rel",
            "pg_replication_slots",
        ],
    ),
    ("there are no locks, and no prepared transactions", &["pg_locks", "pg_prepared_xacts"]),
    (
        "statistics are those of the files, and are not shown here",
        &["pg_statistic", "pg_statistic_ext", "pg_statistic_ext_data", "pg_stats", "pg_stats_ext"],
    ),
    ("there are no large objects", &["pg_largeobject_metadata"]),
    ("there is no text search configuration", &["pg_ts_config"]),
    (
        "roles have no members and no grants of their own yet",
        &[
            "pg_auth_members",
            "pg_group",
            "pg_default_acl",
            "pg_db_role_setting",
            "administrable_role_authorizations",
            "applicable_roles",
            "role_column_grants",
            "role_routine_grants",
        ],
    ),
    ("there is one database, and shared objects have no comments", &["pg_shdescription"]),
    (
        "functions are models or built in: they read no tables",
        &[
            "check_constraint_routine_usage",
            "routine_column_usage",
            "routine_routine_usage",
            "routine_sequence_usage",
            "routine_table_usage",
            "view_routine_usage",
        ],
    ),
    ("no column depends on another", &["column_column_usage"]),
];
