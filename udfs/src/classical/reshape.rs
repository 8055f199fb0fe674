//! Operators that change a value's shape but not its elements, and those that make constants.
//!
//! The elements stay where they are as long as the rows stay between the same dimensions, so
//! these operators only pass their argument on.

use std::sync::Arc;

use super::compile::dimensions;
use super::operator::{Built, Input, Operator, Pass, Site};
use crate::error::Result;
use crate::onnx::Constant;
use crate::value::{Data, Dimension, ElementType, Shape, Text, ValueType};

/// Builds `Identity`, and `Dropout`, which does nothing outside training.
pub(super) fn identity(site: &Site<'_>) -> Result<Built> {
    let input = site.input(0)?;
    let built = Built::new(Pass, vec![0], vec![input.kind.clone()]);
    Ok(built.with_classes(input.classes.clone()))
}

/// Builds `Reshape`.
pub(super) fn reshape(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?;
    let target = target_shape(site, &kind.shape)?;
    finish(site, kind, target)
}

/// The dimensions asked for; `None` is the one to be inferred.
fn target_shape(site: &Site<'_>, from: &Shape) -> Result<Shape> {
    let keep_zero = site.attributes().int("allowzero", 0) != 0;
    let mut dimensions: Vec<Option<Dimension>> = Vec::new();
    if let Some(symbolic) = site.optional(1).and_then(|input| input.symbolic.as_ref()) {
        dimensions.extend(symbolic.iter().copied().map(Some));
    } else {
        let sizes = site.ints("shape", 1)?.unwrap_or_default();
        for (position, size) in sizes.into_iter().enumerate() {
            dimensions.push(match usize::try_from(size) {
                Ok(0) if !keep_zero => Some(
                    *from.0.get(position).ok_or_else(|| site.invalid("it copies no dimension"))?,
                ),
                Ok(size) => Some(Dimension::Size(size)),
                Err(_) => None,
            });
        }
    }
    if dimensions.iter().filter(|dimension| dimension.is_none()).count() > 1 {
        return Err(site.invalid("it infers two dimensions"));
    }
    let known = Shape(dimensions.iter().copied().flatten().collect());
    let inferred = if from.batched() && !known.batched() {
        Dimension::Rows
    } else {
        let (features, known) = (from.features(), known.features().max(1));
        Dimension::Size(features / known)
    };
    Ok(Shape(dimensions.into_iter().map(|dimension| dimension.unwrap_or(inferred)).collect()))
}

/// Checks that a reshape leaves the elements of a row together.
fn finish(site: &Site<'_>, kind: &ValueType, target: Shape) -> Result<Built> {
    let before = |shape: &Shape| {
        let rows = shape.rows_at().unwrap_or_default();
        shape.feature_sizes().iter().take(rows).product::<usize>()
    };
    let same = kind.shape.batched() == target.batched()
        && kind.shape.features() == target.features()
        && before(&kind.shape) == before(&target);
    if !same {
        return Err(site.unsupported(format!("it makes {target} of {}", kind.shape)));
    }
    Ok(Built::new(Pass, vec![0], vec![ValueType::new(kind.element, target)]))
}

/// Builds `Flatten`.
pub(super) fn flatten(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?;
    let rank = kind.shape.rank();
    let axis = site.attributes().int("axis", 1);
    let axis = if axis == rank as i64 { rank } else { site.axis(axis, rank)? };
    let (left, right) = kind.shape.0.split_at(axis);
    let target = Shape(vec![merge(site, left)?, merge(site, right)?]);
    finish(site, kind, target)
}

fn merge(site: &Site<'_>, dimensions: &[Dimension]) -> Result<Dimension> {
    let shape = Shape(dimensions.to_vec());
    match (shape.batched(), shape.features()) {
        (true, 1) => Ok(Dimension::Rows),
        (false, size) => Ok(Dimension::Size(size)),
        (true, _) => Err(site.across_rows()),
    }
}

/// Builds `Squeeze`.
pub(super) fn squeeze(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?;
    let rank = kind.shape.rank();
    let axes = match site.ints("axes", 1)? {
        Some(axes) => axes.iter().map(|axis| site.axis(*axis, rank)).collect::<Result<Vec<_>>>()?,
        None => {
            (0..rank).filter(|axis| kind.shape.0.get(*axis) == Some(&Dimension::Size(1))).collect()
        }
    };
    let mut target = Vec::with_capacity(rank);
    for (position, dimension) in kind.shape.0.iter().enumerate() {
        if !axes.contains(&position) {
            target.push(*dimension);
        } else if *dimension != Dimension::Size(1) {
            return Err(
                site.unsupported(format!("it drops dimension {position} of {}", kind.shape))
            );
        }
    }
    finish(site, kind, Shape(target))
}

/// Builds `Unsqueeze`.
pub(super) fn unsqueeze(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?;
    let axes = site.ints("axes", 1)?.ok_or_else(|| site.invalid("it has no axes"))?;
    let rank = kind.shape.rank() + axes.len();
    let axes = axes.iter().map(|axis| site.axis(*axis, rank)).collect::<Result<Vec<_>>>()?;
    let mut old = kind.shape.0.iter().copied();
    let target: Option<Vec<Dimension>> = (0..rank)
        .map(
            |position| if axes.contains(&position) { Some(Dimension::Size(1)) } else { old.next() },
        )
        .collect();
    let target = target.ok_or_else(|| site.invalid("its axes repeat"))?;
    finish(site, kind, Shape(target))
}

/// The value of a `Constant` node.
pub(super) fn constant(site: &Site<'_>) -> Result<Constant> {
    let attributes = site.attributes();
    if let Some(value) = attributes.tensor("value")? {
        return Ok(value);
    }
    Ok(match attributes.names().next() {
        Some("value_float") => Constant::scalar(attributes.float("value_float", 0.0)),
        Some("value_floats") => Constant::list(attributes.floats("value_floats").to_vec()),
        Some("value_int") => Constant::scalar(attributes.int("value_int", 0)),
        Some("value_ints") => Constant::list(attributes.ints("value_ints").to_vec()),
        Some("value_string") => Constant {
            sizes: Vec::new(),
            data: Data::Text(Text::from_strings(&[attributes.string("value_string", "")?])),
        },
        Some("value_strings") => {
            let strings = attributes.strings("value_strings")?;
            let data = Data::Text(Text::from_strings(&strings));
            Constant { sizes: vec![strings.len()], data }
        }
        other => {
            return Err(
                site.unsupported(format!("a constant in attribute {}", other.unwrap_or("none")))
            );
        }
    })
}

/// What is known of the result of a `Shape` node.
pub(super) fn shape(site: &Site<'_>) -> Result<Input> {
    let shape = &site.kind(0)?.shape;
    if site.attributes().has("start") || site.attributes().has("end") {
        return Err(site.unsupported("it takes a part of the shape"));
    }
    let kind = ValueType::new(ElementType::Int64, Shape::constant(&[shape.rank()]));
    let sizes = shape.feature_sizes().into_iter().map(|size| size as i64).collect();
    let constant = (!shape.batched()).then(|| Arc::new(Data::Int64(sizes)));
    let symbolic = shape.batched().then(|| shape.0.clone());
    Ok(Input { kind, constant, symbolic, classes: None, map: false })
}

/// Builds `ConstantOfShape`.
pub(super) fn constant_of_shape(site: &Site<'_>) -> Result<Built> {
    let shape = dimensions(site.input(0)?)
        .map(Shape)
        .ok_or_else(|| site.unsupported("its shape is computed from the rows"))?;
    let value = match site.attributes().tensor("value")? {
        Some(constant) if constant.data.len() == 1 => constant.data,
        Some(_) => return Err(site.invalid("its value is not one element")),
        None => Data::Float32(vec![0.0]),
    };
    let result = ValueType::new(value.element(), shape);
    site.check_size(&result.shape)?;
    let features = result.shape.features();
    Ok(Built::new(
        Fill { value, features, batched: result.shape.batched() },
        Vec::new(),
        vec![result],
    ))
}

#[derive(Debug)]
struct Fill {
    value: Data,
    features: usize,
    batched: bool,
}

impl Operator for Fill {
    fn run(&self, _arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        Ok(vec![self.value.spread(self.features * if self.batched { rows } else { 1 })])
    }
}
