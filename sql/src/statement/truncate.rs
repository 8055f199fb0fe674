//! `TRUNCATE table`: every row goes, in one commit that removes every file.

use datafusion::sql::sqlparser::ast;

use crate::dml;
use crate::error::{Error, Result};
use crate::output::Output;
use crate::session::Session;

/// Deletes every row.
pub(crate) async fn run(session: &Session, truncate: &ast::Truncate) -> Result<Output> {
    let [target] = truncate.table_names.as_slice() else {
        return Err(Error::unsupported("TRUNCATE of several tables is not supported")
            .with_hint("TRUNCATE them one by one, in a transaction."));
    };
    if truncate.partitions.is_some() || truncate.on_cluster.is_some() || truncate.if_exists {
        return Err(Error::unsupported("this form of TRUNCATE is not supported"));
    }
    dml::delete_all(session, &target.name, "TRUNCATE").await?;
    Ok(Output::done("TRUNCATE TABLE"))
}
