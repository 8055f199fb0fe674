//! `Cast`: conversion between element types.

use super::operator::{Built, Operator, Site, first};
use crate::error::{Error, Result};
use crate::value::{Data, ElementType, Text, ValueType};

/// Builds `Cast`.
pub(super) fn cast(site: &Site<'_>) -> Result<Built> {
    let input = site.input(0)?;
    let number = site.attributes().int("to", 0);
    let target = i32::try_from(number).ok().and_then(ElementType::from_onnx);
    let target = target
        .ok_or_else(|| site.unsupported(format!("a cast to element type number {number}")))?;
    if target == ElementType::Text
        && !(input.kind.element.integer() || input.kind.element == target)
    {
        return Err(site.unsupported(format!("a cast of {} to text", input.kind.element.name())));
    }
    let result = ValueType::new(target, input.kind.shape.clone());
    let built = Built::new(Cast { target }, vec![0], vec![result]);
    Ok(built.with_classes(input.classes.clone()))
}

#[derive(Debug)]
struct Cast {
    target: ElementType,
}

impl Operator for Cast {
    fn run(&self, arguments: &[&Data], _rows: usize) -> Result<Vec<Data>> {
        Ok(vec![convert(first(arguments)?, self.target)?])
    }
}

macro_rules! numbers {
    ($values:expr, $target:expr, $zero:expr) => {
        match $target {
            ElementType::Float32 => Data::Float32($values.iter().map(|v| *v as f32).collect()),
            ElementType::Float64 => Data::Float64($values.iter().map(|v| *v as f64).collect()),
            ElementType::Int32 => Data::Int32($values.iter().map(|v| *v as i32).collect()),
            ElementType::Int64 => Data::Int64($values.iter().map(|v| *v as i64).collect()),
            ElementType::Boolean => Data::Boolean($values.iter().map(|v| *v != $zero).collect()),
            ElementType::Text => {
                let strings: Vec<String> = $values.iter().map(ToString::to_string).collect();
                Data::Text(Text::from_strings(&strings))
            }
        }
    };
}

/// Converts all elements; fractions are cut off, as in C.
pub(super) fn convert(data: &Data, target: ElementType) -> Result<Data> {
    if data.element() == target {
        return Ok(data.clone());
    }
    Ok(match data {
        Data::Float32(values) => numbers!(values, target, 0.0),
        Data::Float64(values) => numbers!(values, target, 0.0),
        Data::Int32(values) => numbers!(values, target, 0),
        Data::Int64(values) => numbers!(values, target, 0),
        Data::Boolean(values) => {
            let values: Vec<i32> = values.iter().map(|value| i32::from(*value)).collect();
            numbers!(values, target, 0)
        }
        Data::Text(text) => parse(text, target)?,
    })
}

fn parse(text: &Text, target: ElementType) -> Result<Data> {
    Ok(match target {
        ElementType::Float32 => Data::Float32(parse_all(text)?),
        ElementType::Float64 => Data::Float64(parse_all(text)?),
        ElementType::Int32 => Data::Int32(parse_all(text)?),
        ElementType::Int64 => Data::Int64(parse_all(text)?),
        ElementType::Boolean | ElementType::Text => {
            return Err(Error::evaluation(format!("text is not {}", target.name())));
        }
    })
}

fn parse_all<T: std::str::FromStr + Clone>(text: &Text) -> Result<Vec<T>> {
    text.map(|string| string.trim().parse::<T>().map_err(|_| string.to_owned()))
        .into_iter()
        .collect::<Result<_, String>>()
        .map_err(|string| Error::evaluation(format!("\"{string}\" is not a number")))
}
