//! The graph of a model, checked for what every engine relies on.

use std::collections::{BTreeSet, HashMap, HashSet};

use prost::Message;
use prost::bytes::Bytes;

use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
};
use super::scan::scan;
use super::tensor::{self, Constant};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::value::ElementType;

/// The domain of the classical operators.
pub(crate) const CLASSICAL_DOMAIN: &str = "ai.onnx.ml";

/// A decoded graph: nodes in topological order, every name defined once and before its use.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<ValueInfo>,
    pub(crate) outputs: Vec<ValueInfo>,
    constants: HashMap<String, TensorProto>,
    versions: HashMap<String, i64>,
}

/// One operator application.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Empty for the standard operators.
    pub(crate) domain: String,
    pub(crate) operator: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    pub(crate) attributes: Attributes,
}

/// A graph input or output as the file declares it.
#[derive(Clone, Debug)]
pub(crate) struct ValueInfo {
    pub(crate) name: String,
    /// `None` if it is not a tensor of an element type that is known here.
    pub(crate) element: Option<ElementType>,
    /// `None` if no shape is declared; inside, `None` is an unknown or named dimension.
    pub(crate) sizes: Option<Vec<Option<usize>>>,
}

/// The settings of a node.
#[derive(Debug, Default)]
pub(crate) struct Attributes(HashMap<String, AttributeProto>);

impl Graph {
    /// Scans, decodes and checks a file.
    pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Self> {
        scan(bytes, limits)?;
        let model = ModelProto::decode(Bytes::copy_from_slice(bytes))
            .map_err(|error| Error::Malformed { reason: error.to_string() })?;
        let versions = model
            .opset_import
            .iter()
            .map(|set| (standard_domain(&set.domain).to_owned(), set.version))
            .collect();
        let graph = model
            .graph
            .ok_or_else(|| Error::Malformed { reason: "there is no graph in it".to_owned() })?;
        let graph = Self::from_proto(graph, versions, limits)?;
        graph.check_names()?;
        Ok(graph)
    }

    fn from_proto(
        proto: GraphProto,
        versions: HashMap<String, i64>,
        limits: &Limits,
    ) -> Result<Self> {
        if proto.node.len() > limits.operators_max {
            return Err(Error::TooLarge {
                what: "operators",
                actual: proto.node.len() as u64,
                limit: limits.operators_max as u64,
            });
        }
        let mut constants = HashMap::with_capacity(proto.initializer.len());
        for constant in proto.initializer {
            tensor::check(&constant)?;
            constants.insert(constant.name.clone(), constant);
        }
        // Old files list constants among the inputs, as defaults that a caller may override.
        let inputs = proto.input.iter().filter(|input| !constants.contains_key(&input.name));
        Ok(Self {
            inputs: inputs.map(ValueInfo::from_proto).collect(),
            outputs: proto.output.iter().map(ValueInfo::from_proto).collect(),
            nodes: proto.node.into_iter().map(Node::from_proto).collect(),
            constants,
            versions,
        })
    }

    fn check_names(&self) -> Result<()> {
        let mut known: HashSet<&str> = self.constants.keys().map(String::as_str).collect();
        known.insert("");
        for input in &self.inputs {
            if !known.insert(&input.name) {
                return Err(Error::invalid(format!("input \"{}\" is there twice", input.name)));
            }
        }
        for node in &self.nodes {
            if let Some(input) = node.inputs.iter().find(|name| !known.contains(name.as_str())) {
                return Err(Error::invalid(format!(
                    "operator {} reads \"{input}\", which nothing before it makes",
                    node.label()
                )));
            }
            for output in node.outputs.iter().filter(|name| !name.is_empty()) {
                if !known.insert(output) {
                    return Err(Error::invalid(format!("value \"{output}\" is made twice")));
                }
            }
        }
        let mut outputs = HashSet::new();
        for output in &self.outputs {
            if output.name.is_empty() || !known.contains(output.name.as_str()) {
                return Err(Error::invalid(format!("nothing makes output \"{}\"", output.name)));
            }
            if !outputs.insert(output.name.as_str()) {
                return Err(Error::invalid(format!("output \"{}\" is there twice", output.name)));
            }
        }
        if self.outputs.is_empty() {
            return Err(Error::invalid("it has no outputs"));
        }
        Ok(())
    }

    /// The constant of that name, decoded.
    pub(crate) fn constant(&self, name: &str) -> Option<Result<Constant>> {
        self.constants.get(name).map(tensor::decode)
    }

    /// Version of the set of operators in a domain; 1 if the file does not say.
    pub(crate) fn version(&self, domain: &str) -> i64 {
        self.versions.get(domain).copied().unwrap_or(1)
    }

    /// The distinct operators as (domain, name).
    pub(crate) fn operators(&self) -> BTreeSet<(&str, &str)> {
        self.nodes.iter().map(|node| (node.domain.as_str(), node.operator.as_str())).collect()
    }
}

fn standard_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

impl Node {
    fn from_proto(proto: NodeProto) -> Self {
        let attributes =
            proto.attribute.into_iter().map(|attribute| (attribute.name.clone(), attribute));
        Self {
            name: proto.name,
            domain: standard_domain(&proto.domain).to_owned(),
            operator: proto.op_type,
            inputs: proto.input,
            outputs: proto.output,
            attributes: Attributes(attributes.collect()),
        }
    }

    /// How messages name this node.
    pub(crate) fn label(&self) -> String {
        let name = operator_name(&self.domain, &self.operator);
        if self.name.is_empty() { name } else { format!("{name} (\"{}\")", self.name) }
    }
}

/// How messages name an operator.
pub(crate) fn operator_name(domain: &str, operator: &str) -> String {
    if domain.is_empty() { operator.to_owned() } else { format!("{domain}.{operator}") }
}

impl ValueInfo {
    fn from_proto(proto: &ValueInfoProto) -> Self {
        let tensor = proto.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let sizes = tensor.and_then(|tensor| tensor.shape.as_ref()).map(|shape| {
            let size = |value: i64| usize::try_from(value).ok().filter(|size| *size > 0);
            shape.dim.iter().map(|dimension| dimension.dim_value.and_then(size)).collect()
        });
        Self {
            name: proto.name.clone(),
            element: tensor.and_then(|tensor| ElementType::from_onnx(tensor.elem_type)),
            sizes,
        }
    }
}

impl Attributes {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.0.get(name).map_or(default, |attribute| attribute.i)
    }

    pub(crate) fn float(&self, name: &str, default: f32) -> f32 {
        self.0.get(name).map_or(default, |attribute| attribute.f)
    }

    pub(crate) fn string(&self, name: &str, default: &str) -> Result<String> {
        match self.0.get(name) {
            Some(attribute) => std::str::from_utf8(&attribute.s)
                .map(str::to_owned)
                .map_err(|_| Error::invalid(format!("attribute \"{name}\" is not UTF-8"))),
            None => Ok(default.to_owned()),
        }
    }

    pub(crate) fn ints(&self, name: &str) -> &[i64] {
        self.0.get(name).map_or(&[], |attribute| &attribute.ints)
    }

    pub(crate) fn floats(&self, name: &str) -> &[f32] {
        self.0.get(name).map_or(&[], |attribute| &attribute.floats)
    }

    pub(crate) fn strings(&self, name: &str) -> Result<Vec<String>> {
        self.0.get(name).map_or(Ok(Vec::new()), |attribute| tensor::strings(&attribute.strings))
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Option<Constant>> {
        let tensor = self.0.get(name).and_then(|attribute| attribute.t.as_ref());
        tensor.map(tensor::decode).transpose()
    }

    /// Whether the node carries graphs of its own (`If`, `Loop`, `Scan`).
    pub(crate) fn graphs(&self) -> bool {
        self.0.values().any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty())
    }
}
