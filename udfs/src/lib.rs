//! Scoring models over Arrow batches.
//!
//! ```text
//! bytes of an ONNX file ─┐
//! INPUT / OUTPUT columns ─┴─> Model::load ──> Arc<Model> ──> ModelFunction ──> SELECT model(a, b)
//!                             scan, decode,    one of two engines:             one batch in,
//!                             choose, bind     classical | neural              one column out
//! ```
//!
//! [`Model::load`] does all the work that can fail: it refuses what must not be read (external
//! data), chooses the engine that has the model's operators, maps the columns of the [`Signature`]
//! to the inputs and outputs of the graph (the rules stand at [`Signature`]), and runs the model
//! once. [`Model::evaluate`] then turns columns into a column, in the caller's thread.
//!
//! Never: reads a file or follows a path, starts work that outlives a call, or lets the result of
//! a row depend on the rows beside it.

mod arrays;
mod classical;
mod digest;
mod error;
mod inputs;
mod limits;
mod missing;
mod model;
mod model_function;
mod neural;
mod onnx;
mod outputs;
mod runtime;
mod signature;
mod value;

pub use digest::Digest;
pub use error::{Error, Result};
pub use limits::Limits;
pub use model::Model;
pub use model_function::ModelFunction;
pub use runtime::Engine;
pub use signature::Signature;
