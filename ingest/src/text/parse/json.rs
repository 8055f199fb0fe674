//! JSON texts: a scanner that checks as it goes, and the normal form in which `jsonb` is kept.
//!
//! Never: a number through a binary float, or recursion as deep as the input asks for.

mod normal;
mod scanner;

pub(super) use normal::normalize;
pub(crate) use scanner::{Kind, Scanner, Value, unescape};

use crate::text::ValueError;

/// Checks that a text is one JSON value.
pub(super) fn check(text: &str) -> Result<(), ValueError> {
    let mut scanner = Scanner::new(text);
    scanner.value()?;
    scanner.end()
}
