//! Arrow Flight SQL: statements, prepared statements, bulk ingest and the catalog, over gRPC.
//!
//! ```text
//! incoming ─> sessions ──┬─> statement ─> rows ──> FlightData, a batch at a time
//!  (a connection)        ├─> prepared ──┘
//!  authorization ────────┤
//!  (a user, a token)     ├─> bulk ────────────> Session::ingest
//!                        └─> objects ─────────> information_schema
//! ```
//!
//! A call belongs to the session that its token names, else to the one of its connection: settings,
//! temporary tables and transactions live there. A statement that fails is a status with its
//! SQLSTATE. A call that is dropped stops its query.
//! Never: rows that are collected before they leave.

mod authorization;
mod bulk;
mod incoming;
mod objects;
mod prepared;
mod rows;
mod service;
mod sessions;
mod statement;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use sql::Engine;
use tokio::net::TcpListener;
use tonic::transport;

use self::service::Service;
use self::sessions::Sessions;
use self::statement::Surroundings;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// The longest message in either direction.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// What a client may send before the server has read it: on one call, and on one connection.
const WINDOW_BYTES: (u32, u32) = (4 << 20, 16 << 20);

/// The listener's state.
#[derive(Debug)]
pub(crate) struct Server {
    service: Arc<Service>,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
    connections_max: u64,
}

impl Server {
    pub(crate) fn new(
        engine: Arc<Engine>,
        metrics: Arc<Metrics>,
        connections_max: u64,
        shutdown: Shutdown,
    ) -> Self {
        let sessions = Sessions::new(engine, connections_max);
        let with = Surroundings { metrics: Arc::clone(&metrics), shutdown: shutdown.clone() };
        let service = Arc::new(Service { sessions, with });
        Self { service, metrics, shutdown, connections_max }
    }

    /// Serves clients until the server stops and the calls that run have ended.
    pub(crate) async fn serve(self, listener: TcpListener) -> Result<(), transport::Error> {
        const PING_INTERVAL: Duration = Duration::from_secs(30);
        const PING_TIMEOUT: Duration = Duration::from_secs(20);
        let stop = self.shutdown.stop.clone();
        let sweeping = tokio::spawn(sweep(Arc::clone(&self.service), stop.clone()));
        let service = FlightServiceServer::from_arc(self.service)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let incoming = incoming::connections(listener, self.metrics, self.connections_max);
        let served = transport::Server::builder()
            .initial_stream_window_size(WINDOW_BYTES.0)
            .initial_connection_window_size(WINDOW_BYTES.1)
            .http2_keepalive_interval(Some(PING_INTERVAL))
            .http2_keepalive_timeout(Some(PING_TIMEOUT))
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
            .await;
        sweeping.abort();
        served
    }
}

/// Ends sessions that have been idle for long, whether or not others come.
async fn sweep(service: Arc<Service>, stop: tokio_util::sync::CancellationToken) {
    const PAUSE: Duration = Duration::from_secs(60);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => service.sessions.forget_idle(),
        }
    }
}
