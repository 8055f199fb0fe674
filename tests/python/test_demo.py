"""The sample project end to end: `clients/demo/sql` in order, its features against pandas, its scores
against onnxruntime's."""

import csv
import re
import shutil
import sys
from pathlib import Path

import psycopg
import pytest
from conftest import REPOSITORY

DEMO = REPOSITORY / "clients" / "demo"
sys.path.insert(0, str(DEMO))


def statements(text: str) -> list[str]:
    """The statements of a file. None of ours holds a semicolon inside a text."""
    without_comments = re.sub(r"--.*", "", text)
    return [part.strip() for part in without_comments.split(";") if part.strip()]


def run_all(connection: psycopg.Connection, folder: Path) -> None:
    """Every file in the order of the numbers, with paths into `folder`."""
    for file in sorted((DEMO / "sql").glob("*.sql")):
        for statement in statements(file.read_text()):
            placed = re.sub(r"'(data|models)/", rf"'{folder}/\1/", statement)
            try:
                connection.execute(placed)
            except psycopg.Error as error:
                raise AssertionError(f"{file.name}: {error}\n{placed}") from error


@pytest.fixture(scope="module")
def demo(pg_address: tuple[str, int], files: Path) -> psycopg.Connection:
    """A connection to a server on which the project has run twice: the second time changes nothing."""
    for part in ["data", "models"]:
        shutil.copytree(DEMO / part, files / part, dirs_exist_ok=True)
    host, port = pg_address
    connection = psycopg.connect(host=host, port=port, user="tarn", dbname="tarn", autocommit=True)
    run_all(connection, files)
    run_all(connection, files)
    return connection


def one(connection: psycopg.Connection, sql: str) -> tuple:
    """The only row of an answer."""
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row


def test_every_row_is_loaded_once(demo: psycopg.Connection) -> None:
    """Also after the second run."""
    assert one(demo, "SELECT count(*), count(DISTINCT flight_id), count(arrival_delay) FROM raw.flights") == (51955, 51955, 50009)
    assert one(demo, "SELECT count(*) FROM raw.weather") == (4236,)
    assert one(demo, "SELECT count(*) FROM raw.airlines") == (16,)
    assert one(demo, "SELECT count(*) FROM raw.airports") == (1458,)
    assert one(demo, "SELECT count(*) FROM raw.planes") == (3322,)


def test_features_equal_pandas(demo: psycopg.Connection) -> None:
    """The point-in-time join against `merge_asof`: every row, every value."""
    from features_in_pandas import WEATHER, flight_features

    columns = ["flight_id", *WEATHER, "mean_departure_delay", "scheduled_hour", "late"]
    expected = flight_features()[columns].astype(object)
    expected = expected.where(expected.notna(), None)
    answer = demo.execute(f"SELECT {', '.join(columns)} FROM features.flight_features ORDER BY flight_id").fetchall()
    assert len(answer) == len(expected)
    for ours, theirs in zip(answer, expected.itertuples(index=False), strict=True):
        assert ours[0] == theirs[0] and ours[-1] == theirs[-1]
        for left, right in zip(ours[1:-1], theirs[1:-1], strict=True):
            assert (left is None) == (right is None), (ours, theirs)
            assert left is None or left == pytest.approx(right, abs=1e-9), (ours, theirs)


def test_scores_equal_onnxruntime(demo: psycopg.Connection) -> None:
    """Every twentieth flight of the last week has the score that was written when the model was trained."""
    with (DEMO / "models" / "delay_model_scores.csv").open() as file:
        expected = {int(row["flight_id"]): float(row["late_chance"]) for row in csv.DictReader(file)}
    scores = dict(demo.execute("SELECT flight_id, late_chance FROM features.delay_scores").fetchall())
    assert len(expected) > 300
    for flight, score in expected.items():
        assert scores[flight] == pytest.approx(score, abs=1e-5), flight


def test_scores_tell_something(demo: psycopg.Connection) -> None:
    """The tenth of flights with the highest scores is late far more often than the lowest."""
    rows = demo.execute("SELECT tenth, happened FROM features.delay_score_check ORDER BY tenth").fetchall()
    assert [row[0] for row in rows] == list(range(1, 11))
    assert float(rows[9][1]) > 3 * float(rows[0][1])
