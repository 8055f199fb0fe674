//! Each text of `tests/data/text.tsv` must be read, shown or refused as PostgreSQL did.

use super::{Zone, field, shown};

/// One line of the file.
struct Case {
    zone: String,
    type_name: String,
    input: String,
    sqlstate: String,
    /// What is shown, or the error's message.
    answer: String,
    detail: String,
    hint: String,
}

/// A field of COPY's text format, read in the simplest way.
fn unescaped(field: &str) -> String {
    let mut text = String::new();
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => match characters.next().unwrap() {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'v' => '\u{b}',
                other => other,
            },
            other => other,
        });
    }
    text
}

fn cases() -> Vec<Case> {
    let file = include_str!("../../../tests/data/text.tsv");
    let case = |line: &str| {
        let mut fields = line.split('\t').map(unescaped);
        let mut next = || fields.next().unwrap();
        Case {
            zone: next(),
            type_name: next(),
            input: next(),
            sqlstate: next(),
            answer: next(),
            detail: next(),
            hint: next(),
        }
    };
    file.lines().map(case).collect()
}

#[test]
fn agrees_with_postgres() {
    let cases = cases();
    assert!(cases.len() > 5_000);
    let mut differences = Vec::new();
    for case in &cases {
        let zone = Zone::named(&case.zone).unwrap();
        let ours = match shown(&field(&case.type_name), &zone, &case.input) {
            Ok(text) => ("00000", text, String::new(), String::new()),
            Err(error) => (
                error.sqlstate(),
                error.message().to_owned(),
                error.detail().unwrap_or_default().to_owned(),
                error.hint().unwrap_or_default().to_owned(),
            ),
        };
        let theirs =
            (case.sqlstate.as_str(), case.answer.clone(), case.detail.clone(), case.hint.clone());
        if ours != theirs {
            differences.push(format!(
                "{} {} {:?}:\n  PostgreSQL {theirs:?}\n  Tarn       {ours:?}",
                case.zone, case.type_name, case.input
            ));
        }
    }
    let count = differences.len();
    assert_eq!(count, 0, "{count} of {} differ:\n{}", cases.len(), differences.join("\n"));
}
