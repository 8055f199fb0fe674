//! `CREATE SCHEMA name [WITH (zone = 'raw' | 'processed' | 'feature')]`.

use catalog::{Change, Definition, Entry, Zone};
use datafusion::sql::sqlparser::ast;

use crate::error::{Error, Result, state};
use crate::output::{Notice, Output};
use crate::resolve::split_name;
use crate::session::Session;

/// A schema to be made.
#[derive(Debug, Clone)]
pub(crate) struct CreateSchema {
    name: String,
    if_not_exists: bool,
    zone: Zone,
}

impl CreateSchema {
    pub(crate) fn from_ast(statement: ast::Statement) -> Result<Self> {
        let ast::Statement::CreateSchema {
            schema_name,
            if_not_exists,
            with,
            options: None,
            default_collate_spec: None,
            clone: None,
        } = statement
        else {
            return Err(Error::unsupported("this form of CREATE SCHEMA is not supported"));
        };
        let name = match &schema_name {
            ast::SchemaName::Simple(name) => split_name(name)?.1,
            ast::SchemaName::NamedAuthorization(..) | ast::SchemaName::UnnamedAuthorization(_) => {
                return Err(Error::unsupported("CREATE SCHEMA ... AUTHORIZATION is not supported"));
            }
        };
        let mut zone = Zone::Processed;
        for (key, value) in super::create_table::options(with.as_deref().unwrap_or_default())? {
            match (key.as_str(), value.to_ascii_lowercase().as_str()) {
                ("zone", "raw") => zone = Zone::Raw,
                ("zone", "processed") => zone = Zone::Processed,
                ("zone", "feature" | "features") => zone = Zone::Feature,
                ("zone", other) => {
                    return Err(Error::new(
                        state::INVALID_PARAMETER_VALUE,
                        format!("invalid value for option \"zone\": \"{other}\""),
                    )
                    .with_hint("A zone is 'raw', 'processed' or 'feature'."));
                }
                (other, _) => return Err(super::create_table::unknown_option(other, &["zone"])),
            }
        }
        Ok(Self { name, if_not_exists, zone })
    }
}

/// Adds the schema to the catalog.
pub(crate) async fn run(session: &Session, create: &CreateSchema) -> Result<Output> {
    if create.name.starts_with("pg_") || matches!(&*create.name, "information_schema" | "tarn") {
        return Err(Error::new("42939", format!("unacceptable schema name \"{}\"", create.name))
            .with_detail(
                "\"tarn\", \"information_schema\" and the prefix \"pg_\" are the system's own.",
            ));
    }
    if create.if_not_exists && session.snapshot().schema(&create.name).is_some() {
        session
            .notice(Notice::note(format!("schema \"{}\" already exists, skipping", create.name)));
        return Ok(Output::done("CREATE SCHEMA"));
    }
    let entry = Entry::new(
        "",
        create.name.clone(),
        session.user(),
        session.engine().now_micros(),
        Definition::Schema { zone: create.zone },
    );
    session.change(vec![Change::Put(entry)], None).await?;
    Ok(Output::done("CREATE SCHEMA"))
}
