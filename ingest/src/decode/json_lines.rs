//! Records of JSON lines: an object a line, its fields to the columns of the same name.
//!
//! Never: a guess about a value. Strings, numbers and truth values give their text to the
//! column's parser; what that refuses is refused.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Fields};
use memchr::memchr;

use super::block::{ADDRESSABLE_BYTES, Block, Span};
use super::options::UnknownFields;
use super::records::{Found, Malformed, Record, Records};
use crate::text::json::{Kind, Scanner, Value, unescape};
use crate::text::{TYPE_KEY, ValueError, element_field};

type Result<T> = std::result::Result<T, ValueError>;

/// A reader of JSON lines.
#[derive(Debug)]
pub(super) struct JsonLines<'a> {
    text: &'a str,
    at: usize,
    columns: Vec<Column<'a>>,
    by_name: HashMap<&'a str, usize>,
    unknown: UnknownFields,
    /// The characters at hand, while escapes are resolved.
    characters: String,
}

#[derive(Debug)]
struct Column<'a> {
    name: &'a str,
    field: &'a Field,
    /// The value is wanted as JSON, not as text.
    json: bool,
}

impl<'a> JsonLines<'a> {
    pub(super) fn new(text: &'a str, fields: &'a Fields, unknown: UnknownFields) -> Self {
        let column = |field: &'a Field| Column { name: field.name(), field, json: is_json(field) };
        let columns: Vec<_> = fields.iter().map(|field| column(field)).collect();
        let by_name = columns.iter().enumerate().map(|(index, column)| (column.name, index));
        let by_name = by_name.collect();
        Self { text, at: 0, columns, by_name, unknown, characters: String::new() }
    }

    fn object(&mut self, line: &'a str, offset: usize, block: &mut Block) -> Result<()> {
        let first_span = block.spans.len();
        block.spans.resize(first_span + self.columns.len(), Span::NULL);
        let mut scanner = Scanner::new(line);
        let mut expected = 0;
        scanner.members(|scanner, key| {
            let Some(column) = self.column(scanner, key, expected)? else {
                let value = scanner.value()?;
                if self.unknown == UnknownFields::RefuseValues && value.kind != Kind::Null {
                    return Err(unknown_field(scanner.text(key)));
                }
                if self.unknown == UnknownFields::Rescue && value.kind != Kind::Null {
                    let quotes = usize::from(matches!(value.kind, Kind::String { .. }));
                    let value = offset + value.start - quotes..offset + value.end + quotes;
                    let key = offset + key.start - 1..offset + key.end + 1;
                    block.unknown.push((block.rows(), key, value));
                }
                return Ok(());
            };
            // Producers write the same fields in the same order.
            expected = column + 1;
            block.spans[first_span + column] = self.value(scanner, column, offset, block)?;
            Ok(())
        })?;
        scanner.end()
    }

    /// The column that has the name of a key.
    #[inline]
    fn column(
        &mut self,
        scanner: &Scanner<'_>,
        key: Value,
        expected: usize,
    ) -> Result<Option<usize>> {
        let name = scanner.text(key);
        if self.columns.get(expected).is_some_and(|column| column.name == name) {
            return Ok(Some(expected));
        }
        let unescaped;
        let name = if key.kind == (Kind::String { escaped: true }) {
            unescaped = self.characters(name)?.to_owned();
            &unescaped
        } else {
            name
        };
        match (self.by_name.get(name), self.unknown) {
            (Some(column), _) => Ok(Some(*column)),
            (None, UnknownFields::Refuse) => Err(unknown_field(name)),
            (None, _) => Ok(None),
        }
    }

    /// Passes over a value and says where its text lies.
    #[inline]
    fn value(
        &mut self,
        scanner: &mut Scanner<'_>,
        column: usize,
        offset: usize,
        block: &mut Block,
    ) -> Result<Span> {
        let column = &self.columns[column];
        let nested = matches!(column.field.data_type(), DataType::List(_) | DataType::Struct(_));
        if nested && matches!(scanner.peek(), Some(b'[' | b'{')) {
            let start = block.rewritten.len();
            literal(scanner, column.field, self.unknown, &mut block.rewritten)?;
            // Quotes within quotes make a text longer than it was.
            if block.rewritten.len() > ADDRESSABLE_BYTES {
                return Err(ValueError::row_length(ADDRESSABLE_BYTES));
            }
            return Ok(Span::rewritten(start, block.rewritten.len()));
        }
        let json = column.json;
        let value = scanner.value()?;
        let (start, end) = (offset + value.start, offset + value.end);
        Ok(match value.kind {
            Kind::Null => Span::NULL,
            Kind::String { .. } if json => Span::quoted(start - 1, end + 1),
            Kind::String { escaped: true } => {
                let start = block.rewritten.len();
                let characters = self.characters(scanner.text(value))?;
                block.rewritten.push_str(characters);
                Span::rewritten(start, block.rewritten.len())
            }
            _ => Span::quoted(start, end),
        })
    }

    /// The characters that the inside of a string stands for.
    fn characters(&mut self, inside: &str) -> Result<&str> {
        self.characters.clear();
        unescape(inside, &mut self.characters)?;
        Ok(&self.characters)
    }
}

impl Records for JsonLines<'_> {
    fn position(&self) -> usize {
        self.at
    }

    fn read(
        &mut self,
        block: &mut Block,
        columns: usize,
    ) -> std::result::Result<Record, Malformed> {
        let start = self.at;
        let rest = &self.text[start..];
        let length = memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
        self.at = (start + length + 1).min(self.text.len());
        let line = rest[..length].strip_suffix('\r').unwrap_or(&rest[..length]);
        if line.bytes().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Ok(Record::Blank);
        }
        let end = start + line.len();
        match self.object(line, start, block) {
            Ok(()) => Ok(Record::Row { fields: columns, end }),
            Err(reason) => Err(Malformed { reason, found: Found::Record { end } }),
        }
    }
}

/// Passes over a value and appends it as a Postgres text of the type: `{"1","2"}` for an array,
/// `("1","a")` for an object. Says whether it was null, which is then not written.
fn literal(
    scanner: &mut Scanner<'_>,
    field: &Field,
    unknown: UnknownFields,
    out: &mut String,
) -> Result<bool> {
    match (scanner.peek(), field.data_type()) {
        (Some(b'['), DataType::List(element)) => {
            let element = element_field(field, element);
            out.push('{');
            let mut separator = "";
            scanner.elements(|scanner| {
                out.push_str(std::mem::replace(&mut separator, ","));
                let start = out.len();
                if literal(scanner, &element, unknown, out)? {
                    out.push_str("NULL");
                } else {
                    quote(out, start);
                }
                Ok(())
            })?;
            out.push('}');
            Ok(false)
        }
        (Some(b'{'), DataType::Struct(fields)) => {
            let mut texts = vec![None; fields.len()];
            scanner.members(|scanner, key| {
                let mut text = String::new();
                let name = scanner.text(key);
                let Some(index) = fields.iter().position(|field| field.name() == name) else {
                    return match unknown {
                        // What is rescued is whole fields.
                        UnknownFields::Refuse
                        | UnknownFields::RefuseValues
                        | UnknownFields::Rescue => Err(unknown_field(name)),
                        UnknownFields::Ignore => scanner.value().map(drop),
                    };
                };
                let null = literal(scanner, &fields[index], unknown, &mut text)?;
                texts[index] = (!null).then_some(text);
                Ok(())
            })?;
            out.push('(');
            for (index, text) in texts.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                if let Some(text) = text {
                    let start = out.len();
                    out.push_str(text);
                    quote(out, start);
                }
            }
            out.push(')');
            Ok(false)
        }
        _ => {
            let value = scanner.value()?;
            let text = scanner.text(value);
            match value.kind {
                Kind::Null => return Ok(true),
                Kind::String { .. } if is_json(field) => {
                    out.push('"');
                    out.push_str(text);
                    out.push('"');
                }
                Kind::String { escaped: true } => unescape(text, out)?,
                _ => out.push_str(text),
            }
            Ok(false)
        }
    }
}

/// Whether a column's values are wanted as JSON, not as text.
fn is_json(field: &Field) -> bool {
    matches!(field.metadata().get(TYPE_KEY).map(String::as_str), Some("json" | "jsonb"))
}

#[cold]
fn unknown_field(name: &str) -> ValueError {
    ValueError::row_shape(format!("field \"{name}\" matches no column"))
}

/// Puts the text from `start` on into quotes; arrays and composite values both read backslashes.
fn quote(out: &mut String, start: usize) {
    let text = out.split_off(start);
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}
