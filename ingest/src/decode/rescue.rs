//! The column of what no other takes: a JSON object for each row that has some.
//!
//! Never: a value in another form than the input had, where the input is JSON.

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::Field;

use crate::encode::JsonColumn;
use crate::error::Result;
use crate::text::json::{Kind, Scanner, unescape};
use crate::text::{Parser, Zone};

/// What was rescued of the rows of a batch.
#[derive(Debug, Default)]
pub(crate) struct Rescued {
    /// The row, its field as a JSON string, and the field's value as JSON.
    members: Vec<(usize, String, String)>,
}

impl Rescued {
    /// Keeps a member: its name as a JSON string, its value as JSON.
    pub(crate) fn push(&mut self, row: usize, name: String, value: String) {
        self.members.push((row, name, value));
    }

    /// Keeps the values of a column that the table lacks; its name is given as JSON.
    pub(crate) fn push_column(
        &mut self,
        name: &str,
        field: &Field,
        column: &ArrayRef,
    ) -> Result<()> {
        let json = JsonColumn::new(field, column, &Zone::UTC)?;
        for row in (0..column.len()).filter(|row| !column.is_null(*row)) {
            self.push(row, name.to_owned(), json_value(&json, row));
        }
        Ok(())
    }

    /// The column of so many rows; this is then ready for the next batch.
    pub(crate) fn finish(&mut self, field: &Field, rows: usize) -> Result<ArrayRef> {
        if self.members.is_empty() {
            return Ok(new_null_array(field.data_type(), rows));
        }
        self.members.sort_by_key(|(row, ..)| *row);
        let mut parser = Parser::new(field, &Zone::UTC)?;
        let mut members = self.members.drain(..).peekable();
        let mut object = String::new();
        for row in 0..rows {
            object.clear();
            while let Some((_, name, value)) = members.next_if(|(of, ..)| *of == row) {
                object.push(if object.is_empty() { '{' } else { ',' });
                object.push_str(&name);
                object.push(':');
                object.push_str(&value);
            }
            if object.is_empty() {
                parser.append(None)?;
            } else {
                object.push('}');
                parser.append(Some(&object))?;
            }
        }
        parser.finish()
    }
}

/// The value of a field in a JSON object, as it stands there. The last of several counts, as in `jsonb`.
pub(super) fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let mut found = None;
    let mut scanner = Scanner::new(object);
    let read = scanner.members(|scanner, key| {
        let mut unescaped = String::new();
        let given = match key.kind {
            Kind::String { escaped: true } => {
                unescape(scanner.text(key), &mut unescaped)?;
                unescaped.as_str()
            }
            _ => scanner.text(key),
        };
        let is_it = given == name;
        let value = scanner.value()?;
        if is_it {
            let quotes = usize::from(matches!(value.kind, Kind::String { .. }));
            found = Some(value.start - quotes..value.end + quotes);
        }
        Ok(())
    });
    read.ok()?;
    object.get(found?)
}

/// What a batch has in columns that the table lacks, as the column [`super::RESCUED`] keeps it.
pub fn rescued_of(batch: &RecordBatch, columns: &[usize], field: &Field) -> Result<ArrayRef> {
    let mut rescued = Rescued::default();
    for at in columns {
        let column = batch.schema_ref().field(*at);
        rescued.push_column(&json_string(column.name()), column, batch.column(*at))?;
    }
    rescued.finish(field, batch.num_rows())
}

/// A value as JSON.
pub(crate) fn json_value(column: &JsonColumn, row: usize) -> String {
    let mut text = Vec::new();
    column.write(row, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// A text as a JSON string.
pub(crate) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_as_it_stands() {
        let object = r#"{"a": 1.50, "b\u0063": {"a": 2}, "s": "x\"y", "a": [1]}"#;
        assert_eq!(member(object, "a"), Some("[1]"));
        assert_eq!(member(object, "bc"), Some(r#"{"a": 2}"#));
        assert_eq!(member(object, "s"), Some(r#""x\"y""#));
        assert_eq!(member(object, "z"), None);
    }
}
