//! Who a client is, and whether it may be here.
//!
//! There are no roles yet: whoever reaches the loopback interface is the superuser, under any name,
//! and nobody else gets in.
//! Never: a listener that others can reach while this is so.

use std::net::SocketAddr;

use crate::error::{Error, Report, Result};

/// Someone who has been let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) user: String,
}

/// Refuses an address that others than this machine can reach.
pub(crate) fn check_listener(listener: &'static str, address: SocketAddr) -> Result<()> {
    if address.ip().to_canonical().is_loopback() {
        Ok(())
    } else {
        Err(Error::NotLoopback { listener, address })
    }
}

/// Lets a client in by where it comes from; no peer is one inside the process.
pub(crate) fn admit(user: &str, peer: Option<SocketAddr>) -> Result<Principal, Report> {
    // The listener is on loopback, so this holds anyway; it is what makes the rule independent of
    // how the socket came to be.
    if peer.is_some_and(|peer| !peer.ip().to_canonical().is_loopback()) {
        let message = format!("user \"{user}\" may connect from the server's own machine only");
        return Err(Report::new("28000", message));
    }
    Ok(Principal { user: user.to_owned() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_loopback_may_be_listened_on() {
        for address in ["127.0.0.1:5433", "127.8.0.1:0", "[::1]:5433", "[::ffff:127.0.0.1]:1"] {
            check_listener("postgres", address.parse().unwrap()).unwrap();
        }
        for address in ["0.0.0.0:5433", "[::]:5433", "192.168.1.4:5433", "[::ffff:10.0.0.1]:1"] {
            let error = check_listener("postgres", address.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains("loopback"), "{error}");
        }
    }

    #[test]
    fn only_loopback_is_let_in() {
        assert_eq!(admit("ann", None).unwrap().user, "ann");
        assert!(admit("ann", Some("127.0.0.1:40000".parse().unwrap())).is_ok());
        let refused = admit("ann", Some("192.168.1.4:40000".parse().unwrap())).unwrap_err();
        assert_eq!(refused.sqlstate, "28000");
    }
}
