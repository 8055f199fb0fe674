"""Trains the delay model and writes it as ONNX, with the scores that it must give.

    python train_delay_model.py                      # rows from a running server over Flight SQL
    python train_delay_model.py --from-files         # rows from data/, no server needed

Needs scikit-learn, skl2onnx, onnxruntime, pandas, pyarrow; for a server also adbc-driver-flightsql.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from features_in_pandas import flight_features

MODELS = Path(__file__).parent / "models"
TEXT = ["carrier", "origin"]
NUMBERS = [
    "scheduled_hour", "distance", "temp", "humid", "wind_speed",
    "precip", "pressure", "visib", "mean_departure_delay",
]  # fmt: skip
# Trained on what came before, judged on what came after: a random split would look better than it is.
CUT = pd.Timestamp("2013-02-22 05:00", tz="UTC")


def rows_from_server(uri: str) -> pd.DataFrame:
    """The training rows as the point-in-time join in `sql/04_training_rows.sql` made them."""
    from adbc_driver_flightsql import dbapi

    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM features.flight_features ORDER BY flight_id")
        return cursor.fetch_arrow_table().to_pandas()


def fit(rows: pd.DataFrame) -> Pipeline:
    """One-hot names and plain numbers into boosted trees; an unknown number stays unknown."""
    columns = ColumnTransformer(
        [("names", OneHotEncoder(handle_unknown="ignore", sparse_output=False), TEXT),
         ("numbers", "passthrough", NUMBERS)]
    )  # fmt: skip
    trees = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, learning_rate=0.1, min_samples_leaf=100,
        l2_regularization=1.0, random_state=0,
    )  # fmt: skip
    return Pipeline([("columns", columns), ("trees", trees)]).fit(rows, rows.late.astype(int))


def to_single_output(pipeline: Pipeline) -> onnx.ModelProto:
    """One named input for each column; one output, the chance of being late."""
    inputs = [(name, StringTensorType([None, 1])) for name in TEXT]
    inputs += [(name, FloatTensorType([None, 1])) for name in NUMBERS]
    model = to_onnx(
        pipeline, initial_types=inputs, options={id(pipeline): {"zipmap": False}},
        target_opset={"": 18, "ai.onnx.ml": 3},
    )  # fmt: skip
    graph = model.graph
    graph.name = "delay_model"
    graph.initializer.append(helper.make_tensor("late_class", TensorProto.INT64, [1], [1]))
    graph.node.append(
        helper.make_node(
            "ArrayFeatureExtractor", [graph.output[1].name, "late_class"], ["late_chance"],
            domain="ai.onnx.ml",
        )
    )  # fmt: skip
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("late_chance", TensorProto.FLOAT, [None, 1]))
    onnx.checker.check_model(model)
    return model


def scores(model: onnx.ModelProto, rows: pd.DataFrame) -> np.ndarray:
    """What onnxruntime makes of the rows."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feed = {name: rows[[name]].to_numpy(dtype=object) for name in TEXT}
    feed |= {name: rows[[name]].to_numpy(dtype=np.float32) for name in NUMBERS}
    return session.run(["late_chance"], feed)[0].ravel()


def main() -> None:
    """Trains, judges, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uri", default="grpc://127.0.0.1:50051", help="Flight SQL address")
    parser.add_argument("--from-files", action="store_true", help="do without a server")
    options = parser.parse_args()
    rows = flight_features() if options.from_files else rows_from_server(options.uri)
    rows = rows.astype({name: "float32" for name in NUMBERS})
    known = rows[rows.late.notna()]
    before, after = known[known.scheduled_at < CUT], known[known.scheduled_at >= CUT]

    model = to_single_output(fit(before))
    judged = scores(model, after)
    late = after.late.astype(int)
    print(f"{len(before)} rows before {CUT:%Y-%m-%d}, {len(after)} after, {late.mean():.3f} of them late")
    print(f"after: AUC {roc_auc_score(late, judged):.3f}, Brier {brier_score_loss(late, judged):.3f} "
          f"(always the mean: {late.mean() * (1 - late.mean()):.3f})")  # fmt: skip

    MODELS.mkdir(exist_ok=True)
    (MODELS / "delay_model.onnx").write_bytes(model.SerializeToString())
    week = rows[rows.scheduled_at >= CUT]
    expected = pd.DataFrame({"flight_id": week.flight_id, "late_chance": scores(model, week)})
    expected[::20].to_csv(MODELS / "delay_model_scores.csv", index=False, float_format="%.7f")


if __name__ == "__main__":
    main()
