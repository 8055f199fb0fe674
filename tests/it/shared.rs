//! Servers that many tests share: started by the first that asks, stopped at the end of the run.

use std::net::SocketAddr;
use std::sync::Mutex;

use tests::TestServer;
use tests::components::PostgreSql;

/// At most one of each.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    tarn: Mutex<Option<TestServer>>,
    oracle: Mutex<Option<Result<PostgreSql, String>>>,
}

impl Shared {
    /// What a test of the shared server needs to know of it.
    pub(crate) fn tarn<T>(&self, ask: impl FnOnce(&TestServer) -> T) -> T {
        let mut server = self.tarn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        ask(server.get_or_insert_with(TestServer::start))
    }

    /// The PostgreSQL that says what is right, or why there is none.
    pub(crate) fn oracle(&self) -> Result<SocketAddr, String> {
        let mut oracle = self.oracle.lock().unwrap();
        let started = oracle.get_or_insert_with(PostgreSql::start);
        started.as_ref().map(PostgreSql::address).map_err(Clone::clone)
    }

    /// Ends them. A static would never be dropped.
    pub(crate) fn stop(&self) {
        drop(self.tarn.lock().map(|mut server| server.take()));
        drop(self.oracle.lock().map(|mut oracle| oracle.take()));
    }
}
