//! Time zones: a fixed offset or a named zone, and the offset in force at an instant.
//!
//! Never: the machine's own zone, which differs between servers on one warehouse.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::OnceLock;

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::calendar::{SECONDS_PER_DAY, civil_from_days, days_from_civil};

/// The time zone in which a `timestamptz` is shown and in which a text without an offset is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Zone(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// Seconds east of UTC.
    Fixed(i32),
    Named(Tz),
}

/// Abbreviations that PostgreSQL knows without configuration and that people write, with their
/// seconds east of UTC. As there, `ist` is Israel's time.
const ABBREVIATIONS: &[(&str, i32)] = &[
    ("acdt", 37_800),
    ("acst", 34_200),
    ("adt", -10_800),
    ("aedt", 39_600),
    ("aest", 36_000),
    ("akdt", -28_800),
    ("akst", -32_400),
    ("ast", -14_400),
    ("awst", 28_800),
    ("bst", 3_600),
    ("cdt", -18_000),
    ("cest", 7_200),
    ("cet", 3_600),
    ("cst", -21_600),
    ("edt", -14_400),
    ("eest", 10_800),
    ("eet", 7_200),
    ("est", -18_000),
    ("gmt", 0),
    ("hkt", 28_800),
    ("hst", -36_000),
    ("idt", 10_800),
    ("ist", 7_200),
    ("jst", 32_400),
    ("kst", 32_400),
    ("mdt", -21_600),
    ("mst", -25_200),
    ("ndt", -9_000),
    ("nst", -12_600),
    ("nzdt", 46_800),
    ("nzst", 43_200),
    ("pdt", -25_200),
    ("pst", -28_800),
    ("sgt", 28_800),
    ("uct", 0),
    ("ut", 0),
    ("utc", 0),
    ("wet", 0),
    ("z", 0),
    ("zulu", 0),
];

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(Kind::Fixed(0));

    /// A zone that is always this many seconds east of UTC; `None` from a day on.
    pub fn fixed(seconds_east: i32) -> Option<Self> {
        (i64::from(seconds_east).abs() < SECONDS_PER_DAY).then_some(Self(Kind::Fixed(seconds_east)))
    }

    /// A zone of the IANA database (`Europe/Berlin`) or a well-known abbreviation (`PST`), in
    /// upper or lower case.
    pub fn named(name: &str) -> Option<Self> {
        static NAMES: OnceLock<HashMap<String, Tz>> = OnceLock::new();
        let names = NAMES.get_or_init(|| {
            TZ_VARIANTS.iter().map(|zone| (zone.name().to_ascii_lowercase(), *zone)).collect()
        });
        let name = name.to_ascii_lowercase();
        if matches!(name.as_str(), "utc" | "etc/utc" | "gmt" | "zulu" | "uct") {
            return Some(Self::UTC);
        }
        names.get(&name).map(|zone| Self(Kind::Named(*zone))).or_else(|| Self::abbreviated(&name))
    }

    /// A well-known abbreviation, in lower case.
    pub(crate) fn abbreviated(name: &str) -> Option<Self> {
        let found = ABBREVIATIONS.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
        Some(Self(Kind::Fixed(ABBREVIATIONS[found].1)))
    }

    /// The seconds east of UTC at an instant.
    pub(crate) fn offset_at(&self, utc_seconds: i64) -> i32 {
        match self.0 {
            Kind::Fixed(seconds) => seconds,
            Kind::Named(zone) => {
                zone.offset_from_utc_datetime(&within_tables(utc_seconds)).fix().local_minus_utc()
            }
        }
    }

    /// The seconds east of UTC when the clocks of the zone show this time. In the hour that a
    /// spring change skips, the offset before the change; in the one that an autumn change
    /// repeats, the offset after it. PostgreSQL does the same.
    pub(crate) fn offset_at_local(&self, local_seconds: i64) -> i32 {
        if let Kind::Fixed(seconds) = self.0 {
            return seconds;
        }
        let before = self.offset_at(local_seconds.saturating_sub(SECONDS_PER_DAY));
        let after = self.offset_at(local_seconds.saturating_add(SECONDS_PER_DAY));
        if before == after {
            return before;
        }
        let after_holds = self.offset_at(local_seconds - i64::from(after)) == after;
        if after_holds { after } else { before }
    }
}

/// The year from which on the zone tables hold no changes, and a span before it in which each
/// kind of year, by its length and first weekday, occurs.
const TABLES_END: i64 = 2_100;
const ALIKE: std::ops::Range<i64> = 2_060..2_088;

/// The instant, or one at which the same rule holds: the zone tables end, the rules go on. A
/// change at the last Sunday of March is then looked up in an earlier year with the same calendar.
fn within_tables(utc_seconds: i64) -> NaiveDateTime {
    let days = utc_seconds.div_euclid(SECONDS_PER_DAY);
    let (year, _, _) = civil_from_days(days);
    let mut seconds = utc_seconds;
    if year >= TABLES_END {
        let new_year = days_from_civil(year, 1, 1);
        let length = days_from_civil(year + 1, 1, 1) - new_year;
        let alike =
            ALIKE.map(|year| (days_from_civil(year, 1, 1), days_from_civil(year + 1, 1, 1)));
        let mut alike = alike.filter(|(start, next)| {
            next - start == length && (new_year - start).rem_euclid(7) == 0
        });
        let moved = alike.next().map_or(0, |(start, _)| new_year - start);
        seconds -= moved * SECONDS_PER_DAY;
    }
    // chrono's first year is later than a timestamp's, and before all changes.
    DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<chrono::Utc>::MIN_UTC).naive_utc()
}

/// A zone that remembers the offset of the last quarter of an hour that it was asked for: a search
/// through a zone's transitions for each value would take longer than writing the value.
#[derive(Debug)]
pub(crate) struct CachedZone {
    zone: Zone,
    quarter: Cell<i64>,
    offset: Cell<i32>,
}

const QUARTER_SECONDS: i64 = 900;

impl CachedZone {
    pub(crate) fn new(zone: Zone) -> Self {
        // No instant of a timestamp in microseconds lies in this quarter.
        Self { zone, quarter: Cell::new(i64::MAX), offset: Cell::new(0) }
    }

    pub(crate) fn offset_at(&self, utc_seconds: i64) -> i32 {
        if let Kind::Fixed(seconds) = self.zone.0 {
            return seconds;
        }
        let quarter = utc_seconds.div_euclid(QUARTER_SECONDS);
        if quarter == self.quarter.get() {
            return self.offset.get();
        }
        let start = quarter.saturating_mul(QUARTER_SECONDS);
        let first = self.zone.offset_at(start);
        // No zone ever changed twice within a quarter of an hour.
        if first == self.zone.offset_at(start.saturating_add(QUARTER_SECONDS - 1)) {
            self.quarter.set(quarter);
            self.offset.set(first);
            return first;
        }
        self.zone.offset_at(utc_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> i64 {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap().and_utc().timestamp()
    }

    #[test]
    fn abbreviations_are_sorted() {
        assert!(ABBREVIATIONS.is_sorted());
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(Zone::named("europe/BERLIN"), Zone::named("Europe/Berlin"));
        assert!(Zone::named("Europe/Berlin").is_some());
        assert_eq!(Zone::named("utc"), Some(Zone::UTC));
        assert_eq!(Zone::named("Nowhere/Town"), None);
        assert_eq!(Zone::fixed(86_400), None);
    }

    #[test]
    fn skipped_and_repeated_hours() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        assert_eq!(berlin.offset_at_local(local("2024-03-31 01:59:59")), 3_600);
        assert_eq!(berlin.offset_at_local(local("2024-03-31 02:30:00")), 3_600);
        assert_eq!(berlin.offset_at_local(local("2024-03-31 03:00:00")), 7_200);
        assert_eq!(berlin.offset_at_local(local("2024-10-27 01:59:59")), 7_200);
        assert_eq!(berlin.offset_at_local(local("2024-10-27 02:30:00")), 3_600);
        assert_eq!(berlin.offset_at_local(local("2024-10-27 03:00:00")), 3_600);
    }

    #[test]
    fn the_cache_never_changes_an_answer() {
        for name in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"] {
            let zone = Zone::named(name).unwrap();
            let cached = CachedZone::new(zone);
            for seconds in (-3_000_000_000..3_000_000_000_i64).step_by(86_399 / 3) {
                assert_eq!(cached.offset_at(seconds), zone.offset_at(seconds), "{name} {seconds}");
                assert_eq!(cached.offset_at(seconds + 1), zone.offset_at(seconds + 1));
            }
        }
    }
}
