//! How the process ends: first nothing new begins, then what runs may finish, then it is stopped.
//!
//! Never: an end that waits longer than the operator allows.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What every listener and session listens to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown {
    /// Tripped first: nothing new is accepted, and idle sessions end.
    pub(crate) stop: CancellationToken,
    /// Tripped last: running statements are stopped.
    pub(crate) kill: CancellationToken,
    /// All connections.
    pub(crate) connections: TaskTracker,
}

impl Shutdown {
    /// Ends everything; statements that run have until `patience` is over. Tells whether they all
    /// finished by themselves.
    pub(crate) async fn drain(&self, patience: Duration) -> bool {
        /// What a stopped statement and its session get to say farewell.
        const FAREWELL: Duration = Duration::from_secs(1);
        self.stop.cancel();
        self.connections.close();
        if tokio::time::timeout(patience, self.connections.wait()).await.is_ok() {
            return true;
        }
        self.kill.cancel();
        if tokio::time::timeout(FAREWELL, self.connections.wait()).await.is_err() {
            tracing::warn!(connections = self.connections.len(), "connections did not end in time");
        }
        false
    }
}
