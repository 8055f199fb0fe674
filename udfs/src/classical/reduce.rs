//! Operators that bring several features of a row to one: `Reduce...`, `ArgMax`, `Softmax`.

use super::arithmetic::Float;
use super::broadcast::strided;
use super::operator::{Built, Operator, Site, first};
use crate::error::{Error, Result};
use crate::value::{Data, Dimension, ElementType, Number, Shape, ValueType, column};

/// Which features are brought together: for each result its first feature, and the distances from
/// there that all results share.
#[derive(Debug)]
struct Groups {
    bases: Vec<u32>,
    offsets: Vec<u32>,
    batched: bool,
}

impl Groups {
    fn new(site: &Site<'_>, shape: &Shape, axes: &[usize]) -> Result<Self> {
        if axes.iter().any(|axis| shape.0.get(*axis) == Some(&Dimension::Rows)) {
            return Err(site.across_rows());
        }
        let sizes = shape.feature_sizes();
        let mut stride = 1;
        let (mut kept, mut reduced) = (Vec::new(), Vec::new());
        for (position, size) in sizes.iter().enumerate().rev() {
            let side = if axes.contains(&position) { &mut reduced } else { &mut kept };
            side.push((*size, stride));
            stride *= size;
        }
        let positions = |mut list: Vec<(usize, usize)>| {
            list.reverse();
            let (sizes, strides): (Vec<_>, Vec<_>) = list.into_iter().unzip();
            strided(&sizes, &strides)
        };
        let groups =
            Self { bases: positions(kept), offsets: positions(reduced), batched: shape.batched() };
        if groups.offsets.is_empty() && !groups.bases.is_empty() {
            return Err(site.unsupported("it reduces nothing"));
        }
        Ok(groups)
    }

    fn rows(&self, rows: usize) -> usize {
        if self.batched { rows } else { 1 }
    }

    /// The columns of one group.
    fn columns<'a, T>(
        &'a self,
        base: u32,
        values: &'a [T],
        rows: usize,
    ) -> impl Iterator<Item = &'a [T]> + Clone {
        self.offsets.iter().map(move |offset| column(values, (base + offset) as usize, rows))
    }
}

/// The shape that is left when the axes are reduced.
fn reduced(shape: &Shape, axes: &[usize], keep: bool) -> Shape {
    let mut dimensions = Vec::with_capacity(shape.rank());
    for (position, dimension) in shape.0.iter().enumerate() {
        if !axes.contains(&position) {
            dimensions.push(*dimension);
        } else if keep {
            dimensions.push(Dimension::Size(1));
        }
    }
    Shape(dimensions)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    L1,
    L2,
    LogSum,
    LogSumExp,
    Max,
    Mean,
    Min,
    Prod,
    Sum,
    SumSquare,
}

/// Builds a reduction.
pub(super) fn reduce(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?;
    let function = match site.node.operator.as_str() {
        "ReduceL1" => Function::L1,
        "ReduceL2" => Function::L2,
        "ReduceLogSum" => Function::LogSum,
        "ReduceLogSumExp" => Function::LogSumExp,
        "ReduceMax" => Function::Max,
        "ReduceMean" => Function::Mean,
        "ReduceMin" => Function::Min,
        "ReduceProd" => Function::Prod,
        "ReduceSum" => Function::Sum,
        _ => Function::SumSquare,
    };
    let integers =
        matches!(function, Function::Max | Function::Min | Function::Prod | Function::Sum);
    if !(kind.element.float() || integers && kind.element.integer()) {
        return Err(site.bad_element(kind.element));
    }
    let rank = kind.shape.rank();
    let listed = site.ints("axes", 1)?.unwrap_or_default();
    if listed.is_empty() && site.attributes().int("noop_with_empty_axes", 0) != 0 {
        return super::reshape::identity(site);
    }
    let axes: Vec<usize> = if listed.is_empty() {
        (0..rank).collect()
    } else {
        listed.iter().map(|axis| site.axis(*axis, rank)).collect::<Result<_>>()?
    };
    let keep = site.attributes().int("keepdims", 1) != 0;
    let groups = Groups::new(site, &kind.shape, &axes)?;
    let result = ValueType::new(kind.element, reduced(&kind.shape, &axes, keep));
    Ok(Built::new(Reduce { function, groups }, vec![0], vec![result]))
}

#[derive(Debug)]
struct Reduce {
    function: Function,
    groups: Groups,
}

impl Operator for Reduce {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let rows = self.groups.rows(rows);
        Ok(vec![match first(arguments)? {
            Data::Float32(values) => Data::Float32(self.floats(values, rows)),
            Data::Float64(values) => Data::Float64(self.floats(values, rows)),
            Data::Int32(values) => Data::Int32(self.integers(values, rows)),
            Data::Int64(values) => Data::Int64(self.integers(values, rows)),
            other => return Err(Error::internal(format!("reduction of {:?}", other.element()))),
        }])
    }
}

impl Reduce {
    fn floats<T: Real>(&self, values: &[T], rows: usize) -> Vec<T> {
        let zero = T::default();
        let plus = |sum: T, value: T| sum + value;
        match self.function {
            Function::Sum => self.fold(values, rows, zero, plus, |sum| sum),
            Function::Mean => {
                let count = T::count(self.groups.offsets.len());
                self.fold(values, rows, zero, plus, |sum| sum / count)
            }
            Function::LogSum => self.fold(values, rows, zero, plus, T::logarithm),
            Function::Prod => self.fold(values, rows, T::count(1), |sum, v| sum * v, |sum| sum),
            Function::SumSquare => self.fold(values, rows, zero, |sum, v| sum + v * v, |sum| sum),
            Function::L1 => self.fold(values, rows, zero, |sum, v| sum + v.magnitude(), |sum| sum),
            Function::L2 => self.fold(values, rows, zero, |sum, v| sum + v * v, T::root),
            Function::Max => self.extreme(values, rows, |a, b| a > b),
            Function::Min => self.extreme(values, rows, |a, b| a < b),
            Function::LogSumExp => {
                let high = self.extreme(values, rows, |a, b| a > b);
                let mut results = Vec::with_capacity(high.len());
                for (base, high) in self.groups.bases.iter().zip(high.chunks(rows.max(1))) {
                    let mut sums = vec![zero; high.len()];
                    for column in self.groups.columns(*base, values, rows) {
                        for ((sum, value), high) in sums.iter_mut().zip(column).zip(high) {
                            *sum = *sum + (*value - *high).exponential();
                        }
                    }
                    results
                        .extend(sums.iter().zip(high).map(|(sum, high)| *high + sum.logarithm()));
                }
                results
            }
        }
    }

    fn integers<T: super::arithmetic::Integer>(&self, values: &[T], rows: usize) -> Vec<T> {
        let mut results = Vec::with_capacity(self.groups.bases.len() * rows);
        for base in &self.groups.bases {
            let mut columns = self.groups.columns(*base, values, rows);
            let mut sums = columns.next().unwrap_or_default().to_vec();
            for column in columns {
                for (sum, value) in sums.iter_mut().zip(column) {
                    *sum = match self.function {
                        Function::Max => {
                            if *value > *sum {
                                *value
                            } else {
                                *sum
                            }
                        }
                        Function::Min => {
                            if *value < *sum {
                                *value
                            } else {
                                *sum
                            }
                        }
                        Function::Prod => sum.times(*value),
                        _ => sum.plus(*value),
                    };
                }
            }
            results.append(&mut sums);
        }
        results
    }

    fn fold<T: Number>(
        &self,
        values: &[T],
        rows: usize,
        start: T,
        step: impl Fn(T, T) -> T,
        finish: impl Fn(T) -> T,
    ) -> Vec<T> {
        let mut results = Vec::with_capacity(self.groups.bases.len() * rows);
        for base in &self.groups.bases {
            let mut sums = vec![start; rows];
            for column in self.groups.columns(*base, values, rows) {
                for (sum, value) in sums.iter_mut().zip(column) {
                    *sum = step(*sum, *value);
                }
            }
            results.extend(sums.into_iter().map(&finish));
        }
        results
    }

    /// The largest or smallest element; NaN wins.
    fn extreme<T: Number>(
        &self,
        values: &[T],
        rows: usize,
        better: impl Fn(&T, &T) -> bool,
    ) -> Vec<T> {
        let mut results = Vec::with_capacity(self.groups.bases.len() * rows);
        for base in &self.groups.bases {
            let mut columns = self.groups.columns(*base, values, rows);
            let mut best = columns.next().unwrap_or_default().to_vec();
            for column in columns {
                for (best, value) in best.iter_mut().zip(column) {
                    let nan = value.partial_cmp(value).is_none();
                    if better(value, best) || nan {
                        *best = *value;
                    }
                }
            }
            results.append(&mut best);
        }
        results
    }
}

/// Floating-point functions that reductions need.
trait Real: Float {
    fn count(count: usize) -> Self;
    fn exponential(self) -> Self;
    fn logarithm(self) -> Self;
    fn magnitude(self) -> Self;
    fn root(self) -> Self;
}

macro_rules! real {
    ($type:ty) => {
        impl Real for $type {
            fn count(count: usize) -> Self {
                count as Self
            }

            fn exponential(self) -> Self {
                self.exp()
            }

            fn logarithm(self) -> Self {
                self.ln()
            }

            fn magnitude(self) -> Self {
                self.abs()
            }

            fn root(self) -> Self {
                self.sqrt()
            }
        }
    };
}

real!(f32);
real!(f64);

/// Builds `ArgMax` and `ArgMin`.
pub(super) fn arg(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?;
    if !kind.element.float() && !kind.element.integer() {
        return Err(site.bad_element(kind.element));
    }
    let axis = site.axis(site.attributes().int("axis", 0), kind.shape.rank())?;
    let keep = site.attributes().int("keepdims", 1) != 0;
    let operator = Arg {
        groups: Groups::new(site, &kind.shape, &[axis])?,
        largest: site.node.operator == "ArgMax",
        last: site.attributes().int("select_last_index", 0) != 0,
    };
    let result = ValueType::new(ElementType::Int64, reduced(&kind.shape, &[axis], keep));
    Ok(Built::new(operator, vec![0], vec![result]))
}

#[derive(Debug)]
struct Arg {
    groups: Groups,
    largest: bool,
    /// Of equal elements the last wins, not the first.
    last: bool,
}

impl Operator for Arg {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let rows = self.groups.rows(rows);
        Ok(vec![Data::Int64(match first(arguments)? {
            Data::Float32(values) => self.apply(values, rows),
            Data::Float64(values) => self.apply(values, rows),
            Data::Int32(values) => self.apply(values, rows),
            Data::Int64(values) => self.apply(values, rows),
            other => return Err(Error::internal(format!("ArgMax of {:?}", other.element()))),
        })])
    }
}

impl Arg {
    fn apply<T: Number>(&self, values: &[T], rows: usize) -> Vec<i64> {
        let mut results = Vec::with_capacity(self.groups.bases.len() * rows);
        for base in &self.groups.bases {
            let mut columns = self.groups.columns(*base, values, rows);
            let mut best = columns.next().unwrap_or_default().to_vec();
            let mut found = vec![0_i64; best.len()];
            for (position, column) in columns.enumerate() {
                for ((best, found), value) in best.iter_mut().zip(&mut found).zip(column) {
                    let better = if self.largest { value > best } else { value < best };
                    if better || self.last && value == best {
                        *best = *value;
                        *found = position as i64 + 1;
                    }
                }
            }
            results.append(&mut found);
        }
        results
    }
}

/// Builds `Softmax` and `LogSoftmax`.
pub(super) fn softmax(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?.clone();
    if !kind.element.float() {
        return Err(site.bad_element(kind.element));
    }
    let rank = kind.shape.rank();
    // Up to version 12 all dimensions from the axis on are one.
    let old = site.version < 13;
    let axis = site.axis(site.attributes().int("axis", if old { 1 } else { -1 }), rank)?;
    let axes: Vec<usize> = if old { (axis..rank).collect() } else { vec![axis] };
    let function = if site.node.operator == "Softmax" { Norm::Softmax } else { Norm::LogSoftmax };
    let operator = Normalize { groups: Groups::new(site, &kind.shape, &axes)?, function };
    Ok(Built::new(operator, vec![0], vec![kind]))
}

/// Builds `LpNormalization`.
pub(super) fn lp_normalization(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?.clone();
    if !kind.element.float() {
        return Err(site.bad_element(kind.element));
    }
    let axis = site.axis(site.attributes().int("axis", -1), kind.shape.rank())?;
    let function = match site.attributes().int("p", 2) {
        1 => Norm::L1,
        2 => Norm::L2,
        other => return Err(site.invalid(format!("its norm is {other}"))),
    };
    let operator = Normalize { groups: Groups::new(site, &kind.shape, &[axis])?, function };
    Ok(Built::new(operator, vec![0], vec![kind]))
}

/// How the features of a group are made comparable.
#[derive(Clone, Copy, Debug)]
enum Norm {
    Softmax,
    LogSoftmax,
    L1,
    L2,
}

#[derive(Debug)]
struct Normalize {
    groups: Groups,
    function: Norm,
}

impl Operator for Normalize {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let rows = self.groups.rows(rows);
        Ok(vec![match first(arguments)? {
            Data::Float32(values) => Data::Float32(self.apply(values, rows)),
            Data::Float64(values) => Data::Float64(self.apply(values, rows)),
            other => {
                return Err(Error::internal(format!("normalisation of {:?}", other.element())));
            }
        }])
    }
}

impl Normalize {
    fn apply<T: Real>(&self, values: &[T], rows: usize) -> Vec<T> {
        let mut results = values.to_vec();
        let mut row = vec![T::default(); self.groups.offsets.len()];
        for base in &self.groups.bases {
            for index in 0..rows {
                let place = |offset: &u32| (base + offset) as usize * rows + index;
                for (value, offset) in row.iter_mut().zip(&self.groups.offsets) {
                    *value = values.get(place(offset)).copied().unwrap_or_default();
                }
                self.normalize(&mut row);
                for (value, offset) in row.iter().zip(&self.groups.offsets) {
                    if let Some(result) = results.get_mut(place(offset)) {
                        *result = *value;
                    }
                }
            }
        }
        results
    }

    fn normalize<T: Real>(&self, row: &mut [T]) {
        let zero = T::default();
        let divide = |row: &mut [T], norm: T| {
            // A row of zeros stays one.
            row.iter_mut()
                .for_each(|value| *value = if norm == zero { zero } else { *value / norm });
        };
        match self.function {
            Norm::L1 => {
                let norm = row.iter().fold(zero, |sum, value| sum + value.magnitude());
                divide(row, norm);
            }
            Norm::L2 => {
                let norm = row.iter().fold(zero, |sum, value| sum + *value * *value).root();
                divide(row, norm);
            }
            Norm::Softmax | Norm::LogSoftmax => {
                let high = row.iter().copied().reduce(|a, b| if b > a { b } else { a });
                let high = high.unwrap_or_default();
                let sum = row.iter().fold(zero, |sum, value| sum + (*value - high).exponential());
                row.iter_mut().for_each(|value| {
                    *value = match self.function {
                        Norm::Softmax => (*value - high).exponential() / sum,
                        _ => *value - high - sum.logarithm(),
                    };
                });
            }
        }
    }
}
