//! What an operator is: built once from its node, then run over blocks of rows.

use std::fmt::Debug;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::onnx::{Attributes, Node};
use crate::value::{Data, Dimension, ElementType, Shape, ValueType};

/// A compiled operator.
pub(crate) trait Operator: Debug + Send + Sync {
    /// Computes the results for a block of rows from the arguments that [`Built`] asked for.
    ///
    /// Each argument has the type that it had when the operator was built; a constant argument has
    /// one element per feature, a batched one `rows`.
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>>;
}

/// Something that makes an operator from a node.
pub(crate) type Builder = fn(&Site<'_>) -> Result<Built>;

/// An operator, which of its node's inputs it reads when it runs, and what it makes.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) operator: Box<dyn Operator>,
    /// Positions among the node's inputs; the others were absorbed while building.
    pub(crate) arguments: Vec<usize>,
    pub(crate) results: Vec<ValueType>,
    /// Names of the classes, if the last result holds one score per class.
    pub(crate) classes: Option<Arc<Vec<String>>>,
}

impl Built {
    pub(crate) fn new(
        operator: impl Operator + 'static,
        arguments: Vec<usize>,
        results: Vec<ValueType>,
    ) -> Self {
        Self { operator: Box::new(operator), arguments, results, classes: None }
    }

    pub(crate) fn with_classes(mut self, classes: Option<Arc<Vec<String>>>) -> Self {
        self.classes = classes;
        self
    }
}

/// What is known of a node's input while the node is compiled.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) kind: ValueType,
    pub(crate) constant: Option<Arc<Data>>,
    /// The value of a `Shape` operator, in which the rows are not a number yet.
    pub(crate) symbolic: Option<Vec<Dimension>>,
    pub(crate) classes: Option<Arc<Vec<String>>>,
    /// A map from class to score: fit for an output, not for an operator.
    pub(crate) map: bool,
}

/// A node and what is known of its inputs: all that a builder may look at.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    pub(crate) node: &'a Node,
    /// `None` where an optional input is left out.
    pub(crate) inputs: Vec<Option<Input>>,
    /// Version of the node's set of operators.
    pub(crate) version: i64,
    pub(crate) limits: &'a Limits,
}

impl Site<'_> {
    pub(crate) fn attributes(&self) -> &Attributes {
        &self.node.attributes
    }

    /// The input at a position, if the node has it.
    pub(crate) fn optional(&self, position: usize) -> Option<&Input> {
        self.inputs.get(position).and_then(Option::as_ref)
    }

    /// The input at a position.
    pub(crate) fn input(&self, position: usize) -> Result<&Input> {
        self.optional(position)
            .ok_or_else(|| self.invalid(format!("input {} is missing", position + 1)))
    }

    /// The type of the input at a position.
    pub(crate) fn kind(&self, position: usize) -> Result<&ValueType> {
        self.input(position).map(|input| &input.kind)
    }

    /// The number of columns of an input that must be `[rows, width]` or `[rows]`.
    pub(crate) fn matrix(&self, position: usize) -> Result<usize> {
        let shape = &self.kind(position)?.shape;
        shape.matrix_width().ok_or_else(|| self.unsupported(format!("its input has shape {shape}")))
    }

    /// The constant integers at a position, if the node has that input.
    pub(crate) fn constant_ints(&self, position: usize) -> Result<Option<Vec<i64>>> {
        let Some(input) = self.optional(position) else { return Ok(None) };
        match input.constant.as_deref() {
            Some(Data::Int64(values)) => Ok(Some(values.clone())),
            Some(Data::Int32(values)) => Ok(Some(values.iter().map(|v| i64::from(*v)).collect())),
            _ => Err(self.unsupported(format!("input {} is not a constant", position + 1))),
        }
    }

    /// Integers that older operator sets keep in an attribute and newer ones in an input.
    pub(crate) fn ints(&self, attribute: &str, position: usize) -> Result<Option<Vec<i64>>> {
        if self.attributes().has(attribute) {
            return Ok(Some(self.attributes().ints(attribute).to_vec()));
        }
        self.constant_ints(position)
    }

    /// Turns an axis that may count from the end into a position.
    pub(crate) fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        let positive = if axis < 0 { axis + rank as i64 } else { axis };
        usize::try_from(positive)
            .ok()
            .filter(|position| *position < rank)
            .ok_or_else(|| self.invalid(format!("axis {axis} of a value with {rank} dimensions")))
    }

    /// Refuses results that are larger than the limits allow.
    pub(crate) fn check_size(&self, shape: &Shape) -> Result<()> {
        let (limit, what) = if shape.batched() {
            (self.limits.values_per_row_max, "values per row in one operator")
        } else {
            (self.limits.constant_values_max, "values in a constant")
        };
        let actual = shape.features();
        if actual <= limit {
            return Ok(());
        }
        Err(Error::TooLarge { what, actual: actual as u64, limit: limit as u64 })
    }

    /// Refuses an element type that the operator does not take.
    pub(crate) fn bad_element(&self, element: ElementType) -> Error {
        self.unsupported(format!("its input has {} values", element.name()))
    }

    /// An error for something that is allowed in ONNX and missing here.
    pub(crate) fn unsupported(&self, reason: impl Into<String>) -> Error {
        Error::UnsupportedNode { node: self.node.label(), reason: reason.into() }
    }

    /// An error for something that no engine may do.
    pub(crate) fn across_rows(&self) -> Error {
        Error::AcrossRows { node: format!("operator {}", self.node.label()) }
    }

    /// An error for something that is not allowed in ONNX.
    pub(crate) fn invalid(&self, reason: impl std::fmt::Display) -> Error {
        Error::invalid(format!("operator {}: {reason}", self.node.label()))
    }
}

/// An operator whose result is its first argument, under another type.
#[derive(Debug)]
pub(crate) struct Pass;

impl Operator for Pass {
    fn run(&self, arguments: &[&Data], _rows: usize) -> Result<Vec<Data>> {
        Ok(vec![first(arguments)?.clone()])
    }
}

/// The only argument of an operator that has one.
pub(crate) fn first<'a>(arguments: &[&'a Data]) -> Result<&'a Data> {
    argument(arguments, 0)
}

/// The argument at a position.
pub(crate) fn argument<'a>(arguments: &[&'a Data], position: usize) -> Result<&'a Data> {
    arguments.get(position).copied().ok_or_else(|| Error::internal("an argument is missing"))
}
