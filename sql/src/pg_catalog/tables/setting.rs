//! `pg_settings` and `pg_stat_activity`: the session's settings, and the connections.

use super::super::context::{SystemContext, Wanted};
use super::super::names;
use super::super::rows::Rows;
use crate::error::Result;

pub(super) fn pg_settings(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for setting in &context.session.settings {
        rows.push([
            ("name", setting.name.as_str().into()),
            ("setting", setting.value.as_str().into()),
            ("category", "Tarn".into()),
            ("short_desc", setting.description.as_str().into()),
            ("context", "user".into()),
            ("vartype", "string".into()),
            ("source", "session".into()),
            ("pending_restart", false.into()),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_stat_activity(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for connection in &context.session.activity {
        rows.push([
            ("datid", names::DATABASE.into()),
            ("datname", context.session.database.as_str().into()),
            ("pid", connection.pid.into()),
            ("usesysid", names::role_oid(&connection.user).into()),
            ("usename", connection.user.as_str().into()),
            ("application_name", connection.application_name.as_str().into()),
            ("backend_start", connection.started_at_micros.into()),
            ("state", connection.state.into()),
            ("query", connection.query.as_str().into()),
            ("backend_type", "client backend".into()),
        ])?;
    }
    Ok(())
}
