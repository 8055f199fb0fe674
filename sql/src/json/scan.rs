//! Values within a JSON text. The text is valid: it was checked when it became a value of its type.

use std::borrow::Cow;

/// A step from a value to one within it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    /// A field of an object.
    Field(&'a str),
    /// An element of an array, from 0; from its end, if negative.
    Element(i64),
    /// A field or, where it is a number, an element: what a path of texts says.
    Either(&'a str),
}

/// The value that a step leads to.
pub(super) fn step<'a>(json: &'a str, step: Step<'_>) -> Option<&'a str> {
    let json = json.trim_matches(blank);
    match (json.as_bytes().first()?, step) {
        (b'{', Step::Field(name) | Step::Either(name)) => field(json, name),
        (b'[', Step::Element(index)) => element(json, index),
        (b'[', Step::Either(text)) => element(json, text.trim().parse().ok()?),
        _ => None,
    }
}

/// The last field of that name, as PostgreSQL has it.
fn field<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    fields(object).filter(|(key, _)| *key == name).last().map(|(_, value)| value)
}

fn element(array: &str, index: i64) -> Option<&str> {
    match usize::try_from(index) {
        Ok(index) => elements(array).nth(index),
        Err(_) => {
            let from_end = usize::try_from(index.unsigned_abs()).ok()?;
            let all: Vec<&str> = elements(array).collect();
            all.len().checked_sub(from_end).map(|at| all[at])
        }
    }
}

/// The fields of an object, in their order.
pub(super) fn fields(object: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let mut rest = inside(object);
    std::iter::from_fn(move || {
        let key = next_value(&mut rest)?;
        rest = rest.trim_start_matches(blank).strip_prefix(':')?;
        let value = next_value(&mut rest)?;
        Some((text_of(key), value))
    })
}

/// The elements of an array, in their order.
pub(super) fn elements(array: &str) -> impl Iterator<Item = &str> {
    let mut rest = inside(array);
    std::iter::from_fn(move || next_value(&mut rest))
}

/// What stands between the brackets.
fn inside(json: &str) -> &str {
    let json = json.trim_matches(blank);
    json.get(1..json.len().saturating_sub(1)).unwrap_or_default()
}

/// Takes the next value, and the comma after it.
fn next_value<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let text = rest.trim_start_matches(blank);
    if text.is_empty() {
        return None;
    }
    let (value, after) = text.split_at(end_of_value(text));
    let after = after.trim_start_matches(blank);
    *rest = after.strip_prefix(',').unwrap_or(after);
    Some(value.trim_end_matches(blank))
}

/// Where the value at the start of a text ends.
fn end_of_value(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at = end_of_string(bytes, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b':' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

/// The place after the string that begins at `at`.
fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

const fn blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// The text of a JSON string; of another value, its JSON.
pub(super) fn text_of(json: &str) -> Cow<'_, str> {
    let Some(inner) = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(json);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str::<String>(json).map_or(Cow::Borrowed(inner), Cow::Owned)
}

/// What kind of value a JSON text is, in PostgreSQL's words.
pub(super) fn kind(json: &str) -> &'static str {
    match json.trim_start_matches(blank).as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// Whether one value contains another, as `@>` has it.
pub(super) fn contains(outer: &str, inner: &str) -> bool {
    // Only at the top does an array contain a primitive value that is one of its elements.
    match (kind(outer), kind(inner)) {
        ("array", "array" | "object") => within(outer, inner),
        ("array", _) => elements(outer).any(|own| within(own, inner)),
        _ => within(outer, inner),
    }
}

fn within(outer: &str, inner: &str) -> bool {
    match (kind(outer), kind(inner)) {
        ("object", "object") => fields(inner)
            .all(|(name, value)| field(outer, &name).is_some_and(|own| within(own, value))),
        ("array", "array") => {
            elements(inner).all(|value| elements(outer).any(|own| within(own, value)))
        }
        (one, other) => one == other && same(outer, inner),
    }
}

/// Whether two primitive values are equal.
fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim_matches(blank), other.trim_matches(blank));
    if one == other {
        return true;
    }
    match kind(one) {
        "string" => text_of(one) == text_of(other),
        "number" => match (one.parse::<f64>(), other.parse::<f64>()) {
            (Ok(one), Ok(other)) => one.to_bits() == other.to_bits(),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a text is a key of an object, an element of an array, or the string itself, as `?` has it.
pub(super) fn exists(json: &str, text: &str) -> bool {
    match kind(json) {
        "object" => field(json, text).is_some(),
        "array" => elements(json).any(|own| kind(own) == "string" && text_of(own) == text),
        "string" => text_of(json.trim_matches(blank)) == text,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Any JSON value.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c\\\\\"{}\\[\\]:, é\n]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[a-c\\\\\" {,]{0,3}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_step_leads_where_a_parser_finds_it(json in value(), pretty in any::<bool>()) {
            let text = if pretty { format!(" {json:#}\n") } else { json.to_string() };
            prop_assert_eq!(kind(&text), match &json {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            });
            if let Value::Object(map) = &json {
                prop_assert_eq!(fields(&text).count(), map.len());
                for (name, expected) in map {
                    let found = step(&text, Step::Field(name)).unwrap();
                    prop_assert_eq!(&serde_json::from_str::<Value>(found).unwrap(), expected);
                    prop_assert!(exists(&text, name));
                }
                prop_assert_eq!(step(&text, Step::Field("nowhere")), None);
            }
            if let Value::Array(list) = &json {
                prop_assert_eq!(elements(&text).count(), list.len());
                for (at, expected) in list.iter().enumerate() {
                    let at = i64::try_from(at).unwrap();
                    let back = at - i64::try_from(list.len()).unwrap();
                    for index in [at, back] {
                        let found = step(&text, Step::Element(index)).unwrap();
                        prop_assert_eq!(&serde_json::from_str::<Value>(found).unwrap(), expected);
                    }
                }
            }
            if let Value::String(expected) = &json {
                prop_assert_eq!(&text_of(text.trim()), expected);
            }
            prop_assert!(contains(&text, &json.to_string()));
        }
    }

    #[test]
    fn containment_is_that_of_postgresql() {
        let yes = [
            (r#"{"a": {"b": 1, "c": 2}, "d": 3}"#, r#"{"a": {"c": 2}}"#),
            ("[1, 2, [1, 3]]", "[2, 1, 1]"),
            ("[1, 2, [1, 3]]", "[[3]]"),
            ("[1, 2]", "1"),
            (r#"["a"]"#, r#""a""#),
            ("1.0", "1"),
            ("{}", "{}"),
        ];
        let no = [
            (r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#),
            ("[1, 2, [1, 3]]", "[3]"),
            (r#"{"a": 1}"#, "1"),
            ("1", "[1]"),
            (r#"[{"a": 1}]"#, r#"{"a": 1}"#),
            (r#""1""#, "1"),
        ];
        assert!(yes.iter().all(|(outer, inner)| contains(outer, inner)));
        assert!(!no.iter().any(|(outer, inner)| contains(outer, inner)));
    }
}
