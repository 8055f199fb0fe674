//! `COPY ... TO STDOUT`: the bytes of a query's rows, as they are computed.
//!
//! Never: more than a batch of them in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use ingest::encode::Encoder;

use crate::error::Result;
use crate::output::{CopyFormat, CopyOut, CopyRows, Output};
use crate::session::Session;
use crate::statement::copy::options::Options;
use crate::statement::copy::zone;
use crate::statement::select;

/// Starts the query.
pub(super) async fn run(
    session: &Session,
    query: &ast::Query,
    options: &Options,
) -> Result<Output> {
    let rows = select::stream(session, query, &[]).await?;
    let encoder = Encoder::new(&rows.schema(), &options.encode(zone(session))?)?;
    let columns = rows.schema().fields().len();
    let counted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&counted);
    let mut header = Vec::new();
    encoder.start(&mut header);
    let header = (!header.is_empty()).then(|| Ok(CopyRows::one(header)));
    let body = rows.map(move |batch| {
        let batch = batch?;
        count.fetch_add(u64::try_from(batch.num_rows()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let mut rows = CopyRows::default();
        encoder.encode_rows(&batch, &mut rows.bytes, &mut rows.ends)?;
        Ok(rows)
    });
    Ok(Output::CopyOut(CopyOut {
        columns,
        format: CopyFormat::Text,
        stream: futures::stream::iter(header).chain(body).boxed(),
        rows: counted,
        state: None,
        deadline: None,
    }))
}
