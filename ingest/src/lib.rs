//! Outside bytes become committed rows, tagged with where they came from.
//!
//! ```text
//! COPY bytes, files --> decode --> text (values) --> batches --> Writer --> one Delta commit
//! batches --> encode --> text (values) --> COPY bytes, files
//! ```
//!
//! Never: a plan or a statement; `sql` makes those. Never a look at the clock: times are given.

#![cfg_attr(test, expect(clippy::unwrap_used, clippy::panic, reason = "tests may panic"))]

pub mod decode;
mod dialect;
pub mod encode;
pub mod error;
pub mod files;
mod origin;
pub mod text;
mod writer;

pub use dialect::{Dialect, DialectOptions};
pub use error::{Error, Result};
pub use origin::Origin;
pub use writer::{Appended, Check, Validation, Writer, Written};
