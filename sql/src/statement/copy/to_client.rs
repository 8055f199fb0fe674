//! `COPY ... TO STDOUT`: the bytes of a query's rows, as they are computed.
//!
//! Never: more than a batch of them in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast;
use futures::{StreamExt, TryStreamExt};
use ingest::encode::Encoder;

use crate::error::Result;
use crate::output::{CopyBody, CopyFormat, CopyOut, CopyRows, Output};
use crate::session::Session;
use crate::statement::copy::options::{FileFormat, Options};
use crate::statement::copy::zone;
use crate::statement::select;

/// Starts the query.
pub(super) async fn run(
    session: &Session,
    query: &ast::Query,
    options: &Options,
) -> Result<Output> {
    let rows = select::stream(session, query, &[]).await?;
    if options.format == FileFormat::Binary {
        return Ok(Output::CopyOut(binary(rows)));
    }
    let encoder = Encoder::new(&rows.schema(), &options.encode(zone(session))?)?;
    let columns = rows.schema().fields().len();
    let counted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&counted);
    let mut header = Vec::new();
    encoder.start(&mut header);
    let header = (!header.is_empty()).then(|| Ok(CopyRows::one(header)));
    let body = rows.map(move |batch| {
        let batch = batch?;
        count.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        let mut rows = CopyRows::default();
        encoder.encode_rows(&batch, &mut rows.bytes, &mut rows.ends)?;
        Ok(rows)
    });
    Ok(Output::CopyOut(CopyOut {
        columns,
        format: CopyFormat::Text,
        body: CopyBody::Text(futures::stream::iter(header).chain(body).boxed()),
        rows: counted,
        state: None,
        deadline: None,
    }))
}

/// The rows as they are: the listener knows the binary forms of values.
fn binary(rows: SendableRecordBatchStream) -> CopyOut {
    let schema = rows.schema();
    let counted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&counted);
    let rows = rows.inspect_ok(move |batch| {
        count.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
    });
    CopyOut {
        columns: schema.fields().len(),
        format: CopyFormat::Binary,
        body: CopyBody::Binary(Box::pin(RecordBatchStreamAdapter::new(schema, rows))),
        rows: counted,
        state: None,
        deadline: None,
    }
}
