//! Models of `tests/data/models` against the answers of onnxruntime, whatever the batch; and bytes
//! that are not a model.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Int64Array, RecordBatch, StringArray, StructArray,
};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use arrow::ipc::reader::FileReader;
use serde_json::Value;

use super::Model;
use crate::error::Error;
use crate::limits::Limits;
use crate::runtime::Engine;
use crate::signature::Signature;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/models"))
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.onnx"))).unwrap()
}

fn field(name: &str, data_type: DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type, true))
}

/// A model of the folder, with rows and what onnxruntime made of them.
struct Case {
    name: String,
    engine: String,
    tolerance: f64,
    bytes: Vec<u8>,
    signature: Signature,
    inputs: Vec<ArrayRef>,
    expected: Vec<ArrayRef>,
}

impl Case {
    fn all() -> Vec<Self> {
        let manifest = std::fs::read_to_string(folder().join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        manifest.as_array().unwrap().iter().map(Self::read).collect()
    }

    fn named(name: &str) -> Self {
        Self::all().into_iter().find(|case| case.name == name).unwrap()
    }

    fn read(entry: &Value) -> Self {
        let name = entry["name"].as_str().unwrap().to_owned();
        let file = std::fs::File::open(folder().join(format!("{name}.arrow"))).unwrap();
        let batches: Vec<RecordBatch> =
            FileReader::try_new(file, None).unwrap().collect::<Result<_, _>>().unwrap();
        let [batch] = batches.as_slice() else { panic!("{name} has {} batches", batches.len()) };
        let fields = |key: &str, prefix: &str| -> (Vec<FieldRef>, Vec<ArrayRef>) {
            let list = entry[key].as_array().unwrap().iter();
            list.map(|pair| {
                let name = pair[0].as_str().unwrap();
                let column = batch.column_by_name(&format!("{prefix}{name}")).unwrap();
                (field(name, data_type(pair[1].as_str().unwrap())), Arc::clone(column))
            })
            .unzip()
        };
        let (input_fields, inputs) = fields("inputs", "");
        let (output_fields, expected) = fields("outputs", "out:");
        Self {
            engine: entry["engine"].as_str().unwrap().to_owned(),
            tolerance: entry["tolerance"].as_f64().unwrap(),
            bytes: bytes(&name),
            signature: Signature { inputs: input_fields, outputs: output_fields },
            inputs,
            expected,
            name,
        }
    }

    fn load(&self) -> Arc<Model> {
        Model::load(&self.bytes, &self.signature, &Limits::default())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn rows(&self) -> usize {
        self.inputs[0].len()
    }

    /// The outputs, taken apart if the result is a struct.
    fn outputs(&self, model: &Model, inputs: &[ArrayRef]) -> Vec<ArrayRef> {
        let result =
            model.evaluate(inputs).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        match result.as_any().downcast_ref::<StructArray>() {
            Some(columns) => columns.columns().to_vec(),
            None => vec![result],
        }
    }
}

fn data_type(name: &str) -> DataType {
    if let Some(element) = name.strip_suffix("[]") {
        return DataType::List(field("item", data_type(element)));
    }
    match name {
        "float32" => DataType::Float32,
        "float64" => DataType::Float64,
        "int64" => DataType::Int64,
        "bool" => DataType::Boolean,
        "text" => DataType::Utf8,
        other => panic!("unknown type {other}"),
    }
}

/// All elements of an array, those of lists one after the other.
fn flat(array: &ArrayRef) -> ArrayRef {
    array.as_list_opt::<i32>().map_or_else(|| Arc::clone(array), |list| Arc::clone(list.values()))
}

/// Where two arrays differ by more than a tolerance, relative to values above one.
fn difference(actual: &ArrayRef, expected: &ArrayRef, tolerance: f64) -> Option<String> {
    let (actual, expected) = (flat(actual), flat(expected));
    if actual.len() != expected.len() || actual.null_count() != expected.null_count() {
        return Some(format!("{} values instead of {}", actual.len(), expected.len()));
    }
    if matches!(actual.data_type(), DataType::Float32 | DataType::Float64) {
        let actual = cast(&actual, &DataType::Float64).unwrap();
        let expected = cast(&expected, &DataType::Float64).unwrap();
        let actual = actual.as_primitive::<Float64Type>().values();
        let expected = expected.as_primitive::<Float64Type>().values();
        return actual.iter().zip(expected).enumerate().find_map(|(at, (a, e))| {
            let same =
                a == e || a.is_nan() && e.is_nan() || (a - e).abs() <= tolerance * e.abs().max(1.0);
            (!same).then(|| format!("{a} instead of {e} at {at}"))
        });
    }
    let expected = cast(&expected, actual.data_type()).unwrap();
    (0..actual.len()).find(|at| actual.slice(*at, 1) != expected.slice(*at, 1)).map(|at| {
        format!("{:?} instead of {:?} at {at}", actual.slice(at, 1), expected.slice(at, 1))
    })
}

#[test]
fn answers_are_those_of_onnxruntime() {
    let mut failures = Vec::new();
    for case in Case::all() {
        let model = match Model::load(&case.bytes, &case.signature, &Limits::default()) {
            Ok(model) => model,
            Err(error) => {
                failures.push(format!("{}: {error} ({:?})", case.name, error.hint()));
                continue;
            }
        };
        if model.engine().name() != case.engine {
            failures.push(format!("{} runs in the {} engine", case.name, model.engine()));
        }
        let result = match model.evaluate(&case.inputs) {
            Ok(result) => result,
            Err(error) => {
                failures.push(format!("{}: {error}", case.name));
                continue;
            }
        };
        let outputs = match result.as_any().downcast_ref::<StructArray>() {
            Some(columns) => columns.columns().to_vec(),
            None => vec![result],
        };
        for (position, (actual, expected)) in outputs.iter().zip(&case.expected).enumerate() {
            if let Some(difference) = difference(actual, expected, case.tolerance) {
                let output = case.signature.outputs[position].name();
                failures.push(format!("{} output {output}: {difference}", case.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_row_scores_the_same_in_every_batch() {
    for case in Case::all() {
        let model = case.load();
        let whole = case.outputs(&model, &case.inputs);
        // The network's matrix product groups rows, so its sums round differently.
        let tolerance = if model.engine() == Engine::Neural { 1e-6 } else { 0.0 };
        let large: Vec<ArrayRef> = case
            .inputs
            .iter()
            .map(|column| {
                let copies = vec![column.as_ref(); 8192_usize.div_ceil(case.rows())];
                concat(&copies).unwrap().slice(0, 8192)
            })
            .collect();
        for size in [1, 7, 16, 256, 8192] {
            let (columns, rows) =
                if size > case.rows() { (&large, size) } else { (&case.inputs, case.rows()) };
            for start in (0..rows).step_by(size) {
                let count = size.min(rows - start);
                let part: Vec<ArrayRef> =
                    columns.iter().map(|column| column.slice(start, count)).collect();
                for (actual, whole) in case.outputs(&model, &part).iter().zip(&whole) {
                    let compared = count.min(case.rows());
                    let expected = whole.slice(start, compared);
                    let actual = actual.slice(0, compared);
                    let found = difference_of_lists(&actual, &expected, tolerance);
                    assert_eq!(found, None, "{} in batches of {size}", case.name);
                }
            }
        }
    }
}

fn difference_of_lists(actual: &ArrayRef, expected: &ArrayRef, tolerance: f64) -> Option<String> {
    let compact = |array: &ArrayRef| concat(&[array.as_ref()]).unwrap();
    // A slice of a list still holds all values: take the rows out.
    let rows = |array: &ArrayRef| match array.as_list_opt::<i32>() {
        Some(list) => {
            let values: Vec<ArrayRef> = list.iter().flatten().collect();
            concat(&values.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap()
        }
        None => compact(array),
    };
    difference(&rows(actual), &rows(expected), tolerance)
}

#[test]
fn null_is_missing_to_trees_and_unknown_to_others() {
    let tree = Case::named("xgb_binary");
    assert!(tree.inputs.iter().any(|column| column.null_count() > 0));
    let outputs = tree.outputs(&tree.load(), &tree.inputs);
    assert_eq!(outputs[1].null_count(), 0);

    let linear = Case::named("logreg_binary");
    let mut inputs = linear.inputs.clone();
    let first = inputs[0].as_primitive::<arrow::datatypes::Float32Type>();
    let holes: Float32Array =
        first.iter().enumerate().map(|(row, value)| value.filter(|_| row % 3 != 0)).collect();
    inputs[0] = Arc::new(holes);
    let result = linear.load().evaluate(&inputs).unwrap();
    let complete = linear.load().evaluate(&linear.inputs).unwrap();
    for row in 0..linear.rows() {
        assert_eq!(result.is_null(row), row % 3 == 0, "row {row}");
        if row % 3 != 0 {
            assert_eq!(result.slice(row, 1).as_ref(), complete.slice(row, 1).as_ref());
        }
    }
}

#[test]
fn nothing_in_a_row_without_result_is_an_error() {
    // The encoder of this pipeline has no rule for unknown categories: a NULL must not reach it.
    let case = Case::named("columns_wide");
    let model = case.load();
    let mut inputs: Vec<ArrayRef> = case.inputs.iter().map(|column| column.slice(0, 2)).collect();
    inputs[2] = Arc::new(StringArray::from(vec![None, Some("AT")]));
    let result = model.evaluate(&inputs).unwrap();
    assert!(result.is_null(0) && !result.is_null(1));
    inputs[2] = Arc::new(StringArray::from(vec![None::<&str>, None]));
    assert_eq!(model.evaluate(&inputs).unwrap().null_count(), 2);
    let empty: Vec<ArrayRef> = inputs.iter().map(|column| column.slice(0, 0)).collect();
    assert_eq!(model.evaluate(&empty).unwrap().len(), 0);
}

#[test]
fn text_is_taken_in_every_encoding() {
    let case = Case::named("columns");
    let model = case.load();
    let expected = model.evaluate(&case.inputs).unwrap();
    let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    for encoding in [DataType::LargeUtf8, DataType::Utf8View, dictionary] {
        let inputs: Vec<ArrayRef> = case
            .inputs
            .iter()
            .map(|column| match column.data_type() {
                DataType::Utf8 => cast(column, &encoding).unwrap(),
                _ => Arc::clone(column),
            })
            .collect();
        assert_eq!(&model.evaluate(&inputs).unwrap(), &expected, "{encoding}");
    }
}

#[test]
fn values_are_cast_to_the_declared_types() {
    let case = Case::named("rf_binary");
    let mut signature = case.signature.clone();
    signature.outputs =
        vec![field("LABEL", DataType::Utf8), field("score", DataType::Decimal128(5, 2))];
    let model = Model::load(&case.bytes, &signature, &Limits::default()).unwrap();
    let inputs: Vec<ArrayRef> =
        case.inputs.iter().map(|column| cast(column, &DataType::Float64).unwrap()).collect();
    let result = model.evaluate(&inputs).unwrap();
    let columns = result.as_struct();
    assert_eq!(
        columns.column(0).as_ref(),
        cast(&case.expected[0], &DataType::Utf8).unwrap().as_ref()
    );
    assert_eq!(columns.column(1).data_type(), &DataType::Decimal128(5, 2));
}

#[test]
fn signatures_that_do_not_fit_are_refused() {
    let limits = Limits::default();
    let case = Case::named("rf_binary");
    let mut short = case.signature.clone();
    short.inputs.pop();
    let error = Model::load(&case.bytes, &short, &limits).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the INPUT list does not fit the model: input \"X\" of the graph takes 8 columns, the list has 7"
    );

    let mut text = case.signature.clone();
    text.inputs[2] = field("f2", DataType::Utf8);
    let error = Model::load(&case.bytes, &text, &limits).unwrap_err();
    assert!(error.to_string().contains("column \"f2\" is text"), "{error}");

    let mut date = case.signature.clone();
    date.inputs[0] = field("day", DataType::Date32);
    let error = Model::load(&case.bytes, &date, &limits).unwrap_err();
    assert!(error.to_string().contains("models do not take \"day\" of type date"), "{error}");

    let columns = Case::named("columns");
    let mut renamed = columns.signature.clone();
    renamed.inputs[0] = field("land", DataType::Utf8);
    let error = Model::load(&columns.bytes, &renamed, &limits).unwrap_err();
    assert!(error.to_string().contains("no column is called \"country\""), "{error}");
    assert_eq!(
        error.hint(),
        Some("The graph's inputs are \"amount\", \"age\", \"country\", \"channel\".")
    );

    let three = Case::named("gb_multiclass");
    let mut single = three.signature.clone();
    single.outputs = vec![field("score", DataType::Float32)];
    let error = Model::load(&three.bytes, &single, &limits).unwrap_err();
    assert!(
        error.to_string().contains("output \"output_probability\" of the graph has 3"),
        "{error}"
    );
    let hint = error.hint().unwrap();
    assert!(hint.contains("probability_0, probability_1, probability_2"), "{hint}");
}

#[test]
fn a_class_is_found_by_its_name() {
    let case = Case::named("rf_text");
    let mut signature = case.signature.clone();
    signature.outputs = vec![
        field("probability_mid", DataType::Float32),
        field("probability_low", DataType::Float32),
    ];
    let model = Model::load(&case.bytes, &signature, &Limits::default()).unwrap();
    let result = model.evaluate(&case.inputs).unwrap();
    let expected = case.expected[1].as_list::<i32>();
    for row in [0, 10, case.rows() - 1] {
        let scores = expected.value(row);
        let scores = scores.as_primitive::<arrow::datatypes::Float32Type>();
        // The classes are sorted: high, low, mid.
        for (column, class) in [(0, 2), (1, 1)] {
            let actual =
                result.as_struct().column(column).as_primitive::<arrow::datatypes::Float32Type>();
            assert!((actual.value(row) - scores.value(class)).abs() < 1e-6);
        }
    }
}

fn two_columns(output: DataType) -> Signature {
    Signature {
        inputs: vec![field("a", DataType::Float32), field("b", DataType::Float32)],
        outputs: vec![field("y", output)],
    }
}

#[test]
fn models_that_must_not_load_are_refused_by_name() {
    let refuse = |name: &str| {
        let list = DataType::List(field("item", DataType::Float32));
        let bytes = bytes(&format!("refused/{name}"));
        Model::load(&bytes, &two_columns(list), &Limits::default()).unwrap_err()
    };
    assert!(matches!(refuse("external"), Error::ExternalData { .. }));
    assert!(matches!(refuse("external_in_node"), Error::ExternalData { .. }));
    assert!(matches!(refuse("sparse"), Error::SparseTensor { .. }));
    assert_eq!(
        refuse("operators").to_string(),
        "the model has unsupported operators: ai.onnx.ml.SVMRegressor, org.example.Fancy"
    );
    assert_eq!(refuse("endless").to_string(), "the model has unsupported operators: Loop");
    assert_eq!(
        refuse("across_rows").to_string(),
        "operator Softmax works across rows, a model must score each row on its own"
    );
    assert!(matches!(refuse("network_across_rows"), Error::AcrossRows { .. }));
    assert!(refuse("cycle").to_string().contains("a node of a tree is reached twice"));
}

#[test]
fn bytes_that_are_no_model_are_refused() {
    let signature = two_columns(DataType::Float32);
    let load = |bytes: &[u8]| Model::load(bytes, &signature, &Limits::default()).unwrap_err();
    for garbage in [&b""[..], b"\x08\x07", b"PK\x03\x04 not a model", &[0xff; 64], &[0; 64]] {
        let error = load(garbage);
        assert!(matches!(error, Error::Malformed { .. }), "{garbage:?}: {error}");
    }
}

#[test]
fn limits_hold() {
    let case = Case::named("rf_binary");
    let load = |limits: Limits| match Model::load(&case.bytes, &case.signature, &limits) {
        Err(Error::TooLarge { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(load(Limits { model_bytes_max: 1000, ..Limits::default() }), "bytes");
    assert_eq!(load(Limits { items_max: 100, ..Limits::default() }), "messages and strings");
    assert_eq!(load(Limits { nesting_max: 2, ..Limits::default() }), "levels of nesting");
    assert_eq!(load(Limits { operators_max: 2, ..Limits::default() }), "operators");
    assert_eq!(load(Limits { values_per_row_max: 4, ..Limits::default() }), "inputs");
}

/// Loads and, where that succeeds, runs: whatever happens, it must be a result.
fn try_all(case: &Case, bytes: &[u8]) {
    let limits = Limits { values_per_row_max: 1 << 12, ..Limits::default() };
    if let Ok(model) = Model::load(bytes, &case.signature, &limits) {
        let inputs: Vec<ArrayRef> = case.inputs.iter().map(|column| column.slice(0, 20)).collect();
        drop(model.evaluate(&inputs));
        let inputs: Vec<ArrayRef> = inputs.iter().map(|column| column.slice(0, 1)).collect();
        drop(model.evaluate(&inputs));
    }
}

/// A small generator, so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

#[test]
fn truncated_models_are_errors() {
    for case in Case::all() {
        let step = (case.bytes.len() / 150).max(1);
        for length in (0..case.bytes.len()).step_by(step) {
            try_all(&case, &case.bytes[..length]);
        }
    }
}

#[test]
fn damaged_models_never_panic() {
    for case in Case::all().iter().filter(|case| case.bytes.len() < 20_000) {
        for seed in 0..60 {
            let mut random = Random(seed);
            let mut bytes = case.bytes.clone();
            for _ in 0..=random.next(4) {
                let at = random.next(bytes.len());
                match random.next(4) {
                    0 => bytes[at] = random.next(256) as u8,
                    1 => bytes[at] ^= 1 << random.next(8),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, random.next(256) as u8),
                }
            }
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                try_all(case, &bytes);
            }));
            assert!(outcome.is_ok(), "{} damaged with seed {seed}", case.name);
        }
    }
}

#[test]
fn a_model_is_its_content() {
    let case = Case::named("linreg");
    let (one, two) = (case.load(), case.load());
    assert_eq!(one.digest(), two.digest());
    assert_ne!(one.digest(), Case::named("poisson").load().digest());
    assert_eq!(one.size_bytes(), case.bytes.len());
    assert_eq!(one.result_type(), &DataType::Float32);
    let text = format!("{one:?}");
    assert!(text.contains("Classical") && text.contains(&one.digest().to_string()), "{text}");
    // Integers fit an input of floats.
    let ints: Vec<ArrayRef> =
        (0..8).map(|at| Arc::new(Int64Array::from(vec![at, 2 * at])) as ArrayRef).collect();
    assert_eq!(one.evaluate(&ints).unwrap().len(), 2);
    let ragged: Vec<ArrayRef> =
        ints.iter().enumerate().map(|(at, c)| c.slice(0, 1 + at % 2)).collect();
    assert!(one.evaluate(&ragged).is_err());
}
