//! Reading ONNX files: bytes are scanned, then decoded, then turned into a [`Graph`] that names
//! its nodes, constants, inputs and outputs.
//!
//! Never: chooses an engine or evaluates anything.

pub(crate) mod graph;
mod proto;
mod scan;
mod tensor;

pub(crate) use graph::{Attributes, Graph, Node, ValueInfo};
pub(crate) use tensor::Constant;
