//! `TreeEnsembleClassifier`, `TreeEnsembleRegressor` and `TreeEnsemble`.
//!
//! ```text
//! attributes -> Forest (checked) -> kernel::Ensemble, or the general walk where that cannot be
//! columns of rows -> sums per target -> base values, transformation, label
//! ```

mod forest;
mod general;
mod kernel;
mod layout;

use super::operator::{Built, Operator, Site, first};
use super::scores::{LabelTable, Labels, PostTransform, logistic, probit};
use crate::error::Result;
use crate::value::{Data, ElementType, Shape, ValueType};
use forest::{Aggregate, Forest, Names};
use general::Scores;

const CLASSIFIER: Names = Names {
    ids: "class_ids",
    nodes: "class_nodeids",
    trees: "class_treeids",
    weights: "class_weights",
};

const REGRESSOR: Names = Names {
    ids: "target_ids",
    nodes: "target_nodeids",
    trees: "target_treeids",
    weights: "target_weights",
};

/// Sums the trees in the fastest way that gives the right answer.
#[derive(Debug)]
enum Walker {
    Kernel { ensemble: kernel::Ensemble, present: Vec<bool> },
    General(Forest),
}

impl Walker {
    /// `presence`: the caller asks which targets got any weight.
    fn new(site: &Site<'_>, forest: Forest, presence: bool) -> Result<Self> {
        let kind = site.kind(0)?;
        let width = site.matrix(0)?;
        if kind.element == ElementType::Text {
            return Err(site.bad_element(kind.element));
        }
        if forest.features() > width {
            return Err(
                site.invalid(format!("it looks at {} features, it has {width}", forest.features()))
            );
        }
        let present: Option<Vec<bool>> = if presence {
            forest.presence().into_iter().collect()
        } else {
            Some(vec![true; forest.targets])
        };
        if kind.element != ElementType::Float64
            && let Some(present) = present
            && let Some(ensemble) = layout::ensemble(&forest)
        {
            return Ok(Self::Kernel { ensemble, present });
        }
        Ok(Self::General(forest))
    }

    fn scores(&self, data: &Data, rows: usize) -> Result<Scores> {
        match self {
            Self::Kernel { ensemble, present } => Ok(Scores {
                values: ensemble.scores(&data.to_floats()?, rows),
                present: present.iter().flat_map(|p| std::iter::repeat_n(*p, rows)).collect(),
            }),
            Self::General(forest) => general::scores(forest, data, rows),
        }
    }
}

/// Builds `TreeEnsembleRegressor`.
pub(super) fn regressor(site: &Site<'_>) -> Result<Built> {
    let targets = usize::try_from(site.attributes().int("n_targets", 1)).unwrap_or_default();
    let forest = Forest::read(site, &REGRESSOR, targets)?;
    regression(site, forest, PostTransform::from_name(site)?)
}

/// Builds `TreeEnsemble`.
pub(super) fn ensemble(site: &Site<'_>) -> Result<Built> {
    let forest = Forest::read_new(site)?;
    regression(site, forest, PostTransform::from_number(site)?)
}

fn regression(site: &Site<'_>, forest: Forest, transform: PostTransform) -> Result<Built> {
    let targets = forest.targets;
    if targets == 0 || ![0, targets].contains(&forest.base_values.len()) {
        return Err(site.invalid(format!(
            "it has {} base values for {targets} targets",
            forest.base_values.len()
        )));
    }
    let operator = Regressor {
        targets,
        trees: (forest.aggregate == Aggregate::Average).then_some(forest.roots.len()),
        base_values: forest.base_values.clone(),
        transform,
        walker: Walker::new(site, forest, false)?,
    };
    let result = ValueType::new(ElementType::Float32, Shape::matrix(targets));
    Ok(Built::new(operator, vec![0], vec![result]))
}

#[derive(Debug)]
struct Regressor {
    walker: Walker,
    targets: usize,
    /// The number of trees, if the result is their average.
    trees: Option<usize>,
    base_values: Vec<f32>,
    transform: PostTransform,
}

impl Operator for Regressor {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let mut scores = self.walker.scores(first(arguments)?, rows)?.values;
        for (target, column) in scores.chunks_exact_mut(rows.max(1)).enumerate() {
            let base = self.base_values.get(target).copied().unwrap_or_default();
            for score in column {
                if let Some(trees) = self.trees {
                    *score /= trees as f32;
                }
                *score += base;
            }
        }
        match (self.targets, self.transform) {
            (_, PostTransform::None) => {}
            (1, PostTransform::Probit) => self.transform.apply(&mut scores),
            // ONNX engines normalise several targets only.
            (1, _) => {}
            (targets, transform) => {
                each_row(&mut scores, targets, rows, |row| transform.apply(row))
            }
        }
        Ok(vec![Data::Float32(scores)])
    }
}

fn each_row(scores: &mut [f32], width: usize, rows: usize, function: impl Fn(&mut [f32])) {
    let mut scratch = vec![0.0; width];
    for row in 0..rows {
        for (score, place) in scratch.iter_mut().zip(scores.iter().skip(row).step_by(rows)) {
            *score = *place;
        }
        function(&mut scratch);
        for (score, place) in scratch.iter().zip(scores.iter_mut().skip(row).step_by(rows)) {
            *place = *score;
        }
    }
}

/// Builds `TreeEnsembleClassifier`.
pub(super) fn classifier(site: &Site<'_>) -> Result<Built> {
    let labels = Labels::new(site, "classlabels_strings", "classlabels_int64s")?;
    let classes = labels.len();
    if classes < 2 {
        return Err(site.unsupported(format!("it has {classes} classes")));
    }
    let forest = Forest::read(site, &CLASSIFIER, classes)?;
    let bases = forest.base_values.len();
    if forest.aggregate != Aggregate::Sum
        || !(bases == 0 || bases == classes || (bases, classes) == (1, 2))
    {
        return Err(site.invalid(format!("it has {bases} base values for {classes} classes")));
    }
    let head = forest.weights.first().map(|(target, _)| *target);
    let operator = Classifier {
        labels: labels.table(),
        classes,
        one_class: classes == 2 && forest.weights.iter().all(|(target, _)| Some(*target) == head),
        positive: forest.weights.iter().all(|(_, weight)| *weight >= 0.0),
        base_values: forest.base_values.clone(),
        transform: PostTransform::from_name(site)?,
        walker: Walker::new(site, forest, true)?,
    };
    let results = vec![
        ValueType::new(labels.element(), Shape::column()),
        ValueType::new(ElementType::Float32, Shape::matrix(classes)),
    ];
    Ok(Built::new(operator, vec![0], results).with_classes(Some(labels.names())))
}

/// The rules by which scores become labels and probabilities are those of onnxruntime; the ONNX
/// text leaves them open for two classes.
#[derive(Debug)]
struct Classifier {
    walker: Walker,
    labels: LabelTable,
    classes: usize,
    /// All weights belong to one of two classes.
    one_class: bool,
    /// No weight is negative.
    positive: bool,
    base_values: Vec<f32>,
    transform: PostTransform,
}

impl Operator for Classifier {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let Scores { mut values, present } = self.walker.scores(first(arguments)?, rows)?;
        let mut winners = Vec::with_capacity(rows);
        let (mut scores, mut seen) = (vec![0.0; self.classes], vec![false; self.classes]);
        for row in 0..rows {
            for class in 0..self.classes {
                let place = class * rows + row;
                if let (Some(score), Some(flag)) = (scores.get_mut(class), seen.get_mut(class)) {
                    *score = values.get(place).copied().unwrap_or_default();
                    *flag = present.get(place).copied().unwrap_or_default();
                }
            }
            winners.push(match (scores.as_mut_slice(), seen.as_slice()) {
                ([negative, positive], [has_negative, has_positive]) => {
                    self.two_classes(negative, positive, *has_negative, *has_positive)
                }
                (scores, seen) => self.many_classes(scores, seen),
            });
            for (score, place) in scores.iter().zip(values.iter_mut().skip(row).step_by(rows)) {
                *place = *score;
            }
        }
        Ok(vec![self.labels.pick(winners), Data::Float32(values)])
    }
}

impl Classifier {
    fn many_classes(&self, scores: &mut [f32], seen: &[bool]) -> u32 {
        for (score, base) in scores.iter_mut().zip(&self.base_values) {
            *score += base;
        }
        let mut best: Option<(usize, f32)> = None;
        for (class, (score, seen)) in scores.iter().zip(seen).enumerate() {
            let counts = *seen || !self.base_values.is_empty();
            if counts && best.is_none_or(|(_, high)| *score > high) {
                best = Some((class, *score));
            }
        }
        self.transform.apply(scores);
        best.map_or(0, |(class, _)| class as u32)
    }

    fn two_classes(
        &self,
        negative: &mut f32,
        positive: &mut f32,
        has_negative: bool,
        has_positive: bool,
    ) -> u32 {
        let mut both = true;
        match self.base_values.as_slice() {
            [_, base] if has_positive => {
                *positive = base + *negative;
                *negative = -*positive;
            }
            [low, high] => {
                *negative += low;
                *positive += high;
            }
            [base] => {
                *negative += base;
                both = has_positive;
            }
            _ => both = has_positive,
        }
        let deciding = match (both && has_positive, has_negative) {
            (true, _) => *positive,
            (false, true) => *negative,
            (false, false) => 0.0,
        };
        let winner = deciding > if self.one_class && self.positive { 0.5 } else { 0.0 };
        if both {
            // A class without any weight has no score, not even its base value.
            let mut scores = [
                if has_negative { *negative } else { 0.0 },
                if has_positive { *positive } else { 0.0 },
            ];
            self.transform.apply(&mut scores);
            [*negative, *positive] = scores;
        } else {
            (*negative, *positive) = self.complement(*negative);
        }
        u32::from(winner)
    }

    /// The scores of both classes from the only one.
    fn complement(&self, score: f32) -> (f32, f32) {
        match self.transform {
            PostTransform::Probit => (probit(score), 0.0),
            _ if !self.one_class && !self.base_values.is_empty() => (score, 0.0),
            PostTransform::Logistic => (logistic(-score), logistic(score)),
            _ if self.one_class && self.positive => (1.0 - score, score),
            _ => (-score, score),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
