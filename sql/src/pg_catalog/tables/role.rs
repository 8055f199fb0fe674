//! `pg_authid`, `pg_roles`, `pg_user`: who owns something, and who is connected.
//!
//! Until there are roles of their own, everyone who may connect is a superuser.

use super::super::context::{SystemContext, Wanted};
use super::super::names;
use super::super::rows::{Rows, Value};
use crate::error::Result;

pub(super) fn pg_roles(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    roles(context, rows, &"********".into())
}

pub(super) fn pg_authid(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    roles(context, rows, &Value::Null)
}

fn roles(context: &SystemContext, rows: &mut Rows, password: &Value) -> Result<()> {
    for role in context.roles() {
        rows.push([
            ("oid", names::role_oid(role).into()),
            ("rolname", role.into()),
            ("rolsuper", true.into()),
            ("rolinherit", true.into()),
            ("rolcreaterole", true.into()),
            ("rolcreatedb", true.into()),
            ("rolcanlogin", true.into()),
            ("rolreplication", false.into()),
            ("rolbypassrls", true.into()),
            ("rolconnlimit", Value::Int(-1)),
            ("rolpassword", password.clone()),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_user(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for role in context.roles() {
        rows.push([
            ("usename", role.into()),
            ("usesysid", names::role_oid(role).into()),
            ("usecreatedb", true.into()),
            ("usesuper", true.into()),
            ("userepl", false.into()),
            ("usebypassrls", true.into()),
            ("passwd", "********".into()),
        ])?;
    }
    Ok(())
}
