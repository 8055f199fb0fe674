//! What classifiers share: labels, the transformation of scores, and `ZipMap`.

use std::sync::Arc;

use super::operator::{Input, Site};
use crate::error::Result;
use crate::value::{Data, ElementType, Text};

/// How raw scores become the scores of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PostTransform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
    Probit,
}

impl PostTransform {
    /// From the attribute of linear models and of tree ensembles up to version 4.
    pub(super) fn from_name(site: &Site<'_>) -> Result<Self> {
        let name = site.attributes().string("post_transform", "NONE")?;
        Ok(match name.as_str() {
            "NONE" => Self::None,
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX" => Self::Softmax,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "PROBIT" => Self::Probit,
            _ => return Err(site.invalid(format!("its post_transform is \"{name}\""))),
        })
    }

    /// From the attribute of `TreeEnsemble`.
    pub(super) fn from_number(site: &Site<'_>) -> Result<Self> {
        Ok(match site.attributes().int("post_transform", 0) {
            0 => Self::None,
            1 => Self::Softmax,
            2 => Self::Logistic,
            3 => Self::SoftmaxZero,
            4 => Self::Probit,
            other => return Err(site.invalid(format!("its post_transform is {other}"))),
        })
    }

    /// Transforms the scores of one row.
    pub(super) fn apply(self, scores: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
            Self::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
            Self::Softmax => softmax(scores, |_| true),
            // Scores of zero stay zero: classes that no tree voted for.
            Self::SoftmaxZero => softmax(scores, |score| score.abs() > 1e-7),
        }
    }
}

/// The logistic function, computed from the side where it does not lose digits.
pub(super) fn logistic(value: f32) -> f32 {
    let positive = 1.0 / (1.0 + (-value.abs()).exp());
    if value < 0.0 { 1.0 - positive } else { positive }
}

/// The inverse of the normal distribution, with the same approximation (Winitzki's) that ONNX
/// engines use, so that results agree.
pub(super) fn probit(value: f32) -> f32 {
    std::f32::consts::SQRT_2 * inverse_error_function(2.0 * value - 1.0)
}

fn inverse_error_function(x: f32) -> f32 {
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let logarithm = ((1.0 - x) * (1.0 + x)).ln();
    // 2 / (3.14159 * 0.147) and 1 / 0.147, with pi as short as the engines have it.
    let v = 4.330_750_5 + 0.5 * logarithm;
    let w = 6.802_721 * logarithm;
    sign * (-v + (v * v - w).sqrt()).sqrt()
}

fn softmax(scores: &mut [f32], counts: impl Fn(f32) -> bool) {
    let high = scores
        .iter()
        .copied()
        .fold(-f32::MAX, |high, score| if score > high { score } else { high });
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        if counts(*score) {
            *score = (*score - high).exp();
            sum += *score;
        } else {
            *score *= (-high).exp();
        }
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// The names that a classifier gives to its classes.
#[derive(Clone, Debug)]
pub(super) enum Labels {
    Int64(Vec<i64>),
    Text(Vec<String>),
}

impl Labels {
    /// From a classifier's attributes; text wins if both are there.
    pub(super) fn new(site: &Site<'_>, text: &str, ints: &str) -> Result<Self> {
        let strings = site.attributes().strings(text)?;
        if strings.is_empty() {
            Ok(Self::Int64(site.attributes().ints(ints).to_vec()))
        } else {
            Ok(Self::Text(strings))
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Int64(labels) => labels.len(),
            Self::Text(labels) => labels.len(),
        }
    }

    pub(super) fn element(&self) -> ElementType {
        match self {
            Self::Int64(_) => ElementType::Int64,
            Self::Text(_) => ElementType::Text,
        }
    }

    pub(super) fn names(&self) -> Arc<Vec<String>> {
        Arc::new(match self {
            Self::Int64(labels) => labels.iter().map(ToString::to_string).collect(),
            Self::Text(labels) => labels.clone(),
        })
    }

    /// The labels as a table to look positions up in.
    pub(super) fn table(&self) -> LabelTable {
        match self {
            Self::Int64(labels) => LabelTable::Int64(labels.clone()),
            Self::Text(labels) => LabelTable::Text(Text::from_strings(labels)),
        }
    }
}

/// Labels ready to be written, one for each row.
#[derive(Debug)]
pub(super) enum LabelTable {
    Int64(Vec<i64>),
    Text(Text),
}

impl LabelTable {
    pub(super) fn pick(&self, classes: Vec<u32>) -> Data {
        match self {
            Self::Int64(labels) => Data::Int64(
                classes
                    .iter()
                    .map(|class| labels.get(*class as usize).copied().unwrap_or_default())
                    .collect(),
            ),
            Self::Text(text) => {
                Data::Text(Text { keys: classes, strings: Arc::clone(&text.strings) })
            }
        }
    }
}

/// The output of a `ZipMap`: its scores under the names of the classes.
pub(super) fn zip_map(site: &Site<'_>) -> Result<Input> {
    let scores = site.input(0)?;
    let labels = Labels::new(site, "classlabels_strings", "classlabels_int64s")?;
    let width = site.matrix(0)?;
    if labels.len() != width {
        return Err(site.invalid(format!("it names {} of {width} classes", labels.len())));
    }
    Ok(Input {
        kind: scores.kind.clone(),
        constant: None,
        symbolic: None,
        classes: Some(labels.names()),
        map: true,
    })
}
