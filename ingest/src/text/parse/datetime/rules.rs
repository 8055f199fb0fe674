//! What the tokens of a date or time mean, by PostgreSQL's rules for `DateStyle = 'ISO, mdy'`.
//!
//! Never: Julian dates, or the letters of old ISO forms (`y2001m02d04`).

use super::tokens::{Token, split};
use super::{Fault, MICROS_PER_DAY, MICROS_PER_SECOND, Moment, Zone, within_a_day};
use crate::text::calendar::{days_from_civil, days_in_month};

type Result<T> = std::result::Result<T, Fault>;

/// PostgreSQL's limit for the hours of an offset.
const OFFSET_HOURS_MAX: i64 = 15;

/// The parts found so far. A part that comes twice makes the text no date.
#[derive(Debug, Default)]
struct Parts {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    /// Days to add, where the date was written as a year and the day of that year.
    day_of_year: i64,
    /// The year had at most two digits, so that the century is to be guessed.
    short_year: bool,
    /// The month was a name, so that the numbers are the day and the year.
    named_month: bool,
    time: Option<Clock>,
    zone: Option<Zone>,
    before_christ: Option<bool>,
    afternoon: Option<bool>,
    epoch: bool,
    /// A `t` stood before: the next token is a time.
    time_follows: bool,
    /// A date is not looked for: a number is a time.
    time_only: bool,
    weekday: bool,
}

/// Hours, minutes, seconds and microseconds as they were written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::text::parse) struct Clock {
    pub(in crate::text::parse) hour: i64,
    pub(in crate::text::parse) minute: i64,
    pub(in crate::text::parse) second: i64,
    pub(in crate::text::parse) micros: i64,
}

impl Clock {
    pub(in crate::text::parse) fn total(&self) -> Option<i64> {
        let seconds = self.hour.checked_mul(3_600)?.checked_add(self.minute * 60 + self.second)?;
        seconds.checked_mul(MICROS_PER_SECOND)?.checked_add(self.micros)
    }
}

/// Reads a date with or without a time.
pub(super) fn moment(text: &str) -> Result<Moment> {
    let parts = Parts::read(text, false)?;
    if parts.epoch {
        return Ok(Moment { zone: Some(Zone::UTC), ..Moment::default() });
    }
    let days = parts.days()?;
    let micros_of_day = parts.micros_of_day()?;
    Ok(Moment { days: days.ok_or(Fault::Syntax)?, micros_of_day, zone: parts.zone })
}

/// Reads a time of day; a date or an offset beside it is checked, then ignored.
pub(super) fn time_of_day(text: &str) -> Result<i64> {
    let parts = Parts::read(text, true)?;
    if parts.year.is_some() || parts.month.is_some() || parts.day.is_some() {
        parts.days()?.ok_or(Fault::Syntax)?;
    }
    if parts.time.is_none() {
        return Err(Fault::Syntax);
    }
    parts.micros_of_day()
}

impl Parts {
    fn read(text: &str, time_only: bool) -> Result<Self> {
        let tokens = split(text).ok_or(Fault::Syntax)?;
        if tokens.is_empty() {
            return Err(Fault::Syntax);
        }
        let mut parts = Self { time_only, ..Self::default() };
        for (index, token) in tokens.iter().enumerate() {
            parts.token(token, tokens.get(index + 1))?;
        }
        Ok(parts)
    }

    fn token(&mut self, token: &Token, next: Option<&Token>) -> Result<()> {
        match token {
            Token::Time(text) => {
                self.time_follows = false;
                let time = clock(text)?;
                self.set_time(time)
            }
            Token::Signed(text) => {
                let zone = offset(text)?;
                self.set_zone(zone)
            }
            Token::Number(text) if std::mem::take(&mut self.time_follows) => {
                let time = run_together_time(text).ok_or(Fault::Syntax)?;
                self.set_time(time?)
            }
            Token::Number(text) => self.number_token(text),
            Token::Date(text) if self.has_date() || std::mem::take(&mut self.time_follows) => {
                self.time_or_zone(text)
            }
            Token::Date(text) => self.date(text),
            Token::Word(word) => self.word(word, next),
            Token::SignedWord(word) => match &word[1..] {
                "inf" | "infinity" => Err(Fault::Special),
                _ => Err(Fault::Syntax),
            },
        }
    }

    fn has_date(&self) -> bool {
        self.year.is_some() && self.month.is_some() && self.day.is_some()
    }

    fn set_time(&mut self, time: Clock) -> Result<()> {
        set(&mut self.time, time)
    }

    fn set_zone(&mut self, zone: Zone) -> Result<()> {
        set(&mut self.zone, zone)
    }

    /// A number: part of a date by its place, or a date or time whose digits run together.
    fn number_token(&mut self, text: &str) -> Result<()> {
        let whole = text.split('.').next().unwrap_or("");
        let pointed = whole.len() < text.len();
        if pointed && !self.has_date() && !self.time_only {
            return self.date(text);
        }
        let date_is_known = self.has_date() || self.time_only;
        let open = !date_is_known || self.time.is_none();
        if pointed && whole.len() > 2 || whole.len() >= 6 && open || date_is_known {
            return self.run_together(text, whole, date_is_known);
        }
        self.number(text)
    }

    /// `20200131`, `200131`, `040506`, `0405`, `040506.789`.
    fn run_together(&mut self, text: &str, whole: &str, date_is_known: bool) -> Result<()> {
        if !date_is_known && whole.len() >= 6 && whole.len() == text.len() {
            let (rest, day) = whole.split_at(whole.len() - 2);
            let (year, month) = rest.split_at(rest.len() - 2);
            if self.year.is_some() || self.month.is_some() || self.day.is_some() {
                return Err(Fault::Syntax);
            }
            self.short_year = year.len() == 2;
            self.year = Some(number(year)?);
            self.month = Some(number(month)?);
            self.day = Some(number(day)?);
            return Ok(());
        }
        let time = run_together_time(text).ok_or(Fault::Syntax)?;
        self.set_time(time?)
    }

    /// A date in parts: `2020-01-31`, `31-jan-2020`, `1/31/2020`.
    fn date(&mut self, text: &str) -> Result<()> {
        // Nothing but a zone may stand before it.
        if self.time.is_some()
            || self.weekday
            || self.afternoon.is_some()
            || self.before_christ.is_some()
        {
            return Err(Fault::Syntax);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
            let first = rest.chars().next().ok_or(Fault::Syntax)?;
            let digits = first.is_ascii_digit();
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() || c.is_ascii_digit() != digits)
                .unwrap_or(rest.len());
            parts.push(&rest[..end]);
            // One character after a part is passed over, as a separator.
            let after = &rest[end..];
            let separator = after.chars().next().map_or(0, char::len_utf8);
            let joined = after.starts_with(|c: char| c.is_ascii_alphanumeric());
            rest = if joined { after } else { &after[separator..] };
        }
        for part in parts.iter().filter(|part| part.starts_with(|c: char| c.is_ascii_lowercase())) {
            let named = month(part).ok_or(Fault::Syntax)?;
            set(&mut self.month, named)?;
            self.named_month = true;
        }
        for part in parts.iter().filter(|part| part.starts_with(|c: char| c.is_ascii_digit())) {
            self.number(part)?;
        }
        if self.has_date() { Ok(()) } else { Err(Fault::Syntax) }
    }

    /// A number that is a year, month or day: which one, its place and its length tell.
    fn number(&mut self, text: &str) -> Result<()> {
        let value = number(text)?;
        let long = text.len() >= 3;
        match (self.year, self.month, self.day) {
            (None, None, None) if long => self.set_year(value, text),
            (None, None, None) => self.month = Some(value),
            (Some(_), None, None) if text.len() == 3 && (1..=366).contains(&value) => {
                self.day_of_year = value - 1;
                self.month = Some(1);
                self.day = Some(1);
            }
            (Some(_), None, None) | (None, None, Some(_)) => self.month = Some(value),
            (None, Some(_), None) if self.named_month && long => self.set_year(value, text),
            (None, Some(_), None) => self.day = Some(value),
            (Some(year), Some(_), None) => {
                if self.named_month && long && self.short_year {
                    // The number before the month was the day after all: 05-jan-2020.
                    self.day = Some(year);
                    self.set_year(value, text);
                } else {
                    self.day = Some(value);
                }
            }
            (None, Some(_), Some(_)) => self.set_year(value, text),
            _ => return Err(Fault::Syntax),
        }
        Ok(())
    }

    fn set_year(&mut self, value: i64, text: &str) {
        self.year = Some(value);
        self.short_year = text.len() <= 2;
    }

    /// After a date, a token with separators is a zone's name, or a time with an offset:
    /// `040506-08`.
    fn time_or_zone(&mut self, text: &str) -> Result<()> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let at = text.find('-').ok_or(Fault::Syntax)?;
            let zone = offset(&text[at..])?;
            self.set_zone(zone)?;
            let time = run_together_time(&text[..at]).ok_or(Fault::Syntax)?;
            return self.set_time(time?);
        }
        let zone = Zone::named(text).ok_or_else(|| Fault::ZoneName(text.to_owned()))?;
        self.set_zone(zone)
    }

    fn word(&mut self, word: &str, next: Option<&Token>) -> Result<()> {
        if let Some(zone) = Zone::abbreviated(word) {
            return self.set_zone(zone);
        }
        match word {
            "at" | "on" => Ok(()),
            "am" => set(&mut self.afternoon, false),
            "pm" => set(&mut self.afternoon, true),
            "ad" => set(&mut self.before_christ, false),
            "bc" => set(&mut self.before_christ, true),
            "allballs" => {
                self.set_zone(Zone::UTC)?;
                self.set_time(Clock::default())
            }
            "epoch" => {
                self.epoch = true;
                Ok(())
            }
            "inf" | "infinity" | "now" | "today" | "tomorrow" | "yesterday" => Err(Fault::Special),
            "t" => {
                self.time_follows =
                    matches!(next, Some(Token::Number(_) | Token::Time(_) | Token::Date(_)));
                let after_date = self.has_date() || self.time_only;
                if after_date && self.time_follows { Ok(()) } else { Err(Fault::Syntax) }
            }
            _ if weekday(word) => {
                self.weekday = true;
                Ok(())
            }
            _ => self.month_or_zone(word),
        }
    }

    fn month_or_zone(&mut self, word: &str) -> Result<()> {
        let Some(named) = month(word) else {
            let zone = Zone::named(word).ok_or(Fault::Syntax)?;
            return self.set_zone(zone);
        };
        if let (Some(number @ 1..=31), None) = (self.month, self.day)
            && !self.named_month
        {
            // A number before the month's name was the day: 5 january.
            self.day = Some(number);
            self.month = None;
        }
        self.named_month = true;
        set(&mut self.month, named)
    }

    /// The day since 1970-01-01; `None` if a part of the date is missing.
    fn days(&self) -> Result<Option<i64>> {
        let year = self.year.map(|year| self.full_year(year)).transpose()?;
        if self.month.is_some_and(|month| !(1..=12).contains(&month))
            || self.day.is_some_and(|day| !(1..=31).contains(&day))
        {
            return Err(Fault::Order);
        }
        let (Some(year), Some(month), Some(day)) = (year, self.month, self.day) else {
            return Ok(None);
        };
        let (month, day) = (month as u32, day as u32);
        if day > days_in_month(year, month) {
            return Err(Fault::Field);
        }
        Ok(Some(days_from_civil(year, month, day) + self.day_of_year))
    }

    /// The year as the calendar counts: two digits lie between 1970 and 2069, 1 BC is 0.
    fn full_year(&self, year: i64) -> Result<i64> {
        match (self.before_christ, self.short_year) {
            (Some(true), _) if year > 0 => Ok(1 - year),
            (Some(true), _) => Err(Fault::Field),
            (_, true) if year < 70 => Ok(year + 2_000),
            (_, true) => Ok(year + 1_900),
            _ if year > 0 => Ok(year),
            _ => Err(Fault::Field),
        }
    }

    fn micros_of_day(&self) -> Result<i64> {
        let mut time = self.time.unwrap_or_default();
        if let Some(afternoon) = self.afternoon {
            time.hour = match (time.hour, afternoon) {
                (13.., _) => return Err(Fault::Field),
                (12, false) => 0,
                (12, true) => 12,
                (hour, true) => hour + 12,
                (hour, false) => hour,
            };
        }
        time.total().filter(|micros| *micros <= MICROS_PER_DAY).ok_or(Fault::Field)
    }
}

fn set<T>(part: &mut Option<T>, value: T) -> Result<()> {
    match part.replace(value) {
        None => Ok(()),
        Some(_) => Err(Fault::Syntax),
    }
}

/// Digits alone; no digits are zero, as for PostgreSQL.
fn number(digits: &str) -> Result<i64> {
    if digits.is_empty() {
        return Ok(0);
    }
    digits.parse::<i32>().map(i64::from).map_err(|error| match error.kind() {
        std::num::IntErrorKind::PosOverflow => Fault::Field,
        _ => Fault::Syntax,
    })
}

/// `04:05`, `04:05:06.789`; also `05:06.789`, which is minutes and seconds.
pub(in crate::text::parse) fn clock(text: &str) -> Result<Clock> {
    let (whole, micros) = match text.find('.') {
        Some(at) => (&text[..at], Some(fraction(&text[at..]).ok_or(Fault::Syntax)?)),
        None => (text, None),
    };
    let mut parts = whole.split(':');
    let first = number(parts.next().unwrap_or(""))?;
    let second = number(parts.next().ok_or(Fault::Syntax)?)?;
    let third = parts.next().map(number).transpose()?;
    if parts.next().is_some() {
        return Err(Fault::Syntax);
    }
    let (hour, minute, second) = match (third, micros) {
        (Some(third), _) => (first, second, third),
        (None, Some(_)) => (0, first, second),
        (None, None) => (first, second, 0),
    };
    if minute > 59 || second > 60 {
        return Err(Fault::Field);
    }
    Ok(Clock { hour, minute, second, micros: micros.unwrap_or(0) })
}

/// `.789` in microseconds, rounded.
pub(in crate::text::parse) fn fraction(text: &str) -> Option<i64> {
    let seconds: f64 = if text == "." { 0.0 } else { text.parse().ok()? };
    Some((seconds * MICROS_PER_SECOND as f64).round_ties_even() as i64)
}

/// `040506`, `0405` or `040506.789`; `None` if it has another number of digits.
fn run_together_time(text: &str) -> Option<Result<Clock>> {
    let (whole, micros) = match text.find('.') {
        Some(at) => (&text[..at], fraction(&text[at..])?),
        None => (text, 0),
    };
    let second = match whole.len() {
        6 => &whole[4..],
        4 => "0",
        _ => return None,
    };
    let parts = (whole[..2].parse(), whole[2..4].parse(), second.parse());
    let (Ok(hour), Ok(minute), Ok(second)) = parts else {
        return None;
    };
    if minute > 59 || second > 60 {
        return Some(Err(Fault::Field));
    }
    Some(Ok(Clock { hour, minute, second, micros }))
}

/// `+05`, `+0530`, `-05:30`, `+05:30:15`.
fn offset(text: &str) -> Result<Zone> {
    let negative = text.starts_with('-');
    let digits = &text[1..];
    let mut parts = digits.split(':');
    let part = |part: &str| {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            number(part).map_err(|_| Fault::ZoneOffset)
        } else {
            Err(Fault::Syntax)
        }
    };
    let mut hours = part(parts.next().unwrap_or(""))?;
    let minutes = parts.next().map(part).transpose()?;
    let seconds = parts.next().map(part).transpose()?.unwrap_or(0);
    if parts.next().is_some() {
        return Err(Fault::Syntax);
    }
    let minutes = minutes.unwrap_or_else(|| {
        let run_together = digits.len() > 2;
        let minutes = if run_together { hours % 100 } else { 0 };
        hours = if run_together { hours / 100 } else { hours };
        minutes
    });
    if hours > OFFSET_HOURS_MAX || minutes > 59 || seconds > 59 {
        return Err(Fault::ZoneOffset);
    }
    let total = hours * 3_600 + minutes * 60 + seconds;
    let signed = if negative { -total } else { total };
    within_a_day(signed).then(|| Zone::fixed(signed as i32)).flatten().ok_or(Fault::ZoneOffset)
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A month by its name or first three letters.
pub(super) fn month(word: &str) -> Option<i64> {
    let index = MONTHS.iter().position(|name| {
        *name == word || *name == "september" && word == "sept" || name[..3] == *word
    })?;
    Some(index as i64 + 1)
}

/// The day of the week may be written, and is ignored.
pub(super) fn weekday(word: &str) -> bool {
    matches!(
        word,
        "sun"
            | "sunday"
            | "mon"
            | "monday"
            | "tue"
            | "tues"
            | "tuesday"
            | "wed"
            | "weds"
            | "wednesday"
            | "thu"
            | "thur"
            | "thurs"
            | "thursday"
            | "fri"
            | "friday"
            | "sat"
            | "saturday"
    )
}
