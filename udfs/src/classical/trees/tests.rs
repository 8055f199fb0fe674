//! The kernel against the general walk, over random forests of every size and shape.

use super::forest::{Aggregate, Forest, Mode, Node};
use super::kernel::{LANES, Layout};
use super::{general, layout};
use crate::value::Data;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as u32 % limit
    }

    /// One of few values, so that thresholds are met exactly.
    fn value(&mut self) -> f32 {
        match self.below(24) {
            0 => f32::NAN,
            1 => f32::INFINITY,
            2 => f32::NEG_INFINITY,
            3 => -0.0,
            other => other as f32 / 4.0 - 3.0,
        }
    }
}

struct Plan {
    trees: u32,
    depth: u32,
    width: u32,
    targets: u32,
    /// Each tree adds to one target only.
    own_target: bool,
    modes: &'static [Mode],
}

const ORDERED: [Mode; 4] = [Mode::LessOrEqual, Mode::Less, Mode::GreaterOrEqual, Mode::Greater];

fn forest(plan: &Plan, random: &mut Random) -> Forest {
    let mut forest = Forest {
        roots: Vec::new(),
        nodes: Vec::new(),
        weights: Vec::new(),
        targets: plan.targets as usize,
        aggregate: Aggregate::Sum,
        base_values: Vec::new(),
    };
    for tree in 0..plan.trees {
        let root = grow(plan, random, &mut forest, tree, plan.depth);
        forest.roots.push(root);
    }
    forest
}

fn grow(plan: &Plan, random: &mut Random, forest: &mut Forest, tree: u32, depth: u32) -> u32 {
    let node = if depth == 0 || random.below(6) == 0 {
        let first = forest.weights.len() as u32;
        let targets: Vec<u32> =
            if plan.own_target { vec![tree % plan.targets] } else { (0..plan.targets).collect() };
        for target in &targets {
            forest.weights.push((*target, f64::from(random.below(1000) as f32 / 300.0 - 1.5)));
        }
        Node::Leaf { first, count: targets.len() as u32 }
    } else {
        let yes = grow(plan, random, forest, tree, depth - 1);
        let no = grow(plan, random, forest, tree, depth - 1);
        let threshold = random.value();
        Node::Branch {
            feature: random.below(plan.width),
            threshold: f64::from(if threshold.is_nan() { 0.5 } else { threshold }),
            mode: plan.modes[random.below(plan.modes.len() as u32) as usize],
            missing_yes: random.below(2) == 0,
            yes,
            no,
        }
    };
    forest.nodes.push(node);
    forest.nodes.len() as u32 - 1
}

/// Both walks over the same rows; returns how many trees are bits, heaps and linked, if the kernel
/// took the forest.
fn compare(plan: &Plan, seed: u64) -> Option<[usize; 3]> {
    let random = &mut Random(seed);
    let forest = forest(plan, random);
    let ensemble = layout::ensemble(&forest)?;
    for rows in [1, LANES - 1, LANES, 3 * LANES + 5] {
        let values: Vec<f32> = (0..plan.width as usize * rows).map(|_| random.value()).collect();
        let kernel = ensemble.scores(&values, rows);
        let general = general::scores(&forest, &Data::Float32(values), rows).unwrap().values;
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&kernel), bits(&general), "seed {seed}, {rows} rows");
    }
    let mut layouts = [0; 3];
    for tree in &ensemble.trees {
        layouts[match tree.layout {
            Layout::Bits { .. } => 0,
            Layout::Heap { .. } => 1,
            Layout::Linked { .. } => 2,
        }] += 1;
    }
    Some(layouts)
}

#[test]
fn the_kernel_walks_as_the_general_walk_does() {
    let mut seen = [0; 3];
    // Widths on both sides of each block size that the kernel is compiled for.
    for (width, depth) in [(1, 0), (3, 1), (10, 5), (30, 6), (40, 8), (90, 4), (200, 7), (600, 8)] {
        for (targets, own_target) in [(1, false), (3, true), (3, false)] {
            for seed in 1..4 {
                let plan = Plan { trees: 7, depth, width, targets, own_target, modes: &ORDERED };
                // Minus infinity has nothing below it: such a forest is left to the general walk.
                let plan = if seed == 3 { plan } else { Plan { modes: &ORDERED[..1], ..plan } };
                let layouts = compare(&plan, seed * 1000 + u64::from(width));
                assert!(seed == 3 || layouts.is_some(), "width {width}, seed {seed}");
                for (seen, count) in seen.iter_mut().zip(layouts.unwrap_or_default()) {
                    *seen += count;
                }
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
}

#[test]
fn deep_trees_are_linked() {
    let plan = Plan {
        trees: 4,
        depth: 11,
        width: 12,
        targets: 1,
        own_target: false,
        modes: &ORDERED[..1],
    };
    assert!(compare(&plan, 5).is_some_and(|[_, _, linked]| linked > 2));
}

#[test]
fn questions_without_an_order_are_left_to_the_general_walk() {
    let modes = &[Mode::Equal, Mode::NotEqual];
    let plan = Plan { trees: 2, depth: 3, width: 4, targets: 1, own_target: false, modes };
    assert_eq!(compare(&plan, 9), None);
}

#[test]
fn presence_is_known_from_the_leaves() {
    let leaf = |first, count| Node::Leaf { first, count };
    let branch = Node::Branch {
        feature: 0,
        threshold: 0.0,
        mode: Mode::LessOrEqual,
        missing_yes: false,
        yes: 1,
        no: 2,
    };
    let forest = Forest {
        roots: vec![0],
        nodes: vec![branch, leaf(0, 2), leaf(2, 1)],
        weights: vec![(0, 1.0), (2, 1.0), (0, 2.0)],
        targets: 3,
        aggregate: Aggregate::Sum,
        base_values: Vec::new(),
    };
    assert_eq!(forest.presence(), [Some(true), Some(false), None]);
}
