//! Operators that choose, join and reorder features: `Concat`, `Gather`, `Slice`, `Split`,
//! `Transpose`, `ArrayFeatureExtractor`; and look-ups of a constant by an index per row.

use std::sync::Arc;

use super::broadcast::strided;
use super::operator::{Built, Operator, Site, argument, first};
use crate::error::{Error, Result};
use crate::value::{Data, Dimension, ElementType, Shape, Text, ValueType, column};

/// Copies features in a given order; one list for each result.
#[derive(Debug)]
struct Select {
    results: Vec<Vec<u32>>,
    batched: bool,
}

impl Operator for Select {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let data = first(arguments)?;
        let rows = if self.batched { rows } else { 1 };
        Ok(self.results.iter().map(|features| data.gather(features, rows)).collect())
    }
}

/// Strides of the features of a shape.
fn strides(sizes: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; sizes.len()];
    let mut stride = 1;
    for (place, size) in strides.iter_mut().zip(sizes).rev() {
        *place = stride;
        stride *= size;
    }
    strides
}

/// The features left when one dimension is replaced by the positions listed.
fn take_axis(shape: &Shape, axis: usize, positions: &[usize]) -> Vec<u32> {
    let sizes = shape.feature_sizes();
    let strides = strides(&sizes);
    let (outer, inner) = (sizes.get(..axis), sizes.get(axis + 1..));
    let outer = strided(outer.unwrap_or_default(), strides.get(..axis).unwrap_or_default());
    let inner = strided(inner.unwrap_or_default(), strides.get(axis + 1..).unwrap_or_default());
    let stride = strides.get(axis).copied().unwrap_or(1);
    let mut features = Vec::with_capacity(outer.len() * positions.len() * inner.len());
    for base in &outer {
        for position in positions {
            features.extend(inner.iter().map(|offset| base + (position * stride) as u32 + offset));
        }
    }
    features
}

/// The size of a dimension that is not the rows.
fn axis_size(site: &Site<'_>, shape: &Shape, axis: usize) -> Result<usize> {
    match shape.0.get(axis) {
        Some(Dimension::Size(size)) => Ok(*size),
        _ => Err(site.across_rows()),
    }
}

fn with_axis(shape: &Shape, axis: usize, dimensions: &[Dimension]) -> Shape {
    let (before, after) = shape.0.split_at(axis.min(shape.rank()));
    Shape([before, dimensions, after.get(1..).unwrap_or_default()].concat())
}

/// Constant positions along an axis, counted from the end where negative.
fn positions(site: &Site<'_>, indices: &[i64], size: usize) -> Result<Vec<usize>> {
    indices
        .iter()
        .map(|index| {
            let position = if *index < 0 { index + size as i64 } else { *index };
            usize::try_from(position)
                .ok()
                .filter(|position| *position < size)
                .ok_or_else(|| site.invalid(format!("index {index} of {size} values")))
        })
        .collect()
}

/// Builds `Gather`.
pub(super) fn gather(site: &Site<'_>) -> Result<Built> {
    let (kind, indices) = (site.kind(0)?, site.input(1)?);
    let axis = site.axis(site.attributes().int("axis", 0), kind.shape.rank())?;
    if indices.kind.shape.batched() {
        return lookup(site, indices.kind.shape.clone(), kind.shape.rank() == 1);
    }
    let listed = site.constant_ints(1)?.unwrap_or_default();
    let size = axis_size(site, &kind.shape, axis)?;
    let positions = positions(site, &listed, size)?;
    let shape = with_axis(&kind.shape, axis, &indices.kind.shape.0);
    site.check_size(&shape)?;
    let select = Select {
        results: vec![take_axis(&kind.shape, axis, &positions)],
        batched: kind.shape.batched(),
    };
    Ok(Built::new(select, vec![0], vec![ValueType::new(kind.element, shape)]))
}

/// Builds `ArrayFeatureExtractor`, which selects along the last dimension.
pub(super) fn array_feature_extractor(site: &Site<'_>) -> Result<Built> {
    let (kind, indices) = (site.kind(0)?, site.input(1)?);
    if indices.kind.shape.batched() {
        let one = indices.kind.shape.features() == 1;
        let shape = Shape(vec![Dimension::Size(1), Dimension::Rows]);
        let list = kind.shape.features() == kind.shape.feature_sizes().last().copied().unwrap_or(0);
        return lookup(site, shape, one && list);
    }
    let listed = site.constant_ints(1)?.unwrap_or_default();
    if kind.shape == Shape::column() {
        // A batch of single values is one list to ONNX; nobody selects rows by constant.
        return Err(site.across_rows());
    }
    let axis = site.axis(-1, kind.shape.rank())?;
    let size = axis_size(site, &kind.shape, axis)?;
    let positions = positions(site, &listed, size)?;
    let mut shape = with_axis(&kind.shape, axis, &[Dimension::Size(positions.len())]);
    if kind.shape.rank() == 1 {
        shape.0.insert(0, Dimension::Size(1));
    }
    site.check_size(&shape)?;
    let select = Select {
        results: vec![take_axis(&kind.shape, axis, &positions)],
        batched: kind.shape.batched(),
    };
    Ok(Built::new(select, vec![0], vec![ValueType::new(kind.element, shape)]))
}

/// An operator that looks up a constant list by an index per row.
fn lookup(site: &Site<'_>, shape: Shape, simple: bool) -> Result<Built> {
    let (table, indices) = (site.input(0)?, site.kind(1)?);
    let Some(values) = table.constant.as_ref().filter(|_| simple) else {
        return Err(site.unsupported("it selects by computed positions"));
    };
    if !indices.element.integer() {
        return Err(site.bad_element(indices.element));
    }
    let result = ValueType::new(table.kind.element, shape);
    Ok(Built::new(Lookup { table: Arc::clone(values) }, vec![1], vec![result]))
}

#[derive(Debug)]
struct Lookup {
    table: Arc<Data>,
}

impl Operator for Lookup {
    fn run(&self, arguments: &[&Data], _rows: usize) -> Result<Vec<Data>> {
        let indices: Vec<i64> = match first(arguments)? {
            Data::Int64(values) => values.clone(),
            Data::Int32(values) => values.iter().map(|value| i64::from(*value)).collect(),
            other => return Err(Error::internal(format!("index of {:?}", other.element()))),
        };
        let size = self.table.len();
        let mut features = Vec::with_capacity(indices.len());
        for index in indices {
            let position = if index < 0 { index + size as i64 } else { index };
            match u32::try_from(position) {
                Ok(position) if (position as usize) < size => features.push(position),
                _ => return Err(Error::evaluation(format!("index {index} of {size} values"))),
            }
        }
        Ok(vec![self.table.gather(&features, 1)])
    }
}

/// Builds `Slice`.
pub(super) fn slice(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?;
    let starts = site.ints("starts", 1)?.unwrap_or_default();
    let ends = site.ints("ends", 2)?.unwrap_or_default();
    let axes = site.ints("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = site.constant_ints(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()].iter().any(|length| *length != starts.len()) {
        return Err(site.invalid("its lists differ in length"));
    }
    let mut shape = kind.shape.clone();
    let mut features: Vec<u32> = (0..kind.shape.features() as u32).collect();
    for (((start, end), axis), step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let axis = site.axis(*axis, shape.rank())?;
        if shape.0.get(axis) == Some(&Dimension::Rows) {
            if (*start, *step) == (0, 1) && *end >= i64::from(i32::MAX) {
                continue;
            }
            return Err(site.across_rows());
        }
        let positions = range(*start, *end, *step, axis_size(site, &shape, axis)?)
            .ok_or_else(|| site.invalid("its step is 0"))?;
        let taken = take_axis(&shape, axis, &positions);
        features =
            taken.iter().filter_map(|feature| features.get(*feature as usize).copied()).collect();
        shape = with_axis(&shape, axis, &[Dimension::Size(positions.len())]);
    }
    let select = Select { results: vec![features], batched: shape.batched() };
    Ok(Built::new(select, vec![0], vec![ValueType::new(kind.element, shape)]))
}

/// Python's `range(size)[start:end:step]`.
fn range(start: i64, end: i64, step: i64, size: usize) -> Option<Vec<usize>> {
    if step == 0 {
        return None;
    }
    let size = size as i64;
    let wrap = |bound: i64| if bound < 0 { bound.saturating_add(size) } else { bound };
    let mut positions = Vec::new();
    let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
    let mut position = wrap(start).clamp(low.max(0), high.max(0));
    let end = wrap(end).clamp(low, high);
    while if step > 0 { position < end } else { position > end } {
        positions.push(usize::try_from(position).ok()?);
        position = position.checked_add(step)?;
    }
    Some(positions)
}

/// Builds `Split`.
pub(super) fn split(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?;
    let axis = site.axis(site.attributes().int("axis", 0), kind.shape.rank())?;
    let size = axis_size(site, &kind.shape, axis)?;
    let count = site.node.outputs.len().max(1);
    let parts: Vec<usize> = match site.ints("split", 1)? {
        Some(parts) => {
            parts.iter().map(|part| usize::try_from(*part).unwrap_or(usize::MAX)).collect()
        }
        None => {
            let part = size.div_ceil(count);
            (0..count).map(|index| part.min(size.saturating_sub(index * part))).collect()
        }
    };
    if parts.len() != count
        || parts.iter().try_fold(0_usize, |sum, part| sum.checked_add(*part)) != Some(size)
    {
        return Err(site.invalid(format!("its parts do not add up to {size}")));
    }
    let mut start = 0;
    let mut results = Vec::with_capacity(count);
    let mut kinds = Vec::with_capacity(count);
    for part in parts {
        let positions: Vec<usize> = (start..start + part).collect();
        results.push(take_axis(&kind.shape, axis, &positions));
        let shape = with_axis(&kind.shape, axis, &[Dimension::Size(part)]);
        kinds.push(ValueType::new(kind.element, shape));
        start += part;
    }
    Ok(Built::new(Select { results, batched: kind.shape.batched() }, vec![0], kinds))
}

/// Builds `Transpose`.
pub(super) fn transpose(site: &Site<'_>) -> Result<Built> {
    let kind = site.kind(0)?;
    let rank = kind.shape.rank();
    let order = match site.attributes().ints("perm") {
        [] => (0..rank).rev().collect(),
        listed => positions(site, listed, rank)?,
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(site.invalid("its order is not a permutation"));
    }
    let sizes = kind.shape.feature_sizes();
    let strides = strides(&sizes);
    let pick = |list: &[usize]| -> Vec<usize> {
        order.iter().filter_map(|position| list.get(*position).copied()).collect()
    };
    let features = strided(&pick(&sizes), &pick(&strides));
    let shape = Shape(order.iter().filter_map(|at| kind.shape.0.get(*at).copied()).collect());
    let select = Select { results: vec![features], batched: shape.batched() };
    Ok(Built::new(select, vec![0], vec![ValueType::new(kind.element, shape)]))
}

/// Builds `Concat`.
pub(super) fn concat(site: &Site<'_>) -> Result<Built> {
    let head = site.kind(0)?.clone();
    let axis = site.axis(site.attributes().int("axis", 1), head.shape.rank())?;
    let mut total = 0_usize;
    let mut widths = Vec::with_capacity(site.inputs.len());
    for position in 0..site.inputs.len() {
        let kind = site.kind(position)?;
        let same = with_axis(&kind.shape, axis, &[Dimension::Size(1)])
            == with_axis(&head.shape, axis, &[Dimension::Size(1)]);
        if !same || kind.element != head.element {
            return Err(site.unsupported(format!(
                "it joins {} {} and {} {}",
                head.element.name(),
                head.shape,
                kind.element.name(),
                kind.shape
            )));
        }
        let width = axis_size(site, &kind.shape, axis)?;
        total = total.saturating_add(width);
        widths.push(width);
    }
    let shape = with_axis(&head.shape, axis, &[Dimension::Size(total)]);
    site.check_size(&shape)?;
    let sizes = head.shape.feature_sizes();
    let outer: usize = sizes.iter().take(axis).product();
    let inner: usize = sizes.iter().skip(axis + 1).product();
    let mut order = Vec::with_capacity(outer * widths.len());
    for block in 0..outer {
        for (input, width) in widths.iter().enumerate() {
            let length = width * inner;
            order.push((input, block * length, length));
        }
    }
    let operator = Concat { order, batched: shape.batched() };
    let arguments = (0..site.inputs.len()).collect();
    Ok(Built::new(operator, arguments, vec![ValueType::new(head.element, shape)]))
}

#[derive(Debug)]
struct Concat {
    /// Argument, its first feature, and how many.
    order: Vec<(usize, usize, usize)>,
    batched: bool,
}

impl Operator for Concat {
    fn run(&self, arguments: &[&Data], rows: usize) -> Result<Vec<Data>> {
        let rows = if self.batched { rows } else { 1 };
        macro_rules! joined {
            ($variant:ident) => {{
                let slices: Vec<&[_]> = arguments
                    .iter()
                    .filter_map(|data| match data {
                        Data::$variant(values) => Some(values.as_slice()),
                        _ => None,
                    })
                    .collect();
                Data::$variant(self.join(&slices, rows))
            }};
        }
        Ok(vec![match argument(arguments, 0)?.element() {
            ElementType::Float32 => joined!(Float32),
            ElementType::Float64 => joined!(Float64),
            ElementType::Int32 => joined!(Int32),
            ElementType::Int64 => joined!(Int64),
            ElementType::Boolean => joined!(Boolean),
            ElementType::Text => {
                let texts: Vec<&Text> =
                    arguments.iter().map(|data| data.text()).collect::<Result<_>>()?;
                let (strings, keys) = Text::join(&texts)?;
                let keys: Vec<&[u32]> = keys.iter().map(Vec::as_slice).collect();
                Data::Text(Text { keys: self.join(&keys, rows), strings })
            }
        }])
    }
}

impl Concat {
    fn join<T: Copy>(&self, slices: &[&[T]], rows: usize) -> Vec<T> {
        let mut joined = Vec::with_capacity(slices.iter().map(|slice| slice.len()).sum());
        for (input, start, length) in &self.order {
            let slice = slices.get(*input).copied().unwrap_or_default();
            let part = slice.get(start * rows..(start + length) * rows);
            joined.extend_from_slice(part.unwrap_or_else(|| column(slice, 0, 0)));
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_follow_python() {
        assert_eq!(range(0, 3, 1, 5), Some(vec![0, 1, 2]));
        assert_eq!(range(-2, i64::MAX, 1, 5), Some(vec![3, 4]));
        assert_eq!(range(-1, i64::MIN, -1, 3), Some(vec![2, 1, 0]));
        assert_eq!(range(4, 0, -2, 5), Some(vec![4, 2]));
        assert_eq!(range(7, 9, 1, 5), Some(vec![]));
        assert_eq!(range(0, 0, 0, 5), None);
    }
}
