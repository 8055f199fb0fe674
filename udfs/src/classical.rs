//! The classical engine: graphs of `ai.onnx.ml` operators, and of the standard operators that
//! exporters of scikit-learn, XGBoost and LightGBM put around them.
//!
//! ```text
//! onnx::Graph --compile--> Program: steps over slots, constants folded, every shape checked
//! columns of one block of rows --Program::run--> one value per graph output
//! ```
//!
//! Everything that can be wrong with a model is found while it is compiled: types, shapes,
//! attributes, and operators that would mix rows. Running then only computes.
//!
//! Never: one row's result depends on another row, or on the size of the batch.

mod arithmetic;
mod broadcast;
mod cast;
mod categories;
mod compare;
mod compile;
mod linear;
mod matmul;
mod operator;
mod prepare;
mod program;
mod reduce;
mod registry;
mod reshape;
mod scores;
mod select;
mod trees;
mod unary;

pub(crate) use compile::compile;
pub(crate) use program::Program;
pub(crate) use registry::supports;
