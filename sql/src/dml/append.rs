//! Rows that are added through the one `Writer`, at once or with the open transaction, and what the
//! server fills in itself.

use std::sync::{Arc, OnceLock};
use std::task::Poll;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Schema, SchemaRef};
use catalog::Commit;
use datafusion::error::Result as DfResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt};
use ingest::Validation;
use uuid::Uuid;

use super::returning::Returned;
use super::{generated, land, validation};
use crate::commitment::{Commitment, Committing};
use crate::error::Result;
use crate::resolve::Pinned;
use crate::session::Session;
use crate::transaction::Staged;

/// Adds rows that have the table's user columns, in its order: at once, or with the open
/// transaction. Returns how many.
pub(crate) async fn append(
    session: &Session,
    pinned: &Pinned,
    rows: SendableRecordBatchStream,
    source: &str,
    returned: Option<Arc<Returned>>,
) -> Result<u64> {
    let job = AppendJob::new(session, pinned, source)?;
    AppendJob { returned, ..job }.run(rows).await
}

/// The same for rows that are there already, of a table whose constraints are compiled already.
pub(crate) async fn append_batch(
    session: &Session,
    pinned: &Pinned,
    validation: Arc<Validation>,
    rows: RecordBatch,
    source: &str,
) -> Result<u64> {
    let schema = rows.schema();
    let rows = futures::stream::once(std::future::ready(Ok(rows)));
    let rows = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
    AppendJob::with_validation(session, pinned, validation, source).run(rows).await
}

/// An append that does not borrow its session, so that it can run beside the client's bytes.
pub(crate) struct AppendJob {
    pinned: Pinned,
    writer: Arc<ingest::Writer>,
    validation: Arc<Validation>,
    stamp: Stamp,
    user: String,
    commitment: Commitment,
    /// The session's transaction, where the files wait for its COMMIT.
    staging: Option<Arc<parking_lot::Mutex<crate::session::State>>>,
    /// What RETURNING gives of the rows.
    returned: Option<Arc<Returned>>,
}

impl AppendJob {
    pub(crate) fn new(session: &Session, pinned: &Pinned, source: &str) -> Result<Self> {
        let validation = validation(session, pinned)?;
        Ok(Self::with_validation(session, pinned, validation, source))
    }

    fn with_validation(
        session: &Session,
        pinned: &Pinned,
        validation: Arc<Validation>,
        source: &str,
    ) -> Self {
        Self {
            writer: session.engine().writer(pinned.id, &pinned.table),
            validation,
            stamp: Stamp::new(session, source),
            user: session.user().to_owned(),
            commitment: session.commitment(),
            staging: session.stages(pinned).then(|| session.shared_state()),
            pinned: pinned.clone(),
            returned: None,
        }
    }

    /// Takes the rows to their end, and returns how many after they are durable, or staged.
    pub(crate) async fn run(self, rows: SendableRecordBatchStream) -> Result<u64> {
        let pinned = self.pinned;
        let mut rows = self.stamp.apply(rows, &pinned.snapshot.schema);
        if let Some(returned) = self.returned {
            let schema = rows.schema();
            let taken = rows.and_then(move |batch| {
                std::future::ready(returned.take(batch.columns(), batch.num_rows()).map(|()| batch))
            });
            rows = Box::pin(RecordBatchStreamAdapter::new(schema, taken));
        }
        let Some(state) = self.staging else {
            let (rows, _committing) = until_committing(rows, self.commitment);
            let appending =
                self.writer.append(&pinned.snapshot, rows, &self.validation, Some(self.user));
            return Ok(appending.await?.rows);
        };
        let written = self.writer.write(&pinned.snapshot, rows, &self.validation).await?;
        let staged = Staged {
            name: pinned.name.to_string(),
            table: pinned.table,
            base: pinned.snapshot,
            adds: written.adds,
            removes: Vec::new(),
            read_all: false,
            loaded: Vec::new(),
            definition: None,
        };
        crate::session::stage(&state, pinned.id, staged)?;
        Ok(written.rows)
    }
}

/// The same rows; after the last of them the writer commits, and what this gives beside them holds
/// the mark of that.
fn until_committing(
    rows: SendableRecordBatchStream,
    commitment: Commitment,
) -> (SendableRecordBatchStream, Arc<OnceLock<Committing>>) {
    let mark = Arc::new(OnceLock::new());
    let (schema, at_end) = (rows.schema(), Arc::clone(&mark));
    let end = futures::stream::poll_fn(move |_| {
        at_end.get_or_init(|| commitment.make());
        Poll::Ready(None)
    });
    (Box::pin(RecordBatchStreamAdapter::new(schema, rows.chain(end))), mark)
}

/// Adds rows in the commit that gives the table the columns which they need: from `base` to `evolved`.
pub(crate) async fn append_evolved(
    session: &Session,
    base: &Pinned,
    evolved: &Pinned,
    mut commit: Commit,
    rows: SendableRecordBatchStream,
    source: &str,
) -> Result<u64> {
    let rows = Stamp::new(session, source).apply(rows, &evolved.snapshot.schema);
    let validation = validation(session, evolved)?;
    let writer = session.engine().writer(base.id, &base.table);
    let written = writer.write(&evolved.snapshot, rows, &validation).await?;
    commit.adds.extend(written.adds);
    land(session, base, commit).await?;
    Ok(written.rows)
}

/// Adds rows to a table that has no name yet.
pub(crate) async fn append_unnamed(
    session: &Session,
    pinned: &Pinned,
    rows: SendableRecordBatchStream,
) -> Result<u64> {
    let rows = Stamp::new(session, "query").apply(rows, &pinned.snapshot.schema);
    let validation = validation(session, pinned)?;
    let writer = ingest::Writer::new(Arc::clone(&pinned.table));
    let user = Some(session.user().to_owned());
    Ok(writer.append(&pinned.snapshot, rows, &validation, user).await?.rows)
}

/// What the server adds to the rows of raw tables: when, by which statement, from where.
#[derive(Debug)]
pub(super) struct Stamp {
    now_micros: i64,
    batch_id: String,
    source: String,
    /// Rows that were stamped already.
    before: i64,
}

impl Stamp {
    pub(super) fn new(session: &Session, source: &str) -> Self {
        Self {
            now_micros: session.engine().now_micros(),
            batch_id: Uuid::now_v7().to_string(),
            source: source.to_owned(),
            before: 0,
        }
    }

    fn apply(
        mut self,
        rows: SendableRecordBatchStream,
        schema: &SchemaRef,
    ) -> SendableRecordBatchStream {
        if !schema.fields().iter().any(|f| generated(f)) {
            return rows;
        }
        let target = Arc::clone(schema);
        let stamped = rows.map(move |batch| {
            let batch = batch?;
            self.fill(batch.columns(), batch.num_rows(), &target)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), stamped))
    }

    /// The next rows with all columns of the table, of those that clients supply.
    pub(super) fn fill(
        &mut self,
        given: &[ArrayRef],
        count: usize,
        table: &SchemaRef,
    ) -> DfResult<RecordBatch> {
        let first = self.before + 1;
        self.before += i64::try_from(count).unwrap_or(i64::MAX);
        let mut given = given.iter();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(table.fields().len());
        let mut fields = Vec::with_capacity(table.fields().len());
        for field in table.fields() {
            let filled: Option<ArrayRef> = match field.name().as_str() {
                _ if !generated(field) => given.next().map(Arc::clone),
                "_ingested_at" => Some(Arc::new(
                    TimestampMicrosecondArray::from_value(self.now_micros, count)
                        .with_timezone("UTC"),
                )),
                "_batch_id" => Some(repeated(&self.batch_id, count)),
                "_source" => Some(repeated(&self.source, count)),
                "_source_row" => Some(Arc::new(Int64Array::from_iter_values(
                    (0..count).map(|n| first + i64::try_from(n).unwrap_or_default()),
                ))),
                _ => Some(arrow::array::new_null_array(field.data_type(), count)),
            };
            if let Some(column) = filled {
                let data_type = column.data_type().clone();
                fields.push(field.as_ref().clone().with_data_type(data_type).with_nullable(true));
                columns.push(column);
            }
        }
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }
}

fn repeated(text: &str, count: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count)))
}
