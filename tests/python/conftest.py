"""What the Python tests know of the server: its addresses come from the environment.

To run them by hand, start a server and say where it is:

    TARN_PG=127.0.0.1:5433 TARN_FLIGHT=127.0.0.1:50051 TARN_WAREHOUSE=./warehouse \
    TARN_FILES=/folder/that/sql/may/use pytest tests/python
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql
import psycopg
import pytest

REPOSITORY = Path(__file__).parents[2]


def setting(name: str) -> str:
    """A setting that the test run must give."""
    value = os.environ.get(name)
    if not value:
        pytest.skip(f"{name} is not set")
    return value


@pytest.fixture(scope="session")
def pg_address() -> tuple[str, int]:
    """Host and port of the Postgres listener."""
    host, _, port = setting("TARN_PG").rpartition(":")
    return host, int(port)


@pytest.fixture(scope="session")
def flight_uri() -> str:
    """The address for ADBC and pyarrow."""
    return f"grpc://{setting('TARN_FLIGHT')}"


@pytest.fixture(scope="session")
def warehouse() -> Path:
    """The folder with the Delta tables."""
    return Path(setting("TARN_WAREHOUSE"))


@pytest.fixture(scope="session")
def files() -> Path:
    """A folder that SQL may read and write."""
    return Path(setting("TARN_FILES"))


@pytest.fixture
def conninfo(pg_address: tuple[str, int]) -> str:
    """What libpq and psycopg connect with."""
    host, port = pg_address
    return f"host={host} port={port} user=tarn dbname=tarn"


@pytest.fixture
def schema(request: pytest.FixtureRequest, conninfo: str) -> str:
    """A schema of the test's own."""
    name = f"{request.module.__name__}_{request.node.originalname}"[:63]
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")
        connection.execute(f"CREATE SCHEMA {name}")
    return name


@pytest.fixture
def pg(conninfo: str, schema: str) -> Iterator[psycopg.Connection]:
    """A psycopg connection, each statement on its own, names looked up in the test's schema."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f"SET search_path = {schema}")
        yield connection


@pytest.fixture
def adbc(flight_uri: str, schema: str) -> Iterator[flight_sql.Connection]:
    """An ADBC connection over Flight SQL. Tests name the schema in their statements."""
    with flight_sql.connect(flight_uri, autocommit=True) as connection:
        yield connection


@pytest.fixture
def delta_path(warehouse: Path) -> Callable[[str], str]:
    """Finds the Delta table in a schema that holds one: folders are named by schema and table id."""

    def find(schema: str) -> str:
        logs = sorted(warehouse.glob(f"{schema}/*/_delta_log"), key=lambda log: log.stat().st_mtime)
        assert logs, f"no Delta table lies under {warehouse / schema}"
        return str(logs[-1].parent)

    return find
