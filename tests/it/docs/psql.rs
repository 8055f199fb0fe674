//! Prints answers as psql does in its aligned format, but without blanks at the ends of lines.

use std::iter;

use tokio_postgres::error::DbError;
use tokio_postgres::types::Type;

/// A column of an answer.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Type,
}

impl Column {
    /// psql aligns these to the right.
    fn is_number(&self) -> bool {
        let numbers = [
            Type::INT2,
            Type::INT4,
            Type::INT8,
            Type::FLOAT4,
            Type::FLOAT8,
            Type::NUMERIC,
            Type::OID,
            Type::XID,
            Type::CID,
            Type::MONEY,
        ];
        numbers.contains(&self.kind)
    }
}

/// Header, rule, rows and their number. NULL is blank, as in psql.
pub(crate) fn table(columns: &[Column], rows: &[Vec<Option<String>>]) -> String {
    let cells: Vec<Vec<Vec<&str>>> =
        rows.iter().map(|row| row.iter().map(lines).collect()).collect();
    let width = |(index, column): (usize, &Column)| {
        let values = cells.iter().flat_map(|row| &row[index]).map(|line| length(line));
        values.chain(iter::once(length(&column.name))).max().unwrap_or(0)
    };
    let widths: Vec<usize> = columns.iter().enumerate().map(width).collect();
    let header = columns.iter().zip(&widths).map(|(column, width)| centred(&column.name, *width));
    let rules = widths.iter().map(|width| "-".repeat(width + 2));
    let mut text = vec![header.collect::<Vec<_>>().join("|"), rules.collect::<Vec<_>>().join("+")];
    if columns.is_empty() {
        text = vec!["--".to_owned()];
    }
    for row in &cells {
        let height = row.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..height {
            let cell = |((values, column), width): ((&Vec<&str>, &Column), &usize)| {
                aligned(values, line, *width, column.is_number())
            };
            let cells = row.iter().zip(columns).zip(&widths).map(cell);
            text.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    text.push(if rows.len() == 1 {
        "(1 row)".to_owned()
    } else {
        format!("({} rows)", rows.len())
    });
    let trimmed: Vec<&str> = text.iter().map(|line| line.trim_end()).collect();
    trimmed.join("\n")
}

/// The error as psql words it with `\set VERBOSITY verbose`, without places in a source.
pub(crate) fn error(error: &DbError) -> String {
    let mut text = format!("{}:  {}: {}", error.severity(), error.code().code(), error.message());
    if let Some(detail) = error.detail() {
        text += &format!("\nDETAIL:  {detail}");
    }
    if let Some(hint) = error.hint() {
        text += &format!("\nHINT:  {hint}");
    }
    text
}

fn lines(value: &Option<String>) -> Vec<&str> {
    value.as_deref().unwrap_or_default().split('\n').collect()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn centred(name: &str, width: usize) -> String {
    let free = width - length(name);
    let (left, right) = (" ".repeat(free / 2), " ".repeat(free - free / 2));
    format!(" {left}{name}{right} ")
}

/// One line of a value; a `+` says that the next line continues it.
fn aligned(values: &[&str], line: usize, width: usize, right: bool) -> String {
    let value = values.get(line).copied().unwrap_or_default();
    let end = if line + 1 < values.len() { "+" } else { " " };
    if right { format!(" {value:>width$}{end}") } else { format!(" {value:<width$}{end}") }
}
