//! COPY FROM STDIN and TO STDOUT on the wire, the same in both query protocols.
//!
//! Never: a COPY that is committed although the client did not say that it was done.

mod binary;

use std::future::Future;

use arrow::array::RecordBatch;
use bytes::{Bytes, BytesMut};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use futures::stream::BoxStream;
use sql::text::Zone;
use sql::{CopyBody, CopyFormat, CopyIn, CopyOut, CopyRows, Output};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::message::{Format, Malformed, Message};
use super::row::RowEncoder;
use super::rows::columns;
use super::wire::{IfGone, Trouble, Wire};
use binary::BinaryReader;

/// Small pieces of a client that sends row by row are put together up to this size.
const PIECE_BYTES: usize = 64 << 10;

/// Takes the client's bytes until it says that they are all. Gives the command tag.
///
/// After an error the client may go on sending for a while; whoever reads next ignores that.
pub(crate) async fn copy_in<R, W>(
    wire: &mut Wire<R, W>,
    mut copy: CopyIn,
    zone: Zone,
) -> Result<String, Trouble>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let mut binary = match copy.format {
        CopyFormat::Text => None,
        CopyFormat::Binary => Some(BinaryReader::new(&copy.schema, zone)?),
    };
    wire.replies.copy_in(copy.columns, format_of(copy.format));
    wire.flush().await?;
    loop {
        let message = match within(copy.deadline(), next_message(wire)).await {
            Some(message) => message?,
            None => return Err(copy.time_out().into()),
        };
        match message {
            Message::CopyData(bytes) => {
                let bytes = gather(wire, bytes)?;
                let Some(reader) = &mut binary else {
                    wire.attend(IfGone::Stop, copy.send(bytes)).await??;
                    continue;
                };
                send_all(wire, &mut copy, reader.feed(&bytes)?).await?;
            }
            Message::CopyDone => {
                let last = binary.as_mut().map(BinaryReader::finish).transpose()?;
                send_all(wire, &mut copy, last.flatten()).await?;
                let done = wire.attend(IfGone::Finish, copy.finish()).await??;
                return match done {
                    Output::Done { tag, .. } => Ok(tag),
                    other => Err(unexpected(&other)),
                };
            }
            Message::CopyFail(reason) => return Err(copy.abort(&reason).into()),
            // Clients may send these without knowing that the server waits for data.
            Message::Flush | Message::Sync => {}
            Message::Terminate => return Err(left()),
            _ => {
                let message = "unexpected message type during COPY from stdin";
                return Err(Trouble::statement("08P01", message));
            }
        }
    }
}

async fn send_all<R, W>(
    wire: &mut Wire<R, W>,
    copy: &mut CopyIn,
    batches: impl IntoIterator<Item = RecordBatch, IntoIter: Send>,
) -> Result<(), Trouble>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    for batch in batches {
        wire.attend(IfGone::Stop, copy.send_rows(batch)).await??;
    }
    Ok(())
}

async fn next_message<R, W>(wire: &mut Wire<R, W>) -> Result<Message, Trouble>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let frame = wire.next_frame().await?.ok_or_else(left)?;
    Message::decode(frame).map_err(|malformed| match malformed {
        Malformed::Body { sqlstate, message } => Trouble::statement(sqlstate, message),
        Malformed::UnknownTag(tag) => {
            Trouble::fatal("08P01", format!("invalid frontend message type {tag}"))
        }
    })
}

/// Puts a small piece together with those behind it that have arrived.
fn gather<R, W>(wire: &mut Wire<R, W>, first: Bytes) -> Result<Bytes, Trouble>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    const COPY_DATA: u8 = b'd';
    if first.len() >= PIECE_BYTES || wire.reader.buffered_tag() != Some(COPY_DATA) {
        return Ok(first);
    }
    let mut piece = BytesMut::with_capacity(PIECE_BYTES);
    piece.extend_from_slice(&first);
    while piece.len() < PIECE_BYTES && wire.reader.buffered_tag() == Some(COPY_DATA) {
        if let Some(frame) = wire.reader.buffered_frame()? {
            piece.extend_from_slice(&frame.body);
        }
    }
    Ok(piece.freeze())
}

/// Sends the bytes of a result. Gives the command tag.
pub(crate) async fn copy_out<R, W>(
    wire: &mut Wire<R, W>,
    mut copy: CopyOut,
) -> Result<String, Trouble>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let (rows, deadline) = (copy.rows(), copy.deadline());
    wire.replies.copy_out(copy.columns, format_of(copy.format));
    let sent = match &mut copy.body {
        CopyBody::Text(rows) => within(deadline, send_text(wire, rows)).await,
        CopyBody::Binary(rows) => within(deadline, send_binary(wire, rows)).await,
    };
    sent.unwrap_or_else(|| Err(copy.time_out().into()))?;
    wire.replies.copy_done();
    Ok(CopyOut::tag(&rows))
}

/// Sends each row as a message of its own: clients that read row by row rely on it. Many messages
/// go out in one write.
async fn send_text<R, W>(
    wire: &mut Wire<R, W>,
    rows: &mut BoxStream<'static, sql::Result<CopyRows>>,
) -> Result<(), Trouble>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    loop {
        wire.check()?;
        let Some(rows) = wire.attend(IfGone::Stop, rows.next()).await?.transpose()? else {
            return Ok(());
        };
        for row in rows.iter() {
            wire.replies.copy_data(row);
            if wire.replies.full() {
                wire.flush().await?;
            }
        }
    }
}

/// As [`send_text`], in Postgres' binary format. As there, the header is no message of its own but
/// begins the first one.
async fn send_binary<R, W>(
    wire: &mut Wire<R, W>,
    rows: &mut SendableRecordBatchStream,
) -> Result<(), Trouble>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let columns = columns(&rows.schema(), &[Format::Binary])?;
    let mut before = Some(binary::header());
    loop {
        wire.check()?;
        let batch = wire.attend(IfGone::Stop, rows.next()).await?;
        let Some(batch) = batch.transpose().map_err(sql::Error::from)? else { break };
        let encoder = RowEncoder::new(&batch, &columns, &Zone::UTC)?;
        for row in 0..encoder.rows() {
            let before = before.take();
            let before = before.as_ref().map_or(&[][..], |header| header);
            encoder.encode_for_copy(before, row, wire.replies.buffer());
            if wire.replies.full() {
                wire.flush().await?;
            }
        }
    }
    let before = before.as_ref().map_or(&[][..], |header| header);
    wire.replies.copy_data(&[before, &binary::TRAILER].concat());
    Ok(())
}

fn format_of(format: CopyFormat) -> Format {
    match format {
        CopyFormat::Text => Format::Text,
        CopyFormat::Binary => Format::Binary,
    }
}

/// What the work gives, unless the time is over before.
async fn within<T: Send>(
    deadline: Option<Instant>,
    work: impl Future<Output = T> + Send,
) -> Option<T> {
    match deadline {
        None => Some(work.await),
        Some(deadline) => timeout_at(deadline, work).await.ok(),
    }
}

fn left() -> Trouble {
    Trouble::Lost(std::io::ErrorKind::UnexpectedEof.into())
}

fn unexpected(output: &Output) -> Trouble {
    sql::Error::internal(format!("COPY from stdin ended with {output:?}")).into()
}
