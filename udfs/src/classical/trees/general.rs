//! The general walk: any comparison, any aggregation, doubles; one row and one branch at a time.

use super::forest::{Aggregate, Forest, Node};
use crate::error::Result;
use crate::value::{Data, column};

/// The sums of a block of rows, target after target, and which targets got any weight at all.
#[derive(Debug)]
pub(super) struct Scores {
    pub(super) values: Vec<f32>,
    pub(super) present: Vec<bool>,
}

/// Walks every row down every tree.
pub(super) fn scores(forest: &Forest, data: &Data, rows: usize) -> Result<Scores> {
    let double = matches!(data, Data::Float64(_));
    let mut totals = vec![0.0_f64; forest.targets * rows];
    let mut present = vec![false; forest.targets * rows];
    let singles = if double { Vec::new() } else { data.to_floats()?.into_owned() };
    let value = |feature: u32, row: usize| match data {
        Data::Float64(values) => element(values, feature, row, rows),
        _ => f64::from(element(&singles, feature, row, rows)),
    };
    for row in 0..rows {
        for root in &forest.roots {
            let (first, count) = walk(forest, *root, |feature| value(feature, row));
            for (target, weight) in forest.leaf(first, count) {
                let place = *target as usize * rows + row;
                if let (Some(total), Some(seen)) = (totals.get_mut(place), present.get_mut(place)) {
                    let sum = merge(forest.aggregate, *total, *weight, *seen);
                    // Engines add singles for singles: round after every tree, as they do.
                    *total = if double { sum } else { f64::from(sum as f32) };
                    *seen = true;
                }
            }
        }
    }
    Ok(Scores { values: totals.into_iter().map(|total| total as f32).collect(), present })
}

fn element<T: Copy + Default>(values: &[T], feature: u32, row: usize, rows: usize) -> T {
    column(values, feature as usize, rows).get(row).copied().unwrap_or_default()
}

fn merge(aggregate: Aggregate, total: f64, weight: f64, seen: bool) -> f64 {
    match aggregate {
        Aggregate::Sum | Aggregate::Average => total + weight,
        Aggregate::Min if !seen || weight < total => weight,
        Aggregate::Max if !seen || weight > total => weight,
        Aggregate::Min | Aggregate::Max => total,
    }
}

/// The weights of the leaf that a row reaches.
fn walk(forest: &Forest, root: u32, value: impl Fn(u32) -> f64) -> (u32, u32) {
    let mut position = root;
    loop {
        match forest.nodes.get(position as usize) {
            Some(Node::Branch { feature, threshold, mode, missing_yes, yes, no }) => {
                let value = value(*feature);
                let holds = mode.holds(value, *threshold) || *missing_yes && value.is_nan();
                position = if holds { *yes } else { *no };
            }
            Some(Node::Leaf { first, count }) => return (*first, *count),
            None => return (0, 0),
        }
    }
}
