//! From a graph to a [`Program`]: types flow forward, constants are folded, dead steps dropped.

use std::collections::HashMap;
use std::sync::Arc;

use super::operator::{Built, Input, Site};
use super::program::{OutputInfo, Program, Step};
use super::registry::{self, Action};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::onnx::{Graph, Node};
use crate::value::{Data, Dimension, Shape, ValueType};

/// Compiles a graph whose inputs have the given types, in the graph's order.
pub(crate) fn compile(graph: &Graph, inputs: &[ValueType], limits: &Limits) -> Result<Program> {
    let mut compiler =
        Compiler { graph, limits, names: HashMap::new(), slots: Vec::new(), steps: Vec::new() };
    let mut input_slots = Vec::with_capacity(inputs.len());
    for (info, kind) in graph.inputs.iter().zip(inputs) {
        let slot = compiler.define(Input {
            kind: kind.clone(),
            constant: None,
            symbolic: None,
            classes: None,
            map: false,
        });
        compiler.names.insert(&info.name, slot);
        input_slots.push(slot);
    }
    for node in &graph.nodes {
        compiler.node(node)?;
    }
    compiler.finish(input_slots)
}

struct Compiler<'a> {
    graph: &'a Graph,
    limits: &'a Limits,
    /// Which slot holds the value of that name.
    names: HashMap<&'a str, usize>,
    slots: Vec<Input>,
    steps: Vec<Step>,
}

impl<'a> Compiler<'a> {
    fn define(&mut self, input: Input) -> usize {
        self.slots.push(input);
        self.slots.len() - 1
    }

    /// The slot of a name; a constant gets one when it is first read.
    fn slot(&mut self, name: &'a str) -> Result<usize> {
        if let Some(slot) = self.names.get(name) {
            return Ok(*slot);
        }
        let constant = self
            .graph
            .constant(name)
            .ok_or_else(|| Error::invalid(format!("nothing makes \"{name}\"")))??;
        let kind = ValueType::new(constant.data.element(), Shape::constant(&constant.sizes));
        let slot = self.constant(kind, constant.data);
        self.names.insert(name, slot);
        Ok(slot)
    }

    fn constant(&mut self, kind: ValueType, data: Data) -> usize {
        self.define(Input {
            kind,
            constant: Some(Arc::new(data)),
            symbolic: None,
            classes: None,
            map: false,
        })
    }

    fn node(&mut self, node: &'a Node) -> Result<()> {
        let mut slots = Vec::with_capacity(node.inputs.len());
        for name in &node.inputs {
            slots.push(if name.is_empty() { None } else { Some(self.slot(name)?) });
        }
        let inputs: Vec<Option<Input>> =
            slots.iter().map(|slot| slot.and_then(|slot| self.slots.get(slot).cloned())).collect();
        let site =
            Site { node, inputs, version: self.graph.version(&node.domain), limits: self.limits };
        if let Some(map) = site.inputs.iter().flatten().find(|input| input.map) {
            return Err(site.unsupported(format!("it reads a map of {}", map.kind.shape)));
        }
        let action = registry::find(&node.domain, &node.operator)
            .ok_or_else(|| Error::UnsupportedOperators { operators: vec![node.label()] })?;
        match action {
            Action::Build(build) => {
                let built = build(&site)?;
                for result in &built.results {
                    site.check_size(&result.shape)?;
                }
                self.step(node, &slots, built)
            }
            Action::Constant => {
                let constant = super::reshape::constant(&site)?;
                let kind =
                    ValueType::new(constant.data.element(), Shape::constant(&constant.sizes));
                let slot = self.constant(kind, constant.data);
                self.name(node, &[slot]);
                Ok(())
            }
            Action::Shape => {
                let shape = super::reshape::shape(&site)?;
                let slot = self.define(shape);
                self.name(node, &[slot]);
                Ok(())
            }
            Action::ZipMap => {
                let map = super::scores::zip_map(&site)?;
                let scores = slots.first().copied().flatten();
                let scores = scores.ok_or_else(|| Error::internal("ZipMap without input"))?;
                // The same column under another name: only outputs look at a map.
                let slot = self.define(map);
                self.steps.push(Step {
                    label: node.label(),
                    operator: Box::new(super::operator::Pass),
                    arguments: vec![scores],
                    results: vec![slot],
                    frees: Vec::new(),
                });
                self.name(node, &[slot]);
                Ok(())
            }
        }
    }

    fn name(&mut self, node: &'a Node, slots: &[usize]) {
        for (name, slot) in node.outputs.iter().zip(slots) {
            self.names.insert(name, *slot);
        }
    }

    fn step(&mut self, node: &'a Node, slots: &[Option<usize>], built: Built) -> Result<()> {
        let arguments: Vec<usize> = built
            .arguments
            .iter()
            .map(|position| slots.get(*position).copied().flatten())
            .collect::<Option<_>>()
            .ok_or_else(|| Error::internal("an operator reads an input that is left out"))?;
        if arguments.iter().any(|slot| self.slots.get(*slot).is_some_and(|s| s.symbolic.is_some()))
        {
            return Err(Error::UnsupportedNode {
                node: node.label(),
                reason: "it computes with the number of rows".to_owned(),
            });
        }
        if node.outputs.len() > built.results.len() {
            return Err(Error::UnsupportedNode {
                node: node.label(),
                reason: format!("it has {} outputs", node.outputs.len()),
            });
        }
        let constants: Option<Vec<Arc<Data>>> =
            arguments.iter().map(|slot| self.slots.get(*slot)?.constant.clone()).collect();
        if let Some(constants) = constants
            && built.results.iter().all(|kind| !kind.shape.batched())
        {
            return self.fold(node, &constants, built);
        }
        let last = built.results.len().saturating_sub(1);
        let mut results = Vec::with_capacity(built.results.len());
        for (position, kind) in built.results.into_iter().enumerate() {
            let classes = if position == last { built.classes.clone() } else { None };
            results.push(self.define(Input {
                kind,
                constant: None,
                symbolic: None,
                classes,
                map: false,
            }));
        }
        self.name(node, &results);
        self.steps.push(Step {
            label: node.label(),
            operator: built.operator,
            arguments,
            results,
            frees: Vec::new(),
        });
        Ok(())
    }

    /// Runs an operator now, as if its constants were one row.
    fn fold(&mut self, node: &'a Node, arguments: &[Arc<Data>], built: Built) -> Result<()> {
        let arguments: Vec<&Data> = arguments.iter().map(AsRef::as_ref).collect();
        let values = built.operator.run(&arguments, 1)?;
        let slots: Vec<usize> = built
            .results
            .into_iter()
            .zip(values)
            .map(|(kind, data)| self.constant(kind, data))
            .collect();
        self.name(node, &slots);
        Ok(())
    }

    fn finish(mut self, inputs: Vec<usize>) -> Result<Program> {
        let mut outputs = Vec::with_capacity(self.graph.outputs.len());
        for output in &self.graph.outputs {
            let slot = self.slot(&output.name)?;
            let value = self.slots.get(slot).ok_or_else(|| Error::internal("a slot is missing"))?;
            if value.symbolic.is_some() || !rows_first(&value.kind.shape) {
                return Err(Error::invalid(format!(
                    "output \"{}\" is not one value per row but {}",
                    output.name, value.kind.shape
                )));
            }
            outputs.push(OutputInfo {
                name: output.name.clone(),
                kind: value.kind.clone(),
                classes: value.classes.clone(),
                slot,
            });
        }
        let steps = live(self.steps, &outputs, self.slots.len());
        let widths = self.slots.iter().filter(|slot| slot.kind.shape.batched());
        Ok(Program {
            features_max: widths.map(|slot| slot.kind.shape.features()).max().unwrap_or(1),
            constants: used_constants(&self.slots, &steps, &outputs),
            slots: self.slots.len(),
            inputs,
            steps,
            outputs,
        })
    }
}

/// Whether the rows are the first dimension that is not 1.
fn rows_first(shape: &Shape) -> bool {
    let rows = shape.rows_at().unwrap_or_default();
    shape.0.iter().take(rows).all(|dimension| *dimension == Dimension::Size(1))
}

/// Drops steps that no output needs, and notes after which step each slot is free.
fn live(steps: Vec<Step>, outputs: &[OutputInfo], slots: usize) -> Vec<Step> {
    let mut needed = vec![false; slots];
    let mark = |needed: &mut Vec<bool>, slot: usize| {
        needed.get_mut(slot).is_some_and(|flag| !std::mem::replace(flag, true))
    };
    for output in outputs {
        mark(&mut needed, output.slot);
    }
    let mut kept = Vec::with_capacity(steps.len());
    for mut step in steps.into_iter().rev() {
        if !step.results.iter().any(|slot| needed.get(*slot).copied().unwrap_or_default()) {
            continue;
        }
        let unread: Vec<usize> = step
            .results
            .iter()
            .copied()
            .filter(|slot| !needed.get(*slot).copied().unwrap_or_default())
            .collect();
        step.frees = unread;
        for slot in step.arguments.clone() {
            if mark(&mut needed, slot) {
                step.frees.push(slot);
            }
        }
        kept.push(step);
    }
    kept.reverse();
    kept
}

fn used_constants(
    slots: &[Input],
    steps: &[Step],
    outputs: &[OutputInfo],
) -> Vec<(usize, Arc<Data>)> {
    let mut used: Vec<usize> = steps
        .iter()
        .flat_map(|step| step.arguments.iter().copied())
        .chain(outputs.iter().map(|output| output.slot))
        .collect();
    used.sort_unstable();
    used.dedup();
    used.into_iter()
        .filter_map(|slot| slots.get(slot)?.constant.clone().map(|constant| (slot, constant)))
        .collect()
}

/// The dimensions of a symbolic value, for operators that take a shape.
pub(super) fn dimensions(input: &Input) -> Option<Vec<Dimension>> {
    if let Some(symbolic) = &input.symbolic {
        return Some(symbolic.clone());
    }
    let Data::Int64(values) = input.constant.as_deref()? else { return None };
    values.iter().map(|value| usize::try_from(*value).ok().map(Dimension::Size)).collect()
}
