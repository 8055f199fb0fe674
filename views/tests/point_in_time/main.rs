//! ASOF JOIN from SQL text to rows.
#![expect(clippy::unwrap_used, reason = "tests")]

mod performance;
mod session;
