//! Functions of one value: activations, roundings, `Clip`, `IsNaN`, `Not`.

use super::operator::{Built, Operator, Site, first};
use crate::error::{Error, Result};
use crate::value::{Data, ElementType, ValueType};

/// Builds a function of one argument.
pub(super) fn unary(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?.clone();
    let alpha = |default| f64::from(site.attributes().float("alpha", default));
    let function = match site.node.operator.as_str() {
        "Abs" => Function::Abs,
        "Ceil" => Function::Ceil,
        "Elu" => Function::Elu(alpha(1.0)),
        "Erf" => Function::Erf,
        "Exp" => Function::Exp,
        "Floor" => Function::Floor,
        "LeakyRelu" => Function::LeakyRelu(alpha(0.01)),
        "Log" => Function::Log,
        "Neg" => Function::Neg,
        "Reciprocal" => Function::Reciprocal,
        "Relu" => Function::Relu,
        "Round" => Function::Round,
        "Sigmoid" => Function::Sigmoid,
        "Sign" => Function::Sign,
        "Softplus" => Function::Softplus,
        "Sqrt" => Function::Sqrt,
        _ => Function::Tanh,
    };
    let integers = matches!(function, Function::Abs | Function::Neg | Function::Sign);
    if !(kind.element.float() || integers && kind.element.integer()) {
        return Err(site.bad_element(kind.element));
    }
    Ok(Built::new(function, vec![0], vec![kind]))
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Abs,
    Ceil,
    Elu(f64),
    Erf,
    Exp,
    Floor,
    LeakyRelu(f64),
    Log,
    Neg,
    Reciprocal,
    Relu,
    Round,
    Sigmoid,
    Sign,
    Softplus,
    Sqrt,
    Tanh,
}

impl Operator for Function {
    fn run(&self, arguments: &[&Data], _rows: usize) -> Result<Vec<Data>> {
        Ok(vec![match first(arguments)? {
            Data::Float32(values) => Data::Float32(self.singles(values)),
            Data::Float64(values) => Data::Float64(self.doubles(values)),
            Data::Int32(values) => Data::Int32(values.iter().map(|v| self.int(*v)).collect()),
            Data::Int64(values) => Data::Int64(values.iter().map(|v| self.long(*v)).collect()),
            other => return Err(Error::internal(format!("{self:?} of {:?}", other.element()))),
        }])
    }
}

macro_rules! float_functions {
    ($name:ident, $type:ty) => {
        fn $name(&self, values: &[$type]) -> Vec<$type> {
            fn map(values: &[$type], function: impl Fn($type) -> $type) -> Vec<$type> {
                values.iter().map(|value| function(*value)).collect()
            }
            match *self {
                Self::Abs => map(values, <$type>::abs),
                Self::Ceil => map(values, <$type>::ceil),
                Self::Elu(alpha) => {
                    map(values, |x| if x >= 0.0 { x } else { alpha as $type * (x.exp() - 1.0) })
                }
                Self::Erf => map(values, |x| erf(f64::from(x)) as $type),
                Self::Exp => map(values, <$type>::exp),
                Self::Floor => map(values, <$type>::floor),
                Self::LeakyRelu(alpha) => {
                    map(values, |x| if x >= 0.0 { x } else { alpha as $type * x })
                }
                Self::Log => map(values, <$type>::ln),
                Self::Neg => map(values, |x| -x),
                Self::Reciprocal => map(values, |x| 1.0 / x),
                // A comparison that keeps NaN, as ONNX does; f32::max would drop it.
                Self::Relu => map(values, |x| if x < 0.0 { 0.0 } else { x }),
                Self::Round => map(values, <$type>::round_ties_even),
                Self::Sigmoid => map(values, |x| {
                    let positive = 1.0 / (1.0 + (-x.abs()).exp());
                    if x < 0.0 { 1.0 - positive } else { positive }
                }),
                Self::Sign => map(values, |x| {
                    if x > 0.0 {
                        1.0
                    } else if x < 0.0 {
                        -1.0
                    } else {
                        x * 0.0
                    }
                }),
                Self::Softplus => {
                    map(values, |x| if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() })
                }
                Self::Sqrt => map(values, <$type>::sqrt),
                Self::Tanh => map(values, <$type>::tanh),
            }
        }
    };
}

macro_rules! integer_functions {
    ($name:ident, $type:ty) => {
        fn $name(self, value: $type) -> $type {
            match self {
                Self::Abs => value.wrapping_abs(),
                Self::Neg => value.wrapping_neg(),
                _ => value.signum(),
            }
        }
    };
}

impl Function {
    float_functions!(singles, f32);
    float_functions!(doubles, f64);
    integer_functions!(int, i32);
    integer_functions!(long, i64);
}

/// The error function, by Abramowitz and Stegun 7.1.5 near zero and a continued fraction of the
/// complement elsewhere; both are good to about 1e-15.
fn erf(x: f64) -> f64 {
    let magnitude = x.abs();
    if magnitude.is_nan() {
        return x;
    }
    let value = if magnitude < 2.5 { series(magnitude) } else { 1.0 - complement(magnitude) };
    value.copysign(x)
}

fn series(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for n in 1..100 {
        term *= -x * x / f64::from(n);
        let part = term / f64::from(2 * n + 1);
        sum += part;
        if part.abs() < 1e-17 {
            break;
        }
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

fn complement(x: f64) -> f64 {
    if x > 6.0 {
        return 0.0;
    }
    let fraction = (1..=60).rev().fold(x, |below, k| x + f64::from(k) / 2.0 / below);
    (-x * x).exp() / fraction / std::f64::consts::PI.sqrt()
}

/// Builds `Clip`, whose bounds are attributes in old operator sets and constants in new ones.
pub(super) fn clip(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?.clone();
    if !kind.element.float() {
        return Err(site.bad_element(kind.element));
    }
    let bound = |attribute: &str, position: usize, default: f64| -> Result<f64> {
        if site.attributes().has(attribute) {
            return Ok(f64::from(site.attributes().float(attribute, 0.0)));
        }
        let Some(input) = site.optional(position) else { return Ok(default) };
        match input.constant.as_deref() {
            Some(Data::Float32(values)) => Ok(values.first().map_or(default, |v| f64::from(*v))),
            Some(Data::Float64(values)) => Ok(values.first().copied().unwrap_or(default)),
            _ => Err(site.unsupported("its bounds are not constants")),
        }
    };
    let clip =
        Clip { low: bound("min", 1, f64::NEG_INFINITY)?, high: bound("max", 2, f64::INFINITY)? };
    Ok(Built::new(clip, vec![0], vec![kind]))
}

#[derive(Debug)]
struct Clip {
    low: f64,
    high: f64,
}

impl Operator for Clip {
    fn run(&self, arguments: &[&Data], _rows: usize) -> Result<Vec<Data>> {
        let clip = |value: f64| {
            if value < self.low {
                self.low
            } else if value > self.high {
                self.high
            } else {
                value
            }
        };
        Ok(vec![match first(arguments)? {
            Data::Float32(values) => {
                Data::Float32(values.iter().map(|v| clip(f64::from(*v)) as f32).collect())
            }
            Data::Float64(values) => Data::Float64(values.iter().map(|v| clip(*v)).collect()),
            other => return Err(Error::internal(format!("Clip of {:?}", other.element()))),
        }])
    }
}

/// Builds `IsNaN` and `IsInf`.
pub(super) fn test(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?;
    if !kind.element.float() {
        return Err(site.bad_element(kind.element));
    }
    let test = if site.node.operator == "IsNaN" {
        Test::NotANumber
    } else {
        Test::Infinite {
            positive: site.attributes().int("detect_positive", 1) != 0,
            negative: site.attributes().int("detect_negative", 1) != 0,
        }
    };
    let result = ValueType::new(ElementType::Boolean, kind.shape.clone());
    Ok(Built::new(test, vec![0], vec![result]))
}

#[derive(Debug)]
enum Test {
    NotANumber,
    Infinite { positive: bool, negative: bool },
}

impl Operator for Test {
    fn run(&self, arguments: &[&Data], _rows: usize) -> Result<Vec<Data>> {
        let test = |value: f64| match self {
            Self::NotANumber => value.is_nan(),
            Self::Infinite { positive, negative } => {
                *positive && value == f64::INFINITY || *negative && value == f64::NEG_INFINITY
            }
        };
        let results = match first(arguments)? {
            Data::Float32(values) => values.iter().map(|v| test(f64::from(*v))).collect(),
            Data::Float64(values) => values.iter().map(|v| test(*v)).collect(),
            other => return Err(Error::internal(format!("{self:?} of {:?}", other.element()))),
        };
        Ok(vec![Data::Boolean(results)])
    }
}

/// Builds `Not`.
pub(super) fn not(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?.clone();
    if kind.element != ElementType::Boolean {
        return Err(site.bad_element(kind.element));
    }
    Ok(Built::new(Not, vec![0], vec![kind]))
}

#[derive(Debug)]
struct Not;

impl Operator for Not {
    fn run(&self, arguments: &[&Data], _rows: usize) -> Result<Vec<Data>> {
        let values = first(arguments)?.booleans()?;
        Ok(vec![Data::Boolean(values.iter().map(|value| !value).collect())])
    }
}

#[cfg(test)]
mod tests {
    use super::erf;

    #[test]
    fn error_function_matches_tables() {
        // Values from the NIST Digital Library of Mathematical Functions, table 7.23.
        for (x, expected) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
            (-1.0, -0.842_700_792_949_714_9),
        ] {
            assert!((erf(x) - expected).abs() < 1e-14, "erf({x}) = {}", erf(x));
        }
    }
}
