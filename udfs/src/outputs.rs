//! Which graph output a column of the OUTPUT list takes: the rules of [`Signature`].

use arrow::datatypes::{DataType, FieldRef};

use crate::error::{Error, Result};
use crate::runtime::OutputInfo;
use crate::signature::{Family, Signature};
use crate::value::ElementType;

/// What a column of the result is made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BoundOutput {
    /// Position among the graph's outputs.
    pub(crate) output: usize,
    pub(crate) part: Part,
}

/// What of a graph output is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Part {
    /// One feature, as a single value.
    Feature(usize),
    /// All features, as an array.
    All,
}

const LABEL_NAMES: [&str; 4] = ["label", "class", "output_label", "predicted_label"];

const SCORE_NAMES: [&str; 8] = [
    "score",
    "scores",
    "probability",
    "probabilities",
    "output_probability",
    "prediction",
    "variable",
    "value",
];

/// Maps the columns of a signature to the outputs of a graph.
pub(crate) fn bind(outputs: &[OutputInfo], signature: &Signature) -> Result<Vec<BoundOutput>> {
    let binder = Binder { outputs };
    let mut bound = Vec::with_capacity(signature.outputs.len());
    let mut guessed = Vec::new();
    for field in &signature.outputs {
        let (output, part, by_type) = binder.find(field)?;
        if by_type {
            guessed.push((bound.len(), output));
        }
        bound.push(BoundOutput { output, part });
    }
    for (own, output) in guessed {
        let taken = bound.iter().enumerate().any(|(at, other)| at != own && other.output == output);
        if taken {
            let name = signature.outputs.get(own).map(|field| field.name().as_str());
            return Err(binder.error(format!(
                "it is not clear which output of the graph column \"{}\" is",
                name.unwrap_or_default()
            )));
        }
    }
    Ok(bound)
}

struct Binder<'a> {
    outputs: &'a [OutputInfo],
}

impl Binder<'_> {
    /// The graph output for a column, what is taken of it, and whether only the type decided.
    fn find(&self, field: &FieldRef) -> Result<(usize, Part, bool)> {
        let name = field.name().as_str();
        if let Some(output) = self.named(name) {
            return Ok((output, self.part(field, output)?, false));
        }
        if let Some((output, class)) = self.class(name) {
            self.check_type(field, output)?;
            return Ok((output, Part::Feature(class), false));
        }
        let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        let (by_type, label) = match (is(&LABEL_NAMES), is(&SCORE_NAMES)) {
            (true, _) => (false, true),
            (_, true) => (false, false),
            _ => (true, !fractional(field.data_type())),
        };
        let output = if label { self.only_label() } else { self.only_scores() };
        // A model without labels may still be asked for an integer, and one without scores for
        // a float, if there is nothing else that could be meant.
        let output = output.or(if self.outputs.len() == 1 { Some(0) } else { None });
        let output = output.ok_or_else(|| {
            self.error(format!("it is not clear which output of the graph column \"{name}\" is"))
        })?;
        Ok((output, self.part(field, output)?, by_type))
    }

    fn named(&self, name: &str) -> Option<usize> {
        let exact = self.outputs.iter().position(|output| output.name == name);
        exact.or_else(|| {
            self.outputs.iter().position(|output| output.name.eq_ignore_ascii_case(name))
        })
    }

    /// The scores of one class, by the class' name in the column's name.
    fn class(&self, name: &str) -> Option<(usize, usize)> {
        let lower = name.to_ascii_lowercase();
        let class = ["probability_", "score_"].iter().find_map(|head| lower.strip_prefix(head))?;
        let scores = self.only_scores()?;
        let classes = self.outputs.get(scores)?.classes.as_ref()?;
        let found = classes.iter().position(|known| known.eq_ignore_ascii_case(class))?;
        Some((scores, found))
    }

    fn only_label(&self) -> Option<usize> {
        self.only(|output| !output.element.float() && output.width == 1)
    }

    fn only_scores(&self) -> Option<usize> {
        self.only(|output| output.element.float())
    }

    fn only(&self, condition: impl Fn(&OutputInfo) -> bool) -> Option<usize> {
        let mut found = self
            .outputs
            .iter()
            .enumerate()
            .filter(|(_, output)| condition(output))
            .map(|(at, _)| at);
        found.next().filter(|_| found.next().is_none())
    }

    fn part(&self, field: &FieldRef, position: usize) -> Result<Part> {
        self.check_type(field, position)?;
        let output = self.output(position)?;
        if matches!(field.data_type(), DataType::List(_)) {
            return Ok(Part::All);
        }
        let binary = output.element.float()
            && (output.classes.is_some() || self.only_label().is_some() && self.outputs.len() == 2);
        match output.width {
            1 => Ok(Part::Feature(0)),
            2 if binary => Ok(Part::Feature(1)),
            width => Err(Error::OutputMismatch {
                reason: format!(
                    "column \"{}\" is one value, output \"{}\" of the graph has {width}",
                    field.name(),
                    output.name
                ),
                hint: Some(match &output.classes {
                    Some(classes) => format!(
                        "Declare it as real[], or name a class: {}.",
                        classes
                            .iter()
                            .map(|c| format!("probability_{c}"))
                            .collect::<Vec<_>>()
                            .join(", ")
                    ),
                    None => "Declare it as real[].".to_owned(),
                }),
            }),
        }
    }

    fn check_type(&self, field: &FieldRef, position: usize) -> Result<()> {
        let output = self.output(position)?;
        let element = match field.data_type() {
            DataType::List(element) => element.data_type(),
            other => other,
        };
        let wants_text = Family::of(element) == Some(Family::Text);
        let gives_text = output.element == ElementType::Text;
        if gives_text && !wants_text || wants_text && output.element.float() {
            return Err(Error::OutputMismatch {
                reason: format!(
                    "column \"{}\" is {}, output \"{}\" of the graph holds {} values",
                    field.name(),
                    Family::of(element).map_or("of another type", Family::name),
                    output.name,
                    output.element.name()
                ),
                hint: None,
            });
        }
        Ok(())
    }

    fn output(&self, position: usize) -> Result<&OutputInfo> {
        self.outputs.get(position).ok_or_else(|| Error::internal("an output is missing"))
    }

    fn error(&self, reason: String) -> Error {
        let outputs: Vec<String> = self
            .outputs
            .iter()
            .map(|output| {
                format!("\"{}\" ({} {})", output.name, output.width, output.element.name())
            })
            .collect();
        Error::OutputMismatch {
            reason,
            hint: Some(format!("Name it as the graph does: {}.", outputs.join(", "))),
        }
    }
}

/// Whether a column asks for scores rather than a label.
fn fractional(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::List(_)
            | DataType::Float16
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(..)
            | DataType::Decimal256(..)
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
