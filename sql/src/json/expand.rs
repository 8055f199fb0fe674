//! What is in a JSON value as a list: the elements of an array, the fields of an object, their names.
//!
//! Statements do not call these; `lateral.rs` puts them below an `unnest`, by which a value becomes rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, AsArray, ListArray, StringArray, StringBuilder, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::scan;
use crate::error::{Error, state};
use crate::types::{self, TYPE_KEY};

/// The name of a field in what [`Expand`] yields of an object.
pub(crate) const KEY: &str = "key";
/// The name of a field's value there.
pub(crate) const VALUE: &str = "value";

/// What becomes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// The elements of an array.
    Elements,
    /// The fields of an object, each a struct of [`KEY`] and [`VALUE`].
    Fields,
    /// The names of the fields.
    Keys,
}

/// A function from JSON to a list.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Expand {
    name: &'static str,
    /// What statements call it, for messages.
    called: &'static str,
    what: What,
    /// Values as their text rather than as JSON.
    as_text: bool,
    signature: Signature,
}

impl Expand {
    /// The function behind a call of `called`.
    pub(crate) fn function(
        name: &'static str,
        called: &'static str,
        what: What,
        as_text: bool,
    ) -> ScalarUDF {
        let signature = Signature::any(1, Volatility::Immutable);
        ScalarUDF::from(Self { name, called, what, as_text, signature })
    }

    fn item(&self) -> Field {
        let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
        match self.what {
            What::Elements => text("item", true),
            What::Keys => text("item", false),
            What::Fields => {
                let fields = Fields::from(vec![text(KEY, false), text(VALUE, true)]);
                Field::new("item", DataType::Struct(fields), false)
            }
        }
    }

    fn refused(&self, fields: &[FieldRef], wanted: &str) -> Error {
        let kinds: Vec<String> = fields.iter().map(|field| types::type_name(field)).collect();
        let message = format!("function {}({}) does not exist", self.called, kinds.join(", "));
        Error::new(state::UNDEFINED_FUNCTION, message)
            .with_hint(format!("It takes one value of type {wanted}."))
    }

    /// The value is of a kind that has such parts.
    fn check(&self, json: &str) -> Result<(), Error> {
        let wanted = if self.what == What::Elements { "array" } else { "object" };
        let kind = match scan::kind(json) {
            kind if kind == wanted => return Ok(()),
            "array" => "an array",
            "object" => "an object",
            _ => "a scalar",
        };
        let message = match self.what {
            What::Elements => format!("cannot extract elements from {kind}"),
            What::Keys | What::Fields => format!("cannot call {} on {kind}", self.called),
        };
        Err(Error::new(state::INVALID_PARAMETER_VALUE, message))
    }

    fn append(&self, values: &mut StringBuilder, json: &str) {
        match json {
            "null" if self.as_text => values.append_null(),
            json if self.as_text => values.append_value(scan::text_of(json)),
            json => values.append_value(json),
        }
    }
}

impl ScalarUDFImpl for Expand {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(self.item())))
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let wanted = if self.called.starts_with("jsonb") { "jsonb" } else { "json" };
        let [json] = arguments.arg_fields else {
            return Err(self.refused(arguments.arg_fields, wanted).into());
        };
        if types::pg_type_of(json).name != wanted {
            return Err(self.refused(arguments.arg_fields, wanted).into());
        }
        Ok(Arc::new(Field::new(self.name, self.return_type(&[])?, true)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [json] = &arguments.args[..] else {
            return Err(Error::internal("a JSON value is expanded alone").into());
        };
        let json = cast(&json.to_array(arguments.number_rows)?, &DataType::Utf8)?;
        let json: &StringArray = json.as_string();
        let (mut keys, mut values) = (StringBuilder::new(), StringBuilder::new());
        let mut lengths = Vec::with_capacity(json.len());
        for json in json {
            let before = values.len().max(keys.len());
            if let Some(json) = json {
                self.check(json)?;
                match self.what {
                    What::Elements => {
                        scan::elements(json).for_each(|element| self.append(&mut values, element));
                    }
                    What::Keys | What::Fields => {
                        for (key, value) in scan::fields(json) {
                            keys.append_value(key);
                            if self.what == What::Fields {
                                self.append(&mut values, value);
                            }
                        }
                    }
                }
            }
            lengths.push(values.len().max(keys.len()) - before);
        }
        let item = self.item();
        let items: ArrayRef = match (self.what, item.data_type()) {
            (What::Elements, _) => Arc::new(values.finish()),
            (What::Fields, DataType::Struct(fields)) => {
                let columns: Vec<ArrayRef> =
                    vec![Arc::new(keys.finish()), Arc::new(values.finish())];
                Arc::new(StructArray::try_new(fields.clone(), columns, None)?)
            }
            _ => Arc::new(keys.finish()),
        };
        let nulls: Option<NullBuffer> = json.nulls().cloned();
        let offsets = OffsetBuffer::from_lengths(lengths);
        let lists = ListArray::try_new(Arc::new(item), offsets, items, nulls)?;
        Ok(ColumnarValue::Array(Arc::new(lists)))
    }
}

/// Text that is known to be JSON, as a value of that type.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct AsJson {
    name: &'static str,
    /// `json` or `jsonb`.
    kind: &'static str,
    /// The function of which it has to be an object, or one of its objects.
    object_of: Option<&'static str>,
    signature: Signature,
}

impl AsJson {
    pub(crate) fn function(name: &'static str, kind: &'static str) -> ScalarUDF {
        let signature = Signature::any(1, Volatility::Immutable);
        ScalarUDF::from(Self { name, kind, object_of: None, signature })
    }

    /// The same for what has to be an object, so that `called` can make a row of it.
    pub(crate) fn object(
        name: &'static str,
        kind: &'static str,
        called: &'static str,
    ) -> ScalarUDF {
        let signature = Signature::any(1, Volatility::Immutable);
        ScalarUDF::from(Self { name, kind, object_of: Some(called), signature })
    }
}

/// Refuses what is no object, in PostgreSQL's words.
fn check_object(json: &str, called: &str) -> Result<(), Error> {
    let kind = match scan::kind(json) {
        "object" => return Ok(()),
        "array" => "an array",
        _ => "a scalar",
    };
    let message = if called.ends_with("set") {
        format!("argument of {called} must be an array of objects")
    } else {
        format!("cannot call populate_composite on {kind}")
    };
    Err(Error::new(state::INVALID_PARAMETER_VALUE, message))
}

impl ScalarUDFImpl for AsJson {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let kind = (TYPE_KEY.to_owned(), self.kind.to_owned());
        Ok(Arc::new(Field::new(self.name, DataType::Utf8, true).with_metadata([kind].into())))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &arguments.args[..] {
            [text] => {
                let text = text.cast_to(&DataType::Utf8, None)?;
                if let Some(called) = self.object_of {
                    let values = text.to_array(arguments.number_rows)?;
                    let values: &StringArray = values.as_string();
                    values.iter().flatten().try_for_each(|json| check_object(json, called))?;
                }
                Ok(text)
            }
            _ => Err(Error::internal("one value is made JSON at a time").into()),
        }
    }
}
