//! Tests of the rules by which outputs are found.
