//! Tree ensembles as data: read from a node's attributes and checked.

use std::collections::HashMap;

use super::super::operator::Site;
use crate::error::{Error, Result};
use crate::value::{Data, Shape};

/// How a branch compares a feature with its threshold; "true" follows `yes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
}

impl Mode {
    pub(super) fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::LessOrEqual => value <= threshold,
            Self::Less => value < threshold,
            Self::GreaterOrEqual => value >= threshold,
            Self::Greater => value > threshold,
            Self::Equal => value == threshold,
            Self::NotEqual => value != threshold,
        }
    }
}

/// A node, with its children as positions in the forest.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node {
    Branch {
        feature: u32,
        threshold: f64,
        mode: Mode,
        missing_yes: bool,
        yes: u32,
        no: u32,
    },
    /// The weights from `first` on.
    Leaf {
        first: u32,
        count: u32,
    },
}

/// What the trees' leaves are brought together with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// A checked ensemble: every tree is a tree, every index is in range.
#[derive(Debug)]
pub(super) struct Forest {
    pub(super) roots: Vec<u32>,
    pub(super) nodes: Vec<Node>,
    /// Target (or class) and weight.
    pub(super) weights: Vec<(u32, f64)>,
    pub(super) targets: usize,
    pub(super) aggregate: Aggregate,
    pub(super) base_values: Vec<f32>,
}

/// Which of a node's attributes hold what: they differ between classifiers and regressors.
pub(super) struct Names {
    pub(super) ids: &'static str,
    pub(super) nodes: &'static str,
    pub(super) trees: &'static str,
    pub(super) weights: &'static str,
}

impl Forest {
    /// Reads the attributes of `TreeEnsembleClassifier` and `TreeEnsembleRegressor`.
    pub(super) fn read(site: &Site<'_>, names: &Names, targets: usize) -> Result<Self> {
        site.check_size(&Shape::matrix(targets))?;
        let (positions, mut nodes) = read_nodes(site)?;
        let weights = attach_weights(site, names, targets, &positions, &mut nodes)?;
        let tree_ids = site.attributes().ints("nodes_treeids");
        let mut roots = Vec::new();
        for (position, tree) in tree_ids.iter().enumerate() {
            if position == 0 || tree_ids.get(position - 1) != Some(tree) {
                roots.push(position as u32);
            }
        }
        let aggregate = match site.attributes().string("aggregate_function", "SUM")?.as_str() {
            "SUM" => Aggregate::Sum,
            "AVERAGE" => Aggregate::Average,
            "MIN" => Aggregate::Min,
            "MAX" => Aggregate::Max,
            other => return Err(site.invalid(format!("its aggregate_function is \"{other}\""))),
        };
        let base_values = floats(site, "base_values")?.into_iter().map(|v| v as f32).collect();
        Self { roots, nodes, weights, targets, aggregate, base_values }.checked(site)
    }

    /// Reads the attributes of `TreeEnsemble`, in which leaves are apart from branches.
    pub(super) fn read_new(site: &Site<'_>) -> Result<Self> {
        let attributes = site.attributes();
        let targets = usize::try_from(attributes.int("n_targets", 1)).unwrap_or_default();
        site.check_size(&Shape::matrix(targets))?;
        let splits = tensor(site, "nodes_splits")?;
        let modes = tensor(site, "nodes_modes")?;
        let count = splits.len();
        let ints =
            |name: &str| -> Result<&[i64]> { exact(site, name, attributes.ints(name), count) };
        let (features, yes, no) =
            (ints("nodes_featureids")?, ints("nodes_truenodeids")?, ints("nodes_falsenodeids")?);
        let (yes_leaf, no_leaf) = (ints("nodes_trueleafs")?, ints("nodes_falseleafs")?);
        let missing = attributes.ints("nodes_missing_value_tracks_true");
        let weights = tensor(site, "leaf_weights")?;
        let ids = exact(site, "leaf_targetids", attributes.ints("leaf_targetids"), weights.len())?;

        let mut nodes = Vec::with_capacity(count + weights.len());
        let child = |id: Option<&i64>, leaf: Option<&i64>| {
            let offset = if leaf == Some(&0) { 0 } else { count as i64 };
            id.and_then(|id| u32::try_from(id + offset).ok()).unwrap_or(u32::MAX)
        };
        for position in 0..count {
            nodes.push(Node::Branch {
                feature: feature(site, features.get(position))?,
                threshold: splits.get(position).copied().unwrap_or_default(),
                mode: new_mode(site, modes.get(position))?,
                missing_yes: missing.get(position) == Some(&1),
                yes: child(yes.get(position), yes_leaf.get(position)),
                no: child(no.get(position), no_leaf.get(position)),
            });
        }
        nodes.extend((0..weights.len() as u32).map(|first| Node::Leaf { first, count: 1 }));
        let weights = weights
            .iter()
            .zip(ids)
            .map(|(weight, target)| Ok((target_id(site, *target, targets)?, *weight)))
            .collect::<Result<Vec<_>>>()?;
        let roots = attributes
            .ints("tree_roots")
            .iter()
            .map(|root| lone_leaf(&nodes, u32::try_from(*root).unwrap_or(u32::MAX)))
            .collect();
        let aggregate = match attributes.int("aggregate_function", 1) {
            0 => Aggregate::Average,
            1 => Aggregate::Sum,
            2 => Aggregate::Min,
            3 => Aggregate::Max,
            other => return Err(site.invalid(format!("its aggregate_function is {other}"))),
        };
        Self { roots, nodes, weights, targets, aggregate, base_values: Vec::new() }.checked(site)
    }

    fn checked(self, site: &Site<'_>) -> Result<Self> {
        if self.roots.is_empty() {
            return Err(site.invalid("it has no trees"));
        }
        let mut reached = vec![false; self.nodes.len()];
        let mut pending = self.roots.clone();
        while let Some(position) = pending.pop() {
            match reached.get_mut(position as usize) {
                Some(flag) if !*flag => *flag = true,
                Some(_) => return Err(site.invalid("a node of a tree is reached twice")),
                None => return Err(site.invalid("a node of a tree is missing")),
            }
            match self.nodes.get(position as usize) {
                Some(Node::Branch { threshold, .. }) if threshold.is_nan() => {
                    return Err(site.unsupported("a threshold is NaN"));
                }
                Some(Node::Branch { yes, no, .. }) => pending.extend([*yes, *no]),
                _ => {}
            }
        }
        Ok(self)
    }

    /// For each target whether every row gets a weight for it, or none does; `None` if that
    /// depends on the row.
    pub(super) fn presence(&self) -> Vec<Option<bool>> {
        let mut presence = vec![Some(false); self.targets];
        // For the tree at hand: leaves with a weight for the target, and the last of them.
        let mut counts = vec![(0_usize, None); self.targets];
        for root in &self.roots {
            let mut leaves = 0;
            let mut touched = Vec::new();
            let mut pending = vec![*root];
            while let Some(position) = pending.pop() {
                match self.nodes.get(position as usize) {
                    Some(Node::Branch { yes, no, .. }) => pending.extend([*yes, *no]),
                    Some(Node::Leaf { first, count }) => {
                        leaves += 1;
                        for (target, _) in self.leaf(*first, *count) {
                            let Some((count, last)) = counts.get_mut(*target as usize) else {
                                continue;
                            };
                            if *last != Some(position) {
                                *last = Some(position);
                                *count += 1;
                                touched.push(*target as usize);
                            }
                        }
                    }
                    None => {}
                }
            }
            for target in touched {
                let (Some(known), Some(count)) = (presence.get_mut(target), counts.get_mut(target))
                else {
                    continue;
                };
                if count.0 == leaves {
                    *known = Some(true);
                } else if count.0 > 0 && *known == Some(false) {
                    *known = None;
                }
                *count = (0, None);
            }
        }
        presence
    }

    /// How many features the branches look at.
    pub(super) fn features(&self) -> usize {
        let features = self.nodes.iter().map(|node| match node {
            Node::Branch { feature, .. } => *feature as usize + 1,
            Node::Leaf { .. } => 0,
        });
        features.max().unwrap_or_default()
    }

    /// The weights of a leaf.
    pub(super) fn leaf(&self, first: u32, count: u32) -> &[(u32, f64)] {
        self.weights.get(first as usize..(first + count) as usize).unwrap_or_default()
    }
}

/// A tree that is only a leaf is written as a branch to that leaf on both sides.
fn lone_leaf(nodes: &[Node], root: u32) -> u32 {
    match nodes.get(root as usize) {
        Some(Node::Branch { yes, no, .. }) if yes == no => *yes,
        _ => root,
    }
}

type Positions = HashMap<(i64, i64), u32>;

fn read_nodes(site: &Site<'_>) -> Result<(Positions, Vec<Node>)> {
    let attributes = site.attributes();
    let tree_ids = attributes.ints("nodes_treeids");
    let count = tree_ids.len();
    let ints = |name: &str| -> Result<&[i64]> { exact(site, name, attributes.ints(name), count) };
    let (ids, features) = (ints("nodes_nodeids")?, ints("nodes_featureids")?);
    let (yes, no) = (ints("nodes_truenodeids")?, ints("nodes_falsenodeids")?);
    let modes = attributes.strings("nodes_modes")?;
    let modes = exact(site, "nodes_modes", &modes, count)?;
    let thresholds = floats(site, "nodes_values")?;
    let thresholds = exact(site, "nodes_values", &thresholds, count)?;
    let missing = attributes.ints("nodes_missing_value_tracks_true");

    let mut positions = Positions::with_capacity(count);
    for (position, key) in tree_ids.iter().copied().zip(ids.iter().copied()).enumerate() {
        if positions.insert(key, position as u32).is_some() {
            return Err(site.invalid(format!("node {} of tree {} is there twice", key.1, key.0)));
        }
    }
    let mut nodes = Vec::with_capacity(count);
    for position in 0..count {
        let tree = tree_ids.get(position).copied().unwrap_or_default();
        let child = |ids: &[i64]| {
            let id = ids.get(position).copied().unwrap_or_default();
            let found = positions.get(&(tree, id)).copied();
            found.ok_or_else(|| site.invalid(format!("node {id} of tree {tree} is missing")))
        };
        nodes.push(match mode(site, modes.get(position))? {
            None => Node::Leaf { first: 0, count: 0 },
            Some(mode) => Node::Branch {
                feature: feature(site, features.get(position))?,
                threshold: thresholds.get(position).copied().unwrap_or_default(),
                mode,
                missing_yes: missing.get(position) == Some(&1),
                yes: child(yes)?,
                no: child(no)?,
            },
        });
    }
    Ok((positions, nodes))
}

/// Brings the weights into the order of the leaves.
fn attach_weights(
    site: &Site<'_>,
    names: &Names,
    targets: usize,
    positions: &Positions,
    nodes: &mut [Node],
) -> Result<Vec<(u32, f64)>> {
    let attributes = site.attributes();
    let ids = attributes.ints(names.ids);
    let trees = exact(site, names.trees, attributes.ints(names.trees), ids.len())?;
    let leaves = exact(site, names.nodes, attributes.ints(names.nodes), ids.len())?;
    let values = floats(site, names.weights)?;
    let values = exact(site, names.weights, &values, ids.len())?;
    let mut entries = Vec::with_capacity(ids.len());
    for (((target, weight), tree), leaf) in ids.iter().zip(values).zip(trees).zip(leaves) {
        let position = positions.get(&(*tree, *leaf)).copied();
        let position = position
            .ok_or_else(|| site.invalid(format!("node {leaf} of tree {tree} is missing")))?;
        entries.push((position, target_id(site, *target, targets)?, *weight));
    }
    // Stable: the weights of one leaf keep their order.
    entries.sort_by_key(|(position, ..)| *position);
    let mut weights = Vec::with_capacity(entries.len());
    for (position, target, weight) in entries {
        // Old exporters gave weights to branches too; they have no effect.
        if let Some(Node::Leaf { first, count }) = nodes.get_mut(position as usize) {
            if *count == 0 {
                *first = weights.len() as u32;
            }
            *count += 1;
            weights.push((target, weight));
        }
    }
    Ok(weights)
}

/// A list of floats that may also be a tensor, for doubles.
fn floats(site: &Site<'_>, name: &str) -> Result<Vec<f64>> {
    let listed = site.attributes().floats(name);
    if !listed.is_empty() {
        return Ok(listed.iter().map(|value| f64::from(*value)).collect());
    }
    tensor(site, &format!("{name}_as_tensor"))
}

fn tensor(site: &Site<'_>, name: &str) -> Result<Vec<f64>> {
    let Some(constant) = site.attributes().tensor(name)? else { return Ok(Vec::new()) };
    Ok(match constant.data {
        Data::Float32(values) => values.into_iter().map(f64::from).collect(),
        Data::Float64(values) => values,
        Data::Int32(values) => values.into_iter().map(f64::from).collect(),
        _ => return Err(site.invalid(format!("attribute {name} is not a list of numbers"))),
    })
}

fn exact<'a, T>(site: &Site<'_>, name: &str, list: &'a [T], length: usize) -> Result<&'a [T]> {
    if list.len() == length {
        return Ok(list);
    }
    Err(site.invalid(format!("attribute {name} has {} values, not {length}", list.len())))
}

fn feature(site: &Site<'_>, id: Option<&i64>) -> Result<u32> {
    let id = id.copied().unwrap_or_default();
    let found = u32::try_from(id).ok().filter(|id| (*id as usize) < site.limits.values_per_row_max);
    found.ok_or_else(|| site.invalid(format!("a branch looks at feature {id}")))
}

fn target_id(site: &Site<'_>, id: i64, targets: usize) -> Result<u32> {
    let found = u32::try_from(id).ok().filter(|id| (*id as usize) < targets);
    found.ok_or_else(|| site.invalid(format!("a leaf has a weight for target {id} of {targets}")))
}

fn mode(site: &Site<'_>, name: Option<&String>) -> Result<Option<Mode>> {
    Ok(Some(match name.map(String::as_str) {
        Some("LEAF") => return Ok(None),
        Some("BRANCH_LEQ") => Mode::LessOrEqual,
        Some("BRANCH_LT") => Mode::Less,
        Some("BRANCH_GTE") => Mode::GreaterOrEqual,
        Some("BRANCH_GT") => Mode::Greater,
        Some("BRANCH_EQ") => Mode::Equal,
        Some("BRANCH_NEQ") => Mode::NotEqual,
        other => {
            return Err(site.invalid(format!("a node has mode \"{}\"", other.unwrap_or_default())));
        }
    }))
}

fn new_mode(site: &Site<'_>, number: Option<&f64>) -> Result<Mode> {
    Ok(match number.map(|number| *number as i64) {
        Some(0) => Mode::LessOrEqual,
        Some(1) => Mode::Less,
        Some(2) => Mode::GreaterOrEqual,
        Some(3) => Mode::Greater,
        Some(4) => Mode::Equal,
        Some(5) => Mode::NotEqual,
        Some(6) => return Err(site.unsupported("a branch tests for membership in a set")),
        other => return Err(Error::invalid(format!("a node has mode {other:?}"))),
    })
}
