//! Stopping a running statement from another connection, as psql does on Ctrl-C.
//!
//! Never: a cancel for whoever does not hold the key, however long one guesses. Process numbers are
//! random, so a guess must hit both, and a key is compared in a time that does not depend on it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Bytes of a key for clients of protocol 3.2; older ones can take four only.
const KEY_BYTES: usize = 32;
const SHORT_KEY_BYTES: usize = 4;

/// The statement that a session is running, if any.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<Option<CancellationToken>>);

impl Running {
    /// Marks the beginning of a statement and gives the token that a cancel will trip.
    pub(crate) fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.0.lock() = Some(token.clone());
        token
    }

    /// Marks the end of a statement: a cancel that comes later does nothing.
    pub(crate) fn end(&self) {
        *self.0.lock() = None;
    }

    fn cancel(&self) -> bool {
        let token = self.0.lock().take();
        token.as_ref().map(CancellationToken::cancel).is_some()
    }
}

/// The keys of all sessions.
#[derive(Debug, Default)]
pub(crate) struct CancelKeys(Mutex<HashMap<i32, Entry>>);

#[derive(Debug)]
struct Entry {
    key: Vec<u8>,
    running: Arc<Running>,
}

/// The key of one session; dropping it forgets the session.
#[derive(Debug)]
pub(crate) struct CancelKey {
    keys: Arc<CancelKeys>,
    pub(crate) process: i32,
    pub(crate) key: Vec<u8>,
    pub(crate) running: Arc<Running>,
}

impl CancelKeys {
    /// Makes a key for a session; a short one where the protocol has no room for more.
    pub(crate) fn issue(self: &Arc<Self>, short: bool) -> CancelKey {
        let length = if short { SHORT_KEY_BYTES } else { KEY_BYTES };
        let random = || Uuid::new_v4().into_bytes();
        let key: Vec<u8> = [random(), random()].concat().into_iter().take(length).collect();
        let running = Arc::new(Running::default());
        let mut sessions = self.0.lock();
        let process = loop {
            // Positive, since clients print it as a process number.
            let process = i32::from_be_bytes(first_four(random())) & i32::MAX;
            if process != 0 && !sessions.contains_key(&process) {
                break process;
            }
        };
        sessions.insert(process, Entry { key: key.clone(), running: Arc::clone(&running) });
        CancelKey { keys: Arc::clone(self), process, key, running }
    }

    /// Stops the statement that runs in the session with this number and key. Tells whether it did.
    pub(crate) fn cancel(&self, process: i32, key: &[u8]) -> bool {
        let running = self.0.lock().get(&process).and_then(|entry| {
            equal_in_constant_time(&entry.key, key).then(|| Arc::clone(&entry.running))
        });
        running.is_some_and(|running| running.cancel())
    }
}

impl Drop for CancelKey {
    fn drop(&mut self) {
        self.keys.0.lock().remove(&self.process);
    }
}

const fn first_four(bytes: [u8; 16]) -> [u8; 4] {
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

/// Only the length, which is no secret, may be told from the time that this takes.
fn equal_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let difference = left.iter().zip(right).fold(0, |all, (left, right)| all | (left ^ right));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_key_stops_a_statement() {
        let keys = Arc::new(CancelKeys::default());
        let (one, other) = (keys.issue(false), keys.issue(true));
        let (of_one, of_other) = (one.running.begin(), other.running.begin());
        assert_eq!((one.key.len(), other.key.len()), (32, 4));
        assert!(!keys.cancel(one.process, &other.key));
        assert!(!keys.cancel(other.process, &one.key));
        assert!(!keys.cancel(one.process, &one.key[..31]));
        assert!(!of_one.is_cancelled() && !of_other.is_cancelled());
        assert!(keys.cancel(one.process, &one.key));
        assert!(of_one.is_cancelled() && !of_other.is_cancelled());
    }

    #[test]
    fn a_cancel_between_statements_does_not_hit_the_next() {
        let keys = Arc::new(CancelKeys::default());
        let session = keys.issue(false);
        session.running.begin();
        session.running.end();
        assert!(!keys.cancel(session.process, &session.key));
        assert!(!session.running.begin().is_cancelled());
    }

    #[test]
    fn a_closed_session_is_forgotten() {
        let keys = Arc::new(CancelKeys::default());
        let session = keys.issue(false);
        let (process, key) = (session.process, session.key.clone());
        session.running.begin();
        drop(session);
        assert!(!keys.cancel(process, &key));
        assert!(keys.0.lock().is_empty());
    }
}
