//! The columns that a COPY's input lacks: filled with their defaults.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::Result as DfResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use futures::{Stream, StreamExt};

use crate::dml;
use crate::error::{Error, Result};
use crate::session::Session;

/// Fills the columns that the input lacks with their defaults.
pub(super) struct Complete {
    target: SchemaRef,
    /// For each column of the target: where it is in the input, or its default.
    places: Vec<Place>,
}

enum Place {
    Input(usize),
    Default(ScalarValue),
}

impl Complete {
    /// From rows with the columns of `input` to rows with those of `target`.
    pub(super) fn new(session: &Session, target: &SchemaRef, input: &SchemaRef) -> Result<Self> {
        let planner = session.planning_state();
        let places = target.fields().iter().map(|field| {
            if let Ok(at) = input.index_of(field.name()) {
                return Ok(Place::Input(at));
            }
            let default = dml::default_expression(field).to_string();
            let value = crate::plan::constant(&planner, &default).map_err(|_| {
                Error::unsupported(format!(
                    "COPY cannot fill column \"{}\": its default is not a constant",
                    field.name()
                ))
                .with_hint("Name the column in the COPY and supply its values.")
            })?;
            Ok(Place::Default(value.cast_to(field.data_type())?))
        });
        let places = places.collect::<Result<Vec<_>>>()?;
        let nullable = target.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        Ok(Self { target: Arc::new(Schema::new(nullable.collect::<Vec<_>>())), places })
    }

    /// The rows with all columns of the target.
    pub(super) fn stream<S>(self, rows: S) -> SendableRecordBatchStream
    where
        S: Stream<Item = DfResult<RecordBatch>> + Send + 'static,
    {
        let schema = Arc::clone(&self.target);
        let rows = rows.map(move |batch| self.apply(&batch?));
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }

    fn apply(&self, batch: &RecordBatch) -> DfResult<RecordBatch> {
        let columns = self.places.iter().map(|place| match place {
            Place::Input(at) => Ok(Arc::clone(batch.column(*at))),
            Place::Default(value) => value.to_array_of_size(batch.num_rows()),
        });
        let columns = columns.collect::<DfResult<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.target), columns)?)
    }
}
