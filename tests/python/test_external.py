"""Tables that other programs write, read by the server where they are."""

import datetime
import decimal
import json
import shutil
import struct
import uuid
import zlib
from pathlib import Path

import deltalake
import pandas
import polars
import psycopg
import pyarrow
import pyarrow.parquet
import pytest


@pytest.fixture
def folder(files: Path, schema: str) -> Path:
    """A folder of this test's own."""
    made = files / "external" / schema
    made.mkdir(parents=True)
    return made


def test_parquet_of_every_type(pg: psycopg.Connection, folder: Path) -> None:
    """What pyarrow can write and SQL has a type for."""
    day, moment = datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)
    columns = {
        "tiny": pyarrow.array([1, None, -128], pyarrow.int8()),
        "unsigned": pyarrow.array([1, None, 2**32 - 1], pyarrow.uint32()),
        "large": pyarrow.array(["a", None, "ä☃"], pyarrow.large_string()),
        "word": pyarrow.array(["x", "y", "x"]).dictionary_encode(),
        "fixed": pyarrow.array([b"ab", None, b"\x00\xff"], pyarrow.binary(2)),
        "money": pyarrow.array([decimal.Decimal("1.50"), None, decimal.Decimal("-2.25")], pyarrow.decimal128(9, 2)),
        "day": pyarrow.array([day, None, day]),
        "moment": pyarrow.array([moment, None, moment], pyarrow.timestamp("us")),
        "at": pyarrow.array([moment, None, moment], pyarrow.timestamp("ns", "UTC")),
        "numbers": pyarrow.array([[1, 2], None, []], pyarrow.list_(pyarrow.int32())),
        "Upper": pyarrow.array([1.5, None, float("nan")], pyarrow.float32()),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "all.parquet")
    pg.execute(f"CREATE EXTERNAL TABLE every_type STORED AS parquet LOCATION '{folder}/all.parquet'")
    rows = pg.execute("SELECT * FROM every_type").fetchall()
    utc = moment.replace(tzinfo=datetime.timezone.utc)
    money = decimal.Decimal("1.50")
    assert rows[0] == (1, 1, "a", "x", b"ab", money, day, moment, utc, [1, 2], 1.5)
    assert rows[1] == (None, None, None, "y", *[None] * 7)
    assert rows[2][:5] == (-128, 2**32 - 1, "ä☃", "x", b"\x00\xff") and rows[2][9] == []
    found = pg.execute("SELECT tiny FROM every_type WHERE at = %s AND unsigned > 1", [utc]).fetchall()
    assert found == [(-128,)]
    kinds = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'every_type'"
    types = dict(pg.execute(kinds).fetchall())
    assert (types["tiny"], types["unsigned"], types["at"]) == ("smallint", "bigint", "timestamp with time zone")


def test_parquet_of_pandas_and_polars(pg: psycopg.Connection, folder: Path) -> None:
    """Files of two programs are one table; who writes a third is read by the next statement."""
    pandas.DataFrame({"id": [1, 2], "name": ["a", None]}).to_parquet(folder / "1.parquet")
    polars.DataFrame({"id": [3], "name": ["c"], "more": [1.0]}).write_parquet(folder / "2.parquet")
    pg.execute(f"CREATE EXTERNAL TABLE frames (name text, id bigint) STORED AS parquet LOCATION '{folder}/*.parquet'")
    assert pg.execute("SELECT * FROM frames ORDER BY id").fetchall() == [("a", 1), (None, 2), ("c", 3)]
    polars.DataFrame({"id": range(4, 2000)}).write_parquet(folder / "3.parquet")
    found = "SELECT count(*), count(name), sum(id) FROM frames"
    assert pg.execute(found).fetchone() == (1999, 2, sum(range(2000)))
    (folder / "3.parquet").unlink()
    assert pg.execute(found).fetchone() == (3, 2, 6)


def test_delta_of_deltalake(pg: psycopg.Connection, folder: Path) -> None:
    """Its newest version, and older ones."""
    path = str(folder / "delta")
    first = pyarrow.table({"id": [1, 2, 3], "day": ["2026-01-01", "2026-01-01", "2026-01-02"]})
    deltalake.write_deltalake(path, first, partition_by=["day"])
    pg.execute(f"CREATE EXTERNAL TABLE theirs STORED AS delta LOCATION '{path}'")
    assert pg.execute("SELECT count(*), sum(id) FROM theirs WHERE day = '2026-01-01'").fetchone() == (2, 3)
    deltalake.write_deltalake(path, first.slice(0, 1), mode="append")
    deltalake.DeltaTable(path).delete("id = 2")
    assert pg.execute("SELECT id, day FROM theirs ORDER BY id").fetchall() == [
        (1, "2026-01-01"),
        (1, "2026-01-01"),
        (3, "2026-01-02"),
    ]
    assert pg.execute("SELECT count(*) FROM theirs VERSION AS OF 0").fetchone() == (3,)
    before = sorted(file.name for file in Path(path).rglob("*.*"))
    for change in ("INSERT INTO theirs VALUES (9, 'x')", "DELETE FROM theirs", "OPTIMIZE theirs", "VACUUM theirs"):
        with pytest.raises(psycopg.errors.WrongObjectType):
            pg.execute(change)
    pg.execute("DROP EXTERNAL TABLE theirs")
    assert sorted(file.name for file in Path(path).rglob("*.*")) == before


def test_delta_that_is_made_anew(pg: psycopg.Connection, folder: Path) -> None:
    """Another table in the same folder, of fewer and of more versions: no mixture of the two."""
    path = folder / "anew"
    ids = lambda *numbers: pyarrow.table({"id": numbers})  # noqa: E731
    deltalake.write_deltalake(str(path), ids(1))
    deltalake.write_deltalake(str(path), ids(2), mode="append")
    deltalake.write_deltalake(str(path), ids(3), mode="append")
    pg.execute(f"CREATE EXTERNAL TABLE anew STORED AS delta LOCATION '{path}'")
    rows = "SELECT id FROM anew ORDER BY id"
    assert pg.execute(rows).fetchall() == [(1,), (2,), (3,)]
    for versions in (1, 3, 6):
        shutil.rmtree(path)
        for version in range(versions):
            deltalake.write_deltalake(str(path), ids(100 * versions + version), mode="append")
        assert pg.execute(rows).fetchall() == [(100 * versions + version,) for version in range(versions)]


def field(name: str, kind: str, number: int) -> dict:
    """A column that the files call something else."""
    mapping = {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": f"col-{number}"}
    return {"name": name, "type": kind, "nullable": True, "metadata": mapping}


COLUMNS = [field("id", "long", 1), field("name", "string", 2)]
MAPPED = ({"minReaderVersion": 2, "minWriterVersion": 5}, {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2"})
FEATURES = ["columnMapping", "deletionVectors"]
WITH_VECTORS = (
    {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": FEATURES, "writerFeatures": FEATURES},
    {**MAPPED[1], "delta.enableDeletionVectors": "true"},
)


def write_rows(table: Path, count: int = 4) -> int:
    """A data file, as only a log of mapped columns makes sense of it; how large it is."""
    (table / "_delta_log").mkdir(parents=True)
    data = pyarrow.table({"col-1": range(count), "col-2": [chr(97 + n) for n in range(count)]})
    pyarrow.parquet.write_table(data, table / "part-0.parquet")
    return (table / "part-0.parquet").stat().st_size


def write_log(table: Path, kind: tuple[dict, dict], size: int, path: str, vector: dict | None = None) -> None:
    """A log of one version, with one file."""
    protocol, configuration = kind
    metadata = {
        "id": "b0a7a3cc-6ae8-4f4c-9a0d-0d4f0c2e9a11",
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps({"type": "struct", "fields": COLUMNS}),
        "partitionColumns": [],
        "configuration": configuration,
        "createdTime": 0,
    }
    add = {"path": path, "partitionValues": {}, "size": size, "modificationTime": 0, "dataChange": True}
    if vector is not None:
        add["deletionVector"] = vector
        add["stats"] = json.dumps({"numRecords": 4})
    actions = [{"protocol": protocol}, {"metaData": metadata}, {"add": add}]
    (table / "_delta_log" / f"{0:020}.json").write_text("\n".join(json.dumps(action) for action in actions))


def z85(data: bytes) -> str:
    """Base85 as ZeroMQ has it."""
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    words = struct.unpack(f">{len(data) // 4}I", data)
    return "".join(letters[word // 85**power % 85] for word in words for power in (4, 3, 2, 1, 0))


def vector_of(*rows: int) -> bytes:
    """A deletion vector: a bitmap of row numbers, as the Delta protocol lays it out."""
    numbers = struct.pack(f"<{len(rows)}H", *rows)
    bitmap = struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16) + numbers
    return struct.pack("<IQI", 1681511377, 1, 0) + bitmap


def vector_file(vector: bytes) -> bytes:
    """The same, as it stands in a file from byte 1 on."""
    return b"\x01" + struct.pack(">I", len(vector)) + vector + struct.pack(">I", zlib.crc32(vector))


def test_delta_with_mapped_columns(pg: psycopg.Connection, folder: Path) -> None:
    """The names in the files are none that anyone knows."""
    table = folder / "mapped"
    write_log(table, MAPPED, write_rows(table), "part-0.parquet")
    pg.execute(f"CREATE EXTERNAL TABLE mapped STORED AS delta LOCATION '{table}'")
    assert pg.execute("SELECT id, name FROM mapped ORDER BY id").fetchall() == [(n, "abcd"[n]) for n in range(4)]
    assert pg.execute("SELECT name FROM mapped WHERE id = 2").fetchall() == [("c",)]


def test_delta_with_deletion_vectors(pg: psycopg.Connection, folder: Path) -> None:
    """Rows that are gone although their file is not: told by the log itself, or by a file beside the data."""
    inline, beside = folder / "inline", folder / "beside"
    vector = vector_of(0, 2)
    padded = vector + bytes(-len(vector) % 4)
    told = {"storageType": "i", "pathOrInlineDv": z85(padded), "sizeInBytes": len(vector), "cardinality": 2}
    write_log(inline, WITH_VECTORS, write_rows(inline), "part-0.parquet", told)
    name = uuid.uuid4()
    told = {"storageType": "u", "pathOrInlineDv": z85(name.bytes), "offset": 1, "sizeInBytes": len(vector), "cardinality": 2}
    write_log(beside, WITH_VECTORS, write_rows(beside), "part-0.parquet", told)
    (beside / f"deletion_vector_{name}.bin").write_bytes(vector_file(vector))
    for table in (inline, beside):
        pg.execute(f"CREATE EXTERNAL TABLE vectors_{table.name} STORED AS delta LOCATION '{table}'")
        left = pg.execute(f"SELECT id, name FROM vectors_{table.name} ORDER BY id").fetchall()
        assert left == [(1, "b"), (3, "d")], table.name
        assert pg.execute(f"SELECT count(*) FROM vectors_{table.name}").fetchone() == (2,)


def test_delta_that_names_files_of_others(pg: psycopg.Connection, folder: Path) -> None:
    """A log is read as data of whoever wrote it: it gets nobody to read outside of its table."""
    secret = folder / "secret"
    size = write_rows(secret)
    (secret / "vector.bin").write_bytes(vector_file(vector_of(0, 2)))
    paths = ["../secret/part-0.parquet", f"{secret}/part-0.parquet", f"file://{secret}/part-0.parquet",
             "x/../../secret/part-0.parquet", "%2e%2e/secret/part-0.parquet", "..%2Fsecret%2Fpart-0.parquet"]
    for number, path in enumerate(paths):
        for kind in (MAPPED, WITH_VECTORS):
            table = folder / f"hostile_{number}_{len(kind[1])}"
            write_rows(table)
            write_log(table, kind, size, path)
            name = f"{folder.name}_{table.name}"
            with pytest.raises(psycopg.Error) as caught:
                pg.execute(f"CREATE EXTERNAL TABLE {name} STORED AS delta LOCATION '{table}'")
                pg.execute(f"SELECT id FROM {name}")
            assert caught.value.sqlstate == "42501", (path, str(caught.value))
    for number, path in enumerate((f"file://{secret}/vector.bin", f"{secret}/vector.bin")):
        table = folder / f"hostile_vector_{number}"
        told = {"storageType": "p", "pathOrInlineDv": path, "offset": 1, "sizeInBytes": 38, "cardinality": 2}
        write_log(table, WITH_VECTORS, write_rows(table), "part-0.parquet", told)
        with pytest.raises(psycopg.Error) as caught:
            pg.execute(f"CREATE EXTERNAL TABLE hostile_vector_{number} STORED AS delta LOCATION '{table}'")
            pg.execute(f"SELECT id FROM hostile_vector_{number}")
        assert caught.value.sqlstate == "42501", (path, str(caught.value))


def test_files_that_break(pg: psycopg.Connection, folder: Path) -> None:
    """A clear error, and other tables go on."""
    polars.DataFrame({"id": [1]}).write_parquet(folder / "1.parquet")
    pg.execute(f"CREATE EXTERNAL TABLE breaking STORED AS parquet LOCATION '{folder}/'")
    (folder / "2.parquet").write_bytes(b"PAR1 no footer")
    with pytest.raises(psycopg.Error, match="2.parquet"):
        pg.execute("SELECT sum(id) FROM breaking")
    (folder / "2.parquet").unlink()
    polars.DataFrame({"id": ["text"]}).write_parquet(folder / "3.parquet")
    with pytest.raises(psycopg.Error, match="text"):
        pg.execute("SELECT sum(id) FROM breaking")
    (folder / "3.parquet").unlink()
    assert pg.execute("SELECT sum(id) FROM breaking").fetchone() == (1,)


def test_avro_of_polars(pg: psycopg.Connection, folder: Path) -> None:
    """Avro that another program writes: as a table where it lies, and copied."""
    rows = 10_000
    day = datetime.date(2026, 1, 2)
    frame = polars.DataFrame({
        "id": polars.Series(range(rows), dtype=polars.Int64),
        "small": polars.Series([n % 100 if n % 7 else None for n in range(rows)], dtype=polars.Int32),
        "name": [f"näme {n}" if n % 3 else None for n in range(rows)],
        "ratio": [n / 8 for n in range(rows)],
        "ok": [n % 2 == 0 for n in range(rows)],
        "day": [day + datetime.timedelta(days=n % 50) for n in range(rows)],
        "moment": [datetime.datetime(2026, 1, 2, 3, 4, 5, n) for n in range(rows)],
    })  # fmt: skip
    for compression in ["uncompressed", "snappy", "deflate"]:
        path = folder / compression / "some.avro"
        path.parent.mkdir()
        frame.write_avro(path, compression=compression)
        there, here = f"there_{compression}", f"here_{compression}"
        pg.execute(f"CREATE EXTERNAL TABLE {there} STORED AS avro LOCATION '{path.parent}'")
        pg.execute(f"CREATE TABLE {here} (id bigint) WITH (schema_evolution = 'add_columns')")
        assert pg.execute(f"COPY {here} FROM '{path}'").rowcount == rows
        for table in [there, here]:
            assert pg.execute(f"SELECT * FROM {table} ORDER BY id").fetchall() == frame.rows()
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        with pytest.raises(psycopg.errors.BadCopyFileFormat, match="malformed"):
            pg.execute(f"SELECT count(*) FROM {there}")
        with pytest.raises(psycopg.errors.BadCopyFileFormat, match="malformed"):
            pg.execute(f"COPY {here} FROM '{path}' WITH (CHANGED_FILE load)")
        assert pg.execute(f"SELECT count(*) FROM {here}").fetchone() == (rows,)
