//! `COPY ... TO 'location'`: one file, which is there when the last row is in it and not before.
//!
//! Never: a file that was there is replaced unasked, or anything is written into the warehouse.

use std::sync::Arc;

use catalog::Location;
use datafusion::sql::sqlparser::ast;
use object_store::ObjectStoreExt;

use crate::error::{Error, Result, state};
use crate::output::Output;
use crate::session::Session;
use crate::statement::copy::options::Options;
use crate::statement::copy::zone;
use crate::statement::select;

/// Writes the rows of a query.
pub(super) async fn run(
    session: &Session,
    query: &ast::Query,
    location: &str,
    options: &Options,
) -> Result<Output> {
    let place = place(session, location)?;
    let rows = select::stream(session, query, &[]).await?;
    if !options.overwrite {
        refuse_existing(&place).await?;
    }
    let format = options.write_format(zone(session))?;
    let (store, url) = (Arc::clone(&place.store), place.to_string());
    let count = ingest::files::write(store, &place.path, &url, rows, &format).await?;
    Ok(Output::counted("COPY", count))
}

/// Where the file goes: a name of its own in a declared location.
fn place(session: &Session, location: &str) -> Result<Location> {
    let catalog = &session.engine().catalog;
    let place = catalog.resolve(&session.snapshot(), location)?;
    let warehouse = catalog.stores().warehouse();
    if place.url == warehouse.url && place.path.prefix_matches(&warehouse.path) {
        let message = format!("cannot write \"{location}\": it lies in the warehouse");
        return Err(Error::new(state::INSUFFICIENT_PRIVILEGE, message)
            .with_hint("Name a file in another declared location."));
    }
    if location.ends_with('/') || location.contains(['*', '?', '[']) {
        let message = format!("COPY TO writes one file, which \"{location}\" does not name");
        return Err(Error::new(state::INVALID_PARAMETER_VALUE, message));
    }
    Ok(place)
}

async fn refuse_existing(place: &Location) -> Result<()> {
    match place.store.head(&place.path).await {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => {
            let message = format!("file \"{place}\" already exists");
            Err(Error::new(state::DUPLICATE_FILE, message)
                .with_hint("WITH (OVERWRITE true) replaces it."))
        }
    }
}
