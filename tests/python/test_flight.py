"""Flight SQL through ADBC and through pyarrow's plain Flight client."""

import datetime as dt
from decimal import Decimal

import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager
import psycopg
import pyarrow as pa
import pyarrow.compute
import pyarrow.flight
import pytest


def rows(connection: flight_sql.Connection, sql: str, parameters: tuple = ()) -> list[tuple]:
    """The answer as Python values."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def test_arrow_types(adbc: flight_sql.Connection, schema: str) -> None:
    """Types at rest are what the documentation says, so that no client has to guess."""
    with adbc.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE {schema}.t (a smallint, b integer, c bigint, d real, e double precision, f numeric(12,3), "
            "g boolean, h text, i bytea, j date, k timestamp, l timestamptz, m integer[])"
        )
        cursor.execute(f"SELECT * FROM {schema}.t")
        kinds = {field.name: field.type for field in cursor.fetch_arrow_table().schema}
    text = kinds.pop("h")
    assert text in (pa.string(), pa.large_string(), pa.string_view())
    binary = kinds.pop("i")
    assert binary in (pa.binary(), pa.large_binary(), pa.binary_view())
    assert pa.types.is_list(kinds["m"]) and kinds.pop("m").value_type == pa.int32()
    assert kinds == {
        "a": pa.int16(), "b": pa.int32(), "c": pa.int64(), "d": pa.float32(), "e": pa.float64(),
        "f": pa.decimal128(12, 3), "g": pa.bool_(), "j": pa.date32(), "k": pa.timestamp("us"),
        "l": pa.timestamp("us", tz="UTC"),
    }  # fmt: skip


def test_statement_update_and_query(adbc: flight_sql.Connection, schema: str) -> None:
    """DDL, DML with its count, rows."""
    with adbc.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {schema}.t (a bigint, b text)")
        cursor.executemany(f"INSERT INTO {schema}.t VALUES ($1, $2)", [(1, "x"), (2, None)])
    assert rows(adbc, f"SELECT a, b FROM {schema}.t ORDER BY a") == [(1, "x"), (2, None)]


def test_prepared_with_parameters(adbc: flight_sql.Connection) -> None:
    """Values of the common types as bound Arrow columns."""
    values = (7, 2.5, "text", True, dt.date(2024, 2, 29), Decimal("1.25"))
    sql = (
        "SELECT CAST($1 AS bigint), CAST($2 AS double precision), CAST($3 AS text), CAST($4 AS boolean), "
        "CAST($5 AS date), CAST($6 AS numeric(5,2))"
    )
    assert rows(adbc, sql, values) == [values]


def test_returning(adbc: flight_sql.Connection, schema: str) -> None:
    """A statement that changes rows runs once, and gives what it returns."""
    with adbc.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {schema}.t (id bigint PRIMARY KEY NOT ENFORCED, n bigint)")
        cursor.execute(f"INSERT INTO {schema}.t VALUES (1, 10), (2, 20) RETURNING id, n * 2 AS twice")
        assert cursor.fetch_arrow_table().to_pydict() == {"id": [1, 2], "twice": [20, 40]}
        put = f"INSERT INTO {schema}.t AS t VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n RETURNING n"
        cursor.execute(put, (1, 1))
        assert cursor.fetchone() == (11,)
        cursor.execute(f"DELETE FROM {schema}.t WHERE id = 2 RETURNING n")
        assert cursor.fetchall() == [(20,)]
        cursor.execute(f"SELECT id, n FROM {schema}.t")
        assert cursor.fetchall() == [(1, 11)]


def test_ingest_creates_and_appends(adbc: flight_sql.Connection, schema: str) -> None:
    """Bulk ingest: a table from Arrow batches, and more of them later."""
    table = pa.table({"id": pa.array(range(100_000), pa.int64()), "name": pa.array(["x"] * 100_000)})
    with adbc.cursor() as cursor:
        assert cursor.adbc_ingest("t", table, mode="create", db_schema_name=schema) in (100_000, -1)
        cursor.adbc_ingest("t", table.slice(0, 10), mode="append", db_schema_name=schema)
        cursor.adbc_ingest("t", table.slice(0, 5), mode="create_append", db_schema_name=schema)
    assert rows(adbc, f"SELECT count(*), count(DISTINCT id) FROM {schema}.t") == [(100_015, 100_000)]
    with adbc.cursor() as cursor, pytest.raises(adbc_driver_manager.Error):
        cursor.adbc_ingest("t", table, mode="create", db_schema_name=schema)
    assert rows(adbc, f"SELECT count(*) FROM {schema}.t") == [(100_015,)]


def test_ingest_replaces(adbc: flight_sql.Connection, schema: str) -> None:
    """Mode replace leaves the new rows alone."""
    first = pa.table({"id": pa.array([1, 2, 3], pa.int64())})
    with adbc.cursor() as cursor:
        cursor.adbc_ingest("t", first, mode="create", db_schema_name=schema)
        cursor.adbc_ingest("t", pa.table({"other": pa.array(["x"])}), mode="replace", db_schema_name=schema)
    assert rows(adbc, f"SELECT * FROM {schema}.t") == [("x",)]


def test_ingest_brings_columns(adbc: flight_sql.Connection, schema: str) -> None:
    """Columns that the table lacks are added, made wider or rescued, as the table says."""
    ints = pa.table({"id": pa.array([1, 2], pa.int32())})
    more = pa.table({"note": ["x", None], "id": pa.array([3, 5_000_000_000], pa.int64())})
    with adbc.cursor() as cursor:
        for mode in ["strict", "add_columns", "widen", "rescue"]:
            cursor.execute(f"CREATE TABLE {schema}.{mode} (id integer) WITH (schema_evolution = '{mode}')")
            cursor.adbc_ingest(mode, ints, mode="append", db_schema_name=schema)
        for mode in ["strict", "add_columns", "rescue"]:
            with pytest.raises(adbc_driver_manager.Error):
                cursor.adbc_ingest(mode, more, mode="append", db_schema_name=schema)
        cursor.adbc_ingest("add_columns", more.slice(0, 1), mode="append", db_schema_name=schema)
        cursor.adbc_ingest("widen", more, mode="append", db_schema_name=schema)
        cursor.adbc_ingest("rescue", more.slice(0, 1), mode="append", db_schema_name=schema)
    assert rows(adbc, f"SELECT * FROM {schema}.strict ORDER BY id") == [(1,), (2,)]
    assert rows(adbc, f"SELECT * FROM {schema}.add_columns ORDER BY id") == [(1, None), (2, None), (3, "x")]
    widened = [(1, None), (2, None), (3, "x"), (5_000_000_000, None)]
    assert rows(adbc, f"SELECT * FROM {schema}.widen ORDER BY id") == widened
    rescued = [(1, None), (2, None), (3, '{"note": "x"}')]
    assert rows(adbc, f"SELECT * FROM {schema}.rescue ORDER BY id") == rescued


def test_catalog(adbc: flight_sql.Connection, schema: str) -> None:
    """What a tool reads to draw its tree of schemas and tables."""
    with adbc.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {schema}.seen (a bigint NOT NULL, b text)")
        cursor.execute(f"CREATE VIEW {schema}.through AS SELECT a FROM {schema}.seen")
    assert "table" in [kind.lower() for kind in adbc.adbc_get_table_types()]
    assert adbc.adbc_get_table_schema("seen", db_schema_filter=schema).names == ["a", "b"]
    tree = adbc.adbc_get_objects(depth="tables", db_schema_filter=schema).read_all().to_pylist()
    found = {
        (table["table_name"], table["table_type"].lower())
        for catalog in tree for one in catalog["catalog_db_schemas"] for table in one["db_schema_tables"]
    }  # fmt: skip
    assert found == {("seen", "table"), ("through", "view")}
    assert "tarn" in adbc.adbc_get_info()["vendor_name"].lower()


def test_error_has_sqlstate(adbc: flight_sql.Connection) -> None:
    """The same SQLSTATE and message as over the Postgres wire."""
    with pytest.raises(adbc_driver_manager.Error) as caught:
        rows(adbc, "SELECT * FROM nowhere")
    assert 'relation "nowhere" does not exist' in str(caught.value)
    assert rows(adbc, "SELECT 1") == [(1,)]


def test_both_protocols_see_one_truth(adbc: flight_sql.Connection, pg: psycopg.Connection, schema: str) -> None:
    """A row written over one is read over the other at once."""
    pg.execute("CREATE TABLE t (a bigint)")
    for number in range(1, 6):
        pg.execute("INSERT INTO t VALUES (%s)", (number,))
        assert rows(adbc, f"SELECT max(a) FROM {schema}.t") == [(number,)]


def test_plain_flight_client(flight_uri: str) -> None:
    """pyarrow has no Flight SQL client, but the messages are plain protobuf: one can be written by hand."""
    sql = b"SELECT i, i * 2 AS twice FROM generate_series(1, 100000) AS g(i)"
    name = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    command = field(1, sql)
    client = pyarrow.flight.FlightClient(flight_uri)
    info = client.get_flight_info(
        pyarrow.flight.FlightDescriptor.for_command(field(1, name) + field(2, command))
    )
    assert info.schema.names == ["i", "twice"]
    tables = [client.do_get(endpoint.ticket).read_all() for endpoint in info.endpoints]
    table = pa.concat_tables(tables)
    assert table.num_rows == 100_000
    assert pa.compute.sum(table["twice"]).as_py() == 100_000 * 100_001


def field(number: int, value: bytes) -> bytes:
    """One length-delimited protobuf field."""
    length, size = [], len(value)
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + value


def test_streams_do_not_wait_for_the_end(adbc: flight_sql.Connection) -> None:
    """The first batch is there although the whole answer would never fit."""
    with adbc.cursor() as cursor:
        cursor.execute("SELECT i FROM generate_series(1, 10000000000) AS g(i)")
        reader = cursor.fetch_record_batch()
        assert reader.read_next_batch().num_rows > 0
    assert rows(adbc, "SELECT 1") == [(1,)]
