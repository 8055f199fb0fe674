//! How lines end, and the `\.` that ends the data before the input does.
//!
//! Never: a mixture. The first line decides; a line that ends otherwise is an error.

use crate::text::ValueError;

/// How the lines of an input end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// `\n`
    Newline,
    /// `\r\n`
    Both,
    /// `\r`
    Return,
}

/// The content of a record ends here, and the next record starts there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Boundary {
    pub(super) end: usize,
    pub(super) next: usize,
}

/// Whether a `\.` ends the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    Ends,
    /// Something else follows on the line.
    Continued,
    /// A line end of another kind follows. After `\r\n` lines, csv takes a bare `\n` for data.
    OtherLineEnd {
        csv_is_data: bool,
    },
}

impl LineEnd {
    /// The byte with which a line is over.
    pub(super) fn last_byte(self) -> u8 {
        if self == Self::Return { b'\r' } else { b'\n' }
    }

    /// The byte of line ends that is not the last: part of the line end, or out of place.
    pub(super) fn other_byte(self) -> u8 {
        if self == Self::Return { b'\n' } else { b'\r' }
    }

    /// The byte that is counted for line numbers.
    pub(super) fn counted_byte(self) -> u8 {
        if self == Self::Newline { b'\n' } else { b'\r' }
    }

    /// The boundary at a `\r` or `\n` outside of quotes and escapes.
    pub(super) fn boundary(
        self,
        bytes: &[u8],
        at: usize,
        quoted_format: bool,
    ) -> Result<Boundary, ValueError> {
        let is_return = bytes[at] == b'\r';
        match self {
            Self::Newline if !is_return => Ok(Boundary { end: at, next: at + 1 }),
            Self::Both if is_return && bytes.get(at + 1) == Some(&b'\n') => {
                Ok(Boundary { end: at, next: at + 2 })
            }
            Self::Return if is_return => Ok(Boundary { end: at, next: at + 1 }),
            _ => Err(out_of_place(is_return, quoted_format)),
        }
    }

    /// What a `\.` means whose point is the byte before `after`.
    pub(super) fn marker(self, bytes: &[u8], after: usize) -> Marker {
        let mut at = after;
        if self == Self::Both {
            match bytes.get(at) {
                Some(b'\n') => return Marker::OtherLineEnd { csv_is_data: true },
                Some(b'\r') => at += 1,
                _ => return Marker::Continued,
            }
        }
        match bytes.get(at) {
            Some(byte @ (b'\r' | b'\n')) if *byte == self.last_byte() => Marker::Ends,
            Some(b'\r' | b'\n') => Marker::OtherLineEnd { csv_is_data: false },
            _ => Marker::Continued,
        }
    }
}

#[cold]
fn out_of_place(is_return: bool, quoted_format: bool) -> ValueError {
    let (name, escape) = if is_return { ("carriage return", "\\r") } else { ("newline", "\\n") };
    if quoted_format {
        let hint = if is_return {
            "Use quoted CSV field to represent carriage return."
        } else {
            "Use quoted CSV field to represent newline."
        };
        ValueError::row_shape_with_hint(format!("unquoted {name} found in data"), hint)
    } else {
        let hint = if escape == "\\r" {
            "Use \"\\r\" to represent carriage return."
        } else {
            "Use \"\\n\" to represent newline."
        };
        ValueError::row_shape_with_hint(format!("literal {name} found in data"), hint)
    }
}
