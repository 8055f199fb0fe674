//! Constants: dense ONNX tensors as [`Data`].

use prost::bytes::Bytes;

use super::proto::TensorProto;
use crate::error::{Error, Result};
use crate::value::{Data, Text};

/// A dense constant with its shape.
#[derive(Clone, Debug)]
pub(crate) struct Constant {
    pub(crate) sizes: Vec<usize>,
    pub(crate) data: Data,
}

impl Constant {
    pub(crate) fn list<T: crate::value::Number>(values: Vec<T>) -> Self {
        Self { sizes: vec![values.len()], data: T::data(values) }
    }

    pub(crate) fn scalar<T: crate::value::Number>(value: T) -> Self {
        Self { sizes: Vec::new(), data: T::data(vec![value]) }
    }
}

/// The shape of a tensor and the number of its elements.
pub(crate) fn sizes(tensor: &TensorProto) -> Result<(Vec<usize>, usize)> {
    let mut count = 1_usize;
    let mut sizes = Vec::with_capacity(tensor.dims.len());
    for dimension in &tensor.dims {
        let size = usize::try_from(*dimension).map_err(|_| {
            Error::invalid(format!("constant \"{}\" has dimension {dimension}", tensor.name))
        })?;
        count = count.checked_mul(size).ok_or_else(|| {
            Error::invalid(format!("constant \"{}\" has an impossible shape", tensor.name))
        })?;
        sizes.push(size);
    }
    Ok((sizes, count))
}

/// Checks that a tensor holds as many elements as its shape says, without decoding them.
pub(crate) fn check(tensor: &TensorProto) -> Result<()> {
    let (_, expected) = sizes(tensor)?;
    let width = match tensor.data_type {
        1 | 6 => 4,
        7 | 11 => 8,
        9 | 2 | 3 => 1,
        _ => return Ok(()),
    };
    let held = if tensor.raw_data.is_empty() {
        match tensor.data_type {
            1 => tensor.float_data.len(),
            7 => tensor.int64_data.len(),
            11 => tensor.double_data.len(),
            _ => tensor.int32_data.len(),
        }
    } else if tensor.raw_data.len().is_multiple_of(width) {
        tensor.raw_data.len() / width
    } else {
        return Err(wrong_length(tensor, expected, tensor.raw_data.len() / width));
    };
    if held == expected { Ok(()) } else { Err(wrong_length(tensor, expected, held)) }
}

/// Decodes a tensor.
pub(crate) fn decode(tensor: &TensorProto) -> Result<Constant> {
    let (sizes, count) = sizes(tensor)?;
    let raw = &tensor.raw_data;
    let data = match tensor.data_type {
        1 if raw.is_empty() => Data::Float32(tensor.float_data.clone()),
        1 => Data::Float32(little_endian(raw, f32::from_le_bytes)),
        2 | 3 | 6 if raw.is_empty() => Data::Int32(tensor.int32_data.clone()),
        2 => Data::Int32(raw.iter().map(|byte| i32::from(*byte)).collect()),
        3 => Data::Int32(little_endian(raw, |bytes| i32::from(i8::from_le_bytes(bytes)))),
        6 => Data::Int32(little_endian(raw, i32::from_le_bytes)),
        7 if raw.is_empty() => Data::Int64(tensor.int64_data.clone()),
        7 => Data::Int64(little_endian(raw, i64::from_le_bytes)),
        8 => Data::Text(Text::from_strings(&strings(&tensor.string_data)?)),
        9 if raw.is_empty() => Data::Boolean(tensor.int32_data.iter().map(|v| *v != 0).collect()),
        9 => Data::Boolean(raw.iter().map(|byte| *byte != 0).collect()),
        11 if raw.is_empty() => Data::Float64(tensor.double_data.clone()),
        11 => Data::Float64(little_endian(raw, f64::from_le_bytes)),
        other => {
            return Err(Error::UnsupportedNode {
                node: format!("Constant (\"{}\")", tensor.name),
                reason: format!("element type number {other}"),
            });
        }
    };
    if data.len() != count {
        return Err(wrong_length(tensor, count, data.len()));
    }
    Ok(Constant { sizes, data })
}

/// Byte strings as text.
pub(crate) fn strings(values: &[Bytes]) -> Result<Vec<String>> {
    values
        .iter()
        .map(|bytes| {
            std::str::from_utf8(bytes)
                .map(str::to_owned)
                .map_err(|_| Error::invalid("a string is not UTF-8"))
        })
        .collect()
}

fn little_endian<const N: usize, T>(raw: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(|bytes| from(*bytes)).collect()
}

fn wrong_length(tensor: &TensorProto, expected: usize, held: usize) -> Error {
    Error::invalid(format!(
        "constant \"{}\" should hold {expected} values, it holds {held}",
        tensor.name
    ))
}
