//! Which graph inputs take NaN for a missing value.
//!
//! A float input does if all that becomes of it is seen by tree ensembles and imputers, through
//! operators that only move, scale or add.

use std::collections::HashMap;

use crate::onnx::graph::CLASSICAL_DOMAIN;
use crate::onnx::{Graph, Node};
use crate::value::ElementType;

/// For each input of a graph whether it takes NaN for a missing value.
pub(crate) fn inputs_with_missing_values(graph: &Graph) -> Vec<bool> {
    // Backwards, so that the answer for a node's results is there before its arguments ask.
    let mut fine: HashMap<&str, bool> = HashMap::new();
    for output in &graph.outputs {
        fine.insert(&output.name, false);
    }
    for node in graph.nodes.iter().rev() {
        let results =
            node.outputs.iter().all(|name| fine.get(name.as_str()).copied() == Some(true));
        for (position, argument) in node.inputs.iter().enumerate() {
            let takes = match role(node, position) {
                Role::Handles => true,
                Role::Passes => results,
                Role::Computes => false,
            };
            fine.entry(argument).and_modify(|all| *all &= takes).or_insert(takes);
        }
    }
    let takes = |name: &str| fine.get(name).copied().unwrap_or(false);
    let float = |element: Option<ElementType>| element.is_some_and(ElementType::float);
    graph.inputs.iter().map(|input| float(input.element) && takes(&input.name)).collect()
}

enum Role {
    /// Has a rule for NaN of its own.
    Handles,
    /// Hands a NaN on, and mixes it with nothing else that matters.
    Passes,
    /// Would compute with it.
    Computes,
}

fn role(node: &Node, position: usize) -> Role {
    match (node.domain.as_str(), node.operator.as_str()) {
        (CLASSICAL_DOMAIN, "TreeEnsemble" | "TreeEnsembleClassifier" | "TreeEnsembleRegressor")
        | ("", "IsNaN") => Role::Handles,
        (CLASSICAL_DOMAIN, "Imputer") => {
            let nan = node.attributes.float("replaced_value_float", 0.0).is_nan();
            if nan { Role::Handles } else { Role::Passes }
        }
        (CLASSICAL_DOMAIN, "ArrayFeatureExtractor") | ("", "Gather" | "Slice" | "Reshape") => {
            if position == 0 {
                Role::Passes
            } else {
                Role::Computes
            }
        }
        (CLASSICAL_DOMAIN, "FeatureVectorizer" | "Scaler")
        | (
            "",
            "Add" | "Concat" | "Div" | "Flatten" | "Identity" | "Mul" | "Split" | "Squeeze" | "Sub"
            | "Transpose" | "Unsqueeze",
        ) => Role::Passes,
        ("", "Cast") => {
            let target = i32::try_from(node.attributes.int("to", 0)).ok();
            let target = target.and_then(ElementType::from_onnx);
            if target.is_some_and(ElementType::float) { Role::Passes } else { Role::Computes }
        }
        _ => Role::Computes,
    }
}
