//! Which columns go to which graph input: the rules of [`Signature`].

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::onnx::{Graph, ValueInfo};
use crate::signature::{Family, Signature};
use crate::value::{Dimension, ElementType, Shape, ValueType};

/// A graph input and the columns that it takes.
#[derive(Clone, Debug)]
pub(crate) struct BoundInput {
    pub(crate) name: String,
    /// Positions in the INPUT list.
    pub(crate) columns: Vec<usize>,
    pub(crate) kind: ValueType,
    /// The number of rows that the graph insists on.
    pub(crate) rows: Option<usize>,
}

/// Maps the columns of a signature to the inputs of a graph, in the graph's order.
pub(crate) fn bind(
    graph: &Graph,
    signature: &Signature,
    limits: &Limits,
) -> Result<Vec<BoundInput>> {
    let count = signature.inputs.len();
    if count > limits.values_per_row_max {
        return Err(Error::TooLarge {
            what: "inputs",
            actual: count as u64,
            limit: limits.values_per_row_max as u64,
        });
    }
    let widths = graph.inputs.iter().map(width).collect::<Result<Vec<_>>>()?;
    let dealt = match (graph.inputs.as_slice(), widths.as_slice()) {
        ([], _) => return Err(mismatch("the graph has no inputs".to_owned())),
        ([only], [width]) => {
            if width.is_some_and(|width| width != count) {
                return Err(Error::InputMismatch {
                    reason: format!(
                        "input \"{}\" of the graph takes {} columns, the list has {count}",
                        only.name,
                        width.unwrap_or_default()
                    ),
                    hint: None,
                });
            }
            vec![(0..count).collect()]
        }
        (inputs, widths) if widths.iter().all(|width| width.unwrap_or(1) == 1) => {
            by_name(inputs, signature)?
        }
        (inputs, widths) => in_order(inputs, widths, signature)?,
    };
    let mut bound = Vec::with_capacity(dealt.len());
    for (input, columns) in graph.inputs.iter().zip(dealt) {
        bound.push(bind_one(input, columns, signature)?);
    }
    Ok(bound)
}

fn mismatch(reason: String) -> Error {
    Error::InputMismatch { reason, hint: None }
}

/// How many columns an input takes; `None` if the graph leaves it open.
fn width(input: &ValueInfo) -> Result<Option<usize>> {
    let Some(sizes) = &input.sizes else { return Ok(None) };
    match sizes.as_slice() {
        [] => Err(mismatch(format!("input \"{}\" of the graph is a single value", input.name))),
        [Some(size)] if *size > 1 => Err(mismatch(format!(
            "input \"{}\" of the graph has no dimension for rows",
            input.name
        ))),
        [_, rest @ ..] => {
            let known: Option<Vec<usize>> = rest.iter().copied().collect();
            Ok(known.map(|sizes| sizes.iter().fold(1_usize, |all, size| all.saturating_mul(*size))))
        }
    }
}

fn by_name(inputs: &[ValueInfo], signature: &Signature) -> Result<Vec<Vec<usize>>> {
    let names = || {
        let names: Vec<String> = inputs.iter().map(|input| format!("\"{}\"", input.name)).collect();
        Some(format!("The graph's inputs are {}.", names.join(", ")))
    };
    let mut dealt = Vec::with_capacity(inputs.len());
    for input in inputs {
        let column = find(signature, &input.name).ok_or_else(|| Error::InputMismatch {
            reason: format!("no column is called \"{}\", as an input of the graph is", input.name),
            hint: names(),
        })?;
        dealt.push(vec![column]);
    }
    for (position, field) in signature.inputs.iter().enumerate() {
        let uses = dealt.iter().filter(|columns| columns.contains(&position)).count();
        if uses != 1 {
            let reason = if uses == 0 { "belongs to no input" } else { "belongs to two inputs" };
            return Err(Error::InputMismatch {
                reason: format!("column \"{}\" {reason} of the graph", field.name()),
                hint: names(),
            });
        }
    }
    Ok(dealt)
}

/// The column of that name: exactly, or else the only one without regard to case.
fn find(signature: &Signature, name: &str) -> Option<usize> {
    let fields = &signature.inputs;
    if let Some(position) = fields.iter().position(|field| field.name() == name) {
        return Some(position);
    }
    let mut similar = fields
        .iter()
        .enumerate()
        .filter(|(_, field)| field.name().eq_ignore_ascii_case(name))
        .map(|(position, _)| position);
    similar.next().filter(|_| similar.next().is_none())
}

fn in_order(
    inputs: &[ValueInfo],
    widths: &[Option<usize>],
    signature: &Signature,
) -> Result<Vec<Vec<usize>>> {
    let count = signature.inputs.len();
    let total = widths
        .iter()
        .try_fold(0_usize, |total, width| total.checked_add((*width)?))
        .ok_or_else(|| mismatch("the graph does not say how wide its inputs are".to_owned()))?;
    if total != count {
        return Err(mismatch(format!(
            "the inputs of the graph take {total} columns together, the list has {count}"
        )));
    }
    let mut start = 0;
    let mut dealt: Vec<Vec<usize>> = Vec::with_capacity(inputs.len());
    for width in widths {
        let end = start + width.unwrap_or_default();
        dealt.push((start..end).collect());
        start = end;
    }
    for (input, columns) in inputs.iter().zip(&dealt) {
        let named = find(signature, &input.name);
        if let ([own], Some(named)) = (columns.as_slice(), named)
            && *own != named
        {
            return Err(Error::InputMismatch {
                reason: format!(
                    "column \"{}\" is at position {}, the graph takes it at position {}",
                    input.name,
                    named + 1,
                    own + 1
                ),
                hint: Some("Order the columns as the graph's inputs are.".to_owned()),
            });
        }
    }
    Ok(dealt)
}

fn bind_one(input: &ValueInfo, columns: Vec<usize>, signature: &Signature) -> Result<BoundInput> {
    let element = input.element.ok_or_else(|| {
        mismatch(format!("input \"{}\" of the graph is of a type that SQL cannot give", input.name))
    })?;
    for column in &columns {
        let Some(field) = signature.inputs.get(*column) else { continue };
        let text = Family::of(field.data_type()) == Some(Family::Text);
        if text != (element == ElementType::Text) {
            return Err(mismatch(format!(
                "column \"{}\" is {}, input \"{}\" of the graph takes {} values",
                field.name(),
                if text { "text" } else { "not text" },
                input.name,
                element.name()
            )));
        }
    }
    let shape = shape(input, columns.len())?;
    let rows = input.sizes.as_ref().and_then(|sizes| sizes.first().copied().flatten());
    Ok(BoundInput { name: input.name.clone(), columns, kind: ValueType::new(element, shape), rows })
}

/// The shape with the rows first; one open dimension follows from the number of columns.
fn shape(input: &ValueInfo, columns: usize) -> Result<Shape> {
    let Some(sizes) = &input.sizes else { return Ok(Shape::matrix(columns)) };
    let rest = sizes.get(1..).unwrap_or_default();
    let known: usize = rest.iter().flatten().product();
    let open = rest.iter().filter(|size| size.is_none()).count();
    if open > 1 || known == 0 || !columns.is_multiple_of(known) || open == 0 && known != columns {
        return Err(mismatch(format!(
            "{columns} columns do not fill input \"{}\" of the graph",
            input.name
        )));
    }
    let sizes = rest.iter().map(|size| Dimension::Size(size.unwrap_or(columns / known)));
    Ok(Shape(std::iter::once(Dimension::Rows).chain(sizes).collect()))
}
