//! `LinearRegressor` and `LinearClassifier`.

use super::matmul::Dense;
use super::operator::{Built, Operator, Site, first};
use super::scores::{LabelTable, Labels, PostTransform, logistic};
use crate::error::Result;
use crate::value::{Data, ElementType, Shape, ValueType};

fn dense(site: &Site<'_>, inputs: usize, outputs: usize) -> Result<Dense<f32>> {
    site.check_size(&Shape::matrix(outputs))?;
    let coefficients = site.attributes().floats("coefficients");
    if coefficients.len() != inputs.saturating_mul(outputs) {
        return Err(site.invalid(format!(
            "it has {} coefficients for {inputs} inputs and {outputs} results",
            coefficients.len()
        )));
    }
    let intercepts = site.attributes().floats("intercepts");
    let weight = |input: usize, output: usize| {
        coefficients.get(output * inputs + input).copied().unwrap_or_default()
    };
    // ONNX ignores intercepts that are not one for each result.
    let bias = if intercepts.len() == outputs { intercepts.to_vec() } else { Vec::new() };
    Ok(Dense::new(inputs, outputs, weight, bias))
}

fn check_numeric(site: &Site<'_>) -> Result<()> {
    let element = site.kind(0)?.element;
    if element == ElementType::Text { Err(site.bad_element(element)) } else { Ok(()) }
}

/// Builds `LinearRegressor`.
pub(super) fn regressor(site: &Site<'_>) -> Result<Built> {
    check_numeric(site)?;
    let inputs = site.matrix(0)?;
    let targets = usize::try_from(site.attributes().int("targets", 1)).unwrap_or_default();
    let operator = Regressor {
        dense: dense(site, inputs, targets)?,
        targets,
        transform: PostTransform::from_name(site)?,
    };
    let result = ValueType::new(ElementType::Float32, Shape::matrix(targets));
    Ok(Built::new(operator, vec![0], vec![result]))
}

#[derive(Debug)]
struct Regressor {
    dense: Dense<f32>,
    targets: usize,
    transform: PostTransform,
}

impl Operator for Regressor {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let values = first(arguments)?.to_floats()?;
        let mut scores = self.dense.apply(&values, 1, rows);
        // With one target ONNX engines apply the probit only; there is nothing to normalise.
        let single = self.targets == 1 && self.transform != PostTransform::Probit;
        if self.transform != PostTransform::None && !single {
            transform_rows(self.transform, &mut scores, self.targets, rows);
        }
        Ok(vec![Data::Float32(scores)])
    }
}

/// Applies a transformation to the scores of each row.
fn transform_rows(transform: PostTransform, scores: &mut [f32], width: usize, rows: usize) {
    let mut row_scores = vec![0.0; width];
    for row in 0..rows {
        for (class, score) in row_scores.iter_mut().enumerate() {
            *score = scores.get(class * rows + row).copied().unwrap_or_default();
        }
        transform.apply(&mut row_scores);
        for (class, score) in row_scores.iter().enumerate() {
            if let Some(place) = scores.get_mut(class * rows + row) {
                *place = *score;
            }
        }
    }
}

/// Builds `LinearClassifier`.
pub(super) fn classifier(site: &Site<'_>) -> Result<Built> {
    check_numeric(site)?;
    let inputs = site.matrix(0)?;
    let labels = Labels::new(site, "classlabels_strings", "classlabels_ints")?;
    let outputs = site.attributes().floats("intercepts").len();
    let outputs = if outputs == 0 {
        site.attributes().floats("coefficients").len() / inputs.max(1)
    } else {
        outputs
    };
    if labels.len() != outputs && !(outputs == 1 && labels.len() == 2) {
        return Err(site.unsupported(format!("{} labels for {outputs} scores", labels.len())));
    }
    let operator = Classifier {
        dense: dense(site, inputs, outputs)?,
        outputs,
        labels: labels.table(),
        classes: labels.len(),
        transform: PostTransform::from_name(site)?,
    };
    let results = vec![
        ValueType::new(labels.element(), Shape::column()),
        ValueType::new(ElementType::Float32, Shape::matrix(labels.len())),
    ];
    Ok(Built::new(operator, vec![0], results).with_classes(Some(labels.names())))
}

#[derive(Debug)]
struct Classifier {
    dense: Dense<f32>,
    outputs: usize,
    labels: LabelTable,
    classes: usize,
    transform: PostTransform,
}

impl Operator for Classifier {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let values = first(arguments)?.to_floats()?;
        let mut scores = self.dense.apply(&values, 1, rows);
        if self.outputs == 1 {
            let winners = scores.iter().map(|score| u32::from(*score > 0.0)).collect();
            let scores =
                if self.classes == 2 { self.both_classes(&scores) } else { self.single(scores) };
            return Ok(vec![self.labels.pick(winners), Data::Float32(scores)]);
        }
        let winners = (0..rows).map(|row| winner(&scores, self.outputs, row, rows)).collect();
        if self.transform != PostTransform::None {
            transform_rows(self.transform, &mut scores, self.outputs, rows);
        }
        Ok(vec![self.labels.pick(winners), Data::Float32(scores)])
    }
}

impl Classifier {
    /// Scores of the negative and the positive class from the one score of the positive class.
    fn both_classes(&self, scores: &[f32]) -> Vec<f32> {
        let negative = |score: f32| match self.transform {
            PostTransform::Logistic | PostTransform::Probit => 1.0 - self.positive(score),
            _ => 1.0 - score,
        };
        let both = scores.iter().map(|score| negative(*score));
        both.chain(scores.iter().map(|score| self.positive(*score))).collect()
    }

    fn positive(&self, score: f32) -> f32 {
        match self.transform {
            PostTransform::Logistic => logistic(score),
            _ => score,
        }
    }

    fn single(&self, mut scores: Vec<f32>) -> Vec<f32> {
        if self.transform == PostTransform::Probit {
            self.transform.apply(&mut scores);
        }
        scores
    }
}

/// The class with the highest score; of equal ones the first.
fn winner(scores: &[f32], classes: usize, row: usize, rows: usize) -> u32 {
    let score = |class: usize| scores.get(class * rows + row).copied().unwrap_or_default();
    let mut best = 0;
    for class in 1..classes {
        if score(class) > score(best) {
            best = class;
        }
    }
    best as u32
}
