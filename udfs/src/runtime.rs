//! The engines, and which of them runs a model.

use std::fmt::{self, Debug};
use std::sync::Arc;

use crate::classical::{self, Program};
use crate::error::{Error, Result};
use crate::inputs::BoundInput;
use crate::limits::Limits;
use crate::neural::{self, Network};
use crate::onnx::Graph;
use crate::onnx::graph::{CLASSICAL_DOMAIN, operator_name};
use crate::value::{Data, ElementType};

/// The engine that runs a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Tarn's own evaluator: tree ensembles, linear models, preparation of features.
    Classical,
    /// `rten`: neural networks.
    Neural,
}

impl Engine {
    /// The name under which the engine is recorded.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Classical => "classical",
            Self::Neural => "neural",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a graph output holds.
#[derive(Clone, Debug)]
pub(crate) struct OutputInfo {
    pub(crate) name: String,
    pub(crate) element: ElementType,
    /// Values for each row.
    pub(crate) width: usize,
    /// Names of the classes, if it holds one score per class.
    pub(crate) classes: Option<Arc<Vec<String>>>,
}

/// A model in an engine.
pub(crate) trait Runtime: Debug + Send + Sync {
    /// Which engine this is.
    fn engine(&self) -> Engine;

    /// The graph's outputs.
    fn outputs(&self) -> &[OutputInfo];

    /// How many rows to hand over at a time.
    fn block_rows(&self) -> usize;

    /// Computes the graph's outputs from one value for each graph input.
    fn run(&self, inputs: Vec<Data>, rows: usize) -> Result<Vec<Data>>;
}

/// Loads a model into the engine that fits it.
///
/// Graphs with `ai.onnx.ml` operators are classical. Graphs of standard operators are neural if
/// they multiply matrices more than once, or convolve, and otherwise classical: a linear model is
/// not worth handing over. Where the first choice refuses, the second is asked, except about a
/// graph that combines rows.
pub(crate) fn load(
    bytes: &[u8],
    graph: &Graph,
    inputs: &[BoundInput],
    limits: &Limits,
) -> Result<Box<dyn Runtime>> {
    let operators = graph.operators();
    let nested = graph.nodes.iter().any(|node| node.attributes.graphs());
    let can_classical =
        !nested && operators.iter().all(|(domain, name)| classical::supports(domain, name));
    let can_neural = !nested
        && operators.iter().all(|(domain, name)| neural::supports(domain, name))
        && inputs.iter().all(|input| input.kind.element != ElementType::Text);
    let work: usize =
        graph.nodes.iter().map(|node| neural::weight(&node.domain, &node.operator)).sum();
    let across_rows = |error: &Error| matches!(error, Error::AcrossRows { .. });

    let classical = || -> Result<Box<dyn Runtime>> {
        let kinds: Vec<_> = inputs.iter().map(|input| input.kind.clone()).collect();
        Ok(Box::new(Classical::new(classical::compile(graph, &kinds, limits)?)))
    };
    let neural = || -> Result<Box<dyn Runtime>> {
        Ok(Box::new(Network::load(bytes, graph, inputs, limits)?))
    };
    match (can_classical, can_neural) {
        (true, true) if work > 1 => match neural() {
            Err(error) if !across_rows(&error) => classical(),
            other => other,
        },
        (true, true) => match classical() {
            Err(error) if !across_rows(&error) => neural().map_err(|_| error),
            other => other,
        },
        (true, false) => classical(),
        (false, true) => neural(),
        (false, false) => Err(unsupported(graph)),
    }
}

/// The operators that stand in the way, for the engine that comes closest.
fn unsupported(graph: &Graph) -> Error {
    let operators = graph.operators();
    let nested = graph.nodes.iter().filter(|node| node.attributes.graphs());
    let mut names: Vec<String> =
        nested.map(|node| operator_name(&node.domain, &node.operator)).collect();
    let classical = operators.iter().any(|(domain, _)| *domain == CLASSICAL_DOMAIN);
    names.extend(
        operators
            .iter()
            .filter(|(domain, name)| {
                !classical::supports(domain, name) && (classical || !neural::supports(domain, name))
            })
            .map(|(domain, name)| operator_name(domain, name)),
    );
    if names.is_empty() {
        // Only a graph over text gets here with operators that the neural engine alone has.
        let unknown = operators.iter().filter(|(domain, name)| !classical::supports(domain, name));
        names.extend(unknown.map(|(domain, name)| operator_name(domain, name)));
    }
    names.sort();
    names.dedup();
    Error::UnsupportedOperators { operators: names }
}

/// The classical engine with a program.
#[derive(Debug)]
struct Classical {
    program: Program,
    outputs: Vec<OutputInfo>,
}

impl Classical {
    fn new(program: Program) -> Self {
        let outputs = program.outputs().iter().map(|output| OutputInfo {
            name: output.name.clone(),
            element: output.kind.element,
            width: output.kind.shape.features(),
            classes: output.classes.clone(),
        });
        Self { outputs: outputs.collect(), program }
    }
}

impl Runtime for Classical {
    fn engine(&self) -> Engine {
        Engine::Classical
    }

    fn outputs(&self) -> &[OutputInfo] {
        &self.outputs
    }

    fn block_rows(&self) -> usize {
        self.program.block_rows()
    }

    fn run(&self, inputs: Vec<Data>, rows: usize) -> Result<Vec<Data>> {
        self.program.run(inputs, rows)
    }
}
