"""Makes the binary test files. Needs onnx and pyarrow; running it again gives the same files."""

from pathlib import Path

import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper

HERE = Path(__file__).parent


def linear_model() -> onnx.ModelProto:
    """score = 2 * a - 0.5 * b + 1, by one ai.onnx.ml operator after the columns are put together."""
    column = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1])  # noqa: E731
    nodes = [
        helper.make_node("Concat", ["a", "b"], ["x"], axis=1),
        helper.make_node(
            "LinearRegressor", ["x"], ["score"], domain="ai.onnx.ml",
            coefficients=[2.0, -0.5], intercepts=[1.0], targets=1,
        ),
    ]  # fmt: skip
    graph = helper.make_graph(nodes, "linear", [column("a"), column("b")], [column("score")])
    versions = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=8, producer_name="")
    onnx.checker.check_model(model)
    return model


def main() -> None:
    """Writes them beside this script."""
    (HERE / "model.onnx").write_bytes(linear_model().SerializeToString())
    (HERE / "not_a_model.onnx").write_bytes(b"this is no model\n")
    times = pa.array([0, 1_500_000, None], pa.timestamp("us", tz="UTC"))
    rows = {"id": pa.array([1, 2, 3]), "ts": times, "amount": pa.array([1.5, None, -2.0])}
    pq.write_table(pa.table(rows), HERE / "events.parquet", compression="zstd")


if __name__ == "__main__":
    main()
