//! The inner loop of tree ensembles: sixteen rows walk down a tree side by side.
//!
//! Every branch asks one question, `value <= threshold`, so there is no jump that could be
//! mispredicted, and sixteen independent rows hide the latency of each other's loads. A tree is
//! stored in one of three ways:
//!
//! - *bits*, up to 32 leaves: every branch is asked, and each that goes right strikes out the
//!   leaves on its left; the first leaf left over is the one (the idea of QuickScorer). More
//!   questions, but of sixteen neighbouring values at a time, which the compiler makes vector
//!   instructions of.
//! - *heap*, up to depth 8: children of `i` are `2i` and `2i + 1`; a step is a compare and an add.
//! - *linked*, the rest: the same step, but children are found by a link, and leaves lead to
//!   themselves.
//!
//! Arrays of a constant size and masked indices let the compiler drop the bounds checks.
//!
//! For each row the trees are added in their order, in single precision, whatever the number of
//! rows: a row's score does not depend on its neighbours.
//!
//! Never: depends on anything else of this crate, so that it can be measured on its own.

/// Rows that walk together.
pub(crate) const LANES: usize = 16;

/// The deepest tree that is kept as a heap.
pub(crate) const HEAP_DEPTH_MAX: u32 = 8;

/// The most leaves of a tree that is kept as bits.
pub(crate) const BITS_LEAVES_MAX: usize = 32;

/// The most columns that can be indexed with a mask.
pub(crate) const MASKED_COLUMNS_MAX: usize = 256;

/// A branch of a heap: left if `value <= threshold`, else right (NaN goes right).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Split {
    pub(crate) column: u32,
    pub(crate) threshold: f32,
}

impl Split {
    /// A branch that always goes left, for places of a heap that no walk should reach.
    pub(crate) const LEFT: Self = Self { column: 0, threshold: f32::INFINITY };
}

/// A node of a linked tree. The right child follows the left. A leaf is its own left child.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) split: Split,
    pub(crate) left: u32,
    /// Number of the leaf, if it is one.
    pub(crate) leaf: u32,
}

/// A branch of a tree kept as bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strike {
    pub(crate) split: Split,
    /// The leaves that remain possible if the branch goes right.
    pub(crate) keep: u32,
}

/// How a tree is stored, with the position of its first node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    /// Branches in any order.
    Bits { first: usize, count: usize },
    /// `2^depth` splits, of which the first is unused.
    Heap { depth: u32, first: usize },
    /// As many steps as `depth` reach every leaf.
    Linked { depth: u32, first: usize, count: usize },
}

/// A tree and where its leaves' weights are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    pub(crate) layout: Layout,
    /// Position of the first leaf's first weight.
    pub(crate) weights: usize,
    /// The only target that this tree adds to; `None`: each leaf has a weight for every target.
    pub(crate) target: Option<usize>,
}

/// A column that the trees look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Column {
    pub(crate) feature: u32,
    /// NaN is replaced by the lowest value, so that it goes left.
    pub(crate) missing_left: bool,
}

/// An ensemble ready to be walked.
#[derive(Debug, Default)]
pub(crate) struct Ensemble {
    /// Column 0 is always zero and belongs to leaves; these follow it.
    pub(crate) columns: Vec<Column>,
    pub(crate) strikes: Vec<Strike>,
    pub(crate) splits: Vec<Split>,
    pub(crate) links: Vec<Link>,
    pub(crate) trees: Vec<Tree>,
    pub(crate) weights: Vec<f32>,
    pub(crate) targets: usize,
}

impl Ensemble {
    /// Adds up the trees. `values` holds feature after feature, each with `rows` elements; the
    /// result holds target after target likewise.
    pub(crate) fn scores(&self, values: &[f32], rows: usize) -> Vec<f32> {
        let mut scores = vec![0.0; self.targets * rows];
        if rows < LANES {
            let mut columns = vec![0.0; self.columns.len() + 1];
            for row in 0..rows {
                self.load_row(values, rows, row, &mut columns);
                self.score_row(&columns, &mut scores, rows, row);
            }
            return scores;
        }
        match self.columns.len() + 1 {
            ..=32 => self.score_blocks::<32>(values, rows, &mut scores),
            33..=64 => self.score_blocks::<64>(values, rows, &mut scores),
            65..=128 => self.score_blocks::<128>(values, rows, &mut scores),
            129..=MASKED_COLUMNS_MAX => {
                self.score_blocks::<MASKED_COLUMNS_MAX>(values, rows, &mut scores);
            }
            wide => self.score_wide(wide, values, rows, &mut scores),
        }
        scores
    }

    fn load_row(&self, values: &[f32], rows: usize, row: usize, columns: &mut [f32]) {
        for (place, column) in columns.iter_mut().skip(1).zip(&self.columns) {
            let value = values.get(column.feature as usize * rows + row).copied().unwrap_or(0.0);
            *place = if column.missing_left && value.is_nan() { f32::NEG_INFINITY } else { value };
        }
    }

    /// Walks one row down every tree.
    fn score_row(&self, columns: &[f32], scores: &mut [f32], rows: usize, row: usize) {
        let right = |split: Split| {
            let value = columns.get(split.column as usize).copied().unwrap_or(0.0);
            u32::from(goes_right(value, split.threshold))
        };
        for tree in &self.trees {
            let leaf = match tree.layout {
                Layout::Bits { first, count } => {
                    let mut left = u32::MAX;
                    for strike in self.strikes.get(first..first + count).unwrap_or_default() {
                        left &= strike.keep | right(strike.split).wrapping_sub(1);
                    }
                    left.trailing_zeros() as usize
                }
                Layout::Heap { depth, first } => {
                    let splits = self.splits.get(first..first + (1 << depth)).unwrap_or_default();
                    let mut at = 1;
                    for _ in 0..depth {
                        let split = splits.get(at as usize).copied().unwrap_or(Split::LEFT);
                        at = 2 * at + right(split);
                    }
                    at as usize - (1 << depth)
                }
                Layout::Linked { first, count, .. } => {
                    let links = self.links.get(first..first + count).unwrap_or_default();
                    let mut at = 0;
                    loop {
                        let Some(link) = links.get(at as usize) else { break 0 };
                        if link.left == at {
                            break link.leaf as usize;
                        }
                        at = link.left + right(link.split);
                    }
                }
            };
            match tree.target {
                Some(target) => {
                    let weight = self.weights.get(tree.weights + leaf).copied().unwrap_or(0.0);
                    if let Some(score) = scores.get_mut(target * rows + row) {
                        *score += weight;
                    }
                }
                None => {
                    let first = tree.weights + leaf * self.targets;
                    let weights = self.weights.get(first..first + self.targets);
                    let column = scores.iter_mut().skip(row).step_by(rows);
                    for (score, weight) in column.zip(weights.unwrap_or_default()) {
                        *score += weight;
                    }
                }
            }
        }
    }

    /// Walks groups of sixteen rows down every tree; `COLUMNS` is a power of two.
    fn score_blocks<const COLUMNS: usize>(&self, values: &[f32], rows: usize, scores: &mut [f32]) {
        let groups = rows.div_ceil(LANES);
        let mut columns = vec![[[0.0; LANES]; COLUMNS]; groups];
        for (group, columns) in columns.iter_mut().enumerate() {
            self.load_group(values, rows, group, columns);
        }
        let mut sums = vec![[0.0; LANES]; groups * self.targets];
        for tree in &self.trees {
            for (columns, sums) in columns.iter().zip(sums.chunks_exact_mut(self.targets)) {
                let leaves = match tree.layout {
                    Layout::Bits { first, count } => {
                        let strikes = self.strikes.get(first..first + count);
                        strike_out(strikes.unwrap_or_default(), columns)
                    }
                    Layout::Heap { depth, first } => {
                        let splits = self.splits.get(first..first + (1 << depth));
                        walk_heap(depth, splits.unwrap_or_default(), columns)
                    }
                    Layout::Linked { depth, first, count } => {
                        let links = self.links.get(first..first + count);
                        walk_links(depth, links.unwrap_or_default(), columns)
                    }
                };
                self.add(tree, &leaves, sums);
            }
        }
        self.store(&sums, rows, scores);
    }

    /// As [`Self::score_blocks`], for more columns than a mask is worth; no tree is a heap or bits.
    fn score_wide(&self, width: usize, values: &[f32], rows: usize, scores: &mut [f32]) {
        let groups = rows.div_ceil(LANES);
        let mut columns = vec![[0.0; LANES]; width * groups];
        for (group, columns) in columns.chunks_exact_mut(width).enumerate() {
            self.load_group(values, rows, group, columns);
        }
        let mut sums = vec![[0.0; LANES]; groups * self.targets];
        for tree in &self.trees {
            let Layout::Linked { depth, first, count } = tree.layout else { continue };
            let links = self.links.get(first..first + count).unwrap_or_default();
            let groups = columns.chunks_exact(width).zip(sums.chunks_exact_mut(self.targets));
            for (columns, sums) in groups {
                let leaves = walk_links(depth, links, columns);
                self.add(tree, &leaves, sums);
            }
        }
        self.store(&sums, rows, scores);
    }

    /// Copies the columns of one group; lanes beyond the last row stay zero.
    fn load_group(&self, values: &[f32], rows: usize, group: usize, columns: &mut [[f32; LANES]]) {
        let start = group * LANES;
        let count = LANES.min(rows - start);
        for (lanes, column) in columns.iter_mut().skip(1).zip(&self.columns) {
            let first = column.feature as usize * rows + start;
            let part = values.get(first..first + count).unwrap_or_default();
            for (lane, value) in lanes.iter_mut().zip(part) {
                let low = column.missing_left && value.is_nan();
                *lane = if low { f32::NEG_INFINITY } else { *value };
            }
        }
    }

    fn add(&self, tree: &Tree, leaves: &[u32; LANES], sums: &mut [[f32; LANES]]) {
        match tree.target {
            Some(target) => {
                let weights = self.weights.get(tree.weights..).unwrap_or_default();
                let Some(sums) = sums.get_mut(target) else { return };
                for (sum, leaf) in sums.iter_mut().zip(leaves) {
                    *sum += weights.get(*leaf as usize).copied().unwrap_or(0.0);
                }
            }
            None => {
                for (lane, leaf) in leaves.iter().enumerate() {
                    let first = tree.weights + *leaf as usize * self.targets;
                    let weights = self.weights.get(first..first + self.targets).unwrap_or_default();
                    for (sums, weight) in sums.iter_mut().zip(weights) {
                        if let Some(sum) = sums.get_mut(lane) {
                            *sum += weight;
                        }
                    }
                }
            }
        }
    }

    fn store(&self, sums: &[[f32; LANES]], rows: usize, scores: &mut [f32]) {
        for (target, column) in scores.chunks_exact_mut(rows).enumerate() {
            let groups = sums.iter().skip(target).step_by(self.targets);
            for (part, sums) in column.chunks_mut(LANES).zip(groups) {
                part.iter_mut().zip(sums).for_each(|(score, sum)| *score = *sum);
            }
        }
    }
}

/// Written so that NaN goes right.
#[expect(clippy::neg_cmp_op_on_partial_ord, reason = "the negation decides where NaN goes")]
fn goes_right(value: f32, threshold: f32) -> bool {
    !(value <= threshold)
}

/// Numbers of the leaves that the lanes reach.
fn strike_out<const COLUMNS: usize>(
    strikes: &[Strike],
    columns: &[[f32; LANES]; COLUMNS],
) -> [u32; LANES] {
    let mut left = [u32::MAX; LANES];
    for Strike { split, keep } in strikes {
        let values = &columns[split.column as usize & (COLUMNS - 1)];
        for (left, value) in left.iter_mut().zip(values) {
            // All ones if it goes left: written without a choice, so that it stays a vector.
            *left &= keep | u32::from(goes_right(*value, split.threshold)).wrapping_sub(1);
        }
    }
    left.map(u32::trailing_zeros)
}

/// Numbers of the leaves that the lanes reach.
fn walk_heap<const COLUMNS: usize>(
    depth: u32,
    splits: &[Split],
    columns: &[[f32; LANES]; COLUMNS],
) -> [u32; LANES] {
    match depth {
        0 => [0; LANES],
        1 => walk_heap_of::<1, 2, COLUMNS>(splits, columns),
        2 => walk_heap_of::<2, 4, COLUMNS>(splits, columns),
        3 => walk_heap_of::<3, 8, COLUMNS>(splits, columns),
        4 => walk_heap_of::<4, 16, COLUMNS>(splits, columns),
        5 => walk_heap_of::<5, 32, COLUMNS>(splits, columns),
        6 => walk_heap_of::<6, 64, COLUMNS>(splits, columns),
        7 => walk_heap_of::<7, 128, COLUMNS>(splits, columns),
        _ => walk_heap_of::<8, 256, COLUMNS>(splits, columns),
    }
}

/// `SIZE` is `2^DEPTH`, so that a masked index needs no check.
#[inline]
fn walk_heap_of<const DEPTH: usize, const SIZE: usize, const COLUMNS: usize>(
    splits: &[Split],
    columns: &[[f32; LANES]; COLUMNS],
) -> [u32; LANES] {
    let Ok(splits) = <&[Split; SIZE]>::try_from(splits) else { return [0; LANES] };
    let mut at = [1_u32; LANES];
    for _ in 0..DEPTH {
        for (lane, at) in at.iter_mut().enumerate() {
            let split = splits[*at as usize & (SIZE - 1)];
            let value = columns[split.column as usize & (COLUMNS - 1)][lane];
            *at = 2 * *at + u32::from(goes_right(value, split.threshold));
        }
    }
    at.map(|at| at & (SIZE as u32 - 1))
}

/// Numbers of the leaves that the lanes reach.
fn walk_links(depth: u32, links: &[Link], columns: &[[f32; LANES]]) -> [u32; LANES] {
    let mut at = [0_u32; LANES];
    for level in 0..depth {
        let before = at;
        for (lane, at) in at.iter_mut().enumerate() {
            if let Some(link) = links.get(*at as usize)
                && let Some(lanes) = columns.get(link.split.column as usize)
            {
                *at = link.left + u32::from(goes_right(lanes[lane], link.split.threshold));
            }
        }
        // Most walks end long before the deepest leaf; looking costs as much as half a step.
        if level % 4 == 3 && at == before {
            break;
        }
    }
    at.map(|at| links.get(at as usize).map_or(0, |link| link.leaf))
}
