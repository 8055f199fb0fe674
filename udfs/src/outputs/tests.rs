//! The rules by which outputs are found, one by one.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};

use super::{BoundOutput, Part, bind};
use crate::error::Error;
use crate::runtime::OutputInfo;
use crate::signature::Signature;
use crate::value::ElementType::{self, Boolean, Float32, Int64, Text};

fn output(name: &str, element: ElementType, width: usize) -> OutputInfo {
    OutputInfo { name: name.to_owned(), element, width, classes: None }
}

fn classes(mut output: OutputInfo, names: &[&str]) -> OutputInfo {
    output.classes = Some(Arc::new(names.iter().map(|name| (*name).to_owned()).collect()));
    output
}

fn find(outputs: &[OutputInfo], columns: &[(&str, DataType)]) -> Result<Vec<BoundOutput>, Error> {
    let fields = columns.iter().map(|(name, data_type)| -> FieldRef {
        Arc::new(Field::new(*name, data_type.clone(), true))
    });
    bind(outputs, &Signature { inputs: Vec::new(), outputs: fields.collect() })
}

fn list() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Float32, true)))
}

fn feature(output: usize, feature: usize) -> BoundOutput {
    BoundOutput { output, part: Part::Feature(feature) }
}

#[test]
fn names_come_first() {
    let graph = [output("label", Int64, 1), output("Score", Float32, 1)];
    let found = find(&graph, &[("score", DataType::Float64), ("LABEL", DataType::Float32)]);
    assert_eq!(found.unwrap(), [feature(1, 0), feature(0, 0)]);
}

#[test]
fn known_names_find_label_and_scores() {
    let graph = [output("variable_1", Text, 1), output("variable_2", Float32, 2)];
    let found =
        find(&graph, &[("predicted_label", DataType::Utf8), ("probability", DataType::Float32)]);
    assert_eq!(found.unwrap(), [feature(0, 0), feature(1, 1)]);
}

#[test]
fn other_names_go_by_type() {
    let graph = [output("l", Int64, 1), output("p", Float32, 2)];
    assert_eq!(find(&graph, &[("fraud", DataType::Float32)]).unwrap(), [feature(1, 1)]);
    assert_eq!(find(&graph, &[("fraud", DataType::Boolean)]).unwrap(), [feature(0, 0)]);
    let all = BoundOutput { output: 1, part: Part::All };
    assert_eq!(find(&graph, &[("fraud", list())]).unwrap(), [all]);
    let regressor = [output("variable", Float32, 1)];
    assert_eq!(find(&regressor, &[("price", DataType::Int64)]).unwrap(), [feature(0, 0)]);
}

#[test]
fn a_class_is_named_by_its_column() {
    let graph =
        [output("label", Text, 1), classes(output("scores", Float32, 3), &["low", "Mid", "high"])];
    let found =
        find(&graph, &[("probability_mid", DataType::Float32), ("score_low", DataType::Float32)]);
    assert_eq!(found.unwrap(), [feature(1, 1), feature(1, 0)]);
}

#[test]
fn what_is_not_clear_is_an_error() {
    let message = |graph: &[OutputInfo], columns: &[(&str, DataType)]| {
        let error = find(graph, columns).unwrap_err();
        assert!(matches!(error, Error::OutputMismatch { .. }), "{error:?}");
        format!("{error}; {}", error.hint().unwrap_or_default())
    };
    let two_scores = [output("a", Float32, 1), output("b", Float32, 1)];
    let text = message(&two_scores, &[("score", DataType::Float32)]);
    assert!(text.contains("not clear which output of the graph column \"score\" is"), "{text}");
    assert!(text.contains("\"a\" (1 float), \"b\" (1 float)"), "{text}");

    let graph = [output("label", Int64, 1), output("scores", Float32, 2)];
    let guesses = [("x", DataType::Float32), ("y", DataType::Float32)];
    let text = message(&graph, &guesses);
    assert!(text.contains("not clear which output of the graph column \"x\" is"), "{text}");

    // Two values of a network are not two classes.
    let text = message(&[output("out", Float32, 2)], &[("score", DataType::Float32)]);
    assert!(text.contains("output \"out\" of the graph has 2; Declare it as real[]"), "{text}");

    let words = [output("label", Text, 1)];
    let text = message(&words, &[("label", DataType::Int64)]);
    assert!(
        text.contains("is a number, output \"label\" of the graph holds string values"),
        "{text}"
    );
    let flags = [output("flags", Boolean, 4)];
    let text = message(&flags, &[("flags", DataType::Boolean)]);
    assert!(text.contains("is one value, output \"flags\" of the graph has 4"), "{text}");
}
