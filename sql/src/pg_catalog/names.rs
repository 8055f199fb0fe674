//! OIDs and names of what the catalog gives no OID: roles, constraints, defaults, fixed schemas.
//!
//! PostgreSQL's OIDs are unique within a catalog table only, and so are these.
//! Never: an OID that depends on anything but what it names, so that it is the same in every
//! statement and on every server.

use std::fmt::Write as _;

use catalog::Entry;

use super::context::{SystemContext, TEMPORARY_SCHEMA};

/// `pg_namespace.oid` of `pg_catalog`.
pub(crate) const PG_CATALOG: u32 = 11;
/// `pg_namespace.oid` of `information_schema`.
pub(crate) const INFORMATION_SCHEMA: u32 = 13_207;
/// `pg_namespace.oid` of the server's own relations.
pub(crate) const TARN: u32 = 13_900;
/// `pg_namespace.oid` of the session's temporary tables.
pub(crate) const TEMPORARY: u32 = 0xEFFF_FFFF;
/// `pg_class.oid` of `pg_class`, and of the others that `pg_depend` and `pg_description` speak of.
pub(crate) const PG_CLASS: u32 = 1259;
pub(crate) const PG_NAMESPACE: u32 = 2615;
pub(crate) const PG_PROC: u32 = 1255;
pub(crate) const PG_REWRITE: u32 = 2618;
/// `pg_language.oid` of functions of the server itself, and of models.
pub(crate) const LANGUAGE_INTERNAL: u32 = 12;
pub(crate) const LANGUAGE_MODEL: u32 = 13_001;
/// `pg_am.oid` of Delta tables.
pub(crate) const DELTA: u32 = 13_002;
/// `pg_database.oid`: there is one database.
pub(crate) const DATABASE: u32 = 5;
/// `pg_tablespace.oid` of the warehouse.
pub(crate) const TABLESPACE: u32 = 1663;

/// The OID of a schema; none if there is no such schema.
pub(crate) fn schema_oid(context: &SystemContext, name: &str) -> Option<u32> {
    match name {
        "pg_catalog" => Some(PG_CATALOG),
        "information_schema" => Some(INFORMATION_SCHEMA),
        "tarn" => Some(TARN),
        TEMPORARY_SCHEMA => Some(TEMPORARY),
        _ => context.snapshot.schema(name).map(|entry| entry.oid),
    }
}

/// The name of a schema by its OID.
pub(crate) fn schema_name(context: &SystemContext, oid: u32) -> Option<&str> {
    match oid {
        PG_CATALOG => Some("pg_catalog"),
        INFORMATION_SCHEMA => Some("information_schema"),
        TARN => Some("tarn"),
        TEMPORARY => Some(TEMPORARY_SCHEMA),
        _ => context.snapshot.schemas().find(|entry| entry.oid == oid).map(|e| e.name.as_str()),
    }
}

/// The OID of a role: a digest of its name, below the OIDs of temporary tables.
pub(crate) fn role_oid(name: &str) -> u32 {
    // FNV-1a; PostgreSQL's own roles have OIDs below 16384.
    let digest = name
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (digest & 0x3FFF_FFFF) | 0x4000_0000
}

/// The OID of a table's `number`th constraint.
pub(crate) const fn constraint_oid(table: u32, number: u32) -> u32 {
    table.wrapping_mul(1 << 8).wrapping_add(number)
}

/// The OID of the default of a column.
pub(crate) const fn default_oid(table: u32, column: u32) -> u32 {
    table.wrapping_mul(1 << 12).wrapping_add(column)
}

/// Whether a bare name finds the entry: no schema before it on the search path has the name.
pub(crate) fn visible(context: &SystemContext, entry: &Entry) -> bool {
    if entry.schema == TEMPORARY_SCHEMA {
        return true;
    }
    if context.temporary.iter().any(|temporary| temporary.name == entry.name) {
        return false;
    }
    let path = &context.session.search_path;
    let first = path.iter().find(|schema| context.snapshot.entry(schema, &entry.name).is_some());
    first == Some(&entry.schema)
}

/// A name as SQL writes it: in quotes only where it must be.
pub(crate) fn quote_identifier(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
        && !reserved(name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A text as SQL writes it.
pub(crate) fn quote_literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    if text.contains('\\') {
        quoted.push('E');
    }
    quoted.push('\'');
    for character in text.chars() {
        match character {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

/// The words that SQL takes for something else than a name (categories `R` and `T` of
/// PostgreSQL's key words, and `C`, which cannot name functions).
fn reserved(name: &str) -> bool {
    KEYWORDS.binary_search_by(|(word, _)| (*word).cmp(name)).is_ok_and(|i| KEYWORDS[i].1 != 'U')
}

/// PostgreSQL 15's key words with their category, sorted.
pub(crate) static KEYWORDS: &[(&str, char)] = &include!("keywords.in");

/// `schema.name` or `name`, as a client would have to write it.
pub(crate) fn written(context: &SystemContext, entry: &Entry) -> String {
    let name = quote_identifier(&entry.name);
    if visible(context, entry) {
        return name;
    }
    let mut written = quote_identifier(&entry.schema);
    // Writing to a string cannot fail.
    let _ = write!(written, ".{name}");
    written
}

/// Splits a name as SQL reads it: `a.b`, `"A".b`; unquoted parts fold to lower case.
pub(crate) fn parse_name(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, after) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_part(quoted)?
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let word = rest[..end].trim();
            let name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
            if word.is_empty() || !word.chars().all(name) {
                return None;
            }
            (word.to_lowercase(), &rest[end..])
        };
        parts.push(part);
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(parts);
        }
        rest = rest.strip_prefix('.')?.trim_start();
    }
}

/// What stands before the closing quote, and what after it.
fn quoted_part(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character != '"' {
            part.push(character);
        } else if characters.next_if(|(_, next)| *next == '"').is_some() {
            part.push('"');
        } else {
            return Some((part, &text[at + 1..]));
        }
    }
    None
}
