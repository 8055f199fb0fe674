//! `TRUNCATE table [, ...]`: every row goes, in one commit of each table that removes every file.
//!
//! Never: some of several tables are emptied and others are not.

use datafusion::sql::sqlparser::ast;

use crate::dml;
use crate::error::{Error, Result};
use crate::output::Output;
use crate::session::Session;
use crate::statement::transaction;

/// Deletes every row.
pub(crate) async fn run(session: &Session, truncate: &ast::Truncate) -> Result<Output> {
    if truncate.partitions.is_some() || truncate.on_cluster.is_some() || truncate.if_exists {
        return Err(Error::unsupported("this form of TRUNCATE is not supported"));
    }
    match truncate.table_names.as_slice() {
        [target] => drop(dml::delete_all(session, &target.name, "TRUNCATE").await?),
        targets => {
            transaction::as_one(session, || async move {
                for target in targets {
                    dml::delete_all(session, &target.name, "TRUNCATE").await?;
                }
                Ok(())
            })
            .await?;
        }
    }
    Ok(Output::done("TRUNCATE TABLE"))
}
