//! Broadcasting: which feature of each argument a feature of the result is made from.
//!
//! NumPy's rule over the dimensions beside the rows. The rows of two arguments must be the same
//! dimension of the result; anything else would combine values of different rows.

use super::operator::Site;
use crate::error::Result;
use crate::value::{Dimension, Shape, column};

/// How arguments of several shapes are brought to one.
#[derive(Debug)]
pub(super) struct Broadcast {
    pub(super) shape: Shape,
    /// For each argument whether it has rows, and its feature for every feature of the result.
    arguments: Vec<(bool, Vec<u32>)>,
}

/// The elements of an argument that belong to one feature of the result.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lane<'a, T> {
    /// The same for every row.
    One(T),
    /// One for each row.
    Many(&'a [T]),
}

impl Broadcast {
    pub(super) fn new(site: &Site<'_>, shapes: &[&Shape]) -> Result<Self> {
        let rank = shapes.iter().map(|shape| shape.rank()).max().unwrap_or_default();
        let mut dimensions = vec![Dimension::Size(1); rank];
        for shape in shapes {
            let offset = rank - shape.rank();
            for (target, dimension) in dimensions.iter_mut().skip(offset).zip(&shape.0) {
                *target = match (*target, *dimension) {
                    (Dimension::Size(1), other) | (other, Dimension::Size(1)) => other,
                    (left, right) if left == right => left,
                    _ => return Err(mismatch(site, shapes)),
                };
            }
        }
        let shape = Shape(dimensions);
        if shape.0.iter().filter(|dimension| **dimension == Dimension::Rows).count() > 1 {
            return Err(mismatch(site, shapes));
        }
        site.check_size(&shape)?;
        let sizes = shape.feature_sizes();
        let arguments = shapes
            .iter()
            .map(|argument| (argument.batched(), feature_map(argument, &sizes)))
            .collect();
        Ok(Self { shape, arguments })
    }

    pub(super) fn features(&self) -> usize {
        self.shape.features()
    }

    /// Rows of the result in a block: a constant result has one.
    pub(super) fn rows(&self, rows: usize) -> usize {
        if self.shape.batched() { rows } else { 1 }
    }

    /// The elements of an argument for one feature of the result.
    pub(super) fn lane<'a, T: Copy + Default>(
        &self,
        argument: usize,
        feature: usize,
        values: &'a [T],
        rows: usize,
    ) -> Lane<'a, T> {
        let Some((batched, map)) = self.arguments.get(argument) else {
            return Lane::Many(&[]);
        };
        let source = map.get(feature).copied().unwrap_or_default() as usize;
        if *batched {
            Lane::Many(column(values, source, rows))
        } else {
            Lane::One(values.get(source).copied().unwrap_or_default())
        }
    }
}

impl<T: Copy> Lane<'_, T> {
    /// The element for one row.
    pub(super) fn at(&self, row: usize) -> Option<T> {
        match self {
            Self::One(value) => Some(*value),
            Self::Many(values) => values.get(row).copied(),
        }
    }
}

/// Applies a function to two lanes, appending one element for each row.
pub(super) fn combine<T: Copy, R>(
    left: Lane<'_, T>,
    right: Lane<'_, T>,
    rows: usize,
    results: &mut Vec<R>,
    function: impl Fn(T, T) -> R,
) {
    match (left, right) {
        (Lane::Many(left), Lane::Many(right)) => {
            results.extend(left.iter().zip(right).map(|(a, b)| function(*a, *b)));
        }
        (Lane::Many(left), Lane::One(right)) => {
            results.extend(left.iter().map(|a| function(*a, right)));
        }
        (Lane::One(left), Lane::Many(right)) => {
            results.extend(right.iter().map(|b| function(left, *b)));
        }
        (Lane::One(left), Lane::One(right)) => {
            results.extend((0..rows).map(|_| function(left, right)));
        }
    }
}

/// For every feature of the result the feature of an argument.
fn feature_map(argument: &Shape, sizes: &[usize]) -> Vec<u32> {
    let own = argument.feature_sizes();
    let offset = sizes.len() - own.len();
    let mut strides = vec![0_usize; sizes.len()];
    let mut stride = 1;
    for (position, size) in own.iter().enumerate().rev() {
        if *size > 1
            && let Some(place) = strides.get_mut(position + offset)
        {
            *place = stride;
        }
        stride *= size;
    }
    strided(sizes, &strides)
}

/// Positions in a strided array, in row-major order of the sizes.
pub(super) fn strided(sizes: &[usize], strides: &[usize]) -> Vec<u32> {
    let mut positions = vec![0_u32];
    for (size, stride) in sizes.iter().zip(strides) {
        positions = positions
            .iter()
            .flat_map(|base| (0..*size).map(move |index| base + (index * stride) as u32))
            .collect();
    }
    positions
}

fn mismatch(site: &Site<'_>, shapes: &[&Shape]) -> crate::error::Error {
    let shapes: Vec<String> = shapes.iter().map(ToString::to_string).collect();
    site.unsupported(format!("its inputs have shapes {}", shapes.join(" and ")))
}
