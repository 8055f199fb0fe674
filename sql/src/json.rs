//! JSON as PostgreSQL reads it: `->`, `->>`, `#>`, `#>>`, `@>`, `<@`, `?`, `?|`, `?&` and functions of their
//! kind, over `json` and `jsonb`.
//!
//! ```text
//! operators.rs   operators to functions
//! functions.rs   the functions, over columns of text
//! expand.rs      the parts of a value as a list, for the functions that give rows
//! scan.rs        a value within a text, found without reading the rest
//! ```
//!
//! Both types are kept as text, `jsonb` in its one form, so that a value within is a piece of the text.
//! Never: a text is parsed that was not checked when it came in.

mod expand;
mod functions;
mod operators;
mod scan;

pub(crate) use expand::{AsJson, Expand, KEY, VALUE, What};
pub(crate) use functions::functions;
pub(crate) use operators::planner;
