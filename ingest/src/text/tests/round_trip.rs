//! A value that is shown and read again is the same value.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray,
    StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, IntervalMonthDayNano};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof, proptest};

use super::{Formatter, Parser, Zone, field, shown};

/// Shows each value and reads it into a new array.
fn round_trip(array: &dyn Array, zone: &Zone) -> ArrayRef {
    let formatter = Formatter::new(array, zone).unwrap();
    let field = Field::new("c", array.data_type().clone(), true);
    let mut parser = Parser::new(&field, zone).unwrap();
    for row in 0..array.len() {
        if formatter.is_null(row) {
            parser.append(None).unwrap();
            continue;
        }
        let mut bytes = Vec::new();
        formatter.write(row, &mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        parser.append(Some(&text)).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }
    parser.finish().unwrap()
}

fn assert_survives(array: &dyn Array) {
    for zone in ["UTC", "Europe/Berlin", "America/St_Johns"] {
        let again = round_trip(array, &Zone::named(zone).unwrap());
        assert_eq!(again.as_ref(), array, "in {zone}");
    }
}

/// Some values, some of them NULL.
fn values<T: std::fmt::Debug + Clone>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<Option<T>>> {
    vec(proptest::option::of(value), 0..20)
}

/// Microseconds from 4713 BC to 294246 AD.
fn instants() -> impl Strategy<Value = i64> {
    prop_oneof![
        -210_000_000_000_000_000..9_223_000_000_000_000_000_i64,
        -5_000_000_000_000_000..5_000_000_000_000_000_i64,
        (-4_000_000_000..4_000_000_000_i64).prop_map(|seconds| seconds * 1_000_000),
    ]
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c,\"\\\\{}() \n\t]{0,6}", "[nN][uU][lL]{2}", ".{0,8}"]
}

/// Texts that look like values of one type or another.
fn any_texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[0-9]{1,6}",
        "[-+:./,TZ eE\\\\x{}()\"]",
        "jan|Feb|pm|bc|day|mon|year|ago|utc|pst|Europe/Paris|P|null|t|inf",
        "[a-z]{1,3}",
        "é",
    ];
    vec(piece, 0..9).prop_map(|pieces| pieces.concat())
}

const TYPES: [&str; 22] = [
    "boolean",
    "smallint",
    "bigint",
    "real",
    "double precision",
    "numeric(12,2)",
    "numeric(38,38)",
    "date",
    "timestamp",
    "timestamp with time zone",
    "timestamp(2) without time zone",
    "time",
    "interval",
    "bytea",
    "text",
    "varchar(3)",
    "char(3)",
    "uuid",
    "json",
    "jsonb",
    "date[]",
    "text[]",
];

proptest! {
    #[test]
    fn no_text_breaks_a_parser(text in any_texts()) {
        let zone = Zone::named("America/New_York").unwrap();
        for type_name in TYPES {
            let field = field(type_name);
            // What is read is shown in a form that is read as the same.
            if let Ok(shown_once) = shown(&field, &zone, &text) {
                let again = shown(&field, &zone, &shown_once);
                prop_assert_eq!(again, Ok(shown_once), "{}", type_name);
            }
        }
    }

    #[test]
    fn booleans(values in values(any::<bool>())) {
        assert_survives(&BooleanArray::from(values));
    }

    #[test]
    fn whole_numbers(
        small in values(any::<i16>()),
        medium in values(any::<i32>()),
        large in values(any::<i64>()),
    ) {
        assert_survives(&Int16Array::from(small));
        assert_survives(&Int32Array::from(medium));
        assert_survives(&Int64Array::from(large));
    }

    #[test]
    fn floats(bits in values(any::<u64>()), short in values(any::<u32>())) {
        // All NaN are one value to PostgreSQL.
        let same = |value: f64| if value.is_nan() { f64::NAN } else { value };
        let doubles = bits.iter().map(|bits| bits.map(|bits| same(f64::from_bits(bits))));
        assert_survives(&Float64Array::from(doubles.collect::<Vec<_>>()));
        let same = |value: f32| if value.is_nan() { f32::NAN } else { value };
        let singles = short.iter().map(|bits| bits.map(|bits| same(f32::from_bits(bits))));
        assert_survives(&Float32Array::from(singles.collect::<Vec<_>>()));
    }

    #[test]
    fn decimals(values in values(-(10_i128.pow(38) - 1)..10_i128.pow(38)), scale in 0_i8..=38) {
        let array = Decimal128Array::from(values).with_precision_and_scale(38, scale).unwrap();
        assert_survives(&array);
    }

    #[test]
    fn dates(days in values(-2_440_000..2_145_000_000)) {
        assert_survives(&Date32Array::from(days));
    }

    #[test]
    fn timestamps(micros in values(instants())) {
        assert_survives(&TimestampMicrosecondArray::from(micros));
    }

    #[test]
    fn timestamps_with_zone(micros in values(instants())) {
        assert_survives(&TimestampMicrosecondArray::from(micros).with_timezone("UTC"));
    }

    #[test]
    fn intervals(parts in values((any::<i32>(), any::<i32>(), -9_000_000_000_000_000..9_000_000_000_000_000_i64))) {
        let interval = |(months, days, micros)| {
            IntervalMonthDayNano::new(months, days, micros * 1_000)
        };
        let parts: Vec<_> = parts.into_iter().map(|parts| parts.map(interval)).collect();
        assert_survives(&IntervalMonthDayNanoArray::from(parts));
    }

    #[test]
    fn text_and_bytes(texts in values(texts()), bytes in values(vec(any::<u8>(), 0..9))) {
        assert_survives(&StringArray::from(texts));
        let bytes: BinaryArray = bytes.iter().map(|bytes| bytes.as_deref()).collect();
        assert_survives(&bytes);
    }

    #[test]
    fn lists_and_records(lists in vec(values(texts()), 0..5), numbers in any::<u64>()) {
        let elements: StringArray = lists.iter().flatten().cloned().collect();
        let lengths = lists.iter().map(Vec::len);
        let item = Arc::new(Field::new_list_field(elements.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let list: ArrayRef =
            Arc::new(ListArray::new(item, offsets, Arc::new(elements), None));
        assert_survives(&list);

        let numbers: Int64Array =
            (0..lists.len()).map(|row| (numbers >> row & 1 == 1).then_some(row as i64)).collect();
        let record = StructArray::from(vec![
            (Arc::new(Field::new("l", list.data_type().clone(), true)), Arc::clone(&list)),
            (Arc::new(Field::new("n", numbers.data_type().clone(), true)), Arc::new(numbers)),
        ]);
        assert_survives(&record);
    }
}
