//! The neural engine: `rten`, for graphs of standard operators.
//!
//! Each run borrows a thread of its own: the partitions of a query already use every core, and a
//! pool that all of them shared would only make them wait for each other.
//!
//! Never: control flow, randomness, or operators whose results have a size that only data decides
//! without bound.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use rten::{ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::Tensor;
use rten_tensor::prelude::*;

use crate::error::{Error, Result};
use crate::inputs::BoundInput;
use crate::limits::Limits;
use crate::onnx::Graph;
use crate::runtime::{Engine, OutputInfo, Runtime};
use crate::value::{Data, Dimension, ElementType};

/// Rows of a block: enough to keep the matrix product busy, few enough to stay in the cache.
const BLOCK_ROWS: usize = 1024;

/// The operators that are allowed, sorted.
#[rustfmt::skip]
const OPERATORS: [&str; 121] = [
    "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh",
    "AveragePool", "BatchNormalization", "Cast", "CastLike", "Ceil", "Clip", "Concat", "Constant",
    "ConstantOfShape", "Conv", "ConvInteger", "ConvTranspose", "Cos", "Cosh", "CumSum",
    "DepthToSpace", "DequantizeLinear", "Div", "DynamicQuantizeLinear", "Einsum", "Elu", "Equal",
    "Erf", "Exp", "Expand", "Flatten", "Floor", "GRU", "Gather", "GatherElements", "GatherND",
    "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "Greater", "GreaterOrEqual",
    "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "IsInf", "IsNaN", "LSTM",
    "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax",
    "LpNormalization", "MatMul", "MatMulInteger", "Max", "MaxPool", "Mean", "Min", "Mod", "Mul",
    "Neg", "Not", "OneHot", "Or", "PRelu", "Pad", "Pow", "QuantizeLinear", "RMSNormalization",
    "Range", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
    "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape",
    "Round", "ScatterElements", "ScatterND", "Shape", "Sigmoid", "Sign", "Sin", "Sinh", "Size",
    "Slice", "Softmax", "Softplus", "Softsign", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Swish",
    "Tan", "Tanh", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
];

/// Whether the engine has an operator.
pub(crate) fn supports(domain: &str, operator: &str) -> bool {
    domain.is_empty() && OPERATORS.binary_search(&operator).is_ok()
}

/// How much an operator does of the kind of work that this engine is for.
pub(crate) fn weight(domain: &str, operator: &str) -> usize {
    match (domain, operator) {
        ("", "Gemm" | "MatMul") => 1,
        ("", "Conv" | "ConvInteger" | "ConvTranspose" | "GRU" | "LSTM" | "MatMulInteger") => 2,
        _ => 0,
    }
}

/// A network ready to run.
pub(crate) struct Network {
    model: rten::Model,
    inputs: Vec<Port>,
    outputs: Vec<NodeId>,
    infos: Vec<OutputInfo>,
    /// The graph was written for one row at a time.
    single_rows: bool,
    threads: Mutex<Vec<Arc<ThreadPool>>>,
}

/// A graph input.
struct Port {
    node: NodeId,
    element: ElementType,
    /// Sizes beside the rows.
    sizes: Vec<usize>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Network").field("outputs", &self.infos).finish_non_exhaustive()
    }
}

impl Network {
    /// Loads a graph, and runs it once to learn what its outputs are.
    pub(crate) fn load(
        bytes: &[u8],
        graph: &Graph,
        inputs: &[BoundInput],
        limits: &Limits,
    ) -> Result<Self> {
        let model = guarded(|| {
            let mut options = ModelOptions::with_all_ops();
            options.prepack_weights(true);
            options.load(bytes.to_vec()).map_err(|error| Error::invalid(error.to_string()))
        })?;
        let mut ports = Vec::with_capacity(inputs.len());
        let mut single_rows = false;
        for input in inputs {
            match input.rows {
                None => {}
                Some(1) => single_rows = true,
                Some(rows) => {
                    return Err(Error::InputMismatch {
                        reason: format!("the graph insists on {rows} rows at a time"),
                        hint: Some("Export the model with a free first dimension.".to_owned()),
                    });
                }
            }
            ports.push(Port {
                node: node(&model, &input.name)?,
                element: input.kind.element,
                sizes: sizes(&input.kind.shape.0),
            });
        }
        let outputs =
            graph.outputs.iter().map(|output| node(&model, &output.name)).collect::<Result<_>>()?;
        let threads = Mutex::new(Vec::new());
        let mut network =
            Self { model, inputs: ports, outputs, infos: Vec::new(), single_rows, threads };
        network.infos = network.probe(graph, limits)?;
        Ok(network)
    }

    /// What the outputs are, from a run over two rows; each must come out as it does alone.
    fn probe(&self, graph: &Graph, limits: &Limits) -> Result<Vec<OutputInfo>> {
        let run = |rows: &[usize]| {
            let inputs: Vec<Data> = self.inputs.iter().map(|port| port.sample(rows)).collect();
            self.compute(&inputs, rows.len()).map_err(|error| match error {
                Error::Evaluation { reason } => {
                    Error::invalid(format!("it does not run: {reason}"))
                }
                other => other,
            })
        };
        let alone = run(&[0])?;
        if !self.single_rows {
            let both = run(&[1, 0])?;
            if alone.iter().zip(&both).any(|(alone, both)| !same_row(alone, both)) {
                return Err(Error::AcrossRows { node: "the graph".to_owned() });
            }
        }
        let mut infos = Vec::with_capacity(alone.len());
        for (output, result) in graph.outputs.iter().zip(&alone) {
            let width = result.len();
            if width > limits.values_per_row_max {
                return Err(Error::TooLarge {
                    what: "values per row in one output",
                    actual: width as u64,
                    limit: limits.values_per_row_max as u64,
                });
            }
            infos.push(OutputInfo {
                name: output.name.clone(),
                element: result.element(),
                width,
                classes: None,
            });
        }
        Ok(infos)
    }

    fn compute(&self, inputs: &[Data], rows: usize) -> Result<Vec<Data>> {
        let mut tensors = Vec::with_capacity(inputs.len());
        for (port, data) in self.inputs.iter().zip(inputs) {
            tensors.push((port.node, port.tensor(data, rows)?));
        }
        let pool = self.threads.lock().pop();
        let pool = pool.unwrap_or_else(|| Arc::new(ThreadPool::with_num_threads(1)));
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&pool)));
        let results = guarded(|| {
            self.model
                .run(tensors, &self.outputs, Some(options))
                .map_err(|error| Error::evaluation(error.to_string()))
        });
        self.threads.lock().push(pool);
        results?.into_iter().map(|value| data(value, rows)).collect()
    }
}

impl Runtime for Network {
    fn engine(&self) -> Engine {
        Engine::Neural
    }

    fn outputs(&self) -> &[OutputInfo] {
        &self.infos
    }

    fn block_rows(&self) -> usize {
        if self.single_rows { 1 } else { BLOCK_ROWS }
    }

    fn run(&self, inputs: Vec<Data>, rows: usize) -> Result<Vec<Data>> {
        let results = self.compute(&inputs, rows)?;
        for (info, result) in self.infos.iter().zip(&results) {
            if result.len() != info.width * rows || result.element() != info.element {
                return Err(Error::evaluation(format!(
                    "output \"{}\" changed its shape with the number of rows",
                    info.name
                )));
            }
        }
        Ok(results)
    }
}

/// Whether the second of two rows has the values of a row alone, but for rounding.
fn same_row(alone: &Data, both: &Data) -> bool {
    if both.len() != 2 * alone.len() {
        return false;
    }
    let second: Vec<u32> = (0..alone.len() as u32).map(|feature| 2 * feature + 1).collect();
    let (Ok(alone), Ok(both)) =
        (alone.to_floats(), both.gather(&second, 1).to_floats().map(|v| v.into_owned()))
    else {
        return false;
    };
    alone.iter().zip(&both).all(|(alone, both)| {
        let close = (alone - both).abs() <= 1e-3 * alone.abs().max(1.0);
        close || alone == both || alone.is_nan() && both.is_nan()
    })
}

impl Port {
    /// Made-up rows: small values that differ between features and rows.
    fn sample(&self, rows: &[usize]) -> Data {
        let features = self.sizes.iter().product::<usize>();
        let mix = |feature: usize, row: usize| (feature * 7 + row * 5 + feature * row) % 11;
        let values = (0..features).flat_map(|f| rows.iter().map(move |row| mix(f, *row)));
        match self.element {
            ElementType::Int32 | ElementType::Int64 | ElementType::Boolean => {
                Data::Int32(values.map(|value| (value % 2) as i32).collect())
            }
            _ => Data::Float32(values.map(|value| value as f32 / 5.0 - 1.0).collect()),
        }
    }

    /// A tensor with the rows first.
    fn tensor(&self, data: &Data, rows: usize) -> Result<ValueOrView<'static>> {
        let shape: Vec<usize> = std::iter::once(rows).chain(self.sizes.iter().copied()).collect();
        let wrong = |_| Error::internal("a tensor of the wrong size");
        match self.element {
            ElementType::Float32 | ElementType::Float64 => {
                let values = transposed(&data.to_floats()?, rows);
                let tensor = Tensor::try_from_data(shape.as_slice(), values).map_err(wrong)?;
                Ok(Value::from(tensor).into())
            }
            _ => {
                let tensor =
                    Tensor::try_from_data(shape.as_slice(), transposed(&integers(data)?, rows));
                Ok(Value::from(tensor.map_err(wrong)?).into())
            }
        }
    }
}

/// From feature after feature to row after row.
fn transposed<T: Copy>(values: &[T], rows: usize) -> Vec<T> {
    if rows == 1 {
        return values.to_vec();
    }
    (0..rows).flat_map(|row| values.iter().skip(row).step_by(rows).copied()).collect()
}

/// From row after row to feature after feature.
fn untransposed<T: Copy>(values: &[T], rows: usize) -> Vec<T> {
    transposed(values, values.len() / rows.max(1))
}

/// The engine computes with 32 bits.
fn integers(data: &Data) -> Result<Vec<i32>> {
    match data {
        Data::Int32(values) => Ok(values.clone()),
        Data::Int64(values) => values
            .iter()
            .map(|value| {
                i32::try_from(*value).map_err(|_| {
                    Error::evaluation(format!("{value} is beyond the engine's 32-bit integers"))
                })
            })
            .collect(),
        Data::Boolean(values) => Ok(values.iter().map(|value| i32::from(*value)).collect()),
        other => Err(Error::internal(format!("{:?} as integers", other.element()))),
    }
}

fn data(value: Value, rows: usize) -> Result<Data> {
    let first = value.shape().first().copied();
    if first != Some(rows) || !value.len().is_multiple_of(rows.max(1)) {
        return Err(Error::evaluation(format!(
            "an output has {} rows for {rows} rows of input",
            first.unwrap_or_default()
        )));
    }
    match value {
        Value::FloatTensor(tensor) => Ok(Data::Float32(untransposed(&tensor.to_vec(), rows))),
        Value::Int32Tensor(tensor) => Ok(Data::Int32(untransposed(&tensor.to_vec(), rows))),
        Value::Int8Tensor(tensor) => {
            let values: Vec<i32> = tensor.iter().map(|value| i32::from(*value)).collect();
            Ok(Data::Int32(untransposed(&values, rows)))
        }
        Value::UInt8Tensor(tensor) => {
            let values: Vec<i32> = tensor.iter().map(|value| i32::from(*value)).collect();
            Ok(Data::Int32(untransposed(&values, rows)))
        }
        _ => Err(Error::evaluation("an output is a sequence")),
    }
}

fn node(model: &rten::Model, name: &str) -> Result<NodeId> {
    model.find_node(name).ok_or_else(|| Error::invalid(format!("the graph has no \"{name}\"")))
}

fn sizes(dimensions: &[Dimension]) -> Vec<usize> {
    dimensions
        .iter()
        .filter_map(|dimension| match dimension {
            Dimension::Size(size) => Some(*size),
            Dimension::Rows => None,
        })
        .collect()
}

/// A model is foreign input, and the engine asserts what it expects of one.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Error::internal(format!(
            "the neural engine gave up: {}",
            message.unwrap_or("no reason")
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::OPERATORS;

    #[test]
    fn operators_are_sorted_for_the_search() {
        assert!(OPERATORS.is_sorted());
    }
}
