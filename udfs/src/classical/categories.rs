//! Categories: `OneHotEncoder` and `LabelEncoder`, over integers and text.

use std::collections::HashMap;
use std::hash::Hash;

use super::operator::{Built, Operator, Site, first};
use crate::error::{Error, Result};
use crate::onnx::Constant;
use crate::value::{Data, Dimension, ElementType, Text, ValueType, column};

/// Builds `OneHotEncoder`: one feature for each category.
pub(super) fn one_hot_encoder(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?;
    let strings = site.attributes().strings("cats_strings")?;
    let ints = site.attributes().ints("cats_int64s");
    let (count, categories) = if kind.element == ElementType::Text {
        (strings.len(), Categories::Text(strings.into_iter().zip(0..).collect()))
    } else if kind.element == ElementType::Boolean {
        return Err(site.bad_element(kind.element));
    } else {
        (ints.len(), Categories::Ints(ints.iter().copied().zip(0..).collect()))
    };
    if count == 0 {
        return Err(
            site.invalid(format!("it has no categories for {} values", kind.element.name()))
        );
    }
    let mut shape = kind.shape.clone();
    shape.0.push(Dimension::Size(count));
    site.check_size(&shape)?;
    let operator = OneHotEncoder {
        categories,
        count,
        features: kind.shape.features(),
        zeros: site.attributes().int("zeros", 1) != 0,
    };
    let result = ValueType::new(ElementType::Float32, shape);
    Ok(Built::new(operator, vec![0], vec![result]))
}

#[derive(Debug)]
enum Categories {
    Ints(HashMap<i64, u32>),
    Text(HashMap<String, u32>),
}

impl Categories {
    /// The category of each element, `None` where it is unknown.
    fn find(&self, data: &Data) -> Result<Vec<Option<u32>>> {
        Ok(match (self, data) {
            (Self::Text(map), Data::Text(text)) => text.map(|string| map.get(string).copied()),
            (Self::Ints(map), Data::Int64(values)) => {
                values.iter().map(|value| map.get(value).copied()).collect()
            }
            (Self::Ints(map), Data::Int32(values)) => {
                values.iter().map(|value| map.get(&i64::from(*value)).copied()).collect()
            }
            (Self::Ints(map), Data::Float32(values)) => {
                values.iter().map(|value| map.get(&(*value as i64)).copied()).collect()
            }
            (Self::Ints(map), Data::Float64(values)) => {
                values.iter().map(|value| map.get(&(*value as i64)).copied()).collect()
            }
            (_, other) => {
                return Err(Error::internal(format!("OneHotEncoder of {:?}", other.element())));
            }
        })
    }
}

#[derive(Debug)]
struct OneHotEncoder {
    categories: Categories,
    count: usize,
    features: usize,
    /// Unknown categories become zeros; otherwise they are an error.
    zeros: bool,
}

impl Operator for OneHotEncoder {
    fn run(&self, arguments: &[&Data], _rows: usize) -> Result<Vec<Data>> {
        let data = first(arguments)?;
        let found = self.categories.find(data)?;
        let rows = found.len() / self.features.max(1);
        let mut encoded = vec![0.0; found.len() * self.count];
        for feature in 0..self.features {
            for (row, category) in column(&found, feature, rows).iter().enumerate() {
                let Some(category) = category else {
                    if self.zeros {
                        continue;
                    }
                    return Err(unknown(data, feature * rows + row));
                };
                let place = (feature * self.count + *category as usize) * rows + row;
                if let Some(value) = encoded.get_mut(place) {
                    *value = 1.0;
                }
            }
        }
        Ok(vec![Data::Float32(encoded)])
    }
}

fn unknown(data: &Data, position: usize) -> Error {
    let value = match data {
        Data::Text(text) => format!("\"{}\"", text.get(position)),
        Data::Int32(values) => values.get(position).map(ToString::to_string).unwrap_or_default(),
        Data::Int64(values) => values.get(position).map(ToString::to_string).unwrap_or_default(),
        Data::Float32(values) => values.get(position).map(ToString::to_string).unwrap_or_default(),
        Data::Float64(values) => values.get(position).map(ToString::to_string).unwrap_or_default(),
        Data::Boolean(_) => String::new(),
    };
    Error::evaluation(format!("category {value} was not known in training"))
}

/// Builds `LabelEncoder`: a map from keys to values, with a default.
pub(super) fn label_encoder(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?;
    let (keys, values) = if site.version < 2 { old_map(site)? } else { new_map(site)? };
    if keys.len() != values.len() {
        return Err(site.invalid(format!(
            "it has {} keys and {} values",
            keys.len(),
            values.len()
        )));
    }
    let keys = match (kind.element, keys) {
        (ElementType::Text, Data::Text(text)) => {
            Keys::Text(positions((0..text.keys.len()).map(|key| text.get(key).to_owned())))
        }
        (ElementType::Int64 | ElementType::Int32, Data::Int64(keys)) => Keys::Ints(positions(keys)),
        (ElementType::Float32 | ElementType::Float64, Data::Float32(keys)) => {
            Keys::Floats(positions(keys.into_iter().map(bits)))
        }
        (element, _) => return Err(site.bad_element(element)),
    };
    let fallback = fallback(site, values.element())?;
    let values = append(values, fallback)?;
    let result = ValueType::new(values.element(), kind.shape.clone());
    Ok(Built::new(LabelEncoder { keys, values }, vec![0], vec![result]))
}

/// The position of each key; of equal keys the first counts.
fn positions<K: Eq + Hash>(keys: impl IntoIterator<Item = K>) -> HashMap<K, u32> {
    let mut positions = HashMap::new();
    for (key, position) in keys.into_iter().zip(0..) {
        positions.entry(key).or_insert(position);
    }
    positions
}

/// Version 1: a list of strings and their positions, one way or the other.
fn old_map(site: &Site<'_>) -> Result<(Data, Data)> {
    let strings = site.attributes().strings("classes_strings")?;
    let positions = Data::Int64((0..strings.len() as i64).collect());
    let strings = Data::Text(Text::from_strings(&strings));
    let from_text = site.kind(0)?.element == ElementType::Text;
    Ok(if from_text { (strings, positions) } else { (positions, strings) })
}

fn new_map(site: &Site<'_>) -> Result<(Data, Data)> {
    let list = |side: &str| -> Result<Data> {
        let attributes = site.attributes();
        let tensor = match attributes.tensor(&format!("{side}_tensor"))? {
            Some(Constant { data: Data::Float64(v), .. }) => {
                Some(Data::Float32(v.iter().map(|v| *v as f32).collect()))
            }
            Some(Constant { data: Data::Int32(v), .. }) => {
                Some(Data::Int64(v.iter().map(|v| i64::from(*v)).collect()))
            }
            other => other.map(|constant| constant.data),
        };
        if let Some(data) = tensor {
            return Ok(data);
        }
        if attributes.has(&format!("{side}_strings")) {
            let strings = attributes.strings(&format!("{side}_strings"))?;
            return Ok(Data::Text(Text::from_strings(&strings)));
        }
        if attributes.has(&format!("{side}_int64s")) {
            return Ok(Data::Int64(attributes.ints(&format!("{side}_int64s")).to_vec()));
        }
        Ok(Data::Float32(attributes.floats(&format!("{side}_floats")).to_vec()))
    };
    Ok((list("keys")?, list("values")?))
}

/// What an unknown key becomes.
fn fallback(site: &Site<'_>, element: ElementType) -> Result<Data> {
    let attributes = site.attributes();
    if let Some(constant) = attributes.tensor("default_tensor")? {
        return Ok(constant.data);
    }
    Ok(match element {
        ElementType::Text => {
            Data::Text(Text::from_strings(&[attributes.string("default_string", "_Unused")?]))
        }
        ElementType::Int64 => Data::Int64(vec![attributes.int("default_int64", -1)]),
        ElementType::Float32 => Data::Float32(vec![attributes.float("default_float", -0.0)]),
        other => return Err(site.bad_element(other)),
    })
}

/// The values with the default behind them.
fn append(values: Data, fallback: Data) -> Result<Data> {
    Ok(match (values, fallback) {
        (Data::Int64(mut values), Data::Int64(fallback)) => {
            values.extend(fallback.first());
            Data::Int64(values)
        }
        (Data::Float32(mut values), Data::Float32(fallback)) => {
            values.extend(fallback.first());
            Data::Float32(values)
        }
        (Data::Text(values), Data::Text(fallback)) => {
            let mut strings: Vec<&str> =
                (0..values.keys.len()).map(|key| values.get(key)).collect();
            strings.push(fallback.get(0));
            Data::Text(Text::from_strings(&strings))
        }
        _ => {
            return Err(Error::invalid("a LabelEncoder's default differs in type from its values"));
        }
    })
}

/// A float as a key: all NaN are one, and so are both zeros.
fn bits(value: f32) -> u32 {
    if value.is_nan() {
        f32::NAN.to_bits()
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    }
}

#[derive(Debug)]
enum Keys {
    Ints(HashMap<i64, u32>),
    Floats(HashMap<u32, u32>),
    Text(HashMap<String, u32>),
}

#[derive(Debug)]
struct LabelEncoder {
    keys: Keys,
    /// The default is the last.
    values: Data,
}

impl Operator for LabelEncoder {
    fn run(&self, arguments: &[&Data], _rows: usize) -> Result<Vec<Data>> {
        let fallback = self.values.len().saturating_sub(1) as u32;
        let found: Vec<u32> = match (&self.keys, first(arguments)?) {
            (Keys::Ints(map), Data::Int64(values)) => {
                values.iter().map(|v| map.get(v).copied().unwrap_or(fallback)).collect()
            }
            (Keys::Ints(map), Data::Int32(values)) => values
                .iter()
                .map(|v| map.get(&i64::from(*v)).copied().unwrap_or(fallback))
                .collect(),
            (Keys::Floats(map), Data::Float32(values)) => {
                values.iter().map(|v| map.get(&bits(*v)).copied().unwrap_or(fallback)).collect()
            }
            (Keys::Floats(map), Data::Float64(values)) => {
                let find = |v: &f64| map.get(&bits(*v as f32)).copied().unwrap_or(fallback);
                values.iter().map(find).collect()
            }
            (Keys::Text(map), Data::Text(text)) => {
                text.map(|string| map.get(string).copied().unwrap_or(fallback))
            }
            (_, other) => {
                return Err(Error::internal(format!("LabelEncoder of {:?}", other.element())));
            }
        };
        Ok(vec![self.values.gather(&found, 1)])
    }
}
