//! What PostgreSQL means where DataFusion and Arrow mean something else: casts, unknown literals,
//! integers that leave their range, `AT TIME ZONE`.
//!
//! ```text
//! syntax tree --unknown literals--> plan --type coercion, conversions--> optimizer
//! ```
//!
//! Never: a change of a comparison's column side, which would hide it from the scans; constants are
//! converted while the statement is planned.

mod aggregate;
mod arithmetic;
mod cast;
mod interval;
mod literal;
mod now;
mod rule;
mod subquery;
mod timezone;
mod unknown;
mod zoned;

use datafusion::optimizer::Analyzer;
use ingest::text::Zone;

pub(crate) use cast::{assign, assignable, refuse_other_kind};
pub(crate) use literal::{call, fold, folded, rewrite, rewrite_statement};
pub(crate) use now::functions as time_functions;
pub(crate) use rule::{convert, read_literals};
pub(crate) use subquery::aggregate_subqueries;
pub(crate) use timezone::function as timezone_function;
pub(crate) use unknown::UnknownLiterals;

/// DataFusion's analyzer with our rules around its type coercion.
pub(crate) fn analyzer() -> Analyzer {
    let mut analyzer = Analyzer::new();
    let coercion = analyzer.rules.iter().position(|rule| rule.name() == "type_coercion");
    let coercion = coercion.unwrap_or(analyzer.rules.len());
    analyzer.rules.insert(coercion, std::sync::Arc::new(rule::UnknownLiterals));
    analyzer.rules.push(std::sync::Arc::new(rule::Conversions));
    analyzer
}

/// The zone of a session as its state names it: `Europe/Berlin`, `+05:30`.
pub(crate) fn zone(name: Option<&str>) -> Zone {
    let name = name.unwrap_or("UTC");
    Zone::named(name).or_else(|| fixed(name)).unwrap_or(Zone::UTC)
}

/// `+hh:mm` or `-hh:mm`.
fn fixed(name: &str) -> Option<Zone> {
    let (sign, digits) = match name.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, name.strip_prefix('+').unwrap_or(name)),
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    Zone::fixed(sign * (hours * 3_600 + minutes * 60))
}
