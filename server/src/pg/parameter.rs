//! Parameters of a prepared statement: from the bytes of a Bind message to values of the plan's types.
//!
//! A client may declare a type or leave it to the server; its bytes are read as that type, and the
//! value is then cast to the type that the plan wants.
//! Never: a NULL that is left out, or a value that is cut.

mod binary;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use sql::text::{Parser, Zone};
use sql::types::{PgType, by_oid, field_of_pg_type, pg_type_of};

use super::message::Format;

/// One parameter of a prepared statement.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    /// How the client's bytes are read.
    pub(crate) pg_type: PgType,
    read_as: Field,
    wanted: DataType,
}

impl Parameter {
    /// A parameter that the plan wants as `planned`, and that the client may have declared by OID.
    pub(crate) fn new(planned: &Field, declared_oid: u32) -> sql::Result<Self> {
        let declared = match declared_type(declared_oid)? {
            Some(declared) => {
                field_of_pg_type(planned.name(), &declared, true).map(|read_as| (declared, read_as))
            }
            None => None,
        };
        let (pg_type, read_as) = declared.unwrap_or_else(|| {
            let read_as = match planned.data_type() {
                // A type that nothing in the statement decides is text, as in Postgres.
                DataType::Null => planned.clone().with_data_type(DataType::Utf8),
                _ => planned.clone(),
            };
            (pg_type_of(&read_as), read_as)
        });
        let wanted = match planned.data_type() {
            DataType::Null => read_as.data_type().clone(),
            other => other.clone(),
        };
        Ok(Self { pg_type, read_as, wanted })
    }

    /// The value in the bytes that the client sent; none are NULL.
    pub(crate) fn decode(
        &self,
        bytes: Option<&Bytes>,
        format: Format,
        zone: &Zone,
    ) -> sql::Result<ScalarValue> {
        let Some(bytes) = bytes else { return Ok(ScalarValue::try_from(&self.wanted)?) };
        let value = match format {
            Format::Text => self.text(bytes, zone)?,
            Format::Binary => binary::decode(bytes, &self.pg_type, self.read_as.data_type(), zone)?,
        };
        if value.data_type() == self.wanted { Ok(value) } else { Ok(value.cast_to(&self.wanted)?) }
    }

    fn text(&self, bytes: &[u8], zone: &Zone) -> sql::Result<ScalarValue> {
        parse_text(utf8(bytes)?, &self.read_as, zone)
    }
}

/// The field that a declared OID stands for, for the planner. None: the server decides.
pub(crate) fn declared_field(oid: u32) -> sql::Result<Option<FieldRef>> {
    let field = declared_type(oid)?.and_then(|declared| field_of_pg_type("", &declared, true));
    Ok(field.map(Arc::new))
}

fn declared_type(oid: u32) -> sql::Result<Option<PgType>> {
    const UNKNOWN: u32 = 705;
    if oid == 0 || oid == UNKNOWN {
        return Ok(None);
    }
    by_oid(oid)
        .map(Some)
        .ok_or_else(|| sql::Error::new("42704", format!("type with OID {oid} does not exist")))
}

/// A value from its text form.
fn parse_text(text: &str, field: &Field, zone: &Zone) -> sql::Result<ScalarValue> {
    if *field.data_type() == DataType::Utf8 && field.metadata().is_empty() {
        return Ok(ScalarValue::Utf8(Some(text.to_owned())));
    }
    let mut parser = Parser::new(field, zone)?;
    parser.append(Some(text)).map_err(|error| refused(&error))?;
    let array = parser.finish()?;
    Ok(ScalarValue::try_from_array(&array, 0)?)
}

fn refused(error: &sql::text::ValueError) -> sql::Error {
    let mut refused = sql::Error::new(error.sqlstate(), error.message());
    if let Some(detail) = error.detail() {
        refused = refused.with_detail(detail);
    }
    if let Some(hint) = error.hint() {
        refused = refused.with_hint(hint);
    }
    refused
}

fn utf8(bytes: &[u8]) -> sql::Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        let message = format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}");
        sql::Error::new("22021", message)
    })
}
