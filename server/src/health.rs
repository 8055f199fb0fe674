//! The HTTP listener: is the process alive, can it serve, how much does it do.
//!
//! Never: anything about the data.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// What the answers are made from.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    metrics: Arc<Metrics>,
    /// Tripped once clients can be served.
    ready: CancellationToken,
    /// Tripped when the server begins to stop.
    stop: CancellationToken,
}

impl Health {
    pub(crate) const fn new(
        metrics: Arc<Metrics>,
        ready: CancellationToken,
        stop: CancellationToken,
    ) -> Self {
        Self { metrics, ready, stop }
    }

    /// Answers until the future is dropped: also while the server drains, so that whoever watches
    /// sees it.
    pub(crate) async fn serve(self, listener: TcpListener) {
        if let Err(error) = axum::serve(listener, self.router()).await {
            tracing::error!(%error, "the HTTP listener ended");
        }
    }

    fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self)
    }
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.stop.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if health.ready.is_cancelled() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n")
    }
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, PROMETHEUS)], health.metrics.render())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn get(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: tarn\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn readiness_begins_with_the_engine_and_ends_with_the_drain() {
        let (ready, stop) = (CancellationToken::new(), CancellationToken::new());
        let health = Health::new(Arc::default(), ready.clone(), stop.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(health.serve(listener));
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));
        ready.cancel();
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/metrics").await.contains("\ntarn_statements_total 0\n"));
        assert!(get(address, "/nothing").await.starts_with("HTTP/1.1 404"));
        stop.cancel();
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    }
}
