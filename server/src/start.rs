//! The process from its first listener to its last: puts the parts together, waits, takes them apart.
//!
//! Never: an address that is announced before clients can be served on it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sql::Engine;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::auth;
use crate::config::Config;
use crate::demo::Demo;
use crate::error::{Error, Result};
use crate::flight;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::pg;
use crate::shutdown::Shutdown;

/// Runs the server until it is told to stop, and has drained.
pub(crate) async fn run(mut config: Config, metrics: Arc<Metrics>) -> Result<()> {
    let mut signals = Signals::listen()?;
    let (pg, http) = (listen("postgres", config.pg)?, listen("http", config.http)?);
    let flight = listen("flight", config.flight)?;
    let (pg_address, http_address) = (pg.local_addr()?, http.local_addr()?);
    let flight_address = flight.local_addr()?;

    let shutdown = Shutdown::default();
    let ready = CancellationToken::new();
    let health = Health::new(Arc::clone(&metrics), ready.clone(), shutdown.stop.clone());
    let health = tokio::spawn(health.serve(http));

    let demo = config.demo_dir.as_deref().map(Demo::find).transpose()?;
    // The sample project's own files are the only ones that it may read.
    config.engine.locations.extend(demo.as_ref().map(Demo::location));
    let warehouse = config.engine.warehouse.clone();
    let engine = Box::pin(Engine::open(config.engine.clone()))
        .await
        .map_err(|source| Error::Warehouse { warehouse, source })?;
    if let Some(counts) = engine.cache_counts() {
        // There is one engine.
        let _ = metrics.cache.set(Arc::clone(counts));
    }
    let _ = metrics.results.set(Arc::clone(engine.result_counts()));
    if let Some(demo) = &demo {
        Box::pin(demo.load(&engine)).await?;
    }
    let limits = limits(&config);
    let connections_max = config.connections_max;
    let flight_metrics = Arc::clone(&metrics);
    let server =
        flight::Server::new(Arc::clone(&engine), flight_metrics, connections_max, shutdown.clone());
    // It is over when its connections are: the drain waits for it as for any of them.
    shutdown.connections.spawn(async move {
        if let Err(error) = server.serve(flight).await {
            tracing::error!(%error, "could not serve Flight clients any longer");
        }
    });
    let server = pg::Server::new(Arc::clone(&engine), metrics, limits, shutdown.clone());
    let accepting = tokio::spawn(server.serve(pg));

    ready.cancel();
    announce(&[("postgres", pg_address), ("flight", flight_address), ("http", http_address)])?;
    if demo.is_some() {
        Demo::suggest(pg_address)?;
    }
    signals.next().await;
    drain(&shutdown, config.drain_timeout, &mut signals).await;
    // The accept loop ends by itself as soon as the drain begins; a failure of its task is logged
    // by the panic hook.
    let _ = accepting.await;
    engine.shutdown().await;
    health.abort();
    Ok(())
}

fn limits(config: &Config) -> pg::Limits {
    pg::Limits {
        sessions_max: config.connections_max,
        unauthenticated_max: config.unauthenticated_connections_max,
        authentication_timeout: config.authentication_timeout,
        message_bytes_max: config.message_bytes_max,
    }
}

/// A listener whose connections are probed while they are silent.
fn listen(name: &'static str, address: SocketAddr) -> Result<TcpListener> {
    /// Connections that may wait to be accepted.
    const BACKLOG: u32 = 1_024;
    auth::check_listener(name, address)?;
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        // Accepted connections inherit this.
        socket.set_keepalive(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|source| Error::Listen { listener: name, address, source })
}

/// Says on standard output where clients are served, a line each, in a form that scripts read.
fn announce(addresses: &[(&str, SocketAddr)]) -> Result<()> {
    let mut out = io::stdout().lock();
    for (name, address) in addresses {
        writeln!(out, "tarn: {name} on {address}")?;
    }
    writeln!(out, "tarn: ready")?;
    Ok(out.flush()?)
}

/// Lets running statements finish; a second signal stops them at once.
async fn drain(shutdown: &Shutdown, patience: Duration, signals: &mut Signals) {
    tracing::info!(seconds = patience.as_secs(), "stopping: running statements may finish");
    tokio::select! {
        finished = shutdown.drain(patience) => {
            if !finished {
                tracing::warn!("statements were stopped because the drain timeout was over");
            }
        }
        () = signals.next() => {
            tracing::warn!("statements were stopped by a second signal");
            shutdown.drain(Duration::ZERO).await;
        }
    }
}

/// The signals that ask the process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
