"""Our tables are plain Delta: deltalake, Polars, DuckDB and Spark's API read them without asking the server."""

from collections.abc import Callable
from pathlib import Path

import deltalake
import duckdb
import duckdb_extension_delta
import polars
import psycopg
import pytest
from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession

Find = Callable[[str], str]
EXPECTED = [(1, "one", 1.5), (2, None, None), (3, "drei ☃", -2.25)]


@pytest.fixture
def path(pg: psycopg.Connection, schema: str, delta_path: Find) -> str:
    """A table with a history: inserted, one row deleted, one changed."""
    pg.execute("CREATE TABLE t (id bigint NOT NULL, name text, amount numeric(10,2))")
    pg.execute("INSERT INTO t VALUES (1, 'one', 1.5), (2, 'two', 2), (3, 'drei ☃', -2.25), (4, 'gone', 0)")
    pg.execute("DELETE FROM t WHERE id = 4")
    pg.execute("UPDATE t SET name = NULL, amount = NULL WHERE id = 2")
    return delta_path(schema)


def as_tuples(rows: list[dict]) -> list[tuple]:
    """Comparable, decimals as floats."""
    pick = [(row["id"], row["name"], None if row["amount"] is None else float(row["amount"])) for row in rows]
    return sorted(pick)


def test_deltalake(path: str) -> None:
    """delta-rs through its own package, the newest version and an old one."""
    table = deltalake.DeltaTable(path)
    assert as_tuples(table.to_pyarrow_table().to_pylist()) == EXPECTED
    assert deltalake.DeltaTable(path, version=1).to_pyarrow_table().num_rows == 4


def test_spark(path: str) -> None:
    """Spark's own client over PySail, a Spark Connect server with a Delta reader of its own."""
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    host, port = server.listening_address
    spark = SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate()
    try:
        rows = spark.read.format("delta").load(path).collect()
        assert as_tuples([row.asDict() for row in rows]) == EXPECTED
        older = spark.read.format("delta").option("versionAsOf", 1).load(path)
        assert older.count() == 4
    finally:
        spark.stop()
        server.stop()


def test_polars(path: str) -> None:
    """Polars, with a filter that uses the statistics."""
    scan = polars.scan_delta(path)
    assert as_tuples(scan.collect().to_dicts()) == EXPECTED
    assert scan.filter(polars.col("id") > 2).select("id").collect().to_series().to_list() == [3]
    assert polars.scan_delta(path, version=1).select(polars.len()).collect().item() == 4


@pytest.fixture(scope="module")
def duck() -> duckdb.DuckDBPyConnection:
    """DuckDB with its Delta extension from a package, not from the network."""
    connection = duckdb.connect()
    found = list(Path(duckdb_extension_delta.__file__).parent.rglob("delta.duckdb_extension"))
    connection.execute(f"LOAD '{found[0]}'")
    return connection


def test_duckdb(duck: duckdb.DuckDBPyConnection, path: str) -> None:
    """DuckDB's reader is the Delta kernel: a third opinion."""
    rows = duck.execute(f"SELECT id, name, CAST(amount AS double) FROM delta_scan('{path}') ORDER BY id").fetchall()
    assert rows == EXPECTED


def test_types_through_all_readers(
    pg: psycopg.Connection, schema: str, delta_path: Find, duck: duckdb.DuckDBPyConnection
) -> None:
    """Each type that a table can hold is one that the readers know."""
    pg.execute(
        "CREATE TABLE kinds (a smallint, b integer, c bigint, d real, e double precision, f numeric(12,3), g boolean, "
        "h text, i bytea, j date, k timestamp, l timestamptz, m integer[], n uuid, o jsonb, p varchar(5))"
    )
    pg.execute(
        "INSERT INTO kinds VALUES (1, 2, 3, 1.5, 2.5, 3.125, true, 'x', 'ab', '2024-02-29', "
        "'2024-02-29 12:00:00', '2024-02-29 12:00:00+00', ARRAY[1, 2], "
        "'12345678-1234-5678-1234-567812345678', '{\"a\": 1}', 'abc')"
    )
    path = delta_path(schema)
    by_delta = deltalake.DeltaTable(path).to_pyarrow_table().to_pylist()[0]
    by_polars = polars.read_delta(path).to_dicts()[0]
    by_duck = duck.execute(f"SELECT * FROM delta_scan('{path}')").fetch_arrow_table().to_pylist()[0]
    for name in "abcdefghijkmnop":
        assert by_delta[name] == by_polars[name] == by_duck[name], name
    assert by_delta["l"].timestamp() == by_polars["l"].timestamp() == by_duck["l"].timestamp()
    assert by_delta["m"] == [1, 2]


def test_partitioned(pg: psycopg.Connection, schema: str, delta_path: Find) -> None:
    """Partition values are in the log as Delta writes them, NULL included."""
    pg.execute("CREATE TABLE parts (day date, n bigint) PARTITION BY (day)")
    pg.execute("INSERT INTO parts VALUES ('2024-01-01', 1), ('2024-01-02', 2), (NULL, 3)")
    table = deltalake.DeltaTable(delta_path(schema))
    assert table.metadata().partition_columns == ["day"]
    rows = sorted((row["n"], str(row["day"])) for row in table.to_pyarrow_table().to_pylist())
    assert rows == [(1, "2024-01-01"), (2, "2024-01-02"), (3, "None")]


def test_the_server_tells_the_path(pg: psycopg.Connection, schema: str, delta_path: Find, warehouse: Path) -> None:
    """A table's folder is found by asking, too; what has no files has no path."""
    pg.execute("CREATE MATERIALIZED VIEW m AS SELECT 1 AS id")
    pg.execute("CREATE VIEW v AS SELECT 1 AS id")
    pg.execute("CREATE TEMPORARY TABLE mine (id bigint)")
    paths = "SELECT pg_relation_filepath('m'), pg_relation_filepath('v'), pg_relation_filepath('mine'::regclass)"
    told, of_view, of_temporary = pg.execute(paths).fetchone() or ()
    assert (str(warehouse / told), of_view, of_temporary) == (delta_path(schema), None, None)


def test_materialized_view_is_a_table(pg: psycopg.Connection, schema: str, delta_path: Find) -> None:
    """A view that is kept can be read by others too."""
    pg.execute("CREATE MATERIALIZED VIEW m AS SELECT i AS id FROM generate_series(1, 10) AS g(i)")
    assert deltalake.DeltaTable(delta_path(schema)).to_pyarrow_table().num_rows == 10


def test_foreign_writer(pg: psycopg.Connection, schema: str, delta_path: Find) -> None:
    """What delta-rs appends to our table, the server shows: at the latest after its staleness, here a second."""
    import time

    import pyarrow as pa

    pg.execute("CREATE TABLE shared (id bigint)")
    pg.execute("INSERT INTO shared VALUES (1)")
    rows = pa.table({"id": pa.array([2], pa.int64())})
    deltalake.write_deltalake(delta_path(schema), rows, mode="append")
    deadline = time.monotonic() + 10
    while pg.execute("SELECT count(*) FROM shared").fetchone() != (2,) and time.monotonic() < deadline:
        time.sleep(0.05)
    pg.execute("INSERT INTO shared VALUES (3)")
    assert pg.execute("SELECT id FROM shared ORDER BY id").fetchall() == [(1,), (2,), (3,)]
