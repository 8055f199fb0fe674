//! Relations whose rows are the same on every server: the database, access methods, languages,
//! collations, the tablespace, key words.

use super::super::context::{SystemContext, Wanted};
use super::super::names;
use super::super::rows::{Rows, Value};
use crate::error::Result;

/// `pg_encoding` of UTF-8.
pub(in crate::pg_catalog) const UTF8: i32 = 6;

pub(super) fn pg_database(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    rows.push([
        ("oid", names::DATABASE.into()),
        ("datname", context.session.database.as_str().into()),
        ("datdba", names::role_oid(&context.session.user).into()),
        ("encoding", UTF8.into()),
        ("datlocprovider", "c".into()),
        ("datallowconn", true.into()),
        ("datconnlimit", Value::Int(-1)),
        ("dattablespace", names::TABLESPACE.into()),
        ("datcollate", "C".into()),
        ("datctype", "C".into()),
    ])
}

pub(super) fn pg_tablespace(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    rows.push([
        ("oid", names::TABLESPACE.into()),
        ("spcname", "pg_default".into()),
        ("spcowner", names::role_oid(&context.session.user).into()),
    ])
}

pub(super) fn pg_am(_: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    rows.push([("oid", names::DELTA.into()), ("amname", "delta".into()), ("amtype", "t".into())])
}

pub(super) fn pg_language(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    let owner = names::role_oid(&context.session.user);
    let languages = [(names::LANGUAGE_INTERNAL, "internal"), (names::LANGUAGE_MODEL, "model")];
    for (oid, name) in languages {
        rows.push([("oid", oid.into()), ("lanname", name.into()), ("lanowner", owner.into())])?;
    }
    Ok(())
}

/// Text is compared byte by byte, whatever the collation is called.
pub(super) fn pg_collation(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    let owner = names::role_oid(&context.session.user);
    for (oid, name, provider, locale) in
        [(100_u32, "default", "d", None), (950, "C", "c", Some("C")), (951, "POSIX", "c", Some("POSIX"))]
    {
        rows.push([
            ("oid", oid.into()),
            ("collname", name.into()),
            ("collnamespace", names::PG_CATALOG.into()),
            ("collowner", owner.into()),
            ("collprovider", provider.into()),
            ("collisdeterministic", true.into()),
            ("collencoding", Value::Int(-1)),
            ("collcollate", locale.into()),
            ("collctype", locale.into()),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_get_keywords(_: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for (word, category) in names::KEYWORDS {
        let meaning = match category {
            'R' => "reserved",
            'T' => "reserved (can be function or type name)",
            'C' => "unreserved (cannot be function or type name)",
            _ => "unreserved",
        };
        rows.push([
            ("word", (*word).into()),
            ("catcode", (*category).into()),
            ("catdesc", meaning.into()),
        ])?;
    }
    Ok(())
}
