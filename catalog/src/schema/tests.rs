//! Schemas to Delta and back.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};

use super::{TableSpec, from_delta, protocol_of, protocol_union, split_configuration, to_delta};
use crate::Error;

fn kept() -> Schema {
    let list = |kind| DataType::List(Arc::new(Field::new("element", kind, true)));
    let pair = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Int64, true),
    ]);
    let map = DataType::Map(
        Arc::new(Field::new("key_value", DataType::Struct(pair.clone()), false)),
        false,
    );
    let metadata = HashMap::from([
        ("tarn.type".to_owned(), "uuid".to_owned()),
        ("tarn.default".to_owned(), "5".to_owned()),
        ("comment".to_owned(), "true".to_owned()),
        ("delta.generationExpression".to_owned(), "1".to_owned()),
    ]);
    Schema::new(vec![
        Field::new("b", DataType::Boolean, true),
        Field::new("i1", DataType::Int8, true),
        Field::new("i2", DataType::Int16, false),
        Field::new("i4", DataType::Int32, true),
        Field::new("i8", DataType::Int64, true),
        Field::new("f4", DataType::Float32, true),
        Field::new("f8", DataType::Float64, true),
        Field::new("text \"quoted\"", DataType::Utf8, true).with_metadata(metadata),
        Field::new("bytes", DataType::Binary, true),
        Field::new("day", DataType::Date32, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("local", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("n", DataType::Decimal128(38, 9), true),
        Field::new("list", list(DataType::Int32), true),
        Field::new("lists", list(list(DataType::Utf8)), false),
        Field::new("map", map, true),
        Field::new("pair", DataType::Struct(pair), true),
    ])
}

#[test]
fn schemas_come_back_as_they_were() {
    let text = to_delta(&kept()).unwrap();
    assert_eq!(*from_delta(&text).unwrap(), kept());
}

#[test]
fn delta_rs_understands_the_schema() {
    let text = to_delta(&kept()).unwrap();
    let theirs: deltalake_core::StructType = serde_json::from_str(&text).unwrap();
    let names: Vec<_> = theirs.fields().map(|field| field.name().clone()).collect();
    let ours: Vec<_> = kept().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ours);
}

#[test]
fn types_that_delta_lacks_are_refused() {
    for kind in [
        DataType::UInt32,
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into())),
        DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano),
        DataType::Decimal128(5, 7),
        DataType::Null,
        DataType::List(Arc::new(Field::new("element", DataType::UInt8, true))),
    ] {
        let refused = to_delta(&Schema::new(vec![Field::new("x", kind.clone(), true)]));
        assert!(matches!(refused, Err(Error::Unsupported { .. })), "{kind}: {refused:?}");
    }
}

#[test]
fn numbers_in_metadata_of_others_stay_numbers() {
    let text = r#"{"type":"struct","fields":[{"name":"x","type":"long","nullable":true,
        "metadata":{"delta.identity.start":5,"tarn.default":"5"}}]}"#;
    let schema = from_delta(text).unwrap();
    let again: serde_json::Value = serde_json::from_str(&to_delta(&schema).unwrap()).unwrap();
    let metadata = &again["fields"][0]["metadata"];
    assert_eq!(metadata["delta.identity.start"], 5);
    assert_eq!(metadata["tarn.default"], "5");
}

#[test]
fn constraints_are_parted_from_the_other_properties() {
    let spec = TableSpec {
        constraints: BTreeMap::from([("positive".to_owned(), "x > 0".to_owned())]),
        configuration: BTreeMap::from([("delta.appendOnly".to_owned(), "true".to_owned())]),
        ..TableSpec::new(Arc::new(kept()))
    };
    let properties = spec.delta_configuration();
    assert_eq!(properties.get("delta.constraints.positive").unwrap(), "x > 0");
    assert_eq!(split_configuration(&properties), (spec.constraints, spec.configuration));
}

#[test]
fn a_table_cannot_be_partitioned_by_anything() {
    let spec = |columns: &[&str]| TableSpec {
        partition_columns: columns.iter().map(|&name| name.to_owned()).collect(),
        ..TableSpec::new(Arc::new(kept()))
    };
    spec(&["day", "i8"]).check().unwrap();
    for column in ["f8", "bytes", "list", "missing"] {
        assert!(spec(&[column]).check().is_err(), "{column}");
    }
    let twice = Schema::new(vec![
        Field::new("x", DataType::Int64, true),
        Field::new("X", DataType::Int64, true),
    ]);
    assert!(TableSpec::new(Arc::new(twice)).check().is_err());
}

#[test]
fn a_protocol_never_gives_up_what_it_had() {
    let field = |kind| Arc::new(Schema::new(vec![Field::new("x", kind, true)]));
    let plain = TableSpec::new(field(DataType::Int64));
    let checked = TableSpec {
        constraints: BTreeMap::from([("c".to_owned(), "x > 0".to_owned())]),
        ..plain.clone()
    };
    let local = TableSpec::new(field(DataType::Timestamp(TimeUnit::Microsecond, None)));
    let (plain, checked, local) = (protocol_of(&plain), protocol_of(&checked), protocol_of(&local));
    assert_eq!(protocol_union(&checked, &plain), checked);
    assert_eq!(protocol_union(&local, &plain).min_writer_version, 7);
    let both = protocol_union(&checked, &local);
    let writers = both.writer_features.unwrap();
    for feature in ["checkConstraints", "timestampNtz", "invariants", "appendOnly"] {
        assert!(writers.iter().any(|known| known == feature), "{feature} in {writers:?}");
    }
    assert_eq!(both.reader_features.unwrap(), ["timestampNtz"]);
}
