"""Columns that follow the input: nothing of a file is lost, whatever it holds and whoever loads beside it."""

import datetime
import json
import random
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

Row = dict[str, Any]


@pytest.fixture
def folder(files: Path, schema: str) -> Path:
    """A folder of this test's own."""
    made = files / "evolution" / schema
    made.mkdir(parents=True, exist_ok=True)
    return made


def value(rng: random.Random) -> Any:
    """Something that JSON can hold."""
    return rng.choice([
        lambda: None,
        lambda: rng.randint(-100, 100),
        lambda: rng.choice([2**15, 2**31, -(2**40), 2**63 - 1]),
        lambda: rng.randint(-1000, 1000) / 8,
        lambda: rng.choice(["", "a", "ä☃\n\"", "12", "2026-01-02", "null", "{}"]),
        lambda: rng.random() < 0.5,
        lambda: [rng.randint(0, 9), "x", None],
        lambda: {"deep": {"n": rng.randint(0, 9)}, "": 1},
    ])()  # fmt: skip


def write(path: Path, rows: list[Row]) -> None:
    """An object a line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def is_same(kept: Any, given: Any) -> bool:
    """Whether a column's value is the one that the file had: as text, where the column is text."""
    if kept is None or isinstance(given, bool) != isinstance(kept, bool):
        return isinstance(kept, str) and kept in ("true", "false") and json.loads(kept) == given
    if isinstance(kept, datetime.date):
        return kept.isoformat() == given
    if isinstance(kept, str) and not isinstance(given, str):
        return json.loads(kept) == given
    if isinstance(kept, int) and isinstance(given, str):
        return str(kept) == given
    if isinstance(kept, float):
        # A column of doubles takes whole numbers as PostgreSQL does.
        return kept == float(given)
    return bool(kept == given)


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_by_rescue(pg: psycopg.Connection, folder: Path, seed: int) -> None:
    """Each field of each object is in its column, or in _rescued_data as it was."""
    rng = random.Random(seed)
    rows = [{name: value(rng) for name in rng.sample("abdxyz", 4)} | {"id": n} for n in range(300)]
    # PostgreSQL reads some numbers as dates: 119.125 is day 125 of that year.
    rows = [{n: v for n, v in row.items() if n != "d" or isinstance(v, str)} for row in rows]
    write(folder / f"{seed}.json", rows)
    pg.execute(f"CREATE TABLE rescued_{seed} (id bigint, a integer, b text, d date) WITH (schema_evolution = 'rescue')")
    assert pg.execute(f"COPY rescued_{seed} FROM '{folder}/{seed}.json'").rowcount == len(rows)
    found = pg.execute(f"SELECT id, a, b, d, _rescued_data FROM rescued_{seed} ORDER BY id").fetchall()
    assert len(found) == len(rows)
    for given, (_, a, b, d, rescued) in zip(rows, found, strict=True):
        columns, rescued = {"a": a, "b": b, "d": d}, rescued or {}
        for name, wanted in given.items():
            if name == "id" or wanted is None:
                assert name not in rescued
            elif name in rescued:
                assert rescued[name] == wanted and columns.get(name) is None, (name, given)
            else:
                assert is_same(columns[name], wanted), (name, given, columns)
        assert set(rescued) <= set(given)


@pytest.mark.parametrize("mode", ["add_columns", "widen"])
@pytest.mark.parametrize("seed", range(10))
def test_columns_hold_what_the_files_had(pg: psycopg.Connection, folder: Path, mode: str, seed: int) -> None:
    """After several files each row has what its object had; a file that is refused leaves nothing."""
    # A statement that is prepared has the columns of then, as in PostgreSQL.
    pg.prepare_threshold = None
    rng = random.Random(f"{mode} {seed}")
    table, loaded = f"{mode}_{seed}", []
    pg.execute(f"CREATE TABLE {table} (id integer) WITH (schema_evolution = '{mode}')")
    for load in range(6):
        names = rng.sample("abcdefgh", 3)
        # A field has one kind of value in a file, as most have; of several it is jsonb.
        kinds = {name: random.Random(rng.random()) for name in names}
        states = {name: kind.getstate() for name, kind in kinds.items()}
        rows: list[Row] = []
        for n in range(50):
            for name, kind in kinds.items():
                if rng.random() < 0.95:
                    kind.setstate(states[name])
            rows.append({"id": load * 100 + n} | {name: value(kind) for name, kind in kinds.items()})
        path = folder / f"{table}_{load}.json"
        write(path, rows)
        before = pg.execute(f"SELECT * FROM {table} ORDER BY id")
        columns, there = [column.name for column in before.description or []], before.fetchall()
        try:
            pg.execute(f"COPY {table} FROM '{path}'")
            loaded += rows
        except psycopg.DataError:
            after = pg.execute(f"SELECT * FROM {table} ORDER BY id")
            assert [column.name for column in after.description or []] == columns
            assert after.fetchall() == there
    found = pg.execute(f"SELECT * FROM {table} ORDER BY id")
    names = [column.name for column in found.description or []]
    for given, row in zip(loaded, found.fetchall(), strict=True):
        kept = dict(zip(names, row, strict=True))
        for name, wanted in given.items():
            assert wanted is None or (name in kept and is_same(kept[name], wanted)), (name, given, kept)
        assert all(kept[name] is None for name in names if given.get(name) is None)


def test_loads_beside_each_other_add_all_their_columns(pg: psycopg.Connection, folder: Path) -> None:
    """Eight at once, each with a column of its own and one that all have."""
    loads = range(8)
    pg.execute("CREATE TABLE beside (id bigint) WITH (schema_evolution = 'add_columns')")
    for n in loads:
        write(folder / f"beside_{n}.json", [{"id": n, "shared": "s", f"own_{n}": n}])
    failures: list[Exception] = []

    def load(n: int) -> None:
        try:
            with psycopg.connect(pg.info.dsn, autocommit=True) as connection:
                connection.execute(f"SET search_path = {schema}")
                connection.execute(f"COPY beside FROM '{folder}/beside_{n}.json'")
        except psycopg.Error as error:
            failures.append(error)

    (schema,) = pg.execute("SELECT current_schema()").fetchone() or ("public",)
    threads = [threading.Thread(target=load, args=(n,)) for n in loads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    columns = ", ".join(f"own_{n}" for n in loads)
    found = pg.execute(f"SELECT id, shared, {columns} FROM beside ORDER BY id").fetchall()
    assert found == [(n, "s", *(n if m == n else None for m in loads)) for n in loads]


def test_rescue_from_the_client(pg: psycopg.Connection) -> None:
    """Lines that a client sends are rescued as those of files; binary rows have their types."""
    pg.execute("CREATE TABLE sent (id integer, at date) WITH (schema_evolution = 'rescue')")
    cursor = pg.cursor()
    with cursor.copy("COPY sent FROM STDIN WITH (FORMAT csv)") as copy:
        copy.write(b'1,2026-01-02\nx,"soon, or ""never"""\n')
    with cursor.copy("COPY sent FROM STDIN WITH (FORMAT json)") as copy:
        copy.write(b'{"id": 3, "more": [1, null]}\n{"id": 1e400, "at": true}\n')
    with cursor.copy("COPY sent (id) FROM STDIN WITH (FORMAT binary)") as copy:
        copy.set_types(["int4"])
        copy.write_row([5])
    found = pg.execute("SELECT id, at, _rescued_data::text FROM sent ORDER BY id, _rescued_data::text").fetchall()
    assert found == [
        (1, datetime.date(2026, 1, 2), None),
        (3, None, '{"more": [1, null]}'),
        (5, None, None),
        (None, None, '{"at": "soon, or \\"never\\"", "id": "x"}'),
        (None, None, '{"at": true, "id": 1' + "0" * 400 + "}"),
    ]
    with pytest.raises(psycopg.errors.BadCopyFileFormat), cursor.copy("COPY sent FROM STDIN (FORMAT csv)") as copy:
        copy.write(b"1,2026-01-02,too many\n")
    assert pg.execute("SELECT count(*) FROM sent").fetchone() == (5,)
