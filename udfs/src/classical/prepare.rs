//! Preparation of features: `Scaler`, `Imputer`, `Normalizer`, `Binarizer`, `FeatureVectorizer`.

use super::operator::{Built, Operator, Site, argument, first};
use crate::error::{Error, Result};
use crate::value::{Data, ElementType, Shape, ValueType, column};

/// The value of a per-feature attribute that may also be one for all.
fn per_feature<T: Copy>(site: &Site<'_>, what: &str, values: &[T], width: usize) -> Result<Vec<T>> {
    match values {
        [only] => Ok(vec![*only; width]),
        _ if values.len() == width => Ok(values.to_vec()),
        _ => Err(site.invalid(format!("it has {} {what} for {width} inputs", values.len()))),
    }
}

fn numeric(site: &Site<'_>) -> Result<ElementType> {
    let element = site.kind(0)?.element;
    if element.float() || element.integer() { Ok(element) } else { Err(site.bad_element(element)) }
}

/// Builds `Scaler`: subtract, then multiply, per feature.
pub(super) fn scaler(site: &Site<'_>) -> Result<Built> {
    numeric(site)?;
    let width = site.matrix(0)?;
    let scaler = Scaler {
        offsets: per_feature(site, "offsets", site.attributes().floats("offset"), width)?,
        scales: per_feature(site, "scales", site.attributes().floats("scale"), width)?,
    };
    let result = ValueType::new(ElementType::Float32, site.kind(0)?.shape.clone());
    Ok(Built::new(scaler, vec![0], vec![result]))
}

#[derive(Debug)]
struct Scaler {
    offsets: Vec<f32>,
    scales: Vec<f32>,
}

impl Operator for Scaler {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let data = first(arguments)?;
        let mut scaled = Vec::with_capacity(data.len());
        for (feature, (offset, scale)) in self.offsets.iter().zip(&self.scales).enumerate() {
            // Doubles are scaled as doubles: a large mean would cost digits otherwise.
            if let Data::Float64(values) = data {
                let (offset, scale) = (f64::from(*offset), f64::from(*scale));
                let column = column(values, feature, rows);
                scaled.extend(column.iter().map(|value| ((value - offset) * scale) as f32));
            } else {
                let values = data.to_floats()?;
                let column = column(&values, feature, rows);
                scaled.extend(column.iter().map(|value| (value - offset) * scale));
            }
        }
        Ok(vec![Data::Float32(scaled)])
    }
}

/// Builds `Imputer`: replace one value, often NaN, per feature.
pub(super) fn imputer(site: &Site<'_>) -> Result<Built> {
    let element = numeric(site)?;
    let width = site.matrix(0)?;
    let attributes = site.attributes();
    let kind = site.kind(0)?.clone();
    let imputer = if element.float() {
        let values = attributes.floats("imputed_value_floats");
        Imputer::Floats {
            replaced: attributes.float("replaced_value_float", 0.0),
            values: per_feature(site, "imputed values", values, width)?,
        }
    } else {
        let values = attributes.ints("imputed_value_int64s");
        Imputer::Ints {
            replaced: attributes.int("replaced_value_int64", 0),
            values: per_feature(site, "imputed values", values, width)?,
        }
    };
    Ok(Built::new(imputer, vec![0], vec![kind]))
}

#[derive(Debug)]
enum Imputer {
    Floats { replaced: f32, values: Vec<f32> },
    Ints { replaced: i64, values: Vec<i64> },
}

impl Operator for Imputer {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        Ok(vec![match (self, first(arguments)?) {
            (Self::Floats { replaced, values }, Data::Float32(data)) => {
                let missing = |v: &f32| *v == *replaced || v.is_nan() && replaced.is_nan();
                Data::Float32(impute(data, values, rows, missing))
            }
            (Self::Floats { replaced, values }, Data::Float64(data)) => {
                let replaced = f64::from(*replaced);
                let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
                let missing = |v: &f64| *v == replaced || v.is_nan() && replaced.is_nan();
                Data::Float64(impute(data, &values, rows, missing))
            }
            (Self::Ints { replaced, values }, Data::Int64(data)) => {
                Data::Int64(impute(data, values, rows, |value| value == replaced))
            }
            (Self::Ints { replaced, values }, Data::Int32(data)) => {
                let values: Vec<i32> = values.iter().map(|value| *value as i32).collect();
                Data::Int32(impute(data, &values, rows, |value| i64::from(*value) == *replaced))
            }
            (_, other) => {
                return Err(Error::internal(format!("Imputer of {:?}", other.element())));
            }
        }])
    }
}

fn impute<T: Copy>(data: &[T], values: &[T], rows: usize, missing: impl Fn(&T) -> bool) -> Vec<T> {
    let mut imputed = Vec::with_capacity(data.len());
    for (feature, value) in values.iter().enumerate() {
        let column = column(data, feature, rows);
        imputed.extend(column.iter().map(|found| if missing(found) { *value } else { *found }));
    }
    imputed
}

/// Builds `Normalizer`: divide the features of a row by their norm.
pub(super) fn normalizer(site: &Site<'_>) -> Result<Built> {
    numeric(site)?;
    let width = site.matrix(0)?;
    let norm = match site.attributes().string("norm", "MAX")?.as_str() {
        "MAX" => Norm::Max,
        "L1" => Norm::L1,
        "L2" => Norm::L2,
        other => return Err(site.invalid(format!("its norm is \"{other}\""))),
    };
    let input = site.input(0)?;
    let result = ValueType::new(ElementType::Float32, input.kind.shape.clone());
    let built = Built::new(Normalizer { norm, width }, vec![0], vec![result]);
    Ok(built.with_classes(input.classes.clone()))
}

#[derive(Clone, Copy, Debug)]
enum Norm {
    Max,
    L1,
    L2,
}

#[derive(Debug)]
struct Normalizer {
    norm: Norm,
    width: usize,
}

impl Operator for Normalizer {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let values = first(arguments)?.to_floats()?;
        let start = if matches!(self.norm, Norm::Max) { f32::MIN } else { 0.0 };
        let mut norms = vec![start; rows];
        for feature in 0..self.width {
            for (norm, value) in norms.iter_mut().zip(column(&values, feature, rows)) {
                match self.norm {
                    Norm::Max => *norm = norm.max(*value),
                    Norm::L1 => *norm += value.abs(),
                    Norm::L2 => *norm += value * value,
                }
            }
        }
        let mut results = Vec::with_capacity(values.len());
        for feature in 0..self.width {
            let column = column(&values, feature, rows);
            results
                .extend(column.iter().zip(&norms).map(|(value, norm)| self.divide(*value, *norm)));
        }
        Ok(vec![Data::Float32(results)])
    }
}

impl Normalizer {
    fn divide(&self, value: f32, norm: f32) -> f32 {
        if norm == 0.0 {
            return value;
        }
        match self.norm {
            Norm::L2 => (value * value / norm).sqrt().copysign(value),
            Norm::Max | Norm::L1 => value / norm,
        }
    }
}

/// Builds `Binarizer`.
pub(super) fn binarizer(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?.clone();
    if !kind.element.float() {
        return Err(site.bad_element(kind.element));
    }
    let threshold = site.attributes().float("threshold", 0.0);
    Ok(Built::new(Binarizer { threshold }, vec![0], vec![kind]))
}

#[derive(Debug)]
struct Binarizer {
    threshold: f32,
}

impl Operator for Binarizer {
    fn run(&self, arguments: &[&Data], _rows: usize) -> Result<Vec<Data>> {
        let threshold = self.threshold;
        let nan = || Error::evaluation("a value is NaN");
        Ok(vec![match first(arguments)? {
            Data::Float32(values) => {
                if values.iter().any(|value| value.is_nan()) {
                    return Err(nan());
                }
                Data::Float32(
                    values.iter().map(|v| if *v > threshold { 1.0 } else { 0.0 }).collect(),
                )
            }
            Data::Float64(values) => {
                if values.iter().any(|value| value.is_nan()) {
                    return Err(nan());
                }
                let threshold = f64::from(threshold);
                Data::Float64(
                    values.iter().map(|v| if *v > threshold { 1.0 } else { 0.0 }).collect(),
                )
            }
            other => return Err(Error::internal(format!("Binarizer of {:?}", other.element()))),
        }])
    }
}

/// Builds `FeatureVectorizer`: numbers side by side, as floats.
pub(super) fn feature_vectorizer(site: &Site<'_>) -> Result<Built> {
    let sizes = site.attributes().ints("inputdimensions");
    let mut width = 0;
    for position in 0..site.inputs.len() {
        let own = site.matrix(position)?;
        if sizes.get(position).is_some_and(|size| usize::try_from(*size) != Ok(own)) {
            return Err(site.unsupported("its inputdimensions differ from its inputs"));
        }
        if site.kind(position)?.element == ElementType::Text {
            return Err(site.bad_element(ElementType::Text));
        }
        width += own;
    }
    let arguments = (0..site.inputs.len()).collect();
    let result = ValueType::new(ElementType::Float32, Shape::matrix(width));
    Ok(Built::new(FeatureVectorizer, arguments, vec![result]))
}

#[derive(Debug)]
struct FeatureVectorizer;

impl Operator for FeatureVectorizer {
    fn run(&self, arguments: &[&Data], _rows: usize) -> Result<Vec<Data>> {
        let mut joined = Vec::new();
        for position in 0..arguments.len() {
            joined.extend_from_slice(&argument(arguments, position)?.to_floats()?);
        }
        Ok(vec![Data::Float32(joined)])
    }
}
