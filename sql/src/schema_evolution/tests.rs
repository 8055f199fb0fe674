//! Which type is wider, and which change of columns breaks whom.

use arrow::datatypes::{DataType as T, Field, Schema};

use super::*;

fn field(name: &str, data_type: T, nullable: bool) -> Field {
    Field::new(name, data_type, nullable)
}

#[test]
fn the_wider_type_holds_all_values_of_both() {
    let wide = |known: &T, found: &T| wider(known, found, None);
    for (known, found, expected) in [
        (T::Int16, T::Int32, Some(T::Int32)),
        (T::Int32, T::Int64, Some(T::Int64)),
        (T::Int32, T::Float64, Some(T::Float64)),
        (T::Int32, T::Float32, Some(T::Float64)),
        (T::Float32, T::Float64, Some(T::Float64)),
        (T::Int64, T::Decimal128(10, 2), Some(T::Decimal128(21, 2))),
        (T::Decimal128(5, 2), T::Decimal128(6, 4), Some(T::Decimal128(7, 4))),
        (T::Decimal128(5, 2), T::Int32, Some(T::Decimal128(12, 2))),
        (
            T::Date32,
            T::Timestamp(TimeUnit::Nanosecond, None),
            Some(T::Timestamp(TimeUnit::Microsecond, None)),
        ),
        // It holds them already.
        (T::Int64, T::Int32, None),
        (T::Decimal128(10, 4), T::Decimal128(5, 2), None),
        (T::Float64, T::Int32, None),
        // No type holds both.
        (T::Int64, T::Float64, None),
        (T::Decimal128(38, 0), T::Decimal128(38, 10), None),
        (T::Boolean, T::Int32, None),
        (T::Utf8, T::Int32, None),
    ] {
        assert_eq!(wide(&known, &found), expected, "{known} and {found}");
    }
    // Numbers that are written out count by their digits, not by the type that holds them.
    assert_eq!(wider(&T::Decimal128(5, 2), &T::Int16, Some(3)), None);
    assert_eq!(wider(&T::Decimal128(5, 2), &T::Float64, Some(4)), Some(T::Decimal128(6, 2)));
}

#[test]
fn a_change_is_refused_to_whom_it_breaks() {
    let before = Schema::new(vec![field("id", T::Int32, false), field("note", T::Utf8, true)]);
    let with = |change: &dyn Fn(&mut Vec<Field>)| {
        let mut fields: Vec<Field> = before.fields().iter().map(|f| f.as_ref().clone()).collect();
        change(&mut fields);
        Schema::new(fields)
    };
    let defaulted = |name: &str| {
        let metadata = [(DEFAULT_KEY.to_owned(), "0".to_owned())].into();
        field(name, T::Int32, false).with_metadata(metadata)
    };
    let changes: [(&str, Schema, bool, bool); 9] = [
        ("nothing", with(&|_| {}), true, true),
        ("add", with(&|f| f.push(field("x", T::Int32, true))), true, true),
        ("add with a default", with(&|f| f.push(defaulted("x"))), true, true),
        ("add not null", with(&|f| f.push(field("x", T::Int32, false))), false, true),
        ("drop", with(&|f| drop(f.pop())), true, false),
        ("rename", with(&|f| f[1] = field("text", T::Utf8, true)), true, false),
        ("widen", with(&|f| f[0] = field("id", T::Int64, false)), true, false),
        ("set not null", with(&|f| f[1] = field("note", T::Utf8, false)), false, true),
        ("drop not null", with(&|f| f[0] = field("id", T::Int32, true)), true, false),
    ];
    for (change, after, backward, forward) in changes {
        let holds = |level: Compatibility| level.check("t", &before, &after).is_ok();
        assert!(holds(Compatibility::None), "{change}");
        assert_eq!(holds(Compatibility::Backward), backward, "{change}, backward");
        assert_eq!(holds(Compatibility::Forward), forward, "{change}, forward");
        assert_eq!(holds(Compatibility::Full), backward && forward, "{change}, full");
    }
}
