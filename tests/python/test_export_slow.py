"""Six million rows leave through each door while the server's memory stays small."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql
import psycopg
import pyarrow as pa
import pyarrow.compute
import pytest
from conftest import setting

ROWS = 6_000_000
ABOVE_IDLE_MAX_MIB = 256


def memory_mib(field: str) -> float:
    """`VmRSS` (now) or `VmHWM` (its peak) of the server."""
    for line in Path(f"/proc/{setting('TARN_PROCESS')}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no {field}")


@contextmanager
def memory_bounded() -> Iterator[None]:
    """Resets the peak before, compares it with the idle memory after."""
    idle = memory_mib("VmRSS")
    Path(f"/proc/{setting('TARN_PROCESS')}/clear_refs").write_text("5")
    yield
    peak = memory_mib("VmHWM")
    print(f"idle {idle:.0f} MiB, peak {peak:.0f} MiB")
    assert peak - idle <= ABOVE_IDLE_MAX_MIB, f"idle {idle:.0f} MiB, peak {peak:.0f} MiB"


@pytest.fixture(scope="module")
def big(pg_address: tuple[str, int]) -> str:
    """Six million rows, made by the server itself within the same bound."""
    if os.name != "posix" or not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc")
    host, port = pg_address
    with psycopg.connect(host=host, port=port, user="tarn", dbname="tarn", autocommit=True) as connection:
        with memory_bounded():
            connection.execute(
                "CREATE TABLE processed.big AS SELECT i AS id, CAST(i AS double precision) * 0.01 AS price, "
                f"'comment number ' || i % 1000 AS words FROM generate_series(0, {ROWS - 1}) AS g(i)"
            )
        assert connection.execute("SELECT count(*) FROM processed.big").fetchone() == (ROWS,)
    return "processed.big"


@pytest.fixture
def bounded(big: str) -> Iterator[str]:
    """The table, whose export stays within the bound."""
    with memory_bounded():
        yield big


def test_declared_cursor(bounded: str, conninfo: str) -> None:
    """DECLARE and FETCH in SQL, 50,000 rows at a time."""
    seen = total = 0
    with psycopg.connect(conninfo) as connection, connection.cursor() as cursor:
        cursor.execute(f"DECLARE every CURSOR FOR SELECT id FROM {bounded}")
        while rows := cursor.execute("FETCH 50000 FROM every").fetchall():
            seen += len(rows)
            total += sum(row[0] for row in rows)
    assert (seen, total) == (ROWS, ROWS * (ROWS - 1) // 2)


def test_server_side_cursor(bounded: str, conninfo: str) -> None:
    """psycopg, 10,000 rows at a time."""
    with psycopg.connect(conninfo) as connection, connection.cursor(name="all", binary=True) as cursor:
        cursor.itersize = 10_000
        cursor.execute(f"SELECT * FROM {bounded}")
        seen = total = 0
        for row in cursor:
            seen += 1
            total += row[0]
    assert (seen, total) == (ROWS, ROWS * (ROWS - 1) // 2)


def test_flight(bounded: str, flight_uri: str) -> None:
    """Arrow batches, dropped as they come."""
    with flight_sql.connect(flight_uri) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {bounded}")
        seen = total = 0
        for batch in cursor.fetch_record_batch():
            seen += batch.num_rows
            total += pa.compute.sum(batch.column("id")).as_py()
    assert (seen, total) == (ROWS, ROWS * (ROWS - 1) // 2)


def test_copy_to_stdout(bounded: str, conninfo: str) -> None:
    """COPY as csv."""
    with psycopg.connect(conninfo) as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY {bounded} TO STDOUT WITH (FORMAT csv)") as copy:
            lines = sum(bytes(block).count(b"\n") for block in copy)
    assert lines == ROWS


def test_slow_client_does_not_fill_memory(bounded: str, flight_uri: str) -> None:
    """A client that stops reading stops the scan."""
    import time

    with flight_sql.connect(flight_uri) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {bounded}")
        reader = cursor.fetch_record_batch()
        reader.read_next_batch()
        time.sleep(3)  # what is tested is that nothing happens meanwhile
