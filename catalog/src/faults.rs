//! An object store that fails on purpose, for tests and simulations.
