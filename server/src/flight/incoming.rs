//! Connections as they come in, each with room for the session that its calls share.
//!
//! Never: more connections than the operator allows.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::server::Connected;

use super::sessions::Client;
use crate::metrics::{Held, Metrics};

/// The other end of a connection. Every call on the connection can see it; it goes when the
/// connection goes, and with it the session.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) client: Mutex<Option<Arc<Client>>>,
}

/// A connection, counted for as long as it is open.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    peer: Arc<Peer>,
    _held: Held,
}

impl Connected for Connection {
    type ConnectInfo = Arc<Peer>;

    fn connect_info(&self) -> Arc<Peer> {
        Arc::clone(&self.peer)
    }
}

/// The connections that a listener accepts.
pub(super) fn connections(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    connections_max: u64,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    futures::stream::unfold((listener, metrics), move |(listener, metrics)| async move {
        let connection = accept(&listener, &metrics, connections_max).await;
        Some((Ok(connection), (listener, metrics)))
    })
}

async fn accept(listener: &TcpListener, metrics: &Metrics, connections_max: u64) -> Connection {
    loop {
        match listener.accept().await {
            Ok(_) if metrics.flight_connections.get() >= connections_max => {
                metrics.connections_refused.add(1);
            }
            Ok((stream, address)) => {
                // Answers are written as a whole; waiting to fill a packet only delays them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, %address, "could not set TCP_NODELAY");
                }
                let held = metrics.flight_connections.hold();
                let peer = Arc::new(Peer { address, client: Mutex::new(None) });
                return Connection { stream, peer, _held: held };
            }
            Err(error) => {
                /// Most often the process is out of file descriptors: wait until some are free.
                const PAUSE: Duration = Duration::from_millis(100);
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
