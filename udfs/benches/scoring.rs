//! Rows scored per second: `cargo bench -p udfs`, on a quiet machine.
//!
//! The first model is an ensemble of 100 trees of depth 6 over 30 features, with random splits;
//! the others are those of the tests.

use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field};
use udfs::{Limits, Model, Signature};

type Outcome<T> = Result<T, Box<dyn Error>>;

const ROWS: usize = 8192;

fn main() -> Outcome<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{:<24} {:>6} {:>14} {:>14}", "model", "batch", "1 thread", "2 threads")?;
    for subject in
        [forest()?, stored("columns", 0)?, stored("mlp_binary", 8)?, stored("mlp_plain", 8)?]
    {
        for rows in [1, 16, 256, ROWS] {
            let columns: Vec<ArrayRef> =
                subject.columns.iter().map(|column| column.slice(0, rows)).collect();
            let one = rate(&subject.model, &columns, 1)?;
            let two = rate(&subject.model, &columns, 2)?;
            let name = subject.name;
            writeln!(out, "{name:<24} {rows:>6} {one:>12.0}/s {two:>12.0}/s")?;
        }
    }
    Ok(())
}

/// The best of four windows of 0.3 seconds.
fn rate(model: &Arc<Model>, columns: &[ArrayRef], threads: usize) -> Outcome<f64> {
    let rows = columns.first().map_or(0, |column| column.len());
    let window = Duration::from_millis(300);
    let mut best = 0.0_f64;
    for _ in 0..4 {
        let total: Result<Vec<usize>, String> = std::thread::scope(|scope| {
            let work = || {
                let (start, mut done) = (Instant::now(), 0);
                while start.elapsed() < window {
                    black_box(model.evaluate(black_box(columns)).map_err(|e| e.to_string())?);
                    done += rows;
                }
                Ok(done)
            };
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Result<usize, String>>| {
                thread.join().map_err(|_| "a thread panicked".to_owned())?
            };
            running.into_iter().map(join).collect()
        });
        best = best.max(total?.iter().sum::<usize>() as f64 / window.as_secs_f64());
    }
    Ok(best)
}

struct Subject {
    name: &'static str,
    model: Arc<Model>,
    columns: Vec<ArrayRef>,
}

/// A model of the tests over made-up rows; `width` floats, or the columns of a customer.
fn stored(name: &'static str, width: usize) -> Outcome<Subject> {
    let path = format!("{}/tests/data/models/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
    let mut random = Random(1);
    let columns: Vec<(String, ArrayRef)> = if width > 0 {
        (0..width).map(|at| (format!("f{at}"), floats(&mut random))).collect()
    } else {
        let pick = |random: &mut Random, words: &[&str]| -> ArrayRef {
            let words = (0..ROWS).map(|_| words.get(random.below(words.len())).copied());
            Arc::new(words.collect::<StringArray>())
        };
        let ages: Int64Array = (0..ROWS).map(|_| Some(18 + random.below(60) as i64)).collect();
        vec![
            ("amount".to_owned(), floats(&mut random)),
            ("age".to_owned(), Arc::new(ages)),
            ("country".to_owned(), pick(&mut random, &["AT", "DE", "CH", "FR"])),
            ("channel".to_owned(), pick(&mut random, &["web", "shop", "phone"])),
        ]
    };
    subject(name, &std::fs::read(path)?, columns)
}

fn subject(name: &'static str, bytes: &[u8], columns: Vec<(String, ArrayRef)>) -> Outcome<Subject> {
    let batch = RecordBatch::try_from_iter(columns)?;
    let signature = Signature {
        inputs: batch.schema().fields().iter().cloned().collect(),
        outputs: vec![Arc::new(Field::new("score", DataType::Float32, true))],
    };
    let model = Model::load(bytes, &signature, &Limits::default())?;
    Ok(Subject { name, model, columns: batch.columns().to_vec() })
}

fn floats(random: &mut Random) -> ArrayRef {
    Arc::new(Float32Array::from_iter_values((0..ROWS).map(|_| random.unit())))
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }

    fn unit(&mut self) -> f32 {
        self.below(1 << 20) as f32 / (1 << 20) as f32
    }
}

/// 100 complete trees of depth 6, as a binary classifier writes them.
fn forest() -> Outcome<Subject> {
    let (trees, depth, width) = (100, 6, 30);
    let mut random = Random(7);
    let mut nodes = Node::default();
    for tree in 0..trees {
        for id in 0..(2 << depth) - 1 {
            let leaf = id >= (1 << depth) - 1;
            nodes.trees.push(tree);
            nodes.ids.push(id);
            nodes.features.push(if leaf { 0 } else { random.below(width) as i64 });
            nodes.values.push(if leaf { 0.0 } else { random.unit() });
            nodes.modes.push(if leaf { "LEAF" } else { "BRANCH_LEQ" });
            nodes.yes.push(if leaf { 0 } else { 2 * id + 1 });
            nodes.no.push(if leaf { 0 } else { 2 * id + 2 });
            if leaf {
                nodes.leaf_trees.push(tree);
                nodes.leaf_ids.push(id);
                nodes.weights.push((random.unit() - 0.5) / 10.0);
            }
        }
    }
    let columns = (0..width).map(|at| (format!("f{at}"), floats(&mut random))).collect();
    subject("trees 100 x 6 x 30", &nodes.model(), columns)
}

#[derive(Default)]
struct Node {
    trees: Vec<i64>,
    ids: Vec<i64>,
    features: Vec<i64>,
    values: Vec<f32>,
    modes: Vec<&'static str>,
    yes: Vec<i64>,
    no: Vec<i64>,
    leaf_trees: Vec<i64>,
    leaf_ids: Vec<i64>,
    weights: Vec<f32>,
}

impl Node {
    /// The bytes of an ONNX model; the numbers are the field numbers of `onnx.proto`.
    fn model(&self) -> Vec<u8> {
        let ints = |name: &str, values: &[i64]| {
            let list = values.iter().flat_map(|value| number(8, *value as u64));
            field(5, &[text(1, name), list.collect()].concat())
        };
        let floats = |name: &str, values: &[f32]| {
            let list = values
                .iter()
                .flat_map(|value| [varint(7 << 3 | 5), value.to_le_bytes().to_vec()].concat());
            field(5, &[text(1, name), list.collect()].concat())
        };
        let modes: Vec<u8> = self.modes.iter().flat_map(|mode| text(9, mode)).collect();
        let node = [
            text(1, "X"),
            text(2, "label"),
            text(2, "scores"),
            text(4, "TreeEnsembleClassifier"),
            text(7, "ai.onnx.ml"),
            ints("nodes_treeids", &self.trees),
            ints("nodes_nodeids", &self.ids),
            ints("nodes_featureids", &self.features),
            floats("nodes_values", &self.values),
            field(5, &[text(1, "nodes_modes"), modes].concat()),
            ints("nodes_truenodeids", &self.yes),
            ints("nodes_falsenodeids", &self.no),
            ints("class_treeids", &self.leaf_trees),
            ints("class_nodeids", &self.leaf_ids),
            ints("class_ids", &vec![0; self.leaf_ids.len()]),
            floats("class_weights", &self.weights),
            ints("classlabels_int64s", &[0, 1]),
            field(5, &[text(1, "post_transform"), text(4, "LOGISTIC")].concat()),
        ];
        // A tensor of floats, [rows, 30].
        let shape = [field(1, &text(2, "rows")), field(1, &number(1, 30))].concat();
        let tensor = field(1, &[number(1, 1), field(2, &shape)].concat());
        let input = [text(1, "X"), field(2, &tensor)].concat();
        let graph = [
            field(1, &node.concat()),
            field(11, &input),
            field(12, &text(1, "label")),
            field(12, &text(1, "scores")),
        ];
        let set = field(8, &[text(1, "ai.onnx.ml"), number(2, 3)].concat());
        [number(1, 8), set, field(7, &graph.concat())].concat()
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(tag: u64, value: u64) -> Vec<u8> {
    [varint(tag << 3), varint(value)].concat()
}

fn field(tag: u64, content: &[u8]) -> Vec<u8> {
    [varint(tag << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn text(tag: u64, content: &str) -> Vec<u8> {
    field(tag, content.as_bytes())
}
