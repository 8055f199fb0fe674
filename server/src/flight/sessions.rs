//! Which session a call belongs to: the one its token names, else the one of its connection.
//!
//! A token outlives its connection, until it has been idle for long; a session without a token goes
//! with its connection. Never: two clients in one session, or a session that nobody can end.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sql::{Engine, Session, SessionStart};
use tokio::sync::RwLock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use uuid::Uuid;

use super::authorization::Authorization;
use super::incoming::Peer;
use super::prepared::PreparedStatements;
use super::status;
use crate::auth;

/// The one database; clients of Flight do not ask for one.
pub(super) const DATABASE: &str = "tarn";

/// How long a token may be idle.
const IDLE_MAX: Duration = Duration::from_secs(30 * 60);

/// A session, and what Flight keeps beside it.
pub(super) struct Client {
    pub(super) session: Session,
    pub(super) prepared: PreparedStatements,
    /// Calls of one client may run at once, but not in the middle of a transaction that the server
    /// opened for one of them: that one writes, all others read.
    pub(super) turn: RwLock<()>,
    running: Mutex<HashMap<Bytes, CancellationToken>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Client {
    /// Notes that the rows of a ticket are on their way, for as long as the value lives.
    pub(super) fn running(self: &Arc<Self>, ticket: Bytes) -> Running {
        let cancel = CancellationToken::new();
        self.running.lock().insert(ticket.clone(), cancel.clone());
        Running { client: Arc::clone(self), ticket, cancel }
    }

    /// Stops the rows of a ticket. Tells whether they were on their way.
    pub(super) fn cancel(&self, ticket: &Bytes) -> bool {
        let found = self.running.lock().remove(ticket);
        found.inspect(CancellationToken::cancel).is_some()
    }
}

/// Rows on their way to a client.
#[derive(Debug)]
pub(super) struct Running {
    client: Arc<Client>,
    ticket: Bytes,
    /// Tripped when the client asks for the end.
    pub(super) cancel: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.client.running.lock().remove(&self.ticket);
    }
}

#[derive(Debug)]
struct Tokened {
    client: Arc<Client>,
    used_at: Instant,
}

impl Tokened {
    fn idle(&self) -> bool {
        // Whoever else holds it is a call that goes on.
        Arc::strong_count(&self.client) == 1 && self.used_at.elapsed() > IDLE_MAX
    }
}

/// All sessions of the listener.
#[derive(Debug)]
pub(super) struct Sessions {
    engine: Arc<Engine>,
    sessions_max: u64,
    by_token: Mutex<HashMap<String, Tokened>>,
}

impl Sessions {
    pub(super) fn new(engine: Arc<Engine>, sessions_max: u64) -> Self {
        Self { engine, sessions_max, by_token: Mutex::default() }
    }

    /// A new session, and the token that names it.
    pub(super) fn issue<T>(&self, request: &Request<T>) -> Result<String, Status> {
        let Authorization::User(user) = Authorization::of(request.metadata())? else {
            return Err(status::refused("28000", "a handshake takes Basic authorization"));
        };
        let client = self.begin(&user, address(request))?;
        self.forget_idle();
        let mut by_token = self.by_token.lock();
        if by_token.len() as u64 >= self.sessions_max {
            return Err(status::refused("53300", "sorry, too many clients already"));
        }
        let token = Uuid::new_v4().simple().to_string();
        by_token.insert(token.clone(), Tokened { client, used_at: Instant::now() });
        Ok(token)
    }

    /// The session of a call.
    pub(super) fn of<T>(&self, request: &Request<T>) -> Result<Arc<Client>, Status> {
        match Authorization::of(request.metadata())? {
            Authorization::Token(token) => self.named(&token),
            Authorization::User(user) => self.of_connection(request, &user),
        }
    }

    fn named(&self, token: &str) -> Result<Arc<Client>, Status> {
        let mut by_token = self.by_token.lock();
        let Some(found) = by_token.get_mut(token).filter(|found| !found.idle()) else {
            return Err(status::refused(
                "28000",
                "the token is not known or has been idle too long",
            ));
        };
        found.used_at = Instant::now();
        Ok(Arc::clone(&found.client))
    }

    fn of_connection<T>(&self, request: &Request<T>, user: &str) -> Result<Arc<Client>, Status> {
        let Some(peer) = request.extensions().get::<Arc<Peer>>() else {
            return self.begin(user, None);
        };
        let mut known = peer.client.lock();
        if let Some(client) = known.as_ref() {
            return Ok(Arc::clone(client));
        }
        let client = self.begin(user, Some(peer.address))?;
        *known = Some(Arc::clone(&client));
        Ok(client)
    }

    fn begin(&self, user: &str, peer: Option<SocketAddr>) -> Result<Arc<Client>, Status> {
        let principal = auth::admit(user, peer).map_err(Status::from)?;
        tracing::debug!(user = principal.user, ?peer, "session begins");
        let start = SessionStart {
            user: principal.user,
            database: DATABASE.to_owned(),
            application_name: String::new(),
            options: Vec::new(),
        };
        let session = self.engine.session(start).map_err(status::failed)?;
        Ok(Arc::new(Client {
            session,
            prepared: PreparedStatements::default(),
            turn: RwLock::default(),
            running: Mutex::default(),
        }))
    }

    /// Ends the sessions whose tokens have not been seen for long.
    pub(super) fn forget_idle(&self) {
        self.by_token.lock().retain(|_, tokened| !tokened.idle());
    }
}

fn address<T>(request: &Request<T>) -> Option<SocketAddr> {
    request.extensions().get::<Arc<Peer>>().map(|peer| peer.address)
}
