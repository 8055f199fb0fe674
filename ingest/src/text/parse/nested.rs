//! Columns of arrays and composite values from text: `{1,NULL,"a b"}` and `(1,"a b")`.
//!
//! Never: half a value. If an element is refused, those before it are taken back.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, NullBufferBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{FieldRef, Fields};

use super::{Column, Refused, column};
use crate::error::Result;
use crate::text::{ValueError, Zone};

/// A column of arrays.
pub(super) struct Lists {
    element: FieldRef,
    elements: Box<dyn Column>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Lists {
    pub(super) fn new(element: &FieldRef, elements: Box<dyn Column>) -> Self {
        Self {
            element: Arc::clone(element),
            elements,
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
        }
    }

    fn append(&mut self, text: &str) -> std::result::Result<(), ValueError> {
        let elements = split_array(text)?;
        let start = self.elements.len();
        let texts: Vec<_> = elements.iter().map(Option::as_deref).collect();
        self.elements
            .extend(&texts)
            .map_err(|refused| refused.error)
            .and_then(|()| {
                i32::try_from(self.elements.len()).map_err(|_| ValueError::column_full())
            })
            .map(|end| self.offsets.push(end))
            .inspect_err(|_| self.elements.truncate(start))
    }
}

impl Column for Lists {
    fn extend(&mut self, texts: &[Option<&str>]) -> std::result::Result<(), Refused> {
        for (index, text) in texts.iter().enumerate() {
            match text {
                Some(text) => self.append(text).map_err(|error| Refused { index, error })?,
                None => self.offsets.push(self.offsets[self.offsets.len() - 1]),
            }
            self.nulls.append(text.is_some());
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn truncate(&mut self, length: usize) {
        self.offsets.truncate(length + 1);
        self.elements.truncate(self.offsets.last().map_or(0, |end| *end as usize));
        self.nulls.truncate(length);
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        Ok(Arc::new(ListArray::try_new(
            Arc::clone(&self.element),
            OffsetBuffer::new(offsets.into()),
            self.elements.finish()?,
            self.nulls.finish(),
        )?))
    }
}

/// The elements of an array's text, without their quotes; `None` for NULL.
fn split_array(text: &str) -> std::result::Result<Vec<Option<String>>, ValueError> {
    let malformed = |detail| ValueError::array(text, detail);
    let mut characters = text.trim_start_matches(is_space).chars().peekable();
    match characters.next() {
        Some('{') => {}
        Some('[') => return Err(ValueError::array_dimensions(text)),
        _ => {
            let detail = "Array value must start with \"{\" or dimension information.";
            return Err(malformed(detail));
        }
    }
    let mut elements = Vec::new();
    loop {
        while characters.next_if(|next| is_space(*next)).is_some() {}
        let mut element = String::new();
        let mut quoted = false;
        // White space at the end of an element counts only if it was escaped.
        let mut kept = 0;
        let last = loop {
            match characters.next() {
                None => return Err(malformed("Unexpected end of input.")),
                Some(end @ (',' | '}')) => break end,
                Some('{') => return Err(ValueError::array_dimensions(text)),
                Some('"') if quoted || !element.is_empty() => {
                    return Err(malformed("Unexpected array element."));
                }
                Some('"') => {
                    quoted = true;
                    read_quoted(&mut characters, &mut element)
                        .ok_or_else(|| malformed("Unexpected end of input."))?;
                    kept = element.len();
                }
                Some(space) if quoted && is_space(space) => {}
                Some(_) if quoted => return Err(malformed("Unexpected array element.")),
                Some('\\') => {
                    let escaped = characters.next();
                    element.push(escaped.ok_or_else(|| malformed("Unexpected end of input."))?);
                    kept = element.len();
                }
                Some(character) => {
                    element.push(character);
                    kept = if is_space(character) { kept } else { element.len() };
                }
            }
        };
        element.truncate(kept);
        let empty = element.is_empty() && !quoted;
        if empty && last == '}' && elements.is_empty() {
            break;
        }
        if empty {
            let detail = if last == '}' {
                "Unexpected \"}\" character."
            } else {
                "Unexpected \",\" character."
            };
            return Err(malformed(detail));
        }
        // An escape, too, makes the word an ordinary text; it is rare enough to be left out.
        let null = !quoted && element.eq_ignore_ascii_case("null");
        elements.push((!null).then_some(element));
        if last == '}' {
            break;
        }
    }
    if characters.any(|character| !is_space(character)) {
        return Err(malformed("Junk after closing right brace."));
    }
    Ok(elements)
}

/// Reads to the closing quote; a backslash makes the next character ordinary.
fn read_quoted(characters: &mut impl Iterator<Item = char>, out: &mut String) -> Option<()> {
    loop {
        match characters.next()? {
            '"' => return Some(()),
            '\\' => out.push(characters.next()?),
            character => out.push(character),
        }
    }
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t'..='\r')
}

/// A column of composite values.
pub(super) struct Records {
    fields: Fields,
    columns: Vec<Box<dyn Column>>,
    nulls: NullBufferBuilder,
}

impl Records {
    pub(super) fn new(fields: &Fields, zone: &Zone) -> Result<Self> {
        Ok(Self {
            fields: fields.clone(),
            columns: fields.iter().map(|field| column(field, zone)).collect::<Result<_>>()?,
            nulls: NullBufferBuilder::new(0),
        })
    }

    fn append(&mut self, text: Option<&str>) -> std::result::Result<(), ValueError> {
        let values = match text {
            Some(text) => split_record(text, self.columns.len())?,
            None => vec![None; self.columns.len()],
        };
        let start = self.nulls.len();
        for (column, value) in self.columns.iter_mut().zip(&values) {
            if let Err(refused) = column.extend(&[value.as_deref()]) {
                self.columns.iter_mut().for_each(|column| column.truncate(start));
                return Err(refused.error);
            }
        }
        self.nulls.append(text.is_some());
        Ok(())
    }
}

impl Column for Records {
    fn extend(&mut self, texts: &[Option<&str>]) -> std::result::Result<(), Refused> {
        for (index, text) in texts.iter().enumerate() {
            self.append(*text).map_err(|error| Refused { index, error })?;
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.nulls.len()
    }

    fn truncate(&mut self, length: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(length));
        self.nulls.truncate(length);
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let length = self.nulls.len();
        let columns =
            self.columns.iter_mut().map(|column| column.finish()).collect::<Result<_>>()?;
        Ok(Arc::new(StructArray::try_new_with_length(
            self.fields.clone(),
            columns,
            self.nulls.finish(),
            length,
        )?))
    }
}

/// The fields of a composite value's text, without their quotes; `None` for NULL.
fn split_record(text: &str, count: usize) -> std::result::Result<Vec<Option<String>>, ValueError> {
    let malformed = |detail| ValueError::record(text, detail);
    let inside = text
        .trim_start_matches(is_space)
        .strip_prefix('(')
        .ok_or_else(|| malformed("Missing left parenthesis."))?;
    let mut characters = inside.chars();
    let mut fields = Vec::with_capacity(count);
    loop {
        let mut field = None::<String>;
        let last = loop {
            match characters.next().ok_or_else(|| malformed("Unexpected end of input."))? {
                end @ (',' | ')') => break end,
                '"' => read_quoted_field(&mut characters, field.get_or_insert_default())
                    .ok_or_else(|| malformed("Unexpected end of input."))?,
                '\\' => {
                    let escaped = characters.next();
                    let escaped = escaped.ok_or_else(|| malformed("Unexpected end of input."))?;
                    field.get_or_insert_default().push(escaped);
                }
                character => field.get_or_insert_default().push(character),
            }
        };
        fields.push(field);
        if last == ')' {
            break;
        }
    }
    match fields.len() {
        fewer if fewer < count => return Err(malformed("Too few columns.")),
        more if more > count => return Err(malformed("Too many columns.")),
        _ => {}
    }
    if characters.any(|character| !is_space(character)) {
        return Err(malformed("Junk after right parenthesis."));
    }
    Ok(fields)
}

/// Reads to the closing quote; a doubled quote is one quote.
fn read_quoted_field(characters: &mut std::str::Chars<'_>, out: &mut String) -> Option<()> {
    loop {
        match characters.next()? {
            '"' if characters.as_str().starts_with('"') => {
                characters.next();
                out.push('"');
            }
            '"' => return Some(()),
            '\\' => out.push(characters.next()?),
            character => out.push(character),
        }
    }
}
