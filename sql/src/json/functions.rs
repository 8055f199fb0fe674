//! The functions behind the operators, and those of their kind that are called by name.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Int32Builder, StringArray, StringBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::scan::{self, Step};
use crate::error::{Error, state};
use crate::types::{self, TYPE_KEY};

/// What a function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Work {
    /// `->`: a value within, as JSON.
    Get,
    /// `->>`: its text.
    GetText,
    /// `#>`: a value down a path.
    Path,
    /// `#>>`: its text.
    PathText,
    /// `json_extract_path`: the same, the steps one by one.
    Steps,
    /// `json_extract_path_text`.
    StepsText,
    /// `@>`.
    Contains,
    /// `?`.
    Exists,
    /// `?|`.
    ExistsAny,
    /// `?&`.
    ExistsAll,
    TypeOf,
    ArrayLength,
}

/// A function over JSON.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Json {
    name: &'static str,
    work: Work,
    signature: Signature,
}

/// Those that statements may call.
pub(crate) fn functions() -> Vec<ScalarUDF> {
    let named = [
        ("json_extract_path", Work::Steps),
        ("jsonb_extract_path", Work::Steps),
        ("json_extract_path_text", Work::StepsText),
        ("jsonb_extract_path_text", Work::StepsText),
        ("json_object_field", Work::Get),
        ("jsonb_object_field", Work::Get),
        ("json_object_field_text", Work::GetText),
        ("jsonb_object_field_text", Work::GetText),
        ("json_array_element", Work::Get),
        ("jsonb_array_element", Work::Get),
        ("json_array_element_text", Work::GetText),
        ("jsonb_array_element_text", Work::GetText),
        ("jsonb_contains", Work::Contains),
        ("jsonb_exists", Work::Exists),
        ("jsonb_exists_any", Work::ExistsAny),
        ("jsonb_exists_all", Work::ExistsAll),
        ("json_typeof", Work::TypeOf),
        ("jsonb_typeof", Work::TypeOf),
        ("json_array_length", Work::ArrayLength),
        ("jsonb_array_length", Work::ArrayLength),
    ];
    named.map(|(name, work)| Json::new(name, work).into()).into()
}

/// Whether a field holds JSON.
pub(crate) fn is_json(field: &Field) -> bool {
    matches!(types::pg_type_of(field).name, "json" | "jsonb")
}

impl Json {
    pub(super) fn new(name: &'static str, work: Work) -> Self {
        let signature = match work {
            Work::TypeOf | Work::ArrayLength => Signature::any(1, Volatility::Immutable),
            Work::Steps | Work::StepsText => Signature::variadic_any(Volatility::Immutable),
            _ => Signature::any(2, Volatility::Immutable),
        };
        Self { name, work, signature }
    }

    const fn gives_json(&self) -> bool {
        matches!(self.work, Work::Get | Work::Path | Work::Steps)
    }

    fn refused(&self, fields: &[FieldRef]) -> Error {
        let kinds: Vec<String> = fields.iter().map(|field| types::type_name(field)).collect();
        Error::new(
            state::UNDEFINED_FUNCTION,
            format!("function {}({}) does not exist", self.name, kinds.join(", ")),
        )
        .with_hint("Cast the text to jsonb.")
    }
}

impl ScalarUDFImpl for Json {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.work {
            Work::Contains | Work::Exists | Work::ExistsAny | Work::ExistsAll => DataType::Boolean,
            Work::ArrayLength => DataType::Int32,
            _ => DataType::Utf8,
        })
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let fields = arguments.arg_fields;
        let Some(json) = fields.first() else { return Err(self.refused(fields).into()) };
        if !is_json(json) {
            // A literal is read as JSON.
            let literal = arguments.scalar_arguments.first().copied().flatten();
            let Some(Some(text)) = literal.map(|value| value.try_as_str().flatten()) else {
                return Err(self.refused(fields).into());
            };
            check(text)?;
        }
        let field = Field::new(self.name, self.return_type(&[])?, true);
        let kind = json.metadata().get(TYPE_KEY).filter(|_| self.gives_json());
        let metadata = kind.map(|kind| (TYPE_KEY.to_owned(), kind.clone()));
        Ok(Arc::new(field.with_metadata(metadata.into_iter().collect())))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let count = arguments.number_rows;
        let scalar = arguments.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let count = if scalar { 1 } else { count };
        let arrays = arguments.args.iter().map(|arg| arg.to_array(count));
        let arrays = arrays.collect::<Result<Vec<ArrayRef>>>()?;
        let answers = self.compute(&arrays, &arguments.arg_fields)?;
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&answers, 0)?),
            false => ColumnarValue::Array(answers),
        })
    }
}

impl Json {
    fn compute(&self, arrays: &[ArrayRef], fields: &[FieldRef]) -> Result<ArrayRef> {
        let [json, rest @ ..] = arrays else { return Err(self.refused(fields).into()) };
        let json = texts(json)?;
        match self.work {
            Work::Get | Work::GetText => self.get(&json, rest, fields),
            Work::Path | Work::PathText => {
                let paths = paths(rest, || self.refused(fields))?;
                self.down(&json, |row| paths.get(row).cloned().flatten())
            }
            Work::Steps | Work::StepsText => {
                let steps = rest.iter().map(texts).collect::<Result<Vec<StringArray>>>()?;
                self.down(&json, |row| {
                    let step = |array: &StringArray| {
                        array.is_valid(row).then(|| Some(array.value(row).to_owned()))
                    };
                    steps.iter().map(step).collect()
                })
            }
            Work::Contains => {
                let inner = texts(&rest[0])?;
                Ok(Arc::new(truths(
                    json.iter()
                        .zip(&inner)
                        .map(|(outer, inner)| Some(scan::contains(outer?, inner?))),
                )))
            }
            Work::Exists => {
                let keys = texts(&rest[0])?;
                Ok(Arc::new(truths(
                    json.iter().zip(&keys).map(|(json, key)| Some(scan::exists(json?, key?))),
                )))
            }
            Work::ExistsAny | Work::ExistsAll => {
                let keys = paths(rest, || self.refused(fields))?;
                let any = self.work == Work::ExistsAny;
                Ok(Arc::new(truths(json.iter().zip(keys).map(|(json, keys)| {
                    let (json, keys) = (json?, keys?);
                    let mut found = keys.iter().flatten().map(|key| scan::exists(json, key));
                    Some(if any { found.any(|is| is) } else { found.all(|is| is) })
                }))))
            }
            Work::TypeOf => {
                let kinds = json.iter().map(|json| json.map(scan::kind));
                Ok(Arc::new(kinds.collect::<StringArray>()))
            }
            Work::ArrayLength => {
                let mut lengths = Int32Builder::with_capacity(json.len());
                for json in &json {
                    lengths.append_option(json.map(length).transpose()?);
                }
                Ok(Arc::new(lengths.finish()))
            }
        }
    }

    /// One step, by a name or by a number.
    fn get(&self, json: &StringArray, rest: &[ArrayRef], fields: &[FieldRef]) -> Result<ArrayRef> {
        let [by] = rest else { return Err(self.refused(fields).into()) };
        let mut found = StringBuilder::with_capacity(json.len(), 0);
        if by.data_type().is_integer() {
            let by = cast(by, &DataType::Int64)?;
            let by = by.as_primitive::<Int64Type>();
            for (json, index) in json.iter().zip(by) {
                let value = json.zip(index);
                self.put(&mut found, value.and_then(|(j, i)| scan::step(j, Step::Element(i))));
            }
        } else {
            let by = texts(by)?;
            for (json, name) in json.iter().zip(&by) {
                let value = json.zip(name);
                self.put(&mut found, value.and_then(|(j, n)| scan::step(j, Step::Field(n))));
            }
        }
        Ok(Arc::new(found.finish()))
    }

    /// Down a path; a step that is NULL leads nowhere.
    fn down(
        &self,
        json: &StringArray,
        path: impl Fn(usize) -> Option<Vec<Option<String>>>,
    ) -> Result<ArrayRef> {
        let mut found = StringBuilder::with_capacity(json.len(), 0);
        for (row, json) in json.iter().enumerate() {
            let value = json.zip(path(row)).and_then(|(json, path)| {
                path.iter()
                    .try_fold(json, |json, step| scan::step(json, Step::Either(step.as_deref()?)))
            });
            self.put(&mut found, value);
        }
        Ok(Arc::new(found.finish()))
    }

    fn put(&self, found: &mut StringBuilder, value: Option<&str>) {
        match value {
            None => found.append_null(),
            Some(json) if self.gives_json() => found.append_value(json),
            Some("null") => found.append_null(),
            Some(json) => found.append_value(scan::text_of(json)),
        }
    }
}

fn check(literal: &str) -> Result<(), Error> {
    match serde_json::from_str::<serde_json::Value>(literal) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::new(state::INVALID_TEXT, "invalid input syntax for type json")
            .with_detail(error.to_string())),
    }
}

fn truths(values: impl Iterator<Item = Option<bool>>) -> arrow::array::BooleanArray {
    let mut truths = BooleanBuilder::new();
    values.for_each(|value| truths.append_option(value));
    truths.finish()
}

fn length(json: &str) -> Result<i32> {
    match scan::kind(json) {
        "array" => Ok(i32::try_from(scan::elements(json).count()).unwrap_or(i32::MAX)),
        "object" => Err(Error::new(
            state::INVALID_PARAMETER_VALUE,
            "cannot get array length of a non-array",
        )
        .into()),
        _ => Err(Error::new(state::INVALID_PARAMETER_VALUE, "cannot get array length of a scalar")
            .into()),
    }
}

fn texts(array: &ArrayRef) -> Result<StringArray> {
    Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Lists of texts, one a row.
type Paths = Vec<Option<Vec<Option<String>>>>;

/// The paths of a column of `text[]`, or of array literals.
fn paths(rest: &[ArrayRef], refused: impl Fn() -> Error) -> Result<Paths> {
    let [paths] = rest else { return Err(refused().into()) };
    if let Some(lists) = paths.as_list_opt::<i32>() {
        return lists
            .iter()
            .map(|list| {
                let Some(list) = list else { return Ok(None) };
                let steps = texts(&list)?;
                Ok(Some(steps.iter().map(|step| step.map(str::to_owned)).collect()))
            })
            .collect();
    }
    let read = |text: Option<&str>| match text {
        None => Ok(None),
        Some(text) => match crate::pg_catalog::array_elements(text) {
            Some(steps) => Ok(Some(steps)),
            None => {
                Err(Error::new(state::INVALID_TEXT, format!("malformed array literal: \"{text}\""))
                    .with_hint("A path is written '{a,b,0}'.")
                    .into())
            }
        },
    };
    texts(paths)?.iter().map(read).collect()
}
