//! The product of columns with a constant matrix: what linear models and small networks do.
//!
//! Thirty-two rows and four outputs are computed together, so that their sums stay in registers
//! while the inputs run by. For single precision the vectors are as wide as the processor's, found
//! out when the program runs.
//!
//! Never: a sum in another order, or of another rounding, for another number of rows.

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};

use super::arithmetic::Float;
use crate::value::column;

/// Rows that are computed together.
const LANES: usize = 32;

/// Outputs that are computed together.
const TILE: usize = 4;

/// A matrix of weights, in tiles of four outputs, and a bias for each output.
#[derive(Clone, Debug)]
pub(super) struct Dense<T> {
    inputs: usize,
    outputs: usize,
    /// Tile after tile; in a tile the weights of one input after those of another.
    weights: Vec<[T; TILE]>,
    bias: Vec<T>,
}

impl<T: Real> Dense<T> {
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

    /// The number of columns that one product takes.
    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    /// The products of `groups` runs of input columns with the matrix, plus the bias.
    pub(super) fn apply(&self, values: &[T], groups: usize, rows: usize) -> Vec<T> {
        let mut results = vec![T::default(); groups * self.outputs * rows];
        if self.inputs == 0 {
            return results;
        }
        let mut block = vec![[T::default(); LANES]; self.inputs];
        for group in 0..groups {
            for start in (0..rows).step_by(LANES) {
                self.load(values, group, start, rows, &mut block);
                for (tile, weights) in self.weights.chunks_exact(self.inputs).enumerate() {
                    let sums = T::tile(&block, weights);
                    self.store(&sums, tile * TILE, group, start, rows, &mut results);
                }
            }
        }
        results
    }

    /// Copies the columns of some rows; lanes beyond the last row keep what they had.
    fn load(
        &self,
        values: &[T],
        group: usize,
        start: usize,
        rows: usize,
        block: &mut [[T; LANES]],
    ) {
        let end = rows.min(start + LANES);
        for (input, lanes) in block.iter_mut().enumerate() {
            let column = column(values, group * self.inputs + input, rows);
            let part = column.get(start..end).unwrap_or_default();
            lanes.iter_mut().zip(part).for_each(|(lane, value)| *lane = *value);
        }
    }

    fn store(
        &self,
        sums: &[[T; LANES]; TILE],
        first: usize,
        group: usize,
        start: usize,
        rows: usize,
        results: &mut [T],
    ) {
        let end = rows.min(start + LANES);
        for (output, sums) in (first..self.outputs).zip(sums) {
            let bias = self.bias.get(output).copied().unwrap_or_default();
            let place = (group * self.outputs + output) * rows;
            let target = results.get_mut(place + start..place + end).unwrap_or_default();
            target.iter_mut().zip(sums).for_each(|(result, sum)| *result = *sum + bias);
        }
    }
}

/// Numbers that matrices are made of.
pub(super) trait Real: Float {
    /// The sums over all inputs, for the rows of a block and the outputs of a tile.
    fn tile(block: &[[Self; LANES]], weights: &[[Self; TILE]]) -> [[Self; LANES]; TILE];
}

impl Real for f64 {
    fn tile(block: &[[Self; LANES]], weights: &[[Self; TILE]]) -> [[Self; LANES]; TILE] {
        let mut sums = [[0.0; LANES]; TILE];
        for (values, weights) in block.iter().zip(weights) {
            for (sums, weight) in sums.iter_mut().zip(weights) {
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += value * weight;
                }
            }
        }
        sums
    }
}

impl Real for f32 {
    fn tile(block: &[[Self; LANES]], weights: &[[Self; TILE]]) -> [[Self; LANES]; TILE] {
        Tile { block, weights }.dispatch()
    }
}

/// The work on one tile, for vectors of any width up to half the lanes.
struct Tile<'a> {
    block: &'a [[f32; LANES]],
    weights: &'a [[f32; TILE]],
}

impl SimdOp for Tile<'_> {
    type Output = [[f32; LANES]; TILE];

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> Self::Output {
        let ops = isa.f32();
        let mut results = [[0.0; LANES]; TILE];
        for start in (0..LANES).step_by(2 * ops.len()) {
            let mut sums = [[ops.zero(); 2]; TILE];
            for (values, weights) in self.block.iter().zip(self.weights) {
                let values: [I::F32; 2] = ops.load_many(&values[start..]);
                for (sums, weight) in sums.iter_mut().zip(weights) {
                    let weight = ops.splat(*weight);
                    sums[0] = ops.mul_add(values[0], weight, sums[0]);
                    sums[1] = ops.mul_add(values[1], weight, sums[1]);
                }
            }
            for (result, sums) in results.iter_mut().zip(sums) {
                let (low, high) = result[start..].split_at_mut(ops.len());
                ops.store(sums[0], low);
                ops.store(sums[1], high);
            }
        }
        results
    }
}

#[cfg(test)]
mod tests {
    use super::{Dense, Real};

    fn product<T: Real + From<f32>>(inputs: usize, outputs: usize, rows: usize) -> Vec<T> {
        let weight = |input: usize, output: usize| T::from((input * 3 + output) as f32 / 7.0);
        let bias = (0..outputs).map(|output| T::from(output as f32)).collect();
        let values: Vec<T> = (0..inputs * rows).map(|at| T::from((at % 13) as f32 - 6.0)).collect();
        Dense::new(inputs, outputs, weight, bias).apply(&values, 1, rows)
    }

    #[test]
    fn products_are_sums_in_order() {
        for (inputs, outputs, rows) in [(1, 1, 1), (3, 2, 5), (7, 5, 33), (30, 9, 100), (0, 2, 3)] {
            let single = product::<f32>(inputs, outputs, rows);
            let double = product::<f64>(inputs, outputs, rows);
            assert_eq!(single.len(), outputs * rows);
            for output in 0..outputs {
                for row in 0..rows {
                    let terms = (0..inputs).map(|input| {
                        let value = ((input * rows + row) % 13) as f64 - 6.0;
                        value * f64::from((input * 3 + output) as f32 / 7.0)
                    });
                    let bias = if inputs == 0 { 0.0 } else { output as f64 };
                    let expected = terms.sum::<f64>() + bias;
                    let at = output * rows + row;
                    assert!((double[at] - expected).abs() < 1e-9, "double {inputs} {output} {row}");
                    let single = f64::from(single[at]);
                    assert!((single - expected).abs() < 1e-3, "single {inputs} {output} {row}");
                }
            }
        }
    }
}
