//! How large a model may be.
//!
//! A model comes from outside, so every quantity that it chooses has a limit here.

/// Limits on a model, checked while it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the file in bytes.
    pub model_bytes_max: usize,
    /// Messages and strings in the file; each becomes an object in memory when it is decoded.
    pub items_max: u64,
    /// Levels of nesting in the file (a graph within an attribute within a node ...).
    pub nesting_max: usize,
    /// Operators in the graph.
    pub operators_max: usize,
    /// Values that any operator may make of one row.
    pub values_per_row_max: usize,
    /// Values of a constant that is computed while the model is loaded.
    pub constant_values_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            model_bytes_max: 512 << 20,
            items_max: 32 << 20,
            nesting_max: 32,
            operators_max: 100_000,
            values_per_row_max: 1 << 20,
            constant_values_max: 1 << 26,
        }
    }
}
