//! What a session can set: a typed registry of names, defaults and what each value may be.
//!
//! Unknown names are errors (42704), as are values that a setting does not take. A setting whose
//! PostgreSQL meaning the server does not have takes only the value that the server honours.
//! Never: a setting that is accepted and ignored although it would change an answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result, nearest, state};

/// What values a setting takes.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Any text.
    Text,
    /// `on` or `off`, in any of Postgres' spellings.
    Bool,
    /// An integer in a range.
    Int(i64, i64),
    /// A length of time, kept in milliseconds; 0 is none.
    Duration,
    /// An amount of memory, kept in the largest unit that gives a whole number.
    Memory,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// An IANA time zone or an offset.
    TimeZone,
    /// Told, never set.
    ReadOnly,
}

/// One setting.
#[derive(Debug)]
struct Setting {
    name: &'static str,
    default: &'static str,
    kind: Kind,
    /// Reported to Postgres clients whenever it changes.
    reported: bool,
    description: &'static str,
}

const fn setting(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    description: &'static str,
) -> Setting {
    Setting { name, default, kind, reported: false, description }
}

const fn reported(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    description: &'static str,
) -> Setting {
    Setting { name, default, kind, reported: true, description }
}

/// Every setting there is, in the order of its name.
static REGISTRY: &[Setting] = &[
    reported("application_name", "", Kind::Text, "Name of the client program, for the logs."),
    setting(
        "backslash_quote",
        "safe_encoding",
        Kind::OneOf(&["safe_encoding", "on", "off"]),
        "Whether \\' is allowed in string literals.",
    ),
    setting(
        "batch_size",
        "8192",
        Kind::Int(64, 1 << 20),
        "Rows in a batch between the operators of a plan.",
    ),
    setting("bytea_output", "hex", Kind::OneOf(&["hex"]), "Text form of bytea."),
    setting(
        "check_function_bodies",
        "on",
        Kind::Bool,
        "Accepted for pg_dump; there are no function bodies.",
    ),
    reported(
        "client_encoding",
        "UTF8",
        Kind::OneOf(&["utf8", "utf-8", "unicode"]),
        "Encoding of text on the wire.",
    ),
    setting(
        "client_min_messages",
        "notice",
        Kind::OneOf(&[
            "debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error",
        ]),
        "Least severe message that is sent.",
    ),
    reported(
        "DateStyle",
        "ISO, MDY",
        Kind::OneOf(&["iso", "iso, mdy", "iso, ymd", "iso,mdy"]),
        "Text form of dates.",
    ),
    setting(
        "default_transaction_isolation",
        "repeatable read",
        Kind::OneOf(ISOLATION),
        "Isolation of a new transaction; every level gives snapshot isolation.",
    ),
    reported(
        "default_transaction_read_only",
        "off",
        Kind::Bool,
        "Whether a new transaction refuses writes.",
    ),
    setting(
        "default_table_access_method",
        "delta",
        Kind::ReadOnly,
        "Format of tables; there is one.",
    ),
    setting(
        "extra_float_digits",
        "1",
        Kind::Int(-15, 3),
        "Digits of floating-point text; the shortest exact form is always sent.",
    ),
    setting(
        "idle_in_transaction_session_timeout",
        "0",
        Kind::Duration,
        "How long a transaction may wait for its client.",
    ),
    setting(
        "idle_session_timeout",
        "0",
        Kind::Duration,
        "How long a session outside of a transaction may wait for its client.",
    ),
    reported("in_hot_standby", "off", Kind::ReadOnly, "Whether the server only reads."),
    reported("integer_datetimes", "on", Kind::ReadOnly, "Whether times are integers on the wire."),
    reported("IntervalStyle", "postgres", Kind::OneOf(&["postgres"]), "Text form of intervals."),
    reported("is_superuser", "on", Kind::ReadOnly, "Whether the session's role is a superuser."),
    setting("jit", "off", Kind::OneOf(&["off"]), "There is no just-in-time compiler."),
    setting("lc_messages", "C", Kind::ReadOnly, "Language of messages."),
    setting("lock_timeout", "0", Kind::OneOf(&["0"]), "There are no locks to wait for."),
    setting("max_identifier_length", "63", Kind::ReadOnly, "Longest name, in bytes."),
    setting("max_index_keys", "32", Kind::ReadOnly, "Columns of a key that clients make room for."),
    setting("row_security", "on", Kind::OneOf(&["on"]), "Row policies always hold."),
    reported("scram_iterations", "4096", Kind::ReadOnly, "Iterations of a SCRAM secret."),
    reported(
        "search_path",
        "\"$user\", public",
        Kind::Text,
        "Schemas that unqualified names are looked up in.",
    ),
    reported("server_encoding", "UTF8", Kind::ReadOnly, "Encoding of stored text."),
    reported(
        "server_version",
        SERVER_VERSION,
        Kind::ReadOnly,
        "Version of PostgreSQL that the server speaks like.",
    ),
    setting("server_version_num", "150000", Kind::ReadOnly, "The same as a number."),
    reported("session_authorization", "tarn", Kind::ReadOnly, "The user that logged in."),
    reported(
        "standard_conforming_strings",
        "on",
        Kind::OneOf(&["on"]),
        "Whether backslashes are literal.",
    ),
    setting(
        "statement_timeout",
        "0",
        Kind::Duration,
        "How long a statement may run, results included.",
    ),
    setting(
        "synchronous_commit",
        "on",
        Kind::OneOf(&["on", "local", "remote_write", "remote_apply"]),
        "Whether COMMIT waits until the data is durable.",
    ),
    setting(
        "target_partitions",
        "0",
        Kind::Int(0, 1024),
        "Parallel streams of a plan; 0 is one for each core.",
    ),
    setting(
        RESULT_CACHE,
        "off",
        Kind::Bool,
        "Whether results of queries are kept, and given again while nothing that they read has changed.",
    ),
    reported("TimeZone", "UTC", Kind::TimeZone, "Zone in which timestamptz is read and shown."),
    setting(
        "transaction_isolation",
        "repeatable read",
        Kind::OneOf(ISOLATION),
        "Isolation of this transaction; every level gives snapshot isolation.",
    ),
    setting("transaction_read_only", "off", Kind::Bool, "Whether this transaction refuses writes."),
    setting(
        "work_mem",
        "4MB",
        Kind::Memory,
        "Accepted for compatibility; memory is shared by all queries.",
    ),
];

/// What `version()` and the start-up message call the server.
pub const SERVER_VERSION: &str = concat!("15.0 (Tarn ", env!("CARGO_PKG_VERSION"), ")");

/// Whether results of queries are kept.
pub(crate) const RESULT_CACHE: &str = "tarn.result_cache";

/// Settings that change no answer of a query that reads tables alone.
const BESIDE_ANSWERS: &[&str] = &[
    "application_name",
    "client_min_messages",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "statement_timeout",
    RESULT_CACHE,
];

const ISOLATION: &[&str] =
    &["serializable", "repeatable read", "read committed", "read uncommitted"];

fn lookup(name: &str) -> Result<&'static Setting> {
    REGISTRY.iter().find(|s| s.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let error = Error::new(
            state::UNDEFINED_OBJECT,
            format!("unrecognized configuration parameter \"{name}\""),
        );
        match nearest(name, REGISTRY.iter().map(|s| s.name)) {
            Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
            None => error,
        }
    })
}

/// Changes of settings in this process, numbered.
static EDITIONS: AtomicU64 = AtomicU64::new(1);

/// The values in force in one session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// Another number after each change; a copy keeps it, and has the same values.
    edition: u64,
    /// What SET gave, by registry name.
    session: BTreeMap<&'static str, String>,
    /// What SET LOCAL gave: gone at the end of the transaction.
    local: BTreeMap<&'static str, String>,
    /// What the client gave at its start: what RESET goes back to.
    start: BTreeMap<&'static str, String>,
}

impl Settings {
    /// Equal numbers: equal values, whatever happened in between.
    pub(crate) const fn edition(&self) -> u64 {
        self.edition
    }

    fn changed(&mut self) {
        self.edition = EDITIONS.fetch_add(1, Ordering::Relaxed);
    }

    /// The value in force.
    pub(crate) fn get(&self, name: &str) -> Result<String> {
        let setting = lookup(name)?;
        Ok(self.value(setting).to_owned())
    }

    /// The value in force as SHOW prints it: a length of time has its unit.
    pub(crate) fn shown(&self, name: &str) -> Result<String> {
        let setting = lookup(name)?;
        let value = self.value(setting);
        Ok(match (setting.kind, value.parse()) {
            (Kind::Duration, Ok(ms)) => shown_duration(ms),
            _ => value.to_owned(),
        })
    }

    fn value(&self, setting: &Setting) -> &str {
        [&self.local, &self.session, &self.start]
            .into_iter()
            .find_map(|values| values.get(setting.name))
            .map_or(setting.default, String::as_str)
    }

    /// An integer setting; the registry guarantees that it is one.
    pub(crate) fn int(&self, name: &str) -> i64 {
        self.get(name).ok().and_then(|v| v.parse().ok()).unwrap_or_default()
    }

    /// A boolean setting.
    pub(crate) fn bool(&self, name: &str) -> bool {
        self.get(name).is_ok_and(|v| v == "on")
    }

    /// Sets a value that came with the connection.
    pub(crate) fn set_start(&mut self, name: &str, value: &str) -> Result<()> {
        let setting = lookup(name)?;
        let value = check(setting, value)?;
        self.start.insert(setting.name, value);
        self.changed();
        Ok(())
    }

    /// Fixes a read-only value that the server knows when the session starts.
    pub(crate) fn fix(&mut self, name: &'static str, value: impl Into<String>) {
        self.start.insert(name, value.into());
        self.changed();
    }

    /// SET: until the session ends, or the transaction is rolled back.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let setting = lookup(name)?;
        let value = check(setting, value)?;
        self.local.remove(setting.name);
        self.session.insert(setting.name, value);
        self.changed();
        Ok(())
    }

    /// SET LOCAL: until the transaction ends.
    pub(crate) fn set_local(&mut self, name: &str, value: &str) -> Result<()> {
        let setting = lookup(name)?;
        let value = check(setting, value)?;
        self.local.insert(setting.name, value);
        self.changed();
        Ok(())
    }

    /// RESET name.
    pub(crate) fn reset(&mut self, name: &str) -> Result<()> {
        let setting = lookup(name)?;
        self.local.remove(setting.name);
        self.session.remove(setting.name);
        self.changed();
        Ok(())
    }

    /// RESET ALL.
    pub(crate) fn reset_all(&mut self) {
        self.local.clear();
        self.session.clear();
        self.changed();
    }

    /// The transaction ended: SET LOCAL is over.
    pub(crate) fn end_transaction(&mut self) {
        if !self.local.is_empty() {
            self.local.clear();
            self.changed();
        }
    }

    /// The settings that may change what a query answers, where they are not the defaults.
    pub(crate) fn of_answers(&self) -> Vec<(&'static str, String)> {
        let changed = REGISTRY.iter().filter(|s| self.value(s) != s.default);
        let answering = changed.filter(|s| !BESIDE_ANSWERS.contains(&s.name));
        answering.map(|s| (s.name, self.value(s).to_owned())).collect()
    }

    /// Every setting with its value and description, in the order of the names.
    pub(crate) fn all(&self) -> Vec<(&'static str, String, &'static str)> {
        REGISTRY.iter().map(|s| (s.name, self.value(s).to_owned(), s.description)).collect()
    }

    /// The settings that a Postgres client is told of, with their values.
    pub(crate) fn reported(&self) -> Vec<(String, String)> {
        let told = REGISTRY.iter().filter(|s| s.reported);
        told.map(|s| (s.name.to_owned(), self.value(s).to_owned())).collect()
    }
}

fn check(setting: &Setting, value: &str) -> Result<String> {
    let value = value.trim();
    let refused = || {
        Error::new(
            state::INVALID_PARAMETER_VALUE,
            format!("invalid value for parameter \"{}\": \"{value}\"", setting.name),
        )
    };
    if value.eq_ignore_ascii_case("default") {
        return Ok(setting.default.to_owned());
    }
    match setting.kind {
        Kind::Text => Ok(value.to_owned()),
        Kind::Bool => parse_bool(value).map(on_off).ok_or_else(refused),
        Kind::Int(least, most) => value
            .parse::<i64>()
            .ok()
            .filter(|n| (least..=most).contains(n))
            .map(|n| n.to_string())
            .ok_or_else(|| {
                refused().with_detail(format!("It takes an integer from {least} to {most}."))
            }),
        Kind::Duration => parse_duration_ms(value).map(|ms| ms.to_string()).ok_or_else(refused),
        Kind::Memory => parse_memory_kb(value).map(shown_memory).ok_or_else(|| {
            refused().with_hint(
                "Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\".",
            )
        }),
        Kind::OneOf(words) => one_of(setting, words, value).ok_or_else(|| {
            Error::unsupported(format!(
                "parameter \"{}\" cannot be set to \"{value}\"",
                setting.name
            ))
            .with_detail(format!("It takes {}.", words.join(", ")))
        }),
        Kind::TimeZone => time_zone(value).ok_or_else(refused),
        Kind::ReadOnly => {
            Err(Error::new("55P02", format!("parameter \"{}\" cannot be changed", setting.name)))
        }
    }
}

fn one_of(setting: &Setting, words: &[&str], value: &str) -> Option<String> {
    let spelled = |text: &str| text.to_ascii_lowercase().replace(' ', "");
    let found = words.iter().find(|word| spelled(word) == spelled(value));
    match found {
        // What the client asked for in another spelling is told in the registry's own.
        Some(_) if matches!(setting.name, "client_encoding" | "DateStyle") => {
            Some(setting.default.to_owned())
        }
        Some(word) => Some((*word).to_owned()),
        None => match parse_bool(value).map(on_off) {
            Some(word) if words.contains(&word.as_str()) => Some(word),
            _ => None,
        },
    }
}

/// An IANA name as it is spelled in the database, or a fixed offset as `+HH:MM`.
fn time_zone(value: &str) -> Option<String> {
    let value = value.trim_matches('\'');
    let utc = ["utc", "gmt", "z", "zulu", "default", "local"];
    if utc.iter().any(|name| name.eq_ignore_ascii_case(value)) {
        return Some("UTC".to_owned());
    }
    if let Some(zone) =
        chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(value))
    {
        return Some(zone.name().to_owned());
    }
    fixed_offset(value)
}

fn fixed_offset(value: &str) -> Option<String> {
    let (sign, rest) = match value.as_bytes().first()? {
        b'+' => ('+', &value[1..]),
        b'-' => ('-', &value[1..]),
        b'0'..=b'9' => ('+', value),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 15 && minutes < 60).then(|| format!("{sign}{hours:02}:{minutes:02}"))
}

/// Postgres' spellings of a boolean.
pub(crate) fn parse_bool(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "t" | "yes" | "y" | "1" => Some(true),
        "off" | "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

fn on_off(value: bool) -> String {
    if value { "on" } else { "off" }.to_owned()
}

/// `250`, `250ms`, `5s`, `5 min`, `1h`, `1d` in milliseconds.
pub(crate) fn parse_duration_ms(value: &str) -> Option<i64> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let number: i64 = value[..digits].parse().ok()?;
    let unit = match value[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// The names of a list such as `a, "B, c"`; commas between quotes are part of a name.
pub(crate) fn listed(text: &str) -> Vec<String> {
    let (mut names, mut name, mut quote) = (Vec::new(), String::new(), None);
    for character in text.chars().chain([',']) {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, ',') => {
                let whole = std::mem::take(&mut name);
                names.extend(Some(whole.trim().to_owned()).filter(|name| !name.is_empty()));
            }
            _ => name.push(character),
        }
    }
    names
}

/// `5s` of 5000: in the largest unit that gives a whole number.
fn shown_duration(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    match units.into_iter().find(|(size, _)| ms != 0 && ms % size == 0) {
        Some((size, unit)) => format!("{}{unit}", ms / size),
        None if ms == 0 => "0".to_owned(),
        None => format!("{ms}ms"),
    }
}

/// `4096`, `4096kB`, `4MB`, `1 GB` in kilobytes.
fn parse_memory_kb(value: &str) -> Option<u64> {
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let number: u64 = value[..digits].parse().ok()?;
    let kilobytes = match value[digits..].trim() {
        "B" => Some(number / 1024),
        "" | "kB" => Some(number),
        "MB" => number.checked_mul(1 << 10),
        "GB" => number.checked_mul(1 << 20),
        "TB" => number.checked_mul(1 << 30),
        _ => None,
    };
    // What a 32-bit number of kilobytes holds, from PostgreSQL's least on.
    kilobytes.filter(|kilobytes| (64..=2_147_483_647).contains(kilobytes))
}

fn shown_memory(kilobytes: u64) -> String {
    let units = [(1 << 30, "TB"), (1 << 20, "GB"), (1 << 10, "MB"), (1, "kB")];
    let (size, unit) =
        units.into_iter().find(|(size, _)| kilobytes.is_multiple_of(*size)).unwrap_or((1, "kB"));
    format!("{}{unit}", kilobytes / size)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_unknown_setting_names_the_nearest() {
        let error = Settings::default().set("serch_path", "x").unwrap_err();
        assert_eq!(error.sqlstate(), "42704");
        assert_eq!(error.hint().unwrap(), "Perhaps you meant \"search_path\".");
    }

    #[test]
    fn local_values_end_with_the_transaction() {
        let mut settings = Settings::default();
        settings.set("statement_timeout", "5s").unwrap();
        settings.set_local("statement_timeout", "1min").unwrap();
        assert_eq!(settings.int("statement_timeout"), 60_000);
        settings.end_transaction();
        assert_eq!(settings.int("statement_timeout"), 5_000);
    }

    #[test]
    fn quotes_hold_a_name_together() {
        assert_eq!(listed("\"$user\", public ,'a, b'"), ["$user", "public", "a, b"]);
        assert!(listed("").is_empty());
    }

    #[test]
    fn zones_are_told_in_their_own_spelling() {
        let mut settings = Settings::default();
        settings.set("timezone", "europe/berlin").unwrap();
        assert_eq!(settings.get("TimeZone").unwrap(), "Europe/Berlin");
        settings.set("timezone", "-8").unwrap();
        assert_eq!(settings.get("TimeZone").unwrap(), "-08:00");
        assert!(settings.set("timezone", "Mars/Base").is_err());
    }

    #[test]
    fn every_default_is_a_value_that_the_setting_takes() {
        for setting in REGISTRY {
            if !matches!(setting.kind, Kind::ReadOnly) {
                assert!(check(setting, setting.default).is_ok(), "{}", setting.name);
            }
        }
    }
}
