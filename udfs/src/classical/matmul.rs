//! `MatMul` and `Gemm` by a constant matrix, and the kernel that linear models share.

use super::arithmetic::Float;
use super::broadcast::{Broadcast, combine};
use super::operator::{Built, Operator, Site, argument, first};
use crate::error::{Error, Result};
use crate::value::{Data, Dimension, ElementType, Shape, ValueType, column};

/// Rows and outputs that are computed together, so that the sums stay in registers.
const LANES: usize = 8;
const TILE: usize = 4;

/// A matrix of weights, in tiles of [`TILE`] outputs, and a bias for each output.
#[derive(Clone, Debug)]
pub(super) struct Dense<T> {
    inputs: usize,
    outputs: usize,
    /// Tile after tile; in a tile the weights of one input after those of another.
    weights: Vec<[T; TILE]>,
    bias: Vec<T>,
}

impl<T: Float> Dense<T> {
    /// `weight(input, output)` gives the matrix; a missing bias is zero.
    pub(super) fn new(
        inputs: usize,
        outputs: usize,
        weight: impl Fn(usize, usize) -> T,
        bias: Vec<T>,
    ) -> Self {
        let mut weights = Vec::with_capacity(outputs.div_ceil(TILE) * inputs);
        for first in (0..outputs).step_by(TILE) {
            for input in 0..inputs {
                weights.push(std::array::from_fn(|lane| {
                    if first + lane < outputs { weight(input, first + lane) } else { T::default() }
                }));
            }
        }
        Self { inputs, outputs, weights, bias }
    }

    /// The products of `groups` runs of input columns with the matrix, plus the bias.
    ///
    /// Every sum runs over the inputs in order, whatever the number of rows.
    pub(super) fn apply(&self, values: &[T], groups: usize, rows: usize) -> Vec<T> {
        let mut results = vec![T::default(); groups * self.outputs * rows];
        if self.inputs == 0 || rows == 0 {
            return results;
        }
        let mut block = vec![[T::default(); LANES]; self.inputs];
        for group in 0..groups {
            for start in (0..rows).step_by(LANES) {
                let end = rows.min(start + LANES);
                for (input, lanes) in block.iter_mut().enumerate() {
                    let column = column(values, group * self.inputs + input, rows);
                    let part = column.get(start..end).unwrap_or_default();
                    lanes.iter_mut().zip(part).for_each(|(lane, value)| *lane = *value);
                }
                for (tile, weights) in self.weights.chunks_exact(self.inputs).enumerate() {
                    let sums = tile_sums(&block, weights);
                    let firsts = tile * TILE..self.outputs.min((tile + 1) * TILE);
                    for (output, sums) in firsts.zip(&sums) {
                        let bias = self.bias.get(output).copied().unwrap_or_default();
                        let place = (group * self.outputs + output) * rows;
                        let target = results.get_mut(place + start..place + end);
                        for (result, sum) in target.unwrap_or_default().iter_mut().zip(sums) {
                            *result = *sum + bias;
                        }
                    }
                }
            }
        }
        results
    }
}

fn tile_sums<T: Float>(block: &[[T; LANES]], weights: &[[T; TILE]]) -> [[T; LANES]; TILE] {
    let mut sums = [[T::default(); LANES]; TILE];
    for (values, weights) in block.iter().zip(weights) {
        for (sums, weight) in sums.iter_mut().zip(weights) {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = *sum + *value * *weight;
            }
        }
    }
    sums
}

/// Builds `MatMul`.
pub(super) fn matmul(site: &Site<'_>) -> Result<Built> {
    let (left, right) = (site.kind(0)?, site.kind(1)?);
    let (inputs, outputs) = match right.shape.0.as_slice() {
        [Dimension::Size(inputs), Dimension::Size(outputs)] => (*inputs, Some(*outputs)),
        [Dimension::Size(inputs)] => (*inputs, None),
        _ => return Err(site.unsupported(format!("its second input has shape {}", right.shape))),
    };
    let mut shape = left.shape.clone();
    if shape.0.pop() != Some(Dimension::Size(inputs)) {
        return Err(site.unsupported(format!("it multiplies {} by {}", left.shape, right.shape)));
    }
    shape.0.extend(outputs.map(Dimension::Size));
    let outputs = outputs.unwrap_or(1);
    let weights =
        Weights { inputs, outputs, transposed: false, scale: 1.0, bias: None, bias_scale: 0.0 };
    weights.build(site, left, shape)
}

/// Builds `Gemm`.
pub(super) fn gemm(site: &Site<'_>) -> Result<Built> {
    let (left, right) = (site.kind(0)?, site.kind(1)?);
    if site.attributes().int("transA", 0) != 0 {
        return Err(site.unsupported("it transposes its first input"));
    }
    let transposed = site.attributes().int("transB", 0) != 0;
    let (inputs, outputs) = match (right.shape.0.as_slice(), transposed) {
        ([Dimension::Size(rows), Dimension::Size(columns)], false) => (*rows, *columns),
        ([Dimension::Size(rows), Dimension::Size(columns)], true) => (*columns, *rows),
        _ => return Err(site.unsupported(format!("its second input has shape {}", right.shape))),
    };
    if left.shape.matrix_width() != Some(inputs) || left.shape.rank() != 2 {
        return Err(site.unsupported(format!("it multiplies {} by {}", left.shape, right.shape)));
    }
    let weights = Weights {
        inputs,
        outputs,
        transposed,
        scale: site.attributes().float("alpha", 1.0),
        bias: site.optional(2).map(|_| 2),
        bias_scale: site.attributes().float("beta", 1.0),
    };
    weights.build(site, left, Shape::matrix(outputs))
}

struct Weights {
    inputs: usize,
    outputs: usize,
    transposed: bool,
    scale: f32,
    /// Position of the input that is added.
    bias: Option<usize>,
    bias_scale: f32,
}

impl Weights {
    fn build(&self, site: &Site<'_>, left: &ValueType, shape: Shape) -> Result<Built> {
        site.check_size(&shape)?;
        let batched = left.shape.batched();
        let groups = left.shape.features() / self.inputs.max(1);
        let mut arguments = vec![0];
        let addend = match self.computed_bias(site)? {
            Some(position) => {
                arguments.push(position);
                Some(Broadcast::new(site, &[&shape, &site.kind(position)?.shape])?)
            }
            None => None,
        };
        if addend.as_ref().is_some_and(|addend| addend.shape != shape) {
            return Err(site.invalid("its third input is larger than its result"));
        }
        let operator: Box<dyn Operator> = match left.element {
            ElementType::Float32 => {
                let dense = self.dense::<f32>(site, self.scale, self.bias_scale)?;
                Box::new(Product { dense, groups, batched, addend, scale: self.bias_scale })
            }
            ElementType::Float64 => {
                let (scale, bias_scale) = (f64::from(self.scale), f64::from(self.bias_scale));
                let dense = self.dense::<f64>(site, scale, bias_scale)?;
                Box::new(Product { dense, groups, batched, addend, scale: bias_scale })
            }
            other => return Err(site.bad_element(other)),
        };
        let results = vec![ValueType::new(left.element, shape)];
        Ok(Built { operator, arguments, results, classes: None })
    }

    /// The position of a bias that is not one constant for each output.
    fn computed_bias(&self, site: &Site<'_>) -> Result<Option<usize>> {
        let Some(position) = self.bias else { return Ok(None) };
        let bias = site.input(position)?;
        let simple = bias.constant.is_some()
            && [1, self.outputs].contains(&bias.kind.shape.features())
            && bias.kind.shape.feature_sizes().iter().rev().skip(1).all(|size| *size == 1);
        Ok((!simple).then_some(position))
    }

    fn dense<T: Float>(&self, site: &Site<'_>, scale: T, bias_scale: T) -> Result<Dense<T>> {
        let matrix = match site.input(1)?.constant.as_deref() {
            Some(data) => T::slice(data)?,
            None => return Err(site.unsupported("it multiplies by a computed matrix")),
        };
        let bias = match (self.bias, self.computed_bias(site)?) {
            (Some(position), None) => site.input(position)?.constant.as_deref(),
            _ => None,
        };
        let bias = bias.map_or(Ok(&[][..]), T::slice)?;
        let bias = (0..self.outputs)
            .map(|output| bias.get(if bias.len() == 1 { 0 } else { output }).copied())
            .map(|value| value.unwrap_or_default() * bias_scale)
            .collect();
        let weight = |input: usize, output: usize| {
            let place = if self.transposed {
                output * self.inputs + input
            } else {
                input * self.outputs + output
            };
            matrix.get(place).copied().unwrap_or_default() * scale
        };
        Ok(Dense::new(self.inputs, self.outputs, weight, bias))
    }
}

#[derive(Debug)]
struct Product<T> {
    dense: Dense<T>,
    groups: usize,
    batched: bool,
    /// How the second argument is added, if there is one.
    addend: Option<Broadcast>,
    scale: T,
}

impl<T: Float + std::fmt::Debug> Operator for Product<T> {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let values = T::slice(first(arguments)?)?;
        let rows = if self.batched { rows } else { 1 };
        if values.len() != self.groups * self.dense.inputs * rows {
            return Err(Error::internal("a product of the wrong size"));
        }
        let products = self.dense.apply(values, self.groups, rows);
        let Some(addend) = &self.addend else { return Ok(vec![T::data(products)]) };
        let added = T::slice(argument(arguments, 1)?)?;
        let mut sums = Vec::with_capacity(products.len());
        for feature in 0..addend.features() {
            let left = addend.lane(0, feature, &products, rows);
            let right = addend.lane(1, feature, added, rows);
            combine(left, right, rows, &mut sums, |a, b| a + b * self.scale);
        }
        Ok(vec![T::data(sums)])
    }
}
