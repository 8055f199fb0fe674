//! Columns of text and bytes, and the types that are stored as text in a form of their own:
//! `varchar(n)`, `char(n)`, `name`, `uuid`, `json`, `jsonb`, `time`.
//!
//! Never: text that breaks its type's rule, or that differs from what PostgreSQL would show.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, NullBufferBuilder, StringArray};
use arrow::buffer::OffsetBuffer;

use super::datetime::{self, Precision};
use super::{Column, Refused, bytea, json, uuid};
use crate::error::{Error, Result};
use crate::text::ValueError;

/// How a text is checked and brought to the form that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    /// As it is.
    Text,
    Varchar(usize),
    Char(usize),
    Name,
    Uuid,
    Json,
    Jsonb,
    Time(Precision),
    /// To bytes.
    Bytea,
}

/// PostgreSQL's limit for a name, in bytes.
const NAME_BYTES_MAX: usize = 63;

impl Rule {
    /// The rule that the field metadata `tarn.type` names; `None` for a name that is not known.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "text" | "varchar" | "bpchar" | "unknown" | "\"char\"" => Self::Text,
            "char" => Self::Char(1),
            "name" => Self::Name,
            "uuid" => Self::Uuid,
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            _ if name == "time" || name.starts_with("time(") => Self::Time(Precision::named(name)?),
            _ => {
                let (base, length) = name.strip_suffix(')')?.split_once('(')?;
                let length = length.parse().ok()?;
                match base {
                    "varchar" => Self::Varchar(length),
                    "char" => Self::Char(length),
                    _ => return None,
                }
            }
        })
    }

    /// Appends the stored form of a text.
    #[inline]
    fn append(&self, text: &str, out: &mut Vec<u8>) -> std::result::Result<(), ValueError> {
        match self {
            Self::Text => out.extend_from_slice(text.as_bytes()),
            Self::Varchar(length) => {
                let text = shortened(text, *length, "character varying")?;
                out.extend_from_slice(text.as_bytes());
            }
            Self::Char(length) => {
                let text = shortened(text, *length, "character")?;
                out.extend_from_slice(text.as_bytes());
                let padding = length - text.chars().count();
                out.resize(out.len() + padding, b' ');
            }
            Self::Name => {
                let end = text.floor_char_boundary(NAME_BYTES_MAX);
                out.extend_from_slice(&text.as_bytes()[..end]);
            }
            Self::Uuid => out.extend_from_slice(
                &uuid::canonical(text).ok_or_else(|| ValueError::syntax("uuid", text))?,
            ),
            Self::Json => {
                json::check(text)?;
                out.extend_from_slice(text.as_bytes());
            }
            Self::Jsonb => json::normalize(text, out)?,
            Self::Time(precision) => datetime::time(text, *precision, out)?,
            Self::Bytea => bytea::append(text, out)?,
        }
        Ok(())
    }
}

/// A text of at most so many characters; further blanks are cut, anything else is an error.
fn shortened<'a>(
    text: &'a str,
    length: usize,
    type_name: &str,
) -> std::result::Result<&'a str, ValueError> {
    if text.len() <= length {
        return Ok(text);
    }
    let Some((end, _)) = text.char_indices().nth(length) else {
        return Ok(text);
    };
    let (kept, cut) = text.split_at(end);
    if cut.bytes().all(|byte| byte == b' ') {
        Ok(kept)
    } else {
        Err(ValueError::too_long(type_name, length))
    }
}

/// A column of texts or bytes.
pub(super) struct Strings {
    rule: Rule,
    bytes: Vec<u8>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Strings {
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, bytes: Vec::new(), offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }

    fn extend_with(
        &mut self,
        texts: &[Option<&str>],
        append: impl Fn(&str, &mut Vec<u8>) -> std::result::Result<(), ValueError>,
    ) -> std::result::Result<(), Refused> {
        self.offsets.reserve(texts.len());
        for (index, text) in texts.iter().enumerate() {
            if let Some(text) = text {
                let start = self.bytes.len();
                append(text, &mut self.bytes)
                    .and_then(|()| offset(self.bytes.len()))
                    .map(|end| self.offsets.push(end))
                    .map_err(|error| {
                        self.bytes.truncate(start);
                        Refused { index, error }
                    })?;
                self.nulls.append_non_null();
            } else {
                self.offsets.push(self.offsets[self.offsets.len() - 1]);
                self.nulls.append_null();
            }
        }
        Ok(())
    }
}

#[inline]
fn offset(length: usize) -> std::result::Result<i32, ValueError> {
    i32::try_from(length).map_err(|_| ValueError::column_full())
}

impl Column for Strings {
    fn extend(&mut self, texts: &[Option<&str>]) -> std::result::Result<(), Refused> {
        if self.rule == Rule::Text {
            // Of its own, so that the most common loop holds nothing but the copy.
            return self.extend_with(texts, |text, out| {
                out.extend_from_slice(text.as_bytes());
                Ok(())
            });
        }
        let rule = self.rule.clone();
        self.extend_with(texts, |text, out| rule.append(text, out))
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn truncate(&mut self, length: usize) {
        self.offsets.truncate(length + 1);
        self.bytes.truncate(self.offsets.last().map_or(0, |end| *end as usize));
        self.nulls.truncate(length);
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let offsets = OffsetBuffer::new(offsets.into());
        let bytes = std::mem::take(&mut self.bytes).into();
        let nulls = self.nulls.finish();
        Ok(if self.rule == Rule::Bytea {
            Arc::new(BinaryArray::try_new(offsets, bytes, nulls).map_err(Error::from)?)
        } else {
            Arc::new(StringArray::try_new(offsets, bytes, nulls).map_err(Error::from)?)
        })
    }
}
