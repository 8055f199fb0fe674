//! What a model takes and gives, in SQL terms.

use arrow::datatypes::{DataType, FieldRef};

use crate::error::{Error, Result};

/// The INPUT and OUTPUT lists of `CREATE MODEL`, as Arrow fields.
///
/// # How inputs find their way
///
/// Numbers (integers, floats, decimals) and booleans go to graph inputs of numbers or booleans,
/// text goes to graph inputs of strings. A graph input is as wide as its shape says beside the
/// first dimension, which is the rows.
///
/// 1. A graph with **one input** takes all columns in their order, whatever they are called. If
///    the graph says how wide its input is, the list must have as many columns.
/// 2. A graph with **several inputs, each one column wide**, takes each column by name: exactly,
///    or else without regard to case. Every input needs its column, every column its input.
/// 3. A graph with **several inputs of which some are wider** takes the columns in order: each
///    input as many as it is wide, in the graph's order. If a column has the name of an input that
///    is one wide and would go to another, that is an error.
///
/// # NULL
///
/// A NULL is a missing value to inputs of floats that only tree ensembles and imputers see: it
/// becomes NaN, which is what those models were trained with. To any other input a NULL is
/// unknown, and the result of its row is NULL. A NaN stays a NaN.
///
/// # How outputs are found
///
/// A graph output is a *label* if it holds one integer, text or boolean for each row, and *scores*
/// if it holds floats. A `ZipMap` does not matter: its scores are seen as they were before it.
/// For each column of the OUTPUT list, the first rule that fits decides:
///
/// 1. A graph output has the column's **name**, without regard to case.
/// 2. The column is called **`probability_<class>`** or `score_<class>`, and the classes are
///    known: the scores of that class.
/// 3. The column is called **`label`**, `class`, `output_label` or `predicted_label`: the only
///    label of the graph.
/// 4. The column is called **`score`**, `scores`, `probability`, `probabilities`,
///    `output_probability` or `prediction`, `variable`, `value`: the only scores of the graph.
/// 5. The column has another name: the only scores of the graph if its type is a float, decimal or
///    array, the only label otherwise. No other column may have been given the same output.
///
/// Then the type decides what of the output is taken:
///
/// - An array (`real[]`) takes all values of the row in order; with scores of classes, in the
///   order of the classes.
/// - A single value takes an output that is one wide. Of scores that are two wide beside a label,
///   or whose two classes are known, it takes the **second: the probability of the positive
///   class**. Of anything wider a single value is ambiguous, and an error.
///
/// Values are cast to the column's type; a value that does not fit is an error. One column in the
/// OUTPUT list makes the model's result that column; several make it a struct of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// The columns of the INPUT list.
    pub inputs: Vec<FieldRef>,
    /// The columns of the OUTPUT list.
    pub outputs: Vec<FieldRef>,
}

/// What kind of value a column holds, as far as models can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Number,
    Boolean,
    Text,
}

impl Family {
    /// The family of an Arrow type, `None` if models do not take it.
    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Boolean => Some(Self::Boolean),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Self::Text),
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::Float16
            | DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => Some(Self::Number),
            other if other.is_primitive() && (other.is_integer() || other.is_floating()) => {
                Some(Self::Number)
            }
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Text => "text",
        }
    }
}

/// The name of a type in SQL, as far as models meet it.
pub(crate) fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytea".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("numeric({precision},{scale})")
        }
        DataType::Dictionary(_, values) => sql_name(values),
        DataType::List(element) => format!("{}[]", sql_name(element.data_type())),
        other => other.to_string(),
    }
}

impl Signature {
    /// Refuses lists that no model could have.
    pub(crate) fn check(&self) -> Result<()> {
        if self.inputs.is_empty() {
            return Err(Error::InputMismatch { reason: "it is empty".to_owned(), hint: None });
        }
        if self.outputs.is_empty() {
            return Err(Error::OutputMismatch { reason: "it is empty".to_owned(), hint: None });
        }
        for field in &self.inputs {
            if Family::of(field.data_type()).is_none() {
                return Err(Error::InputMismatch {
                    reason: format!(
                        "models do not take \"{}\" of type {}",
                        field.name(),
                        sql_name(field.data_type())
                    ),
                    hint: Some("Declare a number, a boolean or text, and cast in the call.".into()),
                });
            }
        }
        for field in &self.outputs {
            let element = match field.data_type() {
                DataType::List(element) => element.data_type(),
                other => other,
            };
            if Family::of(element).is_none() || matches!(element, DataType::Dictionary(..)) {
                return Err(Error::OutputMismatch {
                    reason: format!(
                        "models do not give \"{}\" of type {}",
                        field.name(),
                        sql_name(field.data_type())
                    ),
                    hint: None,
                });
            }
        }
        Ok(())
    }
}
