//! Input bytes as text, and where they are none.
//!
//! Never: a repaired row. Bytes that are no UTF-8 are covered only so that the rows around them
//! can be read; a row that has one is refused.

use std::borrow::Cow;

use memchr::memchr;

use crate::text::ValueError;

/// An input as text, with its invalid bytes covered by an ordinary one.
#[derive(Debug)]
pub(super) struct Clean<'a> {
    pub(super) text: Cow<'a, str>,
    /// Where an invalid byte or character starts, and its error, in order.
    invalid: Vec<(usize, ValueError)>,
}

impl<'a> Clean<'a> {
    /// `special` are the bytes that structure the input and so may not cover anything.
    pub(super) fn new(bytes: &'a [u8], special: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) if memchr(0, bytes).is_none() => {
                Self { text: Cow::Borrowed(text), invalid: Vec::new() }
            }
            _ => Self::covered(bytes, special),
        }
    }

    #[cold]
    fn covered(bytes: &[u8], special: &[u8]) -> Self {
        let cover = (b'!'..0x7f).find(|byte| !special.contains(byte)).map_or('x', char::from);
        let mut text = String::with_capacity(bytes.len());
        let mut invalid = Vec::new();
        for part in bytes.utf8_chunks() {
            for (index, piece) in part.valid().split('\0').enumerate() {
                if index > 0 {
                    invalid.push((text.len(), ValueError::invalid_utf8(&bytes[text.len()..])));
                    text.push(cover);
                }
                text.push_str(piece);
            }
            if !part.invalid().is_empty() {
                invalid.push((text.len(), ValueError::invalid_utf8(&bytes[text.len()..])));
                text.extend(part.invalid().iter().map(|_| cover));
            }
        }
        Self { text: Cow::Owned(text), invalid }
    }

    /// The first invalid byte within these positions.
    pub(super) fn error_within(&self, start: usize, end: usize) -> Option<&ValueError> {
        let from = self.invalid.partition_point(|(at, _)| *at < start);
        self.invalid.get(from).filter(|(at, _)| *at < end).map(|(_, error)| error)
    }

    /// Whether there is no invalid byte at all.
    pub(super) fn is_valid(&self) -> bool {
        self.invalid.is_empty()
    }
}
