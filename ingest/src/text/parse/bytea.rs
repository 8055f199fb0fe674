//! Bytes from text: the hexadecimal form `\x0aff` and the older form with octal escapes.
//!
//! Never: a guess; a text that starts with `\x` is hexadecimal.

use crate::text::ValueError;

pub(super) fn append(text: &str, out: &mut Vec<u8>) -> Result<(), ValueError> {
    match text.strip_prefix("\\x") {
        Some(digits) => append_hex(digits, out),
        None => append_escaped(text.as_bytes(), out),
    }
}

/// Pairs of hexadecimal digits, with white space between the pairs.
fn append_hex(digits: &str, out: &mut Vec<u8>) -> Result<(), ValueError> {
    let mut rest = digits.chars();
    while let Some(first) = rest.next() {
        if matches!(first, ' ' | '\n' | '\t' | '\r') {
            continue;
        }
        let high = first.to_digit(16).ok_or_else(|| ValueError::hex_digit(first))?;
        let second = rest.next().ok_or_else(ValueError::hex_odd)?;
        let low = second.to_digit(16).ok_or_else(|| ValueError::hex_digit(second))?;
        out.push((high << 4 | low) as u8);
    }
    Ok(())
}

/// Bytes as they are, `\\` for a backslash, `\ooo` for a byte in octal digits.
fn append_escaped(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Ok(()),
            [b'\\', b'\\', after @ ..] => {
                out.push(b'\\');
                after
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                after
            }
            [b'\\', ..] => return Err(ValueError::bytea_escape()),
            [byte, after @ ..] => {
                out.push(*byte);
                after
            }
        }
    }
}
