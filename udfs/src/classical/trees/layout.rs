//! From a forest to the kernel's ensemble, if the forest asks no question that the kernel cannot.

use std::collections::{HashMap, VecDeque};

use super::forest::{Aggregate, Forest, Mode, Node};
use super::kernel::{
    BITS_LEAVES_MAX, Column, Ensemble, HEAP_DEPTH_MAX, Layout, Link, MASKED_COLUMNS_MAX, Split,
    Strike, Tree,
};

/// Places of a heap for each leaf of the tree that are worth their memory.
const HEAP_PLACES_PER_LEAF: usize = 4;

/// Places for weights, for each weight of the forest, that are worth their memory.
const PLACES_PER_WEIGHT: usize = 16;

/// The forest for the kernel; `None` if a branch or the aggregation needs the general walk.
pub(super) fn ensemble(forest: &Forest) -> Option<Ensemble> {
    if !matches!(forest.aggregate, Aggregate::Sum | Aggregate::Average) {
        return None;
    }
    let mut layout = Layouter {
        forest,
        columns: HashMap::new(),
        ensemble: Ensemble { targets: forest.targets, ..Ensemble::default() },
    };
    layout.find_columns()?;
    for root in &forest.roots {
        layout.tree(*root)?;
    }
    Some(layout.ensemble)
}

/// A branch in the kernel's terms: `value <= threshold` goes left.
struct Question {
    column: Column,
    threshold: f32,
    left: u32,
    right: u32,
}

fn question(node: &Node) -> Option<Question> {
    let Node::Branch { feature, threshold, mode, missing_yes, yes, no } = *node else {
        return None;
    };
    let exact = threshold as f32;
    if f64::from(exact).to_bits() != threshold.to_bits() {
        return None;
    }
    // `x < t` is `x <= the next number below t`; there is none below minus infinity.
    let below = (exact > f32::NEG_INFINITY).then(|| exact.next_down());
    let (threshold, yes_left) = match mode {
        Mode::LessOrEqual => (exact, true),
        Mode::Less => (below?, true),
        Mode::Greater => (exact, false),
        Mode::GreaterOrEqual => (below?, false),
        Mode::Equal | Mode::NotEqual => return None,
    };
    let (left, right) = if yes_left { (yes, no) } else { (no, yes) };
    let column = Column { feature, missing_left: missing_yes == yes_left };
    Some(Question { column, threshold, left, right })
}

struct Layouter<'a> {
    forest: &'a Forest,
    columns: HashMap<Column, u32>,
    ensemble: Ensemble,
}

impl Layouter<'_> {
    fn node(&self, position: u32) -> Option<&Node> {
        self.forest.nodes.get(position as usize)
    }

    /// Numbers the columns in the order of the features, so that they are loaded in order.
    fn find_columns(&mut self) -> Option<()> {
        let branches = self.forest.nodes.iter().filter(|node| matches!(node, Node::Branch { .. }));
        let mut columns: Vec<Column> =
            branches.map(|node| question(node).map(|q| q.column)).collect::<Option<_>>()?;
        columns.sort_unstable_by_key(|column| (column.feature, column.missing_left));
        columns.dedup();
        self.columns = columns.iter().copied().zip(1..).collect();
        self.ensemble.columns = columns;
        Some(())
    }

    fn split(&self, question: &Question) -> Option<Split> {
        let column = *self.columns.get(&question.column)?;
        Some(Split { column, threshold: question.threshold })
    }

    fn tree(&mut self, root: u32) -> Option<()> {
        let shape = self.measure(root)?;
        let target = self.only_target(&shape.leaves);
        let weights = self.ensemble.weights.len();
        let masked = self.columns.len() < MASKED_COLUMNS_MAX;
        let heap = shape.depth <= HEAP_DEPTH_MAX
            && (1 << shape.depth) <= HEAP_PLACES_PER_LEAF * shape.leaves.len();
        let layout = if masked && shape.leaves.len() <= BITS_LEAVES_MAX {
            self.bits(root, target)?
        } else if masked && heap {
            self.heap(root, shape.depth, target)?
        } else {
            self.linked(root, shape.depth, target)?
        };
        self.ensemble.trees.push(Tree { layout, weights, target });
        let places = PLACES_PER_WEIGHT * self.forest.weights.len().max(1024);
        (self.ensemble.weights.len() <= places).then_some(())
    }

    fn measure(&self, root: u32) -> Option<TreeShape> {
        let mut shape = TreeShape { depth: 0, leaves: Vec::new() };
        let mut pending = vec![(root, 0)];
        while let Some((position, depth)) = pending.pop() {
            shape.depth = shape.depth.max(depth);
            match self.node(position)? {
                Node::Leaf { .. } => shape.leaves.push(position),
                Node::Branch { yes, no, .. } => {
                    pending.extend([(*yes, depth + 1), (*no, depth + 1)]);
                }
            }
        }
        Some(shape)
    }

    /// The one target to which every leaf has exactly one weight.
    fn only_target(&self, leaves: &[u32]) -> Option<usize> {
        let mut target = None;
        for leaf in leaves {
            let Some(Node::Leaf { first, count }) = self.node(*leaf) else { return None };
            match (self.forest.leaf(*first, *count), target) {
                ([(own, _)], None) => target = Some(*own),
                ([(own, _)], Some(seen)) if *own == seen => {}
                _ => return None,
            }
        }
        target.map(|target| target as usize)
    }

    fn push_weights(&mut self, leaf: &Node, target: Option<usize>) {
        let Node::Leaf { first, count } = *leaf else { return };
        let weights = self.forest.leaf(first, count);
        if target.is_some() {
            self.ensemble.weights.extend(weights.iter().map(|(_, weight)| *weight as f32));
            return;
        }
        let start = self.ensemble.weights.len();
        self.ensemble.weights.resize(start + self.forest.targets, 0.0);
        for (target, weight) in weights {
            if let Some(place) = self.ensemble.weights.get_mut(start + *target as usize) {
                *place += *weight as f32;
            }
        }
    }

    /// Lists the branches, with the leaves numbered from left to right.
    fn bits(&mut self, root: u32, target: Option<usize>) -> Option<Layout> {
        let first = self.ensemble.strikes.len();
        let mut leaves = 0_u32;
        // A branch is listed once its left side is numbered: those are the leaves it strikes out.
        let mut pending = vec![Visit::Node(root)];
        while let Some(visit) = pending.pop() {
            match visit {
                Visit::Node(position) => {
                    let node = *self.node(position)?;
                    match question(&node) {
                        Some(question) => pending.extend([
                            Visit::Node(question.right),
                            Visit::Between { split: self.split(&question)?, start: leaves },
                            Visit::Node(question.left),
                        ]),
                        None => {
                            self.push_weights(&node, target);
                            leaves += 1;
                        }
                    }
                }
                Visit::Between { split, start } => {
                    let before = |leaf: u32| 1_u64.checked_shl(leaf).unwrap_or_default() - 1;
                    let keep = !((before(leaves) & !before(start)) as u32);
                    self.ensemble.strikes.push(Strike { split, keep });
                }
            }
        }
        let count = self.ensemble.strikes.len() - first;
        Some(Layout::Bits { first, count })
    }

    /// Lays a tree out level by level; a leaf above the last level fills all places below it.
    fn heap(&mut self, root: u32, depth: u32, target: Option<usize>) -> Option<Layout> {
        let first = self.ensemble.splits.len();
        self.ensemble.splits.push(Split::LEFT);
        let mut level = vec![root];
        for _ in 0..depth {
            let mut next = Vec::with_capacity(level.len() * 2);
            for position in level {
                let node = *self.node(position)?;
                let (split, children) = match question(&node) {
                    Some(question) => (self.split(&question)?, [question.left, question.right]),
                    None => (Split::LEFT, [position, position]),
                };
                self.ensemble.splits.push(split);
                next.extend(children);
            }
            level = next;
        }
        for leaf in level {
            let leaf = *self.node(leaf)?;
            self.push_weights(&leaf, target);
        }
        Some(Layout::Heap { depth, first })
    }

    /// Lays a tree out with siblings side by side.
    fn linked(&mut self, root: u32, depth: u32, target: Option<usize>) -> Option<Layout> {
        let first = self.ensemble.links.len();
        let (mut count, mut leaves) = (1_u32, 0);
        let mut pending = VecDeque::from([root]);
        let mut own = 0;
        while let Some(position) = pending.pop_front() {
            let node = *self.node(position)?;
            let link = match question(&node) {
                Some(question) => {
                    pending.extend([question.left, question.right]);
                    count += 2;
                    Link { split: self.split(&question)?, left: count - 2, leaf: 0 }
                }
                None => {
                    self.push_weights(&node, target);
                    leaves += 1;
                    Link { split: Split::LEFT, left: own, leaf: leaves - 1 }
                }
            };
            self.ensemble.links.push(link);
            own += 1;
        }
        Some(Layout::Linked { depth, first, count: count as usize })
    }
}

/// A step of the walk from the leftmost leaf to the rightmost.
enum Visit {
    Node(u32),
    /// Between the sides of a branch, the left of which began with leaf `start`.
    Between {
        split: Split,
        start: u32,
    },
}

struct TreeShape {
    depth: u32,
    leaves: Vec<u32>,
}
