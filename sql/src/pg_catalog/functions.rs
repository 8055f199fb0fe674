//! System functions: what clients call beside the catalog's tables.
//!
//! Each is a row of a table here: name, number of arguments, type of the result, and a function of
//! plain values. They are bound to the context of one statement, whose truth they tell.
//! Never: a function that answers for an object that does not exist, except with NULL where
//! PostgreSQL does so.

mod arrays;
mod definition;
mod files;
mod lookup;
mod privilege;
mod session;
mod text;
mod value;

use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};

use super::context::SystemContext;
use super::relations;
use super::rows::{self, Value};
use crate::error::Result;
use crate::types::{self, PgType};

pub(crate) use definition::view_definition;

/// A call, as the function sees it: the context, and the types of the arguments.
pub(super) struct Call<'a> {
    context: &'a SystemContext,
    fields: &'a [FieldRef],
}

type Body = fn(&Call<'_>, &[Value]) -> Result<Value>;

/// One system function.
#[derive(Debug)]
struct Function {
    name: &'static str,
    arguments: RangeInclusive<usize>,
    /// The type of the result, as `relations.txt` writes types.
    result: &'static str,
    /// Whether a NULL argument makes the result NULL.
    strict: bool,
    /// Whether it needs tables' own metadata.
    reads_relations: bool,
    body: Body,
}

const fn strict(
    name: &'static str,
    arguments: RangeInclusive<usize>,
    result: &'static str,
    body: Body,
) -> Function {
    Function { name, arguments, result, strict: true, reads_relations: false, body }
}

impl Function {
    const fn taking_null(self) -> Self {
        Self { strict: false, ..self }
    }

    const fn reading_relations(self) -> Self {
        Self { reads_relations: true, ..self }
    }
}

/// All functions, by subject.
static FUNCTIONS: &[&[Function]] = &[
    arrays::FUNCTIONS,
    definition::FUNCTIONS,
    files::FUNCTIONS,
    lookup::FUNCTIONS,
    privilege::FUNCTIONS,
    session::FUNCTIONS,
    text::FUNCTIONS,
];

fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().copied().flatten().find(|function| function.name == name)
}

/// A system function bound to a statement's context; none for any other name.
pub(crate) fn function(name: &str, context: &Arc<SystemContext>) -> Option<Arc<ScalarUDF>> {
    if let Some(polymorphic) = arrays::polymorphic(name) {
        return Some(polymorphic);
    }
    let function = find(name)?;
    let udf =
        SystemFunction { function, signature: signature(function), context: Arc::clone(context) };
    Some(Arc::new(ScalarUDF::new_from_impl(udf)))
}

/// Whether [`function`] knows the name.
pub(crate) fn is_function(name: &str) -> bool {
    find(name).is_some() || arrays::polymorphic(name).is_some()
}

/// Every system function with the fewest arguments it takes and the type of its result.
pub(crate) fn described() -> impl Iterator<Item = (&'static str, usize, PgType)> {
    FUNCTIONS.iter().copied().flatten().map(|function| {
        let result = types::pg_type_of(&relations::field("", function.result, true));
        (function.name, *function.arguments.start(), result)
    })
}

/// Whether a statement that calls this function needs [`SystemContext::load_all`] before it runs.
pub(crate) fn reads_relations(name: &str) -> bool {
    find(name).is_some_and(|function| function.reads_relations)
}

fn signature(function: &Function) -> Signature {
    let (fewest, most) = (*function.arguments.start(), *function.arguments.end());
    let one = |count| match count {
        0 => TypeSignature::Nullary,
        usize::MAX => TypeSignature::VariadicAny,
        count => TypeSignature::Any(count),
    };
    let counts = if most == usize::MAX {
        // At least one of any type, or none at all.
        let none = (fewest == 0).then_some(TypeSignature::Nullary);
        none.into_iter().chain([one(usize::MAX)]).collect()
    } else {
        (fewest..=most).map(one).collect()
    };
    Signature::one_of(counts, Volatility::Stable)
}

#[derive(Debug)]
struct SystemFunction {
    function: &'static Function,
    signature: Signature,
    context: Arc<SystemContext>,
}

impl PartialEq for SystemFunction {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name && Arc::ptr_eq(&self.context, &other.context)
    }
}

impl Eq for SystemFunction {}

impl Hash for SystemFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for SystemFunction {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> DfResult<DataType> {
        Ok(relations::field("", self.function.result, true).data_type().clone())
    }

    fn return_field_from_args(&self, _arguments: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        Ok(Arc::new(relations::field(self.function.name, self.function.result, true)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let call = Call { context: &self.context, fields: &arguments.arg_fields };
        let constant = arguments.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { arguments.number_rows };
        let arrays = arguments
            .args
            .iter()
            .map(|argument| argument.to_array(rows))
            .collect::<DfResult<Vec<_>>>()?;
        let mut results = Vec::with_capacity(rows);
        for row in 0..rows {
            let values: Vec<Value> =
                arrays.iter().map(|array| value::at(array, row)).collect::<Result<_>>()?;
            let null = self.function.strict && values.contains(&Value::Null);
            results.push(if null { Value::Null } else { (self.function.body)(&call, &values)? });
        }
        let array = rows::column(&arguments.return_field, results.iter())?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}
