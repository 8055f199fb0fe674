"""Makes the models in this folder, and what onnxruntime answers for a few hundred rows of each.

    python -m venv venv
    venv/bin/pip install scikit-learn skl2onnx onnxmltools xgboost lightgbm onnxruntime onnx numpy pandas pyarrow
    venv/bin/python make.py

For each model it writes NAME.onnx and NAME.arrow (an Arrow IPC file: one column for each input, and
one column "out:NAME" for each output), and an entry in manifest.json with the signature that the
tests load it with. Everything is seeded: running it again with the same versions gives the same
models; other versions of the libraries give other models, with their own expected values.
"""

import json
import pathlib
import warnings

import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import xgboost
from onnx import TensorProto, helper, numpy_helper
from onnxmltools.convert.common.data_types import FloatTensorType as MlFloat
from skl2onnx import to_onnx
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.tree import DecisionTreeRegressor

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent
ROWS = 300
# Rows that are kept with the results.
KEPT = 150
WIDTH = 8
MANIFEST = []

ARROW = {
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int64": pa.int64(),
    "text": pa.string(),
    "float32[]": pa.list_(pa.float32()),
    "float64[]": pa.list_(pa.float64()),
    "int64[]": pa.list_(pa.int64()),
    "bool[]": pa.list_(pa.bool_()),
    "text[]": pa.list_(pa.string()),
}


def data(classes=2, seed=0):
    x, y = make_classification(
        ROWS, WIDTH, n_informative=5, n_classes=classes, class_sep=0.7, flip_y=0.1, random_state=seed
    )
    return x.astype(np.float32), y


def numbers(seed=0):
    x, y = make_regression(ROWS, WIDTH, noise=5.0, random_state=seed)
    return x.astype(np.float32), (y / 50).astype(np.float32)


def holes(x, seed=1):
    """A copy in which one value of eight is NaN."""
    x = x.copy()
    x[np.random.default_rng(seed).random(x.shape) < 0.125] = np.nan
    return x


def run(model, feeds):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds)))


def unzip(value):
    """The output of a ZipMap as a matrix."""
    if isinstance(value, list):
        return np.array([list(row.values()) for row in value], dtype=np.float32)
    return value


def column(values, kind):
    values = np.asarray(values)
    if kind.endswith("[]"):
        flat = values.reshape(len(values), -1)
        return pa.array([row.tolist() for row in flat], ARROW[kind])
    return pa.array(values.reshape(-1).tolist(), ARROW[kind])


def write(name, model, feeds, inputs, outputs, engine="classical", tolerance=1e-5, nulls=False, kept=KEPT):
    """inputs: [(column, type, values)]; outputs: [(column, type, pick from the results)]."""
    feeds = {key: value[:kept] for key, value in feeds.items()}
    inputs = [(label, kind, values[:kept]) for label, kind, values in inputs]
    results = {key: unzip(value) for key, value in run(model, feeds).items()}
    columns = {}
    for label, kind, values in inputs:
        array = pa.array(np.asarray(values).tolist(), ARROW[kind])
        if nulls and kind.startswith("float"):
            array = pa.array(
                [None if v is None or np.isnan(v) else v for v in array.to_pylist()], ARROW[kind]
            )
        columns[label] = array
    for label, kind, pick in outputs:
        columns["out:" + label] = column(pick(results), kind)
    # Producer versions would make every rebuild differ.
    model.producer_version = ""
    model.doc_string = ""
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())
    table = pa.table(columns)
    with pa.OSFile(str(HERE / f"{name}.arrow"), "wb") as sink:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    MANIFEST.append(
        {
            "name": name,
            "engine": engine,
            "tolerance": tolerance,
            "inputs": [[label, kind] for label, kind, _ in inputs],
            "outputs": [[label, kind] for label, kind, _ in outputs],
        }
    )
    print(f"{name}: {len(model.SerializeToString())} bytes, outputs {list(results)}")


def matrix_inputs(x):
    return [(f"f{i}", "float32", x[:, i]) for i in range(x.shape[1])]


def sole(key):
    return lambda results: results[key]


def positive(key):
    return lambda results: results[key][:, 1]


def matrix(name, model, x, outputs, **options):
    feed = {model.graph.input[0].name: x}
    write(name, model, feed, matrix_inputs(x), outputs, **options)


BINARY = [("label", "int64", sole("output_label")), ("score", "float32", positive("output_probability"))]
PLAIN = [("label", "int64", sole("label")), ("probability", "float32", positive("probabilities"))]
CLASSES = [("label", "int64", sole("output_label")), ("probabilities", "float32[]", sole("output_probability"))]
VALUE = [("predicted", "float32", sole("variable"))]


def scikit(name, estimator, x, y, outputs, zipmap=True, **options):
    estimator.fit(x, y)
    settings = {} if zipmap else {"options": {id(estimator): {"zipmap": False}}}
    matrix(name, to_onnx(estimator, x[:1], target_opset={"": 18, "ai.onnx.ml": 3}, **settings), x, outputs, **options)


def scikit_models():
    x, y = data()
    x3, y3 = data(3)
    xr, yr = numbers()
    words = np.array(["low", "mid", "high"])[y3]
    text = [("label", "text", sole("output_label")), ("probability", "float32[]", sole("output_probability"))]

    scikit("rf_binary", RandomForestClassifier(12, max_depth=5, random_state=0), x, y, BINARY)
    scikit("rf_binary_plain", RandomForestClassifier(6, max_depth=3, random_state=0), x, y + 4, PLAIN, zipmap=False)
    scikit("rf_text", RandomForestClassifier(8, max_depth=5, random_state=0), x3, words, text)
    scikit("rf_regressor", RandomForestRegressor(10, max_depth=6, random_state=0), xr, yr, VALUE)
    scikit("deep_regressor", ExtraTreesRegressor(4, random_state=0), xr, yr, VALUE)
    two = [("both", "float32[]", sole("variable"))]
    scikit("two_targets", RandomForestRegressor(5, max_depth=4, random_state=0), xr, np.stack([yr, -2 * yr], 1), two)
    scikit("gb_binary", GradientBoostingClassifier(n_estimators=20, random_state=0), x, y, BINARY)
    scikit("gb_multiclass", GradientBoostingClassifier(n_estimators=8, random_state=0), x3, y3, CLASSES)
    scikit("gb_regressor", GradientBoostingRegressor(n_estimators=20, random_state=0), xr, yr, VALUE)
    scikit("logreg_binary", LogisticRegression(), x, y, BINARY)
    scikit("logreg_multiclass", LogisticRegression(), x3, y3, CLASSES)
    scikit("linreg", LinearRegression(), xr, yr, VALUE)
    scikit("poisson", PoissonRegressor(), xr, np.abs(yr), VALUE)
    scikit("sgd_multiclass", SGDClassifier(loss="log_loss", random_state=0), x3, y3, CLASSES, tolerance=2e-5)
    scikit("naive_bayes", GaussianNB(), x3, y3, CLASSES, tolerance=2e-5)
    scikit("mlp_binary", MLPClassifier((16, 8), max_iter=60, random_state=0), x, y, BINARY)
    scikit("mlp_multiclass", MLPClassifier((16,), activation="tanh", max_iter=60, random_state=0), x3, y3, CLASSES)
    network = MLPRegressor(hidden_layer_sizes=(12,), activation="logistic", max_iter=60, random_state=0)
    scikit("mlp_regressor", network, xr, yr, VALUE, engine="neural")
    scikit("adaboost", AdaBoostClassifier(n_estimators=6, random_state=0), x3, y3, CLASSES)
    scikit("bagging", BaggingClassifier(n_estimators=4, random_state=0), x3, y3, CLASSES)
    scikit("calibrated", CalibratedClassifierCV(LogisticRegression(), cv=2), x3, y3, CLASSES)
    scikit("one_vs_rest", OneVsRestClassifier(LogisticRegression()), x3, y3, CLASSES)
    pair = [("a", LogisticRegression()), ("b", RandomForestClassifier(3, max_depth=3, random_state=0))]
    scikit("stacking", StackingClassifier(pair), x, y, BINARY)
    pair = [("a", LinearRegression()), ("b", DecisionTreeRegressor(max_depth=4))]
    scikit("voting", VotingRegressor(pair), xr, yr, VALUE)
    clusters = [("label", "int64", sole("label")), ("scores", "float32[]", sole("scores"))]
    scikit("kmeans", KMeans(3, random_state=0, n_init=2), x, None, clusters, tolerance=1e-4)

    for name, step in [
        ("minmax", MinMaxScaler()),
        ("norms", Normalizer()),
        ("binarizer", Binarizer(threshold=0.25)),
        ("bins", KBinsDiscretizer(3, encode="onehot-dense", random_state=0)),
        ("polynomial", PolynomialFeatures(2)),
        ("pca", PCA(3)),
    ]:
        scikit(name, make_pipeline(step, LogisticRegression(max_iter=500)), x, y, BINARY, tolerance=5e-5)

    gaps = holes(x)
    imputed = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
    scikit("imputer", imputed, gaps, y, BINARY, nulls=True)


def boosted_models():
    x, y = data()
    x3, y3 = data(3)
    xr, yr = numbers()
    initial = [("X", MlFloat([None, WIDTH]))]

    def xgb(estimator, x, y):
        estimator.fit(x, y)
        return onnxmltools.convert_xgboost(estimator, initial_types=initial, target_opset=15)

    def lgb(estimator, x, y, **options):
        estimator.fit(x, y)
        return onnxmltools.convert_lightgbm(estimator, initial_types=initial, target_opset=15, **options)

    label = ("label", "int64", sole("label"))
    probability = [label, ("score", "float32", positive("probabilities"))]
    probabilities = [label, ("probabilities", "float32[]", sole("probabilities"))]
    settings = {"n_estimators": 15, "max_depth": 4, "random_state": 0}
    matrix("xgb_binary", xgb(xgboost.XGBClassifier(**settings), holes(x), y), holes(x), probability, nulls=True)
    matrix("xgb_multiclass", xgb(xgboost.XGBClassifier(**settings), x3, y3), x3, probabilities)
    matrix("xgb_regressor", xgb(xgboost.XGBRegressor(**settings), holes(xr), yr), holes(xr), VALUE, nulls=True)
    settings = {"n_estimators": 12, "num_leaves": 15, "verbosity": -1, "random_state": 0}
    model = lgb(lightgbm.LGBMClassifier(**settings), holes(x), y, zipmap=False)
    matrix("lgb_binary", model, holes(x), probability, nulls=True)
    model = lgb(lightgbm.LGBMClassifier(**settings), x3, y3)
    classes = {output.name for output in model.graph.output}
    assert classes == {"label", "probabilities"}, classes
    matrix("lgb_multiclass", model, x3, probabilities)
    matrix("lgb_regressor", lgb(lightgbm.LGBMRegressor(**settings), xr, yr), xr, VALUE)


def people(seed=0):
    """Columns of several types, as a table of customers has."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "amount": random.gamma(2.0, 50.0, ROWS).astype(np.float32),
            "age": random.integers(18, 90, ROWS).astype(np.int64),
            "country": random.choice(["AT", "DE", "CH", "FR"], ROWS, p=[0.4, 0.3, 0.2, 0.1]),
            "channel": random.choice(["web", "shop", "phone"], ROWS),
        }
    )
    odds = frame["amount"] / 80 + (frame["country"] == "AT") * 1.5 - frame["age"] / 40
    return frame, (odds + random.normal(0, 1, ROWS) > 0).astype(int).to_numpy()


def column_models():
    frame, y = people()
    types = [
        ("amount", FloatTensorType([None, 1])),
        ("age", Int64TensorType([None, 1])),
        ("country", StringTensorType([None, 1])),
        ("channel", StringTensorType([None, 1])),
    ]
    feeds = {
        "amount": frame[["amount"]].to_numpy(),
        "age": frame[["age"]].to_numpy(),
        "country": frame[["country"]].to_numpy().astype(object),
        "channel": frame[["channel"]].to_numpy().astype(object),
    }
    # In another order than the graph's: they are found by name.
    inputs = [
        ("country", "text", frame["country"]),
        ("age", "int64", frame["age"]),
        ("Amount", "float32", frame["amount"]),
        ("channel", "text", frame["channel"]),
    ]
    for name, estimator, encoder in [
        ("columns", LogisticRegression(), OneHotEncoder(handle_unknown="ignore")),
        ("columns_forest", RandomForestClassifier(8, max_depth=5, random_state=0), OrdinalEncoder()),
    ]:
        steps = ColumnTransformer(
            [("num", StandardScaler(), ["amount", "age"]), ("cat", encoder, ["country", "channel"])]
        )
        pipeline = Pipeline([("prepare", steps), ("model", estimator)]).fit(frame, y)
        model = to_onnx(pipeline, initial_types=types, target_opset={"": 18, "ai.onnx.ml": 3})
        write(name, model, feeds, inputs, BINARY)

    # Two inputs of two columns each: taken in order.
    wide = Pipeline(
        [
            ("prepare", ColumnTransformer([("num", StandardScaler(), [0, 1]), ("cat", OneHotEncoder(), [2, 3])])),
            ("model", LogisticRegression()),
        ]
    ).fit(frame[["amount", "age", "country", "channel"]].to_numpy().astype(object), y)
    types = [("numbers", FloatTensorType([None, 2])), ("words", StringTensorType([None, 2]))]
    model = to_onnx(wide, initial_types=types, target_opset={"": 18, "ai.onnx.ml": 3})
    feeds = {
        "numbers": frame[["amount", "age"]].to_numpy().astype(np.float32),
        "words": frame[["country", "channel"]].to_numpy().astype(object),
    }
    inputs = [
        ("a", "float32", frame["amount"]),
        ("b", "float32", frame["age"].astype(np.float32)),
        ("c", "text", frame["country"]),
        ("d", "text", frame["channel"]),
    ]
    write("columns_wide", model, feeds, inputs, BINARY)

    xr, yr = numbers()
    tree = DecisionTreeRegressor(max_depth=5).fit(xr.astype(np.float64), yr)
    model = to_onnx(
        tree, initial_types=[("X", DoubleTensorType([None, WIDTH]))], target_opset={"": 18, "ai.onnx.ml": 3}
    )
    # The converter declares a double; ONNX says float.
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    inputs = [(f"f{i}", "float64", xr[:, i].astype(np.float64)) for i in range(WIDTH)]
    write("double_tree", model, {"X": xr.astype(np.float64)}, inputs, VALUE)


def graph(nodes, inputs, outputs, constants=(), opset=18, ml=3):
    """A model from nodes; inputs and outputs are (name, element type, shape)."""
    value = lambda item: helper.make_tensor_value_info(*item)
    body = helper.make_graph(
        nodes,
        "graph",
        [value(item) for item in inputs],
        [value(item) for item in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants],
    )
    sets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml)]
    return helper.make_model(body, opset_imports=sets, ir_version=9)


def plain_network():
    random = np.random.default_rng(0)
    sizes = [WIDTH, 32, 16, 1]
    nodes, constants, last = [], [], "X"
    for layer, (a, b) in enumerate(zip(sizes, sizes[1:])):
        constants += [
            (f"w{layer}", random.normal(0, 1 / np.sqrt(a), (a, b)).astype(np.float32)),
            (f"b{layer}", random.normal(0, 0.1, b).astype(np.float32)),
        ]
        nodes.append(helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [f"h{layer}"]))
        activation = "Sigmoid" if b == 1 else "Relu"
        last = "out" if b == 1 else f"r{layer}"
        nodes.append(helper.make_node(activation, [f"h{layer}"], [last]))
    model = graph(
        nodes, [("X", TensorProto.FLOAT, [None, WIDTH])], [("out", TensorProto.FLOAT, [None, 1])], constants
    )
    x, _ = data()
    matrix("mlp_plain", model, x, [("score", "float32", sole("out"))], engine="neural")


def random_trees(random, count, width, targets, modes, missing, positive):
    """Attributes of an ensemble of small random trees over a few round thresholds."""
    keys = ["treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids"]
    nodes = {f"nodes_{key}": [] for key in keys + ["missing_value_tracks_true"]}
    leaves = {"treeids": [], "nodeids": [], "ids": [], "weights": []}
    for tree in range(count):
        pending, used = [(0, 0)], 1
        while pending:
            node, depth = pending.pop(0)
            split = depth < 1 or (depth < 4 and random.random() < 0.7)
            nodes["nodes_treeids"].append(tree)
            nodes["nodes_nodeids"].append(node)
            nodes["nodes_featureids"].append(int(random.integers(width)) if split else 0)
            nodes["nodes_values"].append(float(random.integers(-3, 4)) / 2 if split else 0.0)
            nodes["nodes_modes"].append(str(random.choice(modes)) if split else "LEAF")
            nodes["nodes_missing_value_tracks_true"].append(int(missing and random.random() < 0.5))
            nodes["nodes_truenodeids"].append(used if split else 0)
            nodes["nodes_falsenodeids"].append(used + 1 if split else 0)
            if split:
                pending += [(used, depth + 1), (used + 1, depth + 1)]
                used += 2
                continue
            for target in targets(random, tree):
                weight = random.random() if positive else random.normal()
                leaves["treeids"].append(tree)
                leaves["nodeids"].append(node)
                leaves["ids"].append(int(target))
                leaves["weights"].append(float(np.float32(weight / count)))
    return nodes, leaves


LEQ = ["BRANCH_LEQ"]
ALL_MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"]
WITH_EQUAL = ALL_MODES + ["BRANCH_EQ", "BRANCH_NEQ"]


def tree_rules():
    """One graph with many small ensembles, for the corners of their definition."""
    random = np.random.default_rng(0)
    width = 5
    nodes, outputs, picks = [], [], []

    def classifier(classes, targets, modes, missing, positive, bases, transform, text=False):
        index = len(nodes)
        trees, leaves = random_trees(random, 3, width, targets, modes, missing, positive)
        labels = {"classlabels_int64s": list(range(classes))}
        if text:
            labels = {"classlabels_strings": [f"c{i}" for i in range(classes)]}
        nodes.append(
            helper.make_node(
                "TreeEnsembleClassifier",
                ["X"],
                [f"label{index}", f"scores{index}"],
                domain="ai.onnx.ml",
                post_transform=transform,
                base_values=bases or None,
                **{f"class_{key}": value for key, value in leaves.items()},
                **trees,
                **labels,
            )
        )
        kind = TensorProto.STRING if text else TensorProto.INT64
        outputs.extend([(f"label{index}", kind, [None]), (f"scores{index}", TensorProto.FLOAT, [None, classes])])
        picks.append((f"label{index}", "text" if text else "int64", sole(f"label{index}")))
        picks.append((f"scores{index}", "float32[]", sole(f"scores{index}")))

    def regressor(count, targets, modes, missing, bases, transform, aggregate):
        index = len(nodes)
        trees, leaves = random_trees(random, 3, width, targets, modes, missing, transform == "PROBIT")
        nodes.append(
            helper.make_node(
                "TreeEnsembleRegressor",
                ["X"],
                [f"values{index}"],
                domain="ai.onnx.ml",
                n_targets=count,
                aggregate_function=aggregate,
                post_transform=transform,
                base_values=bases or None,
                **{f"target_{key}": value for key, value in leaves.items()},
                **trees,
            )
        )
        outputs.append((f"values{index}", TensorProto.FLOAT, [None, count]))
        picks.append((f"values{index}", "float32[]", sole(f"values{index}")))

    def to(*ids):
        return lambda random, tree: ids

    def some(count):
        """One target for each leaf: some rows get no weight for some targets."""
        return lambda random, tree: [int(random.integers(count))]

    def own(count):
        return lambda random, tree: [tree % count]

    for transform in ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]:
        for positive in [True, False]:
            for ids in [to(0), to(1)]:
                classifier(2, ids, ALL_MODES, True, positive, [], transform)
                classifier(2, ids, LEQ, False, positive, [0.125], transform)
            classifier(2, to(0, 1), LEQ, True, positive, [], transform, text=True)
            classifier(2, to(0, 1), ALL_MODES, False, positive, [0.25, -0.5], transform)
        classifier(2, to(0), ALL_MODES, False, False, [0.25, 0.25], transform)
        classifier(3, own(3), LEQ, True, False, [], transform)
        classifier(3, to(0, 1, 2), ALL_MODES, True, False, [0.5, -0.25, 0.0], transform, text=True)
        classifier(3, some(3), WITH_EQUAL, True, False, [], transform)
        classifier(3, some(3), LEQ, False, False, [0.0, 0.5, 0.0], transform)
        regressor(1, to(0), ALL_MODES, True, [0.5], transform, "SUM")
        regressor(2, to(0, 1), LEQ, True, [0.5, -0.5], transform, "SUM")
    classifier(2, to(1), LEQ, False, True, [], "PROBIT")
    for aggregate in ["AVERAGE", "MIN", "MAX"]:
        regressor(1, to(0), WITH_EQUAL, True, [], "NONE", aggregate)
        regressor(3, to(0, 1, 2), ALL_MODES, True, [1.0, 2.0, 3.0], "NONE", aggregate)
    regressor(3, own(3), WITH_EQUAL, False, [], "NONE", "SUM")

    x = (np.round(random.normal(0, 1.2, (ROWS, width)) * 2) / 2).astype(np.float32)
    x[random.random(x.shape) < 0.1] = np.nan
    x[0], x[1] = np.inf, -np.inf
    x[2] = -0.0
    model = graph(nodes, [("X", TensorProto.FLOAT, [None, width])], outputs)
    # The approximation of the probit loses digits near 0.5.
    write("tree_rules", model, {"X": x}, matrix_inputs(x), picks, kept=60, tolerance=2e-5)


def tree_v5():
    """TreeEnsemble of version 5 of the operator set, which replaced the other two."""
    random = np.random.default_rng(1)
    tensor = lambda values, kind: helper.make_tensor("t", kind, [len(values)], values)
    splits = [0.5, -0.5, 1.0, 0.0, 0.0]
    node = helper.make_node(
        "TreeEnsemble",
        ["X"],
        ["Y"],
        domain="ai.onnx.ml",
        n_targets=2,
        aggregate_function=1,
        post_transform=0,
        tree_roots=[0, 3, 4],
        nodes_featureids=[0, 1, 2, 1, 0],
        nodes_splits=tensor(splits, TensorProto.FLOAT),
        nodes_modes=tensor([0, 1, 3, 2, 0], TensorProto.UINT8),
        nodes_truenodeids=[1, 0, 2, 4, 6],
        nodes_trueleafs=[0, 1, 1, 1, 1],
        nodes_falsenodeids=[2, 1, 3, 5, 6],
        nodes_falseleafs=[0, 1, 1, 1, 1],
        nodes_missing_value_tracks_true=[0, 1, 0, 1, 0],
        leaf_targetids=[0, 1, 0, 1, 1, 0, 0],
        leaf_weights=tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.5], TensorProto.FLOAT),
    )
    model = graph(
        [node], [("X", TensorProto.FLOAT, [None, 3])], [("Y", TensorProto.FLOAT, [None, 2])], opset=21, ml=5
    )
    x = (np.round(random.normal(0, 1, (ROWS, 3)) * 2) / 2).astype(np.float32)
    x[random.random(x.shape) < 0.1] = np.nan
    matrix("tree_v5", model, x, [("y", "float32[]", sole("Y"))])


def operators():
    """One graph in which each output is one operator, or a short chain of them."""
    nodes, outputs, picks = [], [], []
    kinds = {
        TensorProto.FLOAT: "float32[]",
        TensorProto.DOUBLE: "float64[]",
        TensorProto.INT64: "int64[]",
        TensorProto.BOOL: "bool[]",
        TensorProto.STRING: "text[]",
    }

    def add(operator, inputs, kind=TensorProto.FLOAT, ml=False, **attributes):
        name = f"{operator}{len(nodes)}"
        domain = "ai.onnx.ml" if ml else ""
        nodes.append(helper.make_node(operator, inputs, [name], domain=domain, **attributes))
        outputs.append((name, kind, None))
        picks.append((name, kinds[kind], sole(name)))
        return name

    constants = []

    def constant(values):
        name = f"c{len(constants)}"
        constants.append((name, np.asarray(values)))
        return name

    f = lambda values: constant(np.array(values, np.float32))
    i = lambda values: constant(np.array(values, np.int64))
    unary = "Abs Ceil Elu Erf Exp Floor LeakyRelu Neg Relu Round Sigmoid Sign Softplus Tanh Reciprocal"
    for operator in unary.split():
        add(operator, ["X"])
    positive = add("Abs", ["X"])
    for operator in ["Log", "Sqrt"]:
        add(operator, [positive])
    row = f([1.0, -2.0, 0.5, 4.0])
    for operator in ["Add", "Sub", "Mul", "Div"]:
        add(operator, ["X", row])
        add(operator, [f(3.0), "X"])
        add(operator, ["N", i([[2, 3]])], TensorProto.INT64)
    add("Pow", [positive, f([0.5, 2.0, 3.0, 1.5])])
    add("Pow", ["X", f(2.0)])
    add("Min", ["X", row, f(1.0)])
    add("Max", ["X", row])
    add("Sum", ["X", "X", row])
    add("Mean", ["X", row])
    less = add("Less", ["X", row], TensorProto.BOOL)
    more = add("GreaterOrEqual", ["X", f(0.25)], TensorProto.BOOL)
    for operator in ["Greater", "LessOrEqual", "Equal"]:
        add(operator, ["X", row], TensorProto.BOOL)
    for operator in ["And", "Or", "Xor"]:
        add(operator, [less, more], TensorProto.BOOL)
    add("Not", [less], TensorProto.BOOL)
    add("Where", [less, "X", row])
    add("IsNaN", ["X"], TensorProto.BOOL)
    add("Clip", ["X", f(-0.5), f(0.75)])
    add("Cast", ["X"], TensorProto.INT64, to=TensorProto.INT64)
    add("Cast", ["X"], TensorProto.DOUBLE, to=TensorProto.DOUBLE)
    add("Cast", ["X"], TensorProto.BOOL, to=TensorProto.BOOL)
    digits = add("Cast", ["N"], TensorProto.STRING, to=TensorProto.STRING)
    add("Cast", [digits], TensorProto.FLOAT, to=TensorProto.FLOAT)
    cube = add("Reshape", ["X", i([-1, 2, 2])])
    add("Reshape", ["X", i([0, 4])])
    add("Transpose", [cube], perm=[0, 2, 1])
    add("Flatten", [cube], axis=1)
    add("ReduceSum", [cube, i([1])], keepdims=0)
    add("Sub", [cube, f([[1.0], [2.0]])])
    for operator in "ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSumSquare".split():
        add(operator, ["X", i([1])], keepdims=1)
    add("ReduceLogSum", [positive, i([-1])], keepdims=0)
    add("ReduceMax", [cube, i([2])], keepdims=0)
    add("ReduceSum", ["N", i([1])], TensorProto.INT64, keepdims=1)
    add("ArgMax", ["X"], TensorProto.INT64, axis=1, keepdims=0)
    add("ArgMin", ["X"], TensorProto.INT64, axis=-1, keepdims=1)
    add("ArgMax", [cube], TensorProto.INT64, axis=1, keepdims=0)
    add("Softmax", ["X"])
    add("LogSoftmax", ["X"], axis=1)
    add("Softmax", [cube], axis=1)
    add("LpNormalization", ["X"], axis=1, p=1)
    add("LpNormalization", [cube], axis=-1, p=2)
    add("Concat", ["X", positive], axis=1)
    add("Concat", [cube, cube], axis=1)
    add("Concat", [cube, cube], axis=2)
    add("Gather", ["X", i([3, 0, 0])], axis=1)
    add("Gather", ["X", i(1)], axis=1)
    add("Gather", [cube, i([-1])], axis=2)
    add("Slice", ["X", i([1]), i([3]), i([1])])
    add("Slice", ["X", i([-1]), i([-5]), i([1]), i([-2])])
    add("Slice", [cube, i([1]), i([2**62]), i([2])])
    add("Unsqueeze", ["X", i([1])])
    add("Squeeze", [add("Unsqueeze", ["X", i([2])]), i([2])])
    add("MatMul", ["X", f(np.arange(20).reshape(4, 5) / 7 - 1)])
    add("MatMul", [cube, f([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.25]])])
    add("MatMul", ["X", f([1.0, 2.0, 3.0, 4.0])])
    add("Gemm", ["X", f(np.arange(12).reshape(3, 4) / 5), f([1.0, 2.0, 3.0])], alpha=0.5, beta=2.0, transB=1)
    add("Scaler", ["X"], ml=True, offset=[1.0, 2.0, 3.0, 4.0], scale=[0.5, 0.25, 2.0, 1.0])
    add("Scaler", ["N"], ml=True, offset=[1.0], scale=[0.5])
    add("Imputer", ["X"], ml=True, imputed_value_floats=[9.0], replaced_value_float=0.5)
    add("Imputer", ["N"], TensorProto.INT64, ml=True, imputed_value_int64s=[7, 8], replaced_value_int64=1)
    for norm in ["MAX", "L1", "L2"]:
        add("Normalizer", ["X"], ml=True, norm=norm)
    add("Binarizer", ["X"], ml=True, threshold=0.25)
    add("FeatureVectorizer", ["X", positive], ml=True, inputdimensions=[4, 4])
    add("ArrayFeatureExtractor", ["X", i([2, 2, 0])], ml=True)
    add("OneHotEncoder", ["N"], ml=True, cats_int64s=[0, 1, 2], zeros=1)
    add("OneHotEncoder", ["S"], ml=True, cats_strings=["a", "b", "zz"], zeros=1)
    letters, values = ["a", "b", "c"], [10, 20, 30]
    encode = lambda key, kind, **maps: add("LabelEncoder", [key], kind, ml=True, **maps)
    encode("S", TensorProto.INT64, keys_strings=letters, values_int64s=values, default_int64=-7)
    encode("S", TensorProto.FLOAT, keys_strings=letters, values_floats=[0.5, 1.5, 2.5], default_float=-1.0)
    encode("N", TensorProto.STRING, keys_int64s=[0, 1], values_strings=["zero", "one"], default_string="many")
    encode("N", TensorProto.FLOAT, keys_int64s=[0, 1, 0], values_floats=[0.5, 1.5, 2.5])
    encode("X", TensorProto.INT64, keys_floats=[0.5, float("nan")], values_int64s=[5, 6])
    equal = add("Equal", ["S", constant(np.array([["a", "b"]], dtype=object))], TensorProto.BOOL)
    add("Where", [equal, "S", constant(np.array("none", dtype=object))], TensorProto.STRING)
    add("Concat", ["S", digits], TensorProto.STRING, axis=1)
    add("LinearRegressor", ["X"], ml=True, coefficients=[float(c) for c in range(8)], intercepts=[0.5, -0.5], targets=2)
    coefficients = [0.5, -1.0, 0.25, 2.0]
    pick = add("ArrayFeatureExtractor", ["X", i([0])], ml=True)
    add("Identity", [pick])

    for transform in ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]:
        for classes, rows in [(2, 1), (2, 2), (3, 3)]:
            name = f"linear{len(nodes)}"
            nodes.append(
                helper.make_node(
                    "LinearClassifier",
                    ["X"],
                    [name + "l", name + "s"],
                    domain="ai.onnx.ml",
                    coefficients=[c * (r + 1) for r in range(rows) for c in coefficients],
                    intercepts=[0.1 * r - 0.2 for r in range(rows)],
                    classlabels_ints=list(range(5, 5 + classes)),
                    post_transform=transform,
                )
            )
            outputs.extend([(name + "l", TensorProto.INT64, [None]), (name + "s", TensorProto.FLOAT, [None, classes])])
            picks.extend([(name + "l", "int64", sole(name + "l")), (name + "s", "float32[]", sole(name + "s"))])

    random = np.random.default_rng(2)
    x = (np.round(random.normal(0, 1.5, (ROWS, 4)) * 4) / 4).astype(np.float32)
    n = random.integers(-1, 4, (ROWS, 2)).astype(np.int64)
    s = random.choice(["a", "b", "c", "d", ""], (ROWS, 2))
    inputs = [
        ("X", TensorProto.FLOAT, [None, 4]),
        ("N", TensorProto.INT64, [None, 2]),
        ("S", TensorProto.STRING, [None, 2]),
    ]
    model = graph(nodes, inputs, outputs, constants, opset=21)
    columns = matrix_inputs(x)
    columns += [(f"n{j}", "int64", n[:, j]) for j in range(2)] + [(f"s{j}", "text", s[:, j]) for j in range(2)]
    write("operators", model, {"X": x, "N": n, "S": s.astype(object)}, columns, picks, kept=60)


def refused():
    """Models that must not load, each for one reason."""
    folder = HERE / "refused"
    folder.mkdir(exist_ok=True)
    x = [("X", TensorProto.FLOAT, [None, 2])]
    y = [("Y", TensorProto.FLOAT, [None, 2])]
    add = helper.make_node("Add", ["X", "c"], ["Y"])
    model = graph([add], x, y, [("c", np.array([1.0, 2.0], np.float32))])

    external = onnx.ModelProto.FromString(model.SerializeToString())
    onnx.external_data_helper.set_external_data(external.graph.initializer[0], "../../etc/passwd")
    external.graph.initializer[0].ClearField("raw_data")
    (folder / "external.onnx").write_bytes(external.SerializeToString())

    nested = graph([helper.make_node("Constant", [], ["c"], value=external.graph.initializer[0]), add], x, y)
    (folder / "external_in_node.onnx").write_bytes(nested.SerializeToString())

    values = helper.make_tensor("c", TensorProto.FLOAT, [1], [3.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [1])
    sparse = onnx.ModelProto.FromString(model.SerializeToString())
    del sparse.graph.initializer[:]
    sparse.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2]))
    (folder / "sparse.onnx").write_bytes(sparse.SerializeToString())

    odd = graph(
        [
            helper.make_node("SVMRegressor", ["X"], ["a"], domain="ai.onnx.ml"),
            helper.make_node("Fancy", ["a"], ["Y"], domain="org.example"),
        ],
        x,
        y,
    )
    (folder / "operators.onnx").write_bytes(odd.SerializeToString())

    body = helper.make_graph(
        [helper.make_node("Identity", ["k"], ["go"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("n", TensorProto.INT64, []),
            helper.make_tensor_value_info("k", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [None, 2]),
        ],
        [
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [None, 2]),
        ],
    )
    yes = ("yes", np.array(True))
    loop = graph([helper.make_node("Loop", ["", "yes", "X"], ["Y"], body=body)], x, y, [yes])
    (folder / "endless.onnx").write_bytes(loop.SerializeToString())

    rows = graph([helper.make_node("Softmax", ["X"], ["Y"], axis=0)], x, y)
    (folder / "across_rows.onnx").write_bytes(rows.SerializeToString())

    weights = ("w", np.array([[1.0, 2.0], [3.0, -1.0]], np.float32))
    nodes = [
        helper.make_node("MatMul", ["X", "w"], ["a"]),
        helper.make_node("ReduceMean", ["a", "axis"], ["b"], keepdims=1),
        helper.make_node("Sub", ["a", "b"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["Y"]),
    ]
    network = graph(nodes, x, y, [weights, ("axis", np.array([0], np.int64))])
    (folder / "network_across_rows.onnx").write_bytes(network.SerializeToString())

    cycle = helper.make_node(
        "TreeEnsembleRegressor",
        ["X"],
        ["Y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_values=[0.5, 0.25, 0.0],
        nodes_modes=["BRANCH_LEQ", "BRANCH_LEQ", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 2, 0],
        target_treeids=[0],
        target_nodeids=[2],
        target_ids=[0],
        target_weights=[1.0],
    )
    y = [("Y", TensorProto.FLOAT, [None, 1])]
    (folder / "cycle.onnx").write_bytes(graph([cycle], x, y).SerializeToString())


def main():
    for old in [*HERE.glob("*.onnx"), *HERE.glob("*.arrow")]:
        old.unlink()
    scikit_models()
    boosted_models()
    column_models()
    plain_network()
    tree_rules()
    tree_v5()
    operators()
    refused()
    (HERE / "manifest.json").write_text(json.dumps(MANIFEST, indent=1) + "\n")


if __name__ == "__main__":
    main()
