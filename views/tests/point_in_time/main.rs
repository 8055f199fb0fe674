//! ASOF JOIN from SQL text to rows.
#![expect(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod answers;
mod equivalence;
mod errors;
mod performance;
mod plans;
mod resources;
mod session;
