//! Rows on their way from a stream to a client: as many as it asks for, and no faster than it reads.
//!
//! Never: more than one batch and one buffer in memory, or a first row that waits for the last.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::execution::SendableRecordBatchStream;
use futures::{FutureExt, StreamExt};
use sql::text::Zone;
use sql::types::pg_type_of;
use tokio::io::{AsyncRead, AsyncWrite};

use super::message::Format;
use super::reply::Column;
use super::row::RowEncoder;
use super::wire::{IfGone, Trouble, Wire};

/// How long rows that are ready wait for more before they are sent.
const PATIENCE: Duration = Duration::from_millis(10);

/// A result that has been sent in part.
pub(crate) struct Rows {
    stream: SendableRecordBatchStream,
    columns: Vec<Column>,
    zone: Zone,
    /// The batch in hand, and its first row that has not been sent.
    batch: Option<(RowEncoder, usize)>,
}

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) rows: u64,
    /// Whether the stream has ended. Unknown, and so false, when the limit came first.
    pub(crate) ended: bool,
}

impl Rows {
    pub(crate) fn new(stream: SendableRecordBatchStream, columns: Vec<Column>, zone: Zone) -> Self {
        Self { stream, columns, zone, batch: None }
    }

    /// Sends rows until there are no more, or `rows_max` are sent.
    pub(crate) async fn send<R, W>(
        &mut self,
        wire: &mut Wire<R, W>,
        rows_max: Option<usize>,
    ) -> Result<Sent, Trouble>
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let mut left = rows_max.unwrap_or(usize::MAX);
        let mut rows = 0;
        while left > 0 {
            let Some((encoder, next)) = &mut self.batch else {
                match self.next_batch(wire).await? {
                    Some(batch) => {
                        let encoder = RowEncoder::new(&batch, &self.columns, &self.zone)?;
                        self.batch = Some((encoder, 0));
                        continue;
                    }
                    None => return Ok(Sent { rows, ended: true }),
                }
            };
            let end = encoder.rows().min(next.saturating_add(left));
            while *next < end && !wire.replies.full() {
                encoder.encode(*next, wire.replies.buffer());
                *next += 1;
                left -= 1;
                rows += 1;
            }
            if *next == encoder.rows() {
                self.batch = None;
            }
            if wire.replies.full() {
                wire.flush().await?;
            }
        }
        Ok(Sent { rows, ended: false })
    }

    async fn next_batch<R, W>(
        &mut self,
        wire: &mut Wire<R, W>,
    ) -> Result<Option<RecordBatch>, Trouble>
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let mut next = pin!(self.stream.next());
        let batch = match soon(wire, next.as_mut()).await? {
            Some(batch) => batch,
            None => {
                wire.flush().await?;
                wire.attend(IfGone::Stop, next).await?
            }
        };
        Ok(batch.transpose().map_err(sql::Error::from)?)
    }
}

/// What the work gives, unless it takes longer than rows should wait.
async fn soon<R, W, T>(
    wire: &mut Wire<R, W>,
    mut work: impl Future<Output = T> + Unpin + Send,
) -> Result<Option<T>, Trouble>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
    T: Send,
{
    wire.check()?;
    // Most batches are there already, and need no timer.
    if let Some(done) = (&mut work).now_or_never() {
        return Ok(Some(done));
    }
    let waited = wire.attend(IfGone::Stop, tokio::time::timeout(PATIENCE, work)).await?;
    Ok(waited.ok())
}

/// The columns of a result, in the formats that the client asked for: none, one for all, or one each.
pub(crate) fn columns(schema: &Schema, formats: &[Format]) -> Result<Vec<Column>, Trouble> {
    let fields = schema.fields();
    if formats.len() > 1 && formats.len() != fields.len() {
        let message = format!(
            "bind message has {} result formats but query has {} columns",
            formats.len(),
            fields.len()
        );
        return Err(Trouble::statement("08P01", message));
    }
    let format_of = |index: usize| match formats {
        [] => Format::Text,
        [all] => *all,
        each => each[index],
    };
    let column = |(index, field): (usize, &arrow::datatypes::FieldRef)| Column {
        name: field.name().clone(),
        pg_type: pg_type_of(field),
        format: format_of(index),
    };
    Ok(fields.iter().enumerate().map(column).collect())
}

/// The time zone in which a session shows instants: a name, or an offset such as `+05:30`.
pub(crate) fn zone_of(session: &sql::Session) -> Zone {
    let name = session.setting("TimeZone").unwrap_or_default();
    Zone::named(&name).or_else(|| fixed_zone(&name)).unwrap_or(Zone::UTC)
}

fn fixed_zone(offset: &str) -> Option<Zone> {
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let seconds = hours.parse::<i32>().ok()? * 3_600 + minutes.parse::<i32>().ok()? * 60;
    Zone::fixed(if offset.starts_with('-') { -seconds } else { seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_zones() {
        assert_eq!(fixed_zone("+05:30"), Zone::fixed(19_800));
        assert_eq!(fixed_zone("-08:00"), Zone::fixed(-28_800));
        assert_eq!(fixed_zone("Mars/Base"), None);
    }
}
