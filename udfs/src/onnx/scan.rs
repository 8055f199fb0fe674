//! A first pass over the bytes of an ONNX file, before anything is decoded.
//!
//! It walks the protobuf wire format with a constant amount of memory and refuses what must never
//! reach a decoder or an engine: external data (a path chosen by the file's author), sparse
//! tensors, truncated or foreign bytes, and files that would decode into far more memory than
//! their size suggests (many empty messages) or overflow the stack (deep nesting).
//! Never: allocates in proportion to the file, or follows a path.

use crate::error::{Error, Result};
use crate::limits::Limits;

/// Refuses bytes that are not a plain, self-contained ONNX model within the limits.
pub(crate) fn scan(bytes: &[u8], limits: &Limits) -> Result<()> {
    if bytes.len() > limits.model_bytes_max {
        return Err(Error::TooLarge {
            what: "bytes",
            actual: bytes.len() as u64,
            limit: limits.model_bytes_max as u64,
        });
    }
    let mut scanner = Scanner { limits, items: 0, graph: false };
    scanner.message(Kind::Model, bytes, 0)?;
    if scanner.graph { Ok(()) } else { Err(malformed("there is no graph in it")) }
}

/// What a length-delimited field holds.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Model,
    Training,
    Function,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    /// A message without interesting fields inside.
    Small,
    /// Text, or a list of packed numbers.
    Leaf,
    External,
    Sparse,
}

impl Kind {
    fn child(self, field: u64) -> Self {
        match (self, field) {
            (Self::Model, 7) | (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) => Self::Tensor,
            (Self::Graph, 11..=13) | (Self::Function, 12) => Self::ValueInfo,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) | (Self::Type, 8) => Self::Sparse,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Tensor, 13) => Self::External,
            (Self::ValueInfo, 2) | (Self::Attribute, 14 | 15) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Model, 8 | 14) | (Self::Shape, 1) | (Self::Training, 3 | 4) => Self::Small,
            _ => Self::Leaf,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Model => "the model",
            Self::Training => "the training section",
            Self::Function => "a function",
            Self::Graph => "a graph",
            Self::Node => "a node",
            Self::Attribute => "an attribute",
            Self::Tensor => "a tensor",
            Self::ValueInfo => "a value's description",
            Self::Type | Self::TensorType | Self::Shape => "a type",
            Self::Small | Self::Leaf | Self::External | Self::Sparse => "a field",
        }
    }
}

struct Scanner<'a> {
    limits: &'a Limits,
    /// Messages and strings seen so far: each becomes an object when decoded.
    items: u64,
    graph: bool,
}

impl Scanner<'_> {
    fn message(&mut self, kind: Kind, bytes: &[u8], depth: usize) -> Result<()> {
        if depth > self.limits.nesting_max {
            return Err(Error::TooLarge {
                what: "levels of nesting",
                actual: depth as u64,
                limit: self.limits.nesting_max as u64,
            });
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            self.field(kind, &mut rest, depth)?;
        }
        Ok(())
    }

    fn field(&mut self, kind: Kind, rest: &mut &[u8], depth: usize) -> Result<()> {
        let key = varint(rest, kind)?;
        let field = key >> 3;
        if field == 0 {
            return Err(malformed(format!("field 0 in {}", kind.name())));
        }
        match key & 7 {
            0 => {
                let value = varint(rest, kind)?;
                if kind == Kind::Tensor && field == 14 && value != 0 {
                    return Err(external());
                }
            }
            1 => drop(take(rest, 8, kind)?),
            2 => {
                let length = varint(rest, kind)?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let content = take(rest, length, kind)?;
                self.delimited(kind.child(field), content, depth)?;
            }
            5 => drop(take(rest, 4, kind)?),
            wire => {
                return Err(malformed(format!(
                    "field {field} of {} has wire type {wire}",
                    kind.name()
                )));
            }
        }
        Ok(())
    }

    fn delimited(&mut self, kind: Kind, content: &[u8], depth: usize) -> Result<()> {
        self.items += 1;
        if self.items > self.limits.items_max {
            return Err(Error::TooLarge {
                what: "messages and strings",
                actual: self.items,
                limit: self.limits.items_max,
            });
        }
        match kind {
            Kind::Leaf => Ok(()),
            Kind::External => Err(external()),
            Kind::Sparse => Err(Error::SparseTensor { place: "a graph, an attribute or a type" }),
            _ => {
                self.graph |= kind == Kind::Graph && depth == 0;
                self.message(kind, content, depth + 1)
            }
        }
    }
}

fn malformed(reason: impl Into<String>) -> Error {
    Error::Malformed { reason: reason.into() }
}

fn external() -> Error {
    Error::ExternalData { what: "a tensor".to_owned() }
}

fn take<'a>(rest: &mut &'a [u8], length: usize, kind: Kind) -> Result<&'a [u8]> {
    let (taken, left) = rest
        .split_at_checked(length)
        .ok_or_else(|| malformed(format!("it ends in the middle of {}", kind.name())))?;
    *rest = left;
    Ok(taken)
}

fn varint(rest: &mut &[u8], kind: Kind) -> Result<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1, kind)?.first().copied().unwrap_or_default();
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(malformed(format!("a number longer than ten bytes in {}", kind.name())))
}
