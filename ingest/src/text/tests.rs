//! Values there and back, with PostgreSQL's own answers as the judge.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use super::{Formatter, Parser, TYPE_KEY, ValueError, Zone};

mod postgres;
mod round_trip;
mod shapes;

/// The field of a column that has a Postgres type.
fn field(type_name: &str) -> Field {
    if let Some(element) = type_name.strip_suffix("[]") {
        // The type of the elements is kept with the list.
        let element = field(element);
        let item = Field::new("item", element.data_type().clone(), true);
        let metadata = element.metadata().iter();
        let metadata = metadata.map(|(key, text)| (key.clone(), format!("{text}[]"))).collect();
        return Field::new("c", DataType::List(Arc::new(item)), true).with_metadata(metadata);
    }
    let modifiers = |prefix: &str| {
        let inside = type_name.strip_prefix(prefix)?.strip_suffix(')')?;
        let (precision, scale) = inside.split_once(',').unwrap();
        Some((precision.parse().unwrap(), scale.parse().unwrap()))
    };
    let data_type = match type_name {
        "boolean" => DataType::Boolean,
        "smallint" => DataType::Int16,
        "int" | "integer" => DataType::Int32,
        "bigint" => DataType::Int64,
        "real" => DataType::Float32,
        "double precision" => DataType::Float64,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamp with time zone" => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        "bytea" => DataType::Binary,
        "text" => DataType::Utf8,
        other if other.starts_with("timestamp(") => {
            let zone = other.ends_with("with time zone").then(|| "UTC".into());
            let metadata = [(TYPE_KEY.to_owned(), other.to_owned())].into();
            let data_type = DataType::Timestamp(TimeUnit::Microsecond, zone);
            return Field::new("c", data_type, true).with_metadata(metadata);
        }
        other => match modifiers("numeric(") {
            Some((precision, scale)) => DataType::Decimal128(precision, scale),
            None => {
                let metadata = [(TYPE_KEY.to_owned(), other.to_owned())].into();
                return Field::new("c", DataType::Utf8, true).with_metadata(metadata);
            }
        },
    };
    Field::new("c", data_type, true)
}

/// What a column of this type shows for a text.
fn shown(field: &Field, zone: &Zone, text: &str) -> Result<String, ValueError> {
    let mut parser = Parser::new(field, zone).unwrap();
    parser.append(Some(text))?;
    let array = parser.finish().unwrap();
    assert_eq!(array.data_type(), field.data_type());
    let formatter = Formatter::new(&array, zone).unwrap();
    assert!(!formatter.is_null(0));
    let mut bytes = Vec::new();
    formatter.write(0, &mut bytes);
    Ok(String::from_utf8(bytes).unwrap())
}
