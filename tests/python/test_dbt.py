"""dbt-postgres, unmodified, runs the project in `clients/dbt` twice and its tests."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from conftest import REPOSITORY

PROJECT = REPOSITORY / "clients" / "dbt"


@pytest.fixture
def raw_tables(pg: psycopg.Connection) -> None:
    """A few rows in place of the demo's two months."""
    pg.execute(
        "CREATE TABLE IF NOT EXISTS raw.flights (flight_id bigint NOT NULL, scheduled_at timestamptz NOT NULL, "
        "departed_at timestamptz, carrier text, origin text, dest text, departure_delay integer, arrival_delay integer)"
    )
    pg.execute("CREATE TABLE IF NOT EXISTS raw.airlines (carrier text NOT NULL, name text NOT NULL)")
    pg.execute("DELETE FROM raw.flights")
    pg.execute("DELETE FROM raw.airlines")
    pg.execute("INSERT INTO raw.airlines VALUES ('AA', 'American'), ('UA', 'United')")
    pg.execute(
        "INSERT INTO raw.flights VALUES "
        "(1, '2013-01-01 10:00:00+00', '2013-01-01 10:05:00+00', 'AA', 'JFK', 'MIA', 5, 10), "
        "(2, '2013-01-01 11:00:00+00', NULL, 'AA', 'JFK', 'MIA', NULL, NULL), "
        "(3, '2013-01-02 10:00:00+00', '2013-01-02 10:00:00+00', 'UA', 'EWR', 'IAH', 0, -5)"
    )


def dbt(command: str, tmp_path: Path, pg_address: tuple[str, int], schema: str) -> str:
    """One dbt command; its output when it went well."""
    host, port = pg_address
    places = {"DBT_TARGET_PATH": str(tmp_path / "target"), "DBT_LOG_PATH": str(tmp_path / "logs")}
    connection = {"TARN_HOST": host, "TARN_PORT": str(port), "TARN_SCHEMA": schema}
    quiet = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "False", "DO_NOT_TRACK": "1", "NO_COLOR": "1"}
    program = [str(Path(sys.executable).parent / "dbt"), "--no-version-check", command]
    done = subprocess.run(
        [*program, "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)],
        env={**os.environ, **places, **connection, **quiet},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"dbt {command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.usefixtures("raw_tables")
def test_run_twice_and_test(tmp_path: Path, pg: psycopg.Connection, pg_address: tuple[str, int], schema: str) -> None:
    """The second run is not the first: it replaces a table, and adds to an incremental one."""
    by_day = f"SELECT day, origin, flights FROM {schema}.flights_by_day ORDER BY day, origin"
    dbt("run", tmp_path, pg_address, schema)
    first = [(str(day), origin, flights) for day, origin, flights in pg.execute(by_day)]
    assert first == [("2013-01-01", "JFK", 2), ("2013-01-02", "EWR", 1)]
    pg.execute("INSERT INTO raw.flights VALUES (4, '2013-01-03 10:00:00+00', NULL, 'UA', 'LGA', 'ORD', NULL, NULL)")
    dbt("run", tmp_path, pg_address, schema)
    second = [(str(day), origin, flights) for day, origin, flights in pg.execute(by_day)]
    assert second == [*first, ("2013-01-03", "LGA", 1)]
    airlines = pg.execute(f"SELECT airline, flights, cancelled FROM {schema}.airline_delays ORDER BY airline").fetchall()
    assert airlines == [("American", 2, 1), ("United", 2, 1)]
    assert "PASS=6" in dbt("test", tmp_path, pg_address, schema)
    left = pg.execute("SELECT count(*) FROM pg_catalog.pg_class WHERE relname LIKE '%%\\_\\_dbt%%'").fetchone()
    assert left == (0,), "dbt's intermediate names must be gone"
