//! Columns of fixed-width values: a parse function and a vector.
//!
//! Never: a look at the type per value; the loop is compiled for each.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, BooleanBufferBuilder, NullBufferBuilder,
    PrimitiveArray,
};
use arrow::datatypes::DataType;

use super::{Column, Refused};
use crate::error::Result;
use crate::text::ValueError;

/// How the text of one fixed-width type is read.
pub(super) trait Parse: Send {
    /// The Arrow type of the values.
    type Arrow: ArrowPrimitiveType;

    fn parse(
        &self,
        text: &str,
    ) -> std::result::Result<<Self::Arrow as ArrowPrimitiveType>::Native, ValueError>;
}

/// A column of such values.
pub(super) struct Primitives<P: Parse> {
    parse: P,
    data_type: DataType,
    values: Vec<<P::Arrow as ArrowPrimitiveType>::Native>,
    nulls: NullBufferBuilder,
}

impl<P: Parse> Primitives<P> {
    /// `data_type` may carry what the Rust type does not: precision and scale, a time zone.
    pub(super) fn new(parse: P, data_type: DataType) -> Self {
        Self { parse, data_type, values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }
}

impl<P: Parse> Column for Primitives<P> {
    fn extend(&mut self, texts: &[Option<&str>]) -> std::result::Result<(), Refused> {
        self.values.reserve(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let Some(text) = text else {
                self.values.push(Default::default());
                self.nulls.append_null();
                continue;
            };
            let value = self.parse.parse(text).map_err(|error| Refused { index, error })?;
            self.values.push(value);
            self.nulls.append_non_null();
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn truncate(&mut self, length: usize) {
        self.values.truncate(length);
        self.nulls.truncate(length);
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let values = std::mem::take(&mut self.values);
        let array = PrimitiveArray::<P::Arrow>::try_new(values.into(), self.nulls.finish())?;
        Ok(Arc::new(array.with_data_type(self.data_type.clone())))
    }
}

/// A column of truth values.
pub(super) struct Booleans {
    values: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
}

impl Booleans {
    pub(super) fn new() -> Self {
        Self { values: BooleanBufferBuilder::new(0), nulls: NullBufferBuilder::new(0) }
    }
}

impl Column for Booleans {
    fn extend(&mut self, texts: &[Option<&str>]) -> std::result::Result<(), Refused> {
        for (index, text) in texts.iter().enumerate() {
            let Some(text) = text else {
                self.values.append(false);
                self.nulls.append_null();
                continue;
            };
            let value = boolean(text)
                .ok_or_else(|| ValueError::syntax("boolean", text))
                .map_err(|error| Refused { index, error })?;
            self.values.append(value);
            self.nulls.append_non_null();
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.nulls.len()
    }

    fn truncate(&mut self, length: usize) {
        self.values.truncate(length);
        self.nulls.truncate(length);
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanArray::new(self.values.finish(), self.nulls.finish())))
    }
}

/// Reads `true`, `yes`, `on`, `1`, their opposites, and their beginnings where they are unique.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "t" | "true" | "1" => return Some(true),
        "f" | "false" | "0" => return Some(false),
        _ => {}
    }
    let text = super::number::trim(text).to_ascii_lowercase();
    let begins = |word: &str| !text.is_empty() && word.starts_with(&text);
    if text == "1" || text == "on" || begins("true") || begins("yes") {
        return Some(true);
    }
    let is_off = text.len() > 1 && begins("off");
    (text == "0" || is_off || begins("false") || begins("no")).then_some(false)
}
