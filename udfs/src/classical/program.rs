//! A compiled graph: steps that read and write slots.

use std::sync::Arc;

use super::operator::Operator;
use crate::error::{Error, Result};
use crate::value::{Data, ValueType};

/// Values of the widest step that a block should not exceed, so that blocks stay in the cache.
const BLOCK_VALUES: usize = 1 << 17;

/// Rows of a block when the values are narrow.
const BLOCK_ROWS: usize = 256;

/// A compiled graph.
#[derive(Debug)]
pub(crate) struct Program {
    pub(super) slots: usize,
    /// Slots of the graph's inputs, in order.
    pub(super) inputs: Vec<usize>,
    pub(super) constants: Vec<(usize, Arc<Data>)>,
    pub(super) steps: Vec<Step>,
    pub(super) outputs: Vec<OutputInfo>,
    /// The most features that any step makes.
    pub(super) features_max: usize,
}

/// One operator and the slots that it works on.
#[derive(Debug)]
pub(crate) struct Step {
    pub(super) label: String,
    pub(super) operator: Box<dyn Operator>,
    pub(super) arguments: Vec<usize>,
    pub(super) results: Vec<usize>,
    /// Slots that no later step reads.
    pub(super) frees: Vec<usize>,
}

/// What a graph output holds.
#[derive(Clone, Debug)]
pub(crate) struct OutputInfo {
    pub(crate) name: String,
    pub(crate) kind: ValueType,
    /// Names of the classes, if it holds one score per class.
    pub(crate) classes: Option<Arc<Vec<String>>>,
    pub(super) slot: usize,
}

impl Program {
    pub(crate) fn outputs(&self) -> &[OutputInfo] {
        &self.outputs
    }

    /// How many rows to compute at a time.
    pub(crate) fn block_rows(&self) -> usize {
        (BLOCK_VALUES / self.features_max.max(1)).clamp(1, BLOCK_ROWS)
    }

    /// Computes all graph outputs for a block of rows.
    pub(crate) fn run(&self, inputs: Vec<Data>, rows: usize) -> Result<Vec<Data>> {
        let mut slots: Vec<Slot<'_>> = (0..self.slots).map(|_| Slot::Empty).collect();
        for (slot, constant) in &self.constants {
            set(&mut slots, *slot, Slot::Constant(constant))?;
        }
        for (slot, input) in self.inputs.iter().zip(inputs) {
            set(&mut slots, *slot, Slot::Value(input))?;
        }
        for step in &self.steps {
            let arguments: Vec<&Data> =
                step.arguments.iter().map(|slot| get(&slots, *slot)).collect::<Result<_>>()?;
            let results = step.operator.run(&arguments, rows).map_err(|error| name(error, step))?;
            for (slot, result) in step.results.iter().zip(results) {
                set(&mut slots, *slot, Slot::Value(result))?;
            }
            for slot in &step.frees {
                set(&mut slots, *slot, Slot::Empty)?;
            }
        }
        self.outputs.iter().map(|output| take(&mut slots, output, rows)).collect()
    }
}

enum Slot<'a> {
    Empty,
    Constant(&'a Data),
    Value(Data),
}

fn get<'a>(slots: &'a [Slot<'_>], slot: usize) -> Result<&'a Data> {
    match slots.get(slot) {
        Some(Slot::Value(data)) => Ok(data),
        Some(Slot::Constant(data)) => Ok(data),
        _ => Err(Error::internal("a step reads an empty slot")),
    }
}

fn set<'a>(slots: &mut [Slot<'a>], slot: usize, value: Slot<'a>) -> Result<()> {
    let place = slots.get_mut(slot).ok_or_else(|| Error::internal("a slot is missing"))?;
    *place = value;
    Ok(())
}

/// An output; a constant one is repeated for every row. Outputs may share a slot, so it is copied.
fn take(slots: &mut [Slot<'_>], output: &OutputInfo, rows: usize) -> Result<Data> {
    let data = get(slots, output.slot)?;
    Ok(if output.kind.shape.batched() { data.clone() } else { data.spread(rows) })
}

fn name(error: Error, step: &Step) -> Error {
    match error {
        Error::Evaluation { reason } => {
            Error::Evaluation { reason: format!("operator {}: {reason}", step.label) }
        }
        other => other,
    }
}
