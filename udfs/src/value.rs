//! Values on their way through a model: columns of numbers or text with a static type.
//!
//! ONNX speaks of tensors whose first dimension is usually the rows. Here a value is a list of
//! *features*, each a column of as many elements as there are rows, one after the other. A tensor
//! of shape `[rows, 3]` is three columns; `[rows, 2, 3]` is six, in row-major order of the other
//! dimensions; a constant of shape `[3]` is three columns of one element. Arrow columns become
//! features by a plain copy, and kernels run along a column.
//!
//! Never: a value whose length is not `features * rows`.

use std::sync::Arc;

use arrow::array::{Array, StringArray};

use crate::error::{Error, Result};

/// The type of a value's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ElementType {
    Float32,
    Float64,
    Int32,
    Int64,
    Boolean,
    Text,
}

impl ElementType {
    /// From the numbers of ONNX' `TensorProto.DataType`.
    pub(crate) fn from_onnx(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::Float32,
            6 => Self::Int32,
            7 => Self::Int64,
            8 => Self::Text,
            9 => Self::Boolean,
            11 => Self::Float64,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float",
            Self::Float64 => "double",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Boolean => "bool",
            Self::Text => "string",
        }
    }

    pub(crate) fn float(self) -> bool {
        matches!(self, Self::Float32 | Self::Float64)
    }

    pub(crate) fn integer(self) -> bool {
        matches!(self, Self::Int32 | Self::Int64)
    }
}

/// One dimension of a static shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dimension {
    /// The rows of the batch: not known while the model is loaded.
    Rows,
    /// A fixed size.
    Size(usize),
}

/// A static shape in which at most one dimension is the rows.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Shape(pub(crate) Vec<Dimension>);

impl Shape {
    /// `[rows, width]`
    pub(crate) fn matrix(width: usize) -> Self {
        Self(vec![Dimension::Rows, Dimension::Size(width)])
    }

    /// `[rows]`
    pub(crate) fn column() -> Self {
        Self(vec![Dimension::Rows])
    }

    pub(crate) fn constant(sizes: &[usize]) -> Self {
        Self(sizes.iter().map(|size| Dimension::Size(*size)).collect())
    }

    pub(crate) fn rank(&self) -> usize {
        self.0.len()
    }

    /// Position of the dimension that is the rows, `None` for a constant.
    pub(crate) fn rows_at(&self) -> Option<usize> {
        self.0.iter().position(|dimension| *dimension == Dimension::Rows)
    }

    pub(crate) fn batched(&self) -> bool {
        self.rows_at().is_some()
    }

    /// Sizes with the rows counted as 1: the shape of the list of features.
    pub(crate) fn feature_sizes(&self) -> Vec<usize> {
        self.0
            .iter()
            .map(|dimension| match dimension {
                Dimension::Rows => 1,
                Dimension::Size(size) => *size,
            })
            .collect()
    }

    /// Number of features; saturates, so that an absurd shape fails the limit instead of wrapping.
    pub(crate) fn features(&self) -> usize {
        self.feature_sizes().iter().fold(1, |product, size| product.saturating_mul(*size))
    }

    /// The only dimension beside the rows, for operators that take `[rows, width]` or `[rows]`.
    pub(crate) fn matrix_width(&self) -> Option<usize> {
        match self.0.as_slice() {
            [Dimension::Rows, Dimension::Size(width)] => Some(*width),
            [Dimension::Rows] => Some(1),
            _ => None,
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[")?;
        for (position, dimension) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            match dimension {
                Dimension::Rows => write!(formatter, "{comma}rows")?,
                Dimension::Size(size) => write!(formatter, "{comma}{size}")?,
            }
        }
        formatter.write_str("]")
    }
}

/// Element type and shape of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValueType {
    pub(crate) element: ElementType,
    pub(crate) shape: Shape,
}

impl ValueType {
    pub(crate) fn new(element: ElementType, shape: Shape) -> Self {
        Self { element, shape }
    }
}

/// Strings as references into an Arrow array, so that copying, selecting and joining columns
/// never copies a string.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// For each element the position of its string in `strings`.
    pub(crate) keys: Vec<u32>,
    pub(crate) strings: Arc<StringArray>,
}

impl Text {
    pub(crate) fn from_strings<S: AsRef<str>>(strings: &[S]) -> Self {
        let strings = StringArray::from_iter_values(strings);
        Self { keys: (0..strings.len() as u32).collect(), strings: Arc::new(strings) }
    }

    pub(crate) fn get(&self, position: usize) -> &str {
        self.keys.get(position).map_or("", |key| self.string(*key))
    }

    /// The string behind a key.
    pub(crate) fn string(&self, key: u32) -> &str {
        let key = key as usize;
        if key < self.strings.len() { self.strings.value(key) } else { "" }
    }

    /// One array of strings for several texts, and each text's keys into it.
    pub(crate) fn join(texts: &[&Self]) -> Result<(Arc<StringArray>, Vec<Vec<u32>>)> {
        if let [only, rest @ ..] = texts
            && rest.iter().all(|text| Arc::ptr_eq(&text.strings, &only.strings))
        {
            let keys = texts.iter().map(|text| text.keys.clone()).collect();
            return Ok((Arc::clone(&only.strings), keys));
        }
        let joined: StringArray = texts
            .iter()
            .flat_map(|text| text.strings.iter())
            .map(|s| Some(s.unwrap_or_default()))
            .collect();
        let mut offset = 0_u32;
        let mut keys = Vec::with_capacity(texts.len());
        for text in texts {
            keys.push(text.keys.iter().map(|key| key + offset).collect());
            offset += text.strings.len() as u32;
        }
        Ok((Arc::new(joined), keys))
    }

    /// Applies a function to every element; once per distinct string where that is cheaper.
    pub(crate) fn map<T: Clone>(&self, function: impl Fn(&str) -> T) -> Vec<T> {
        if self.strings.len() > self.keys.len() {
            return self.keys.iter().map(|key| function(self.string(*key))).collect();
        }
        let table: Vec<T> =
            (0..self.strings.len()).map(|key| function(self.strings.value(key))).collect();
        self.keys.iter().filter_map(|key| table.get(*key as usize).cloned()).collect()
    }
}

/// The elements of a value, feature by feature.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Boolean(Vec<bool>),
    Text(Text),
}

impl Data {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Float32(values) => values.len(),
            Self::Float64(values) => values.len(),
            Self::Int32(values) => values.len(),
            Self::Int64(values) => values.len(),
            Self::Boolean(values) => values.len(),
            Self::Text(text) => text.keys.len(),
        }
    }

    pub(crate) fn element(&self) -> ElementType {
        match self {
            Self::Float32(_) => ElementType::Float32,
            Self::Float64(_) => ElementType::Float64,
            Self::Int32(_) => ElementType::Int32,
            Self::Int64(_) => ElementType::Int64,
            Self::Boolean(_) => ElementType::Boolean,
            Self::Text(_) => ElementType::Text,
        }
    }

    pub(crate) fn text(&self) -> Result<&Text> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(mismatch(ElementType::Text, other)),
        }
    }

    pub(crate) fn booleans(&self) -> Result<&[bool]> {
        match self {
            Self::Boolean(values) => Ok(values),
            other => Err(mismatch(ElementType::Boolean, other)),
        }
    }

    /// The elements as floats of single precision, whatever numbers they are.
    pub(crate) fn to_floats(&self) -> Result<std::borrow::Cow<'_, [f32]>> {
        use std::borrow::Cow::{Borrowed, Owned};
        Ok(match self {
            Self::Float32(values) => Borrowed(values),
            Self::Float64(values) => Owned(values.iter().map(|value| *value as f32).collect()),
            Self::Int32(values) => Owned(values.iter().map(|value| *value as f32).collect()),
            Self::Int64(values) => Owned(values.iter().map(|value| *value as f32).collect()),
            Self::Boolean(values) => {
                Owned(values.iter().map(|value| f32::from(u8::from(*value))).collect())
            }
            Self::Text(_) => return Err(mismatch(ElementType::Float32, self)),
        })
    }

    /// Copies the features at the given positions, in that order.
    pub(crate) fn gather(&self, features: &[u32], rows: usize) -> Self {
        match self {
            Self::Float32(values) => Self::Float32(gather(values, features, rows)),
            Self::Float64(values) => Self::Float64(gather(values, features, rows)),
            Self::Int32(values) => Self::Int32(gather(values, features, rows)),
            Self::Int64(values) => Self::Int64(gather(values, features, rows)),
            Self::Boolean(values) => Self::Boolean(gather(values, features, rows)),
            Self::Text(text) => Self::Text(Text {
                keys: gather(&text.keys, features, rows),
                strings: Arc::clone(&text.strings),
            }),
        }
    }

    /// Repeats each feature's single element for every row.
    pub(crate) fn spread(&self, rows: usize) -> Self {
        match self {
            Self::Float32(values) => Self::Float32(spread(values, rows)),
            Self::Float64(values) => Self::Float64(spread(values, rows)),
            Self::Int32(values) => Self::Int32(spread(values, rows)),
            Self::Int64(values) => Self::Int64(spread(values, rows)),
            Self::Boolean(values) => Self::Boolean(spread(values, rows)),
            Self::Text(text) => Self::Text(Text {
                keys: spread(&text.keys, rows),
                strings: Arc::clone(&text.strings),
            }),
        }
    }
}

fn gather<T: Copy>(values: &[T], features: &[u32], rows: usize) -> Vec<T> {
    let mut gathered = Vec::with_capacity(features.len() * rows);
    for feature in features {
        gathered.extend_from_slice(column(values, *feature as usize, rows));
    }
    gathered
}

fn spread<T: Copy>(values: &[T], rows: usize) -> Vec<T> {
    values.iter().flat_map(|value| std::iter::repeat_n(*value, rows)).collect()
}

/// The elements of one feature.
pub(crate) fn column<T>(values: &[T], feature: usize, rows: usize) -> &[T] {
    values.get(feature * rows..(feature + 1) * rows).unwrap_or_default()
}

fn mismatch(expected: ElementType, found: &Data) -> Error {
    Error::internal(format!(
        "expected {} values, found {}",
        expected.name(),
        found.element().name()
    ))
}

/// Number types that kernels are generic over.
pub(crate) trait Number: Copy + PartialOrd + Send + Sync + 'static {
    /// The elements, if the value is of this type.
    fn slice(data: &Data) -> Result<&[Self]>;
    /// A value of this type.
    fn data(values: Vec<Self>) -> Data;
}

macro_rules! number {
    ($type:ty, $variant:ident) => {
        impl Number for $type {
            fn slice(data: &Data) -> Result<&[Self]> {
                match data {
                    Data::$variant(values) => Ok(values),
                    other => Err(mismatch(ElementType::$variant, other)),
                }
            }

            fn data(values: Vec<Self>) -> Data {
                Data::$variant(values)
            }
        }
    };
}

number!(f32, Float32);
number!(f64, Float64);
number!(i32, Int32);
number!(i64, Int64);
