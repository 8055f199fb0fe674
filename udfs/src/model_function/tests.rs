//! Models called from plans.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type};
use datafusion::logical_expr::{Expr, ScalarUDF};
use datafusion::prelude::{SessionContext, col, lit};

use super::ModelFunction;
use crate::limits::Limits;
use crate::model::Model;
use crate::signature::Signature;

fn field(name: &str, data_type: DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type, true))
}

fn model(file: &str, inputs: Vec<FieldRef>, outputs: Vec<FieldRef>) -> Arc<Model> {
    let path = format!("{}/tests/data/models/{file}.onnx", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).unwrap();
    Model::load(&bytes, &Signature { inputs, outputs }, &Limits::default()).unwrap()
}

/// amount (real), age (bigint), country and channel (text) to the score.
fn people(name: &str) -> ScalarUDF {
    let inputs = vec![
        field("amount", DataType::Float32),
        field("age", DataType::Int64),
        field("country", DataType::Utf8),
        field("channel", DataType::Utf8),
    ];
    ModelFunction::new(name, model("columns", inputs, vec![field("score", DataType::Float32)]))
}

fn batch() -> RecordBatch {
    RecordBatch::try_from_iter([
        ("amount", Arc::new(Float64Array::from(vec![10.0, 250.0, 99.5])) as _),
        ("age", Arc::new(Int32Array::from(vec![30, 40, 50])) as _),
        ("country", Arc::new(StringArray::from(vec![Some("AT"), Some("DE"), None])) as _),
    ])
    .unwrap()
}

async fn select(expression: Expr) -> Result<RecordBatch, String> {
    let context = SessionContext::new();
    let frame = context.read_batch(batch()).unwrap();
    let frame = frame.select(vec![expression]).map_err(|error| error.to_string())?;
    let batches = frame.collect().await.map_err(|error| error.to_string())?;
    Ok(batches.first().cloned().unwrap())
}

#[tokio::test]
async fn numbers_are_cast_and_scalars_spread() {
    let call = people("risk").call(vec![col("amount"), col("age"), col("country"), lit("web")]);
    let result = select(call).await.unwrap();
    let scores = result.column(0).as_primitive::<Float32Type>();
    assert_eq!(scores.len(), 3);
    assert!(scores.is_null(2), "a NULL country is an unknown score");
    assert!((0.0..=1.0).contains(&scores.value(0)));
    assert_ne!(scores.value(0), scores.value(1));

    // The same row by constants alone is the same score.
    let call = people("risk").call(vec![lit(10.0), lit(30), lit("AT"), lit("web")]);
    let constant = select(call).await.unwrap();
    assert_eq!(constant.column(0).as_primitive::<Float32Type>().value(2), scores.value(0));
}

#[tokio::test]
async fn wrong_calls_name_the_argument() {
    let call = people("risk").call(vec![col("amount"), col("age")]);
    let error = select(call).await.unwrap_err();
    assert!(error.contains("model \"risk\" takes 4 arguments, not 2"), "{error}");

    let call = people("risk").call(vec![col("country"), col("age"), col("country"), lit("web")]);
    let error = select(call).await.unwrap_err();
    assert!(
        error.contains("argument 1 (\"amount\") of model \"risk\" must be a number, not text"),
        "{error}"
    );

    let call = people("risk").call(vec![lit(1.0), col("amount"), col("country"), lit("web")]);
    let error = select(call).await.unwrap_err();
    assert!(
        error.contains(
            "argument 2 (\"age\") of model \"risk\" must be an integer, not double precision"
        ),
        "{error}"
    );
}

#[tokio::test]
async fn several_outputs_are_a_struct() {
    let inputs = (0..8).map(|at| field(&format!("f{at}"), DataType::Float32)).collect();
    let outputs = vec![field("label", DataType::Int64), field("score", DataType::Float32)];
    let function = ModelFunction::new("both", model("rf_binary", inputs, outputs));
    let result = select(function.call(vec![col("amount"); 8])).await.unwrap();
    let columns = result.column(0).as_struct();
    assert_eq!(columns.column_names(), ["label", "score"]);
    assert_eq!(columns.len(), 3);
}

#[test]
fn functions_are_equal_by_name_and_content() {
    let hash = |function: &ScalarUDF| {
        let mut hasher = DefaultHasher::new();
        function.hash(&mut hasher);
        hasher.finish()
    };
    let (one, same, other) = (people("risk"), people("risk"), people("risk2"));
    assert_eq!(one, same);
    assert_eq!(hash(&one), hash(&same));
    assert_ne!(one, other);
}
