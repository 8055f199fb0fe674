//! Arithmetic on two or more values: `Add`, `Sub`, `Mul`, `Div`, `Pow`, `Max`, `Min`, `Sum`, `Mean`.

use super::broadcast::{Broadcast, combine};
use super::operator::{Built, Operator, Site, argument};
use crate::error::{Error, Result};
use crate::value::{Data, ElementType, Number, ValueType};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Max,
    Min,
}

/// Builds an operator of two arguments.
pub(super) fn binary(site: &Site<'_>) -> Result<Built> {
    let function = match site.node.operator.as_str() {
        "Add" => Function::Add,
        "Sub" => Function::Sub,
        "Mul" => Function::Mul,
        "Div" => Function::Div,
        _ => Function::Pow,
    };
    let left = site.kind(0)?;
    let right = site.kind(1)?;
    let element = left.element;
    if !element.float() && !element.integer() {
        return Err(site.bad_element(element));
    }
    if function == Function::Pow && !element.float() {
        return Err(site.bad_element(element));
    }
    if right.element != element && function != Function::Pow {
        return Err(site.invalid("its inputs have different element types"));
    }
    if !right.element.float() && !right.element.integer() {
        return Err(site.bad_element(right.element));
    }
    let broadcast = Broadcast::new(site, &[&left.shape, &right.shape])?;
    let result = ValueType::new(element, broadcast.shape.clone());
    Ok(Built::new(Binary { function, broadcast }, vec![0, 1], vec![result]))
}

/// Builds an operator of any number of arguments.
pub(super) fn variadic(site: &Site<'_>) -> Result<Built> {
    let (function, mean) = match site.node.operator.as_str() {
        "Max" => (Function::Max, false),
        "Min" => (Function::Min, false),
        "Sum" => (Function::Add, false),
        _ => (Function::Add, true),
    };
    let element = site.kind(0)?.element;
    if !element.float() && !element.integer() || mean && !element.float() {
        return Err(site.bad_element(element));
    }
    let mut shapes = Vec::with_capacity(site.inputs.len());
    for position in 0..site.inputs.len() {
        let kind = site.kind(position)?;
        if kind.element != element {
            return Err(site.invalid("its inputs have different element types"));
        }
        shapes.push(&kind.shape);
    }
    let broadcast = Broadcast::new(site, &shapes)?;
    let result = ValueType::new(element, broadcast.shape.clone());
    let arguments = (0..site.inputs.len()).collect();
    Ok(Built::new(Variadic { function, mean, broadcast }, arguments, vec![result]))
}

#[derive(Debug)]
struct Binary {
    function: Function,
    broadcast: Broadcast,
}

impl Operator for Binary {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let left = argument(arguments, 0)?;
        let right = argument(arguments, 1)?;
        let converted;
        let right = if right.element() == left.element() {
            right
        } else {
            converted = super::cast::convert(right, left.element())?;
            &converted
        };
        Ok(vec![match left.element() {
            ElementType::Float32 => self.floats::<f32>(left, right, rows)?,
            ElementType::Float64 => self.floats::<f64>(left, right, rows)?,
            ElementType::Int32 => self.integers::<i32>(left, right, rows)?,
            _ => self.integers::<i64>(left, right, rows)?,
        }])
    }
}

impl Binary {
    fn floats<T: Float>(&self, left: &Data, right: &Data, rows: usize) -> Result<Data> {
        let (left, right) = (T::slice(left)?, T::slice(right)?);
        Ok(match self.function {
            Function::Add => self.apply(left, right, rows, |a, b| a + b),
            Function::Sub => self.apply(left, right, rows, |a, b| a - b),
            Function::Mul => self.apply(left, right, rows, |a, b| a * b),
            Function::Div => self.apply(left, right, rows, |a, b| a / b),
            _ => self.apply(left, right, rows, T::power),
        })
    }

    fn integers<T: Integer>(&self, left: &Data, right: &Data, rows: usize) -> Result<Data> {
        let (left, right) = (T::slice(left)?, T::slice(right)?);
        Ok(match self.function {
            Function::Add => self.apply(left, right, rows, T::plus),
            Function::Sub => self.apply(left, right, rows, T::minus),
            Function::Mul => self.apply(left, right, rows, T::times),
            _ => {
                if right.contains(&T::default()) {
                    return Err(Error::evaluation("division by zero"));
                }
                self.apply(left, right, rows, T::over)
            }
        })
    }

    fn apply<T: Number + Default>(
        &self,
        left: &[T],
        right: &[T],
        rows: usize,
        function: impl Fn(T, T) -> T + Copy,
    ) -> Data {
        let count = self.broadcast.rows(rows);
        let mut results = Vec::with_capacity(self.broadcast.features() * count);
        for feature in 0..self.broadcast.features() {
            let left = self.broadcast.lane(0, feature, left, rows);
            let right = self.broadcast.lane(1, feature, right, rows);
            combine(left, right, count, &mut results, function);
        }
        T::data(results)
    }
}

#[derive(Debug)]
struct Variadic {
    function: Function,
    mean: bool,
    broadcast: Broadcast,
}

impl Operator for Variadic {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        Ok(vec![match argument(arguments, 0)?.element() {
            ElementType::Float32 => {
                let mut values =
                    self.fold::<f32>(arguments, rows, float_function(self.function))?;
                if self.mean {
                    values.iter_mut().for_each(|value| *value /= arguments.len() as f32);
                }
                Data::Float32(values)
            }
            ElementType::Float64 => {
                let mut values =
                    self.fold::<f64>(arguments, rows, float_function(self.function))?;
                if self.mean {
                    values.iter_mut().for_each(|value| *value /= arguments.len() as f64);
                }
                Data::Float64(values)
            }
            ElementType::Int32 => {
                Data::Int32(self.fold::<i32>(arguments, rows, integer_function(self.function))?)
            }
            _ => Data::Int64(self.fold::<i64>(arguments, rows, integer_function(self.function))?),
        }])
    }
}

impl Variadic {
    fn fold<T: Number + Default>(
        &self,
        arguments: &[&Data],
        rows: usize,
        function: fn(T, T) -> T,
    ) -> Result<Vec<T>> {
        let slices: Vec<&[T]> =
            arguments.iter().map(|data| T::slice(data)).collect::<Result<_>>()?;
        let count = self.broadcast.rows(rows);
        let mut results = Vec::with_capacity(self.broadcast.features() * count);
        for feature in 0..self.broadcast.features() {
            for row in 0..count {
                let element = slices
                    .iter()
                    .enumerate()
                    .filter_map(|(position, values)| {
                        self.broadcast.lane(position, feature, values, rows).at(row)
                    })
                    .reduce(function);
                results.push(element.unwrap_or_default());
            }
        }
        Ok(results)
    }
}

fn float_function<T: Float>(function: Function) -> fn(T, T) -> T {
    match function {
        Function::Max => |a, b| if a > b || nan(a) { a } else { b },
        Function::Min => |a, b| if a < b || nan(a) { a } else { b },
        _ => |a, b| a + b,
    }
}

/// NaN is the one value that does not compare with itself.
fn nan<T: Float>(value: T) -> bool {
    value.partial_cmp(&value).is_none()
}

fn integer_function<T: Integer>(function: Function) -> fn(T, T) -> T {
    match function {
        Function::Max => |a, b| if a > b { a } else { b },
        Function::Min => |a, b| if a < b { a } else { b },
        _ => T::plus,
    }
}

/// Floating-point numbers.
pub(super) trait Float:
    Number
    + Default
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
{
    fn power(self, exponent: Self) -> Self;
}

impl Float for f32 {
    fn power(self, exponent: Self) -> Self {
        if exponent == 2.0 { self * self } else { self.powf(exponent) }
    }
}

impl Float for f64 {
    fn power(self, exponent: Self) -> Self {
        if exponent == 2.0 { self * self } else { self.powf(exponent) }
    }
}

/// Integers, with arithmetic that wraps as it does in the engines that models were trained with.
pub(super) trait Integer: Number + Default {
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn over(self, other: Self) -> Self;
}

macro_rules! integer {
    ($type:ty) => {
        impl Integer for $type {
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }

            fn over(self, other: Self) -> Self {
                self.checked_div(other).unwrap_or_default()
            }
        }
    };
}

integer!(i32);
integer!(i64);
