//! A model as a SQL function.
//!
//! It runs batch by batch in the thread of the partition that calls it.
//! Never: a model version that changes while a plan runs; the function holds its model.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result as PlanResult, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature as PlanSignature, Volatility,
};

use crate::error::Error;
use crate::model::Model;
use crate::signature::{Family, sql_name};

/// A model under the name by which SQL calls it.
#[derive(Debug)]
pub struct ModelFunction {
    name: String,
    model: Arc<Model>,
    signature: PlanSignature,
}

impl ModelFunction {
    /// The function that scores with a model.
    ///
    /// It takes as many arguments as the model has inputs. Numbers of any width are accepted for
    /// numbers and cast to the declared type, but no float or decimal for an integer; text of any
    /// encoding is accepted for text. Two functions are equal if name and model content are.
    #[expect(clippy::new_ret_no_self, reason = "callers only ever need the function's handle")]
    pub fn new(name: impl Into<String>, model: Arc<Model>) -> ScalarUDF {
        ScalarUDF::new_from_impl(Self {
            name: name.into(),
            model,
            signature: PlanSignature::user_defined(Volatility::Immutable),
        })
    }

    /// The model behind the function.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    fn coerce(&self, position: usize, input: &Field, given: &DataType) -> PlanResult<DataType> {
        let declared = input.data_type();
        let fits = match (Family::of(declared), Family::of(given)) {
            _ if given.is_null() => true,
            (Some(Family::Number), Some(Family::Number)) => {
                !declared.is_integer() || given.is_integer()
            }
            // Keep the encoding: dictionaries are scored once per distinct value.
            (Some(Family::Text), Some(Family::Text)) => return Ok(given.clone()),
            (declared, given) => declared == given,
        };
        if fits {
            return Ok(declared.clone());
        }
        Err(Error::ArgumentType {
            model: self.name.clone(),
            input: input.name().clone(),
            position: position + 1,
            expected: expected(declared),
            actual: sql_name(given),
        }
        .into())
    }
}

fn expected(declared: &DataType) -> String {
    if declared.is_integer() {
        return "an integer".to_owned();
    }
    Family::of(declared).map_or_else(|| sql_name(declared), |family| family.name().to_owned())
}

impl PartialEq for ModelFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.model.digest() == other.model.digest()
            && self.model.signature() == other.model.signature()
    }
}

impl Eq for ModelFunction {}

impl Hash for ModelFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.model.digest().hash(state);
    }
}

impl ScalarUDFImpl for ModelFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &PlanSignature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> PlanResult<DataType> {
        Ok(self.model.result_type().clone())
    }

    fn return_field_from_args(&self, _arguments: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let field = Field::new(&self.name, self.model.result_type().clone(), true);
        Ok(Arc::new(match self.model.signature().outputs.as_slice() {
            // The field's metadata names types that Arrow lacks.
            [only] => field.with_metadata(only.metadata().clone()),
            _ => field,
        }))
    }

    fn coerce_types(&self, given: &[DataType]) -> PlanResult<Vec<DataType>> {
        let inputs = &self.model.signature().inputs;
        if given.len() != inputs.len() {
            return Err(Error::ArgumentCount {
                model: self.name.clone(),
                expected: inputs.len(),
                actual: given.len(),
            }
            .into());
        }
        let pairs = inputs.iter().zip(given).enumerate();
        pairs.map(|(position, (input, given))| self.coerce(position, input, given)).collect()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let constant =
            arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { arguments.number_rows };
        let columns = arguments
            .args
            .into_iter()
            .map(|argument| argument.into_array(rows))
            .collect::<PlanResult<Vec<_>>>()?;
        let result = self.model.evaluate(&columns).map_err(DataFusionError::from)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
