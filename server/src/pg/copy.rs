//! COPY FROM STDIN and TO STDOUT on the wire, the same in both query protocols.
//!
//! Never: a COPY that is committed although the client did not say that it was done.

use std::future::Future;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use sql::{CopyIn, CopyOut, Output};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::message::{Malformed, Message};
use super::wire::{IfGone, Trouble, Wire};

/// Small pieces of a client that sends row by row are put together up to this size.
const PIECE_BYTES: usize = 64 << 10;

/// Takes the client's bytes until it says that they are all. Gives the command tag.
///
/// After an error the client may go on sending for a while; whoever reads next ignores that.
pub(crate) async fn copy_in<R, W>(
    wire: &mut Wire<R, W>,
    mut copy: CopyIn,
) -> Result<String, Trouble>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    wire.replies.copy_in(copy.columns);
    wire.flush().await?;
    loop {
        let message = match within(copy.deadline(), next_message(wire)).await {
            Some(message) => message?,
            None => return Err(copy.time_out().into()),
        };
        match message {
            Message::CopyData(bytes) => {
                let bytes = gather(wire, bytes)?;
                wire.attend(IfGone::Stop, copy.send(bytes)).await??;
            }
            Message::CopyDone => {
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
    let rows = copy.rows();
    wire.replies.copy_out(copy.columns);
    let sent = within(copy.deadline(), send_rows(wire, &mut copy)).await;
    sent.unwrap_or_else(|| Err(copy.time_out().into()))?;
    wire.replies.copy_done();
    Ok(CopyOut::tag(&rows))
}

/// Sends each row as a message of its own: clients that read row by row rely on it. Many messages
/// go out in one write.
async fn send_rows<R, W>(wire: &mut Wire<R, W>, copy: &mut CopyOut) -> Result<(), Trouble>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    loop {
        wire.check()?;
        let Some(rows) = wire.attend(IfGone::Stop, copy.stream.next()).await?.transpose()? else {
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

/// What the work gives, unless the time is over before.
async fn within<T>(deadline: Option<Instant>, work: impl Future<Output = T> + Send) -> Option<T> {
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
