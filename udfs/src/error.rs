//! Errors of this crate: why a model cannot be loaded, and why a score could not be computed.
//!
//! Never: a cause that a caller cannot act on as a variant of its own.

use datafusion::common::DataFusionError;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a model cannot be loaded or a score could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model is larger than the limits allow.
    #[error("the model has {actual} {what}, the limit is {limit}")]
    TooLarge {
        /// What is counted, in the plural.
        what: &'static str,
        /// How many the model has (or at least has).
        actual: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The bytes are not an ONNX model.
    #[error("the bytes are not an ONNX model: {reason}")]
    Malformed {
        /// What was found.
        reason: String,
    },
    /// The model refers to weights in another file.
    #[error("the model keeps {what} in another file, which is not read")]
    ExternalData {
        /// What is kept elsewhere.
        what: String,
    },
    /// The model has sparse tensors.
    #[error("the model has a sparse tensor in {place}, which is not supported")]
    SparseTensor {
        /// Where it was found.
        place: &'static str,
    },
    /// No engine has these operators.
    #[error("the model has unsupported operators: {}", operators.join(", "))]
    UnsupportedOperators {
        /// Names of the operators, with their domains, sorted.
        operators: Vec<String>,
    },
    /// An operator is known, but not in the form that the model uses.
    #[error("operator {node} is not supported: {reason}")]
    UnsupportedNode {
        /// The operator and the name of its node.
        node: String,
        /// What is not supported.
        reason: String,
    },
    /// An operator combines values of different rows, so that a row would score differently in
    /// another batch.
    #[error("{node} works across rows, a model must score each row on its own")]
    AcrossRows {
        /// The operator and the name of its node, or the engine that found out.
        node: String,
    },
    /// The graph contradicts itself.
    #[error("the model is not valid: {reason}")]
    InvalidGraph {
        /// What is contradictory.
        reason: String,
    },
    /// The INPUT list does not fit the model's inputs.
    #[error("the INPUT list does not fit the model: {reason}")]
    InputMismatch {
        /// What does not fit.
        reason: String,
        /// What to write instead.
        hint: Option<String>,
    },
    /// The OUTPUT list does not fit the model's outputs.
    #[error("the OUTPUT list does not fit the model: {reason}")]
    OutputMismatch {
        /// What does not fit.
        reason: String,
        /// What to write instead.
        hint: Option<String>,
    },
    /// A call has the wrong number of arguments.
    #[error("model \"{model}\" takes {expected} arguments, not {actual}")]
    ArgumentCount {
        /// Name of the model.
        model: String,
        /// Length of the INPUT list.
        expected: usize,
        /// Arguments in the call.
        actual: usize,
    },
    /// An argument has a type that the input cannot take.
    #[error(
        "argument {position} (\"{input}\") of model \"{model}\" must be {expected}, not {actual}"
    )]
    ArgumentType {
        /// Name of the model.
        model: String,
        /// Name in the INPUT list.
        input: String,
        /// Position in the call, from 1.
        position: usize,
        /// The type wanted.
        expected: String,
        /// The type given.
        actual: String,
    },
    /// A value cannot be scored.
    #[error("could not evaluate the model: {reason}")]
    Evaluation {
        /// What went wrong, with the value if there is one.
        reason: String,
    },
    /// A defect in this crate or in an engine.
    #[error("internal error in the scoring engine: {0}")]
    Internal(String),
}

impl Error {
    /// What the statement's author can type to get further, if that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::InputMismatch { hint, .. } | Self::OutputMismatch { hint, .. } => hint.as_deref(),
            Self::ExternalData { .. } => Some(
                "Save the model as one file, for example with onnx.save(model, path, save_as_external_data=False).",
            ),
            Self::ArgumentType { .. } => Some("Write an explicit CAST."),
            _ => None,
        }
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::InvalidGraph { reason: reason.into() }
    }

    pub(crate) fn evaluation(reason: impl Into<String>) -> Self {
        Self::Evaluation { reason: reason.into() }
    }

    pub(crate) fn internal(reason: impl Into<String>) -> Self {
        Self::Internal(reason.into())
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}
