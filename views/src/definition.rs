//! What WITH says about a materialized view.
//!
//! ```sql
//! CREATE MATERIALIZED VIEW features.user_7d
//!   WITH (entity = 'user_id', event_time = 'ts', refresh_mode = 'auto') AS SELECT ...
//! ```
//!
//! Never: accepts an option that nothing would honour. What is planned but not there is refused
//! as such, with what to do instead.

use std::str::FromStr;

use datafusion::arrow::datatypes::{DataType, Schema};

use crate::{Error, Result};

/// The options of a materialized view, by which it is refreshed and joined.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ViewDefinition {
    /// The columns that say what a row is about, such as `user_id`; may be empty.
    pub entity: Vec<String>,
    /// The column that says since when a row holds.
    pub event_time: Option<String>,
    /// How a refresh finds the new rows.
    pub refresh_mode: RefreshMode,
}

/// How a refresh finds the new rows of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RefreshMode {
    /// The server chooses. So far it always runs the whole query again.
    #[default]
    Auto,
    /// Every refresh runs the whole query again.
    Full,
}

const ENTITY: &str = "entity";
const EVENT_TIME: &str = "event_time";
const TTL: &str = "ttl";
const TARGET_LAG: &str = "target_lag";
const REFRESH_MODE: &str = "refresh_mode";
const ONLINE: &str = "online";
const OPTIONS: [&str; 6] = [ENTITY, EVENT_TIME, TTL, TARGET_LAG, REFRESH_MODE, ONLINE];

impl ViewDefinition {
    /// Reads the options as WITH has them, in order: names in lower case, values without quotes.
    pub fn from_options<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let (mut definition, mut seen) = (Self::default(), Vec::new());
        for (name, value) in options {
            let option = known(name)?;
            if seen.contains(&option) {
                return Err(refused(option, value, "it is set twice"));
            }
            seen.push(option);
            definition.set(option, value)?;
        }
        Ok(definition)
    }

    fn set(&mut self, option: &'static str, value: &str) -> Result<()> {
        let not_supported = |reason, hint| {
            Err(Error::OptionNotSupported { option, value: value.to_owned(), reason, hint })
        };
        match option {
            ENTITY => self.entity = columns(option, value)?,
            EVENT_TIME => match columns(option, value)?.as_slice() {
                [column] => self.event_time = Some(column.clone()),
                _ => return Err(refused(option, value, "it is a single column")),
            },
            REFRESH_MODE => match value {
                "auto" => self.refresh_mode = RefreshMode::Auto,
                "full" => self.refresh_mode = RefreshMode::Full,
                "incremental" => {
                    return not_supported(
                        "a refresh runs the whole query again",
                        "Set it to 'auto' to be refreshed incrementally once that is possible.",
                    );
                }
                _ => return Err(refused(option, value, "it is auto, full or incremental")),
            },
            ONLINE if boolean(option, value)? => {
                return not_supported(
                    "there are no online lookups",
                    "Leave it out, and read the view by its name.",
                );
            }
            ONLINE => {}
            TARGET_LAG => {
                return not_supported(
                    "views are not refreshed by themselves",
                    "Leave it out, and run REFRESH MATERIALIZED VIEW when the view is to be fresh.",
                );
            }
            _ => {
                return not_supported(
                    "rows do not expire",
                    "Leave it out, and bound the age where the view is joined: \
                     MATCH_CONDITION (l.ts >= f.ts AND l.ts - f.ts <= INTERVAL '30 days').",
                );
            }
        }
        Ok(())
    }

    /// Checks that the columns that the options name are columns of the view, and of a fitting type.
    pub fn check(&self, columns: &Schema) -> Result<()> {
        let find = |option, name: &String| {
            let found = columns.fields().iter().find(|field| field.name() == name);
            found.ok_or_else(|| refused(option, name, "the view has no such column"))
        };
        for column in &self.entity {
            find(ENTITY, column)?;
        }
        if let Some(column) = &self.event_time {
            let data_type = find(EVENT_TIME, column)?.data_type();
            if !matches!(data_type, DataType::Timestamp(_, _) | DataType::Date32) {
                return Err(refused(EVENT_TIME, column, "it is neither a timestamp nor a date"));
            }
        }
        Ok(())
    }
}

fn known(name: &str) -> Result<&'static str> {
    if let Some(option) = OPTIONS.into_iter().find(|option| *option == name) {
        return Ok(option);
    }
    let mut nearest = OPTIONS;
    nearest.sort_by_key(|option| distance(option, name));
    Err(Error::UnknownOption { option: name.to_owned(), nearest: nearest[0] })
}

/// How many letters must be inserted, removed or replaced to turn one word into another.
fn distance(a: &str, b: &str) -> usize {
    let mut row = (0..=b.chars().count()).collect::<Vec<_>>();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Names of columns, separated by commas, folded to lower case unless they are quoted.
fn columns(option: &'static str, value: &str) -> Result<Vec<String>> {
    let mut columns = Vec::new();
    let mut rest = value.trim_start();
    loop {
        let (column, after) = first_name(rest)
            .ok_or_else(|| refused(option, value, "it is not a list of column names"))?;
        if columns.contains(&column) {
            return Err(refused(option, value, "it names a column twice"));
        }
        columns.push(column);
        rest = match after.trim_start() {
            "" => return Ok(columns),
            after => after
                .strip_prefix(',')
                .ok_or_else(|| refused(option, value, "its columns are separated by commas"))?
                .trim_start(),
        };
    }
}

/// The name that a text begins with, and what follows it.
fn first_name(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut name = String::new();
        let mut letters = quoted.char_indices().peekable();
        while let Some((place, letter)) = letters.next() {
            if letter != '"' {
                name.push(letter);
            } else if letters.next_if(|(_, next)| *next == '"').is_some() {
                name.push('"');
            } else {
                return (!name.is_empty()).then_some((name, &quoted[place + 1..]));
            }
        }
        return None;
    }
    let letter = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let end = text.find(|c: char| !letter(c)).unwrap_or(text.len());
    let starts = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    starts.then(|| (text[..end].to_lowercase(), &text[end..]))
}

/// A boolean in the words of Postgres.
fn boolean(option: &'static str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "yes" | "1" | "t" => Ok(true),
        "off" | "no" | "0" | "f" => Ok(false),
        word => bool::from_str(word).map_err(|_| refused(option, value, "it is true or false")),
    }
}

fn refused(option: &'static str, value: &str, reason: &str) -> Error {
    Error::OptionValue { option, value: value.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use datafusion::arrow::datatypes::{Field, TimeUnit};

    use super::*;

    fn read(options: &[(&str, &str)]) -> Result<ViewDefinition> {
        ViewDefinition::from_options(options.iter().copied())
    }

    fn error(name: &str, value: &str) -> String {
        read(&[(name, value)]).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let definition = read(&[]).unwrap();
        assert_eq!(definition, ViewDefinition::default());
        assert_eq!(definition.refresh_mode, RefreshMode::Auto);
    }

    #[test]
    fn columns_are_names_as_in_a_statement() {
        let definition = read(&[
            ("entity", " User_Id ,\"Merchant \"\"X\"\", Y\",ort_ä"),
            ("event_time", "ts"),
            ("refresh_mode", "full"),
            ("online", "off"),
        ]);
        assert_eq!(
            definition.unwrap(),
            ViewDefinition {
                entity: vec!["user_id".into(), "Merchant \"X\", Y".into(), "ort_ä".into()],
                event_time: Some("ts".into()),
                refresh_mode: RefreshMode::Full,
            }
        );
    }

    #[test]
    fn what_is_no_list_of_columns_is_refused() {
        for value in ["", " ", "a,", ",a", "a,,b", "1a", "a.b", "\"a", "\"\"", "a b"] {
            let message = error("entity", value);
            assert!(message.starts_with(&format!("cannot set option \"entity\" to \"{value}\": ")));
        }
        assert!(error("entity", "a, A").ends_with("it names a column twice"));
        assert!(error("event_time", "a, b").ends_with("it is a single column"));
    }

    #[test]
    fn an_unknown_option_gets_the_nearest_known_name() {
        for (name, nearest) in [
            ("entities", "entity"),
            ("eventtime", "event_time"),
            ("refreshmode", "refresh_mode"),
            ("tll", "ttl"),
            ("targetlag", "target_lag"),
            ("on_line", "online"),
        ] {
            let error = read(&[(name, "x")]).unwrap_err();
            assert_eq!(error, Error::UnknownOption { option: name.to_owned(), nearest });
            assert_eq!(error.hint().unwrap(), format!("Did you mean \"{nearest}\"?"));
        }
    }

    #[test]
    fn what_cannot_be_honoured_yet_is_refused_with_a_way_out() {
        for (name, value, reason) in [
            ("refresh_mode", "incremental", "a refresh runs the whole query again"),
            ("online", "true", "there are no online lookups"),
            ("target_lag", "1 minute", "views are not refreshed by themselves"),
            ("ttl", "30 days", "rows do not expire"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            let message = format!("cannot set option \"{name}\" to \"{value}\" yet: {reason}");
            assert_eq!(error.to_string(), message);
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn values_of_other_kinds_are_refused() {
        assert!(error("refresh_mode", "sometimes").ends_with("it is auto, full or incremental"));
        assert!(error("online", "maybe").ends_with("it is true or false"));
        let twice = read(&[("event_time", "a"), ("event_time", "b")]).unwrap_err();
        assert!(twice.to_string().ends_with("it is set twice"));
    }

    #[test]
    fn columns_must_be_columns_of_the_view() {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let view = Schema::new(vec![
            Field::new("user_id", DataType::Int64, false),
            Field::new("ts", micros, false),
        ]);
        let check = |entity: &str, event_time: &str| {
            let definition = read(&[("entity", entity), ("event_time", event_time)]).unwrap();
            definition.check(&view).map_err(|error| error.to_string())
        };
        assert_eq!(check("user_id", "ts"), Ok(()));
        let missing = "cannot set option \"entity\" to \"merchant\": the view has no such column";
        assert_eq!(check("user_id, merchant", "ts"), Err(missing.to_owned()));
        assert!(check("user_id", "at").unwrap_err().ends_with("the view has no such column"));
        assert!(check("ts", "user_id").unwrap_err().ends_with("neither a timestamp nor a date"));
    }
}
