//! The form in which PostgreSQL shows a `jsonb`: keys once and in its order, one space after each
//! comma and colon, plain numbers.
//!
//! Never: a number with other digits than were written.

use super::scanner::{Kind, Scanner, Value, unescape};
use crate::text::ValueError;

type Result<T> = std::result::Result<T, ValueError>;

/// PostgreSQL's limits for a numeric, before and after the decimal point.
const WHOLE_DIGITS_MAX: i64 = 131_072;
const FRACTION_DIGITS_MAX: i64 = 16_383;

enum Node<'a> {
    Plain(&'a str),
    Number(&'a str),
    Text(String),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// Appends the normal form of a text, after checking that it is JSON.
pub(in crate::text::parse) fn normalize(text: &str, out: &mut Vec<u8>) -> Result<()> {
    let mut scanner = Scanner::new(text);
    let node = node(&mut scanner)?;
    scanner.end()?;
    write(&node, out)
}

fn node<'a>(scanner: &mut Scanner<'a>) -> Result<Node<'a>> {
    match scanner.peek() {
        Some(b'{') => {
            let mut members = Vec::new();
            scanner.members(|scanner, key| {
                let key = characters(scanner, key)?;
                members.push((key, node(scanner)?));
                Ok(())
            })?;
            Ok(Node::Object(ordered(members)))
        }
        Some(b'[') => {
            let mut elements = Vec::new();
            scanner.elements(|scanner| {
                elements.push(node(scanner)?);
                Ok(())
            })?;
            Ok(Node::Array(elements))
        }
        _ => {
            let value = scanner.value()?;
            Ok(match value.kind {
                Kind::Number => Node::Number(scanner.text(value)),
                Kind::String { .. } => Node::Text(characters(scanner, value)?),
                _ => Node::Plain(scanner.text(value)),
            })
        }
    }
}

fn characters(scanner: &Scanner<'_>, string: Value) -> Result<String> {
    let mut characters = String::with_capacity(string.end - string.start);
    unescape(scanner.text(string), &mut characters)?;
    Ok(characters)
}

/// Shorter keys first, then by bytes; of equal keys the last one written.
fn ordered<'a>(mut members: Vec<(String, Node<'a>)>) -> Vec<(String, Node<'a>)> {
    members.reverse();
    members.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    members.dedup_by(|(later, _), (kept, _)| later == kept);
    members
}

fn write(node: &Node<'_>, out: &mut Vec<u8>) -> Result<()> {
    match node {
        Node::Plain(text) => out.extend_from_slice(text.as_bytes()),
        Node::Number(text) => number(text, out)?,
        Node::Text(text) => string(text, out),
        Node::Array(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(b", ");
                }
                write(element, out)?;
            }
            out.push(b']');
        }
        Node::Object(members) => {
            out.push(b'{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(b", ");
                }
                string(key, out);
                out.extend_from_slice(b": ");
                write(value, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            ..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

/// Writes a number without an exponent: `1.50e1` as `15.0`.
fn number(text: &str, out: &mut Vec<u8>) -> Result<()> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole.as_bytes(), fraction.as_bytes()].concat();
    let zero = digits.iter().all(|digit| *digit == b'0');
    let exponent: i64 = exponent.parse().map_err(|_| ValueError::numeric_format())?;
    let point = whole.len() as i64 + exponent;
    let places = (fraction.len() as i64 - exponent).max(0);
    if !zero && point > WHOLE_DIGITS_MAX || places > FRACTION_DIGITS_MAX {
        return Err(ValueError::numeric_format());
    }
    if negative && !zero {
        out.push(b'-');
    }
    let digit = |place: i64| {
        usize::try_from(place).ok().and_then(|place| digits.get(place)).map_or(b'0', |digit| *digit)
    };
    let first = (0..point).find(|place| digit(*place) != b'0' && !zero);
    match first {
        Some(first) => out.extend((first..point).map(digit)),
        None => out.push(b'0'),
    }
    if places > 0 {
        out.push(b'.');
        out.extend((point..point + places).map(digit));
    }
    Ok(())
}
