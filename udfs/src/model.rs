//! A loaded model: bytes and a signature in, a column for a batch out.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, StructArray, new_null_array};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Fields};

use crate::arrays::{Columns, complete_rows, output_column, output_values, scatter};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::inputs::{self, BoundInput};
use crate::limits::Limits;
use crate::missing::inputs_with_missing_values;
use crate::onnx::Graph;
use crate::outputs::{self, BoundOutput};
use crate::runtime::{self, Engine, Runtime};
use crate::signature::Signature;

/// A model, checked and ready to score batches from any number of threads.
pub struct Model {
    digest: Digest,
    signature: Signature,
    runtime: Box<dyn Runtime>,
    inputs: Vec<BoundInput>,
    outputs: Vec<BoundOutput>,
    /// For each column of the INPUT list whether a NULL is a missing value.
    missing: Vec<bool>,
    result_type: DataType,
    size_bytes: usize,
}

impl Model {
    /// Loads an ONNX file, chooses the engine for it, and maps the signature to its graph.
    ///
    /// Everything that is wrong with the file, with an operator in it or with the signature is
    /// found here. The rules of the mapping are those of [`Signature`].
    pub fn load(bytes: &[u8], signature: &Signature, limits: &Limits) -> Result<Arc<Self>> {
        signature.check()?;
        let graph = Graph::read(bytes, limits)?;
        let inputs = inputs::bind(&graph, signature, limits)?;
        let runtime = runtime::load(bytes, &graph, &inputs, limits)?;
        let outputs = outputs::bind(runtime.outputs(), signature)?;
        let mut missing = vec![false; signature.inputs.len()];
        let takes_missing = inputs_with_missing_values(&graph);
        for (input, takes) in inputs.iter().zip(takes_missing) {
            for column in &input.columns {
                if let Some(flag) = missing.get_mut(*column) {
                    *flag = takes;
                }
            }
        }
        Ok(Arc::new(Self {
            digest: Digest::of(bytes),
            result_type: result_type(signature),
            signature: signature.clone(),
            runtime,
            inputs,
            outputs,
            missing,
            size_bytes: bytes.len(),
        }))
    }

    /// The engine that runs the model.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.runtime.engine()
    }

    /// The identity of the model's content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The INPUT and OUTPUT lists that the model was loaded with.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The type of the result: the only output's, or a struct of them.
    #[must_use]
    pub fn result_type(&self) -> &DataType {
        &self.result_type
    }

    /// Size of the model's file, a measure of the memory that it takes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Scores a batch: one array for each column of the INPUT list, all of the same length.
    pub fn evaluate(&self, columns: &[ArrayRef]) -> Result<ArrayRef> {
        let rows = columns.first().map_or(0, |column| column.len());
        if columns.len() != self.signature.inputs.len()
            || columns.iter().any(|column| column.len() != rows)
        {
            return Err(Error::internal("a batch that does not fit the model"));
        }
        let known = columns.iter().zip(&self.missing).filter(|(_, missing)| !**missing);
        let Some(complete) = complete_rows(known.map(|(column, _)| column)) else {
            return self.score(columns, rows);
        };
        // Rows without a result are left out, so that nothing in them can be an error.
        let rows = complete.len() - complete.null_count();
        if rows == 0 {
            return Ok(new_null_array(&self.result_type, complete.len()));
        }
        let chosen = BooleanArray::new(complete.inner().clone(), None);
        let columns = columns
            .iter()
            .map(|column| filter(column, &chosen))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Error::internal(error.to_string()))?;
        scatter(&self.score(&columns, rows)?, &complete)
    }

    fn score(&self, arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let columns = Columns::new(arrays, &self.inputs)?;
        let infos = self.runtime.outputs();
        let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.outputs.len()];
        let block_rows = self.runtime.block_rows().max(1);
        let mut start = 0;
        while start < rows {
            let count = block_rows.min(rows - start);
            let results = self.runtime.run(columns.block(start, count)?, count)?;
            for (bound, parts) in self.outputs.iter().zip(&mut parts) {
                let (Some(data), Some(info)) = (results.get(bound.output), infos.get(bound.output))
                else {
                    return Err(Error::internal("the engine left out an output"));
                };
                parts.push(output_values(data, bound.part, info.width, count)?);
            }
            start += count;
        }
        if rows == 0 {
            return Ok(new_null_array(&self.result_type, 0));
        }
        let mut results = Vec::with_capacity(self.outputs.len());
        for ((bound, parts), field) in self.outputs.iter().zip(&parts).zip(&self.signature.outputs)
        {
            let width = infos.get(bound.output).map_or(1, |info| info.width);
            results.push(output_column(parts, bound.part, width, field)?);
        }
        self.result(results)
    }

    fn result(&self, mut columns: Vec<ArrayRef>) -> Result<ArrayRef> {
        if let DataType::Struct(fields) = &self.result_type {
            let result = StructArray::try_new(fields.clone(), columns, None);
            return Ok(Arc::new(result.map_err(|error| Error::internal(error.to_string()))?));
        }
        columns.pop().ok_or_else(|| Error::internal("a model without outputs"))
    }
}

fn result_type(signature: &Signature) -> DataType {
    match signature.outputs.as_slice() {
        [only] => only.data_type().clone(),
        // A row without a result makes every field NULL.
        fields => DataType::Struct(
            fields
                .iter()
                .map(|field| field.as_ref().clone().with_nullable(true))
                .collect::<Fields>(),
        ),
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Model")
            .field("digest", &self.digest)
            .field("engine", &self.engine())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests;
