//! Which operators the classical engine has.

use super::operator::Builder;
use super::{
    arithmetic, cast, categories, compare, linear, matmul, prepare, reduce, reshape, select, trees,
    unary,
};
use crate::onnx::graph::CLASSICAL_DOMAIN;

/// How a node is compiled.
pub(super) enum Action {
    /// Into a step.
    Build(Builder),
    /// Into a constant.
    Constant,
    /// Into a shape, in which the rows stay unknown.
    Shape,
    /// Into an output that pairs scores with classes.
    ZipMap,
}

/// Whether the engine has an operator.
pub(crate) fn supports(domain: &str, operator: &str) -> bool {
    find(domain, operator).is_some()
}

/// How to compile an operator, if the engine has it.
pub(super) fn find(domain: &str, operator: &str) -> Option<Action> {
    match domain {
        "" => standard(operator),
        CLASSICAL_DOMAIN => classical(operator),
        _ => None,
    }
}

fn classical(operator: &str) -> Option<Action> {
    let builder: Builder = match operator {
        "ZipMap" => return Some(Action::ZipMap),
        "ArrayFeatureExtractor" => select::array_feature_extractor,
        "Binarizer" => prepare::binarizer,
        "FeatureVectorizer" => prepare::feature_vectorizer,
        "Imputer" => prepare::imputer,
        "LabelEncoder" => categories::label_encoder,
        "LinearClassifier" => linear::classifier,
        "LinearRegressor" => linear::regressor,
        "Normalizer" => prepare::normalizer,
        "OneHotEncoder" => categories::one_hot_encoder,
        "Scaler" => prepare::scaler,
        "TreeEnsemble" => trees::ensemble,
        "TreeEnsembleClassifier" => trees::classifier,
        "TreeEnsembleRegressor" => trees::regressor,
        _ => return None,
    };
    Some(Action::Build(builder))
}

fn standard(operator: &str) -> Option<Action> {
    let builder: Builder = match operator {
        "Constant" => return Some(Action::Constant),
        "Shape" => return Some(Action::Shape),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" => arithmetic::binary,
        "Max" | "Mean" | "Min" | "Sum" => arithmetic::variadic,
        "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" => compare::compare,
        "And" | "Or" | "Xor" => compare::logic,
        "Where" => compare::choose,
        "Abs" | "Ceil" | "Elu" | "Erf" | "Exp" | "Floor" | "LeakyRelu" | "Log" | "Neg"
        | "Reciprocal" | "Relu" | "Round" | "Sigmoid" | "Sign" | "Softplus" | "Sqrt" | "Tanh" => {
            unary::unary
        }
        "Clip" => unary::clip,
        "IsInf" | "IsNaN" => unary::test,
        "Not" => unary::not,
        "Cast" => cast::cast,
        "Dropout" | "Identity" => reshape::identity,
        "Flatten" => reshape::flatten,
        "Reshape" => reshape::reshape,
        "Squeeze" => reshape::squeeze,
        "Unsqueeze" => reshape::unsqueeze,
        "ConstantOfShape" => reshape::constant_of_shape,
        "Concat" => select::concat,
        "Gather" => select::gather,
        "Slice" => select::slice,
        "Split" => select::split,
        "Transpose" => select::transpose,
        "ArgMax" | "ArgMin" => reduce::arg,
        "LogSoftmax" | "Softmax" => reduce::softmax,
        "LpNormalization" => reduce::lp_normalization,
        "ReduceL1" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMax"
        | "ReduceMean" | "ReduceMin" | "ReduceProd" | "ReduceSum" | "ReduceSumSquare" => {
            reduce::reduce
        }
        "Gemm" => matmul::gemm,
        "MatMul" => matmul::matmul,
        _ => return None,
    };
    Some(Action::Build(builder))
}
