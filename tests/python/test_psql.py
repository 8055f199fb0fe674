"""psql: what an analyst types first. The answers are those of its own `\\d` commands."""

import shutil
import subprocess

import pytest

PSQL = shutil.which("psql")
pytestmark = pytest.mark.skipif(PSQL is None, reason="psql is not installed")


def psql(conninfo: str, *commands: str, stdin: str | None = None) -> str:
    """Runs the commands in one session and returns what psql prints."""
    arguments = [PSQL or "psql", conninfo, "-X", "-v", "ON_ERROR_STOP=1", "-P", "pager=off"]
    for command in commands:
        arguments += ["-c", command]
    done = subprocess.run(arguments, input=stdin, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{commands}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def objects(conninfo: str, schema: str) -> str:
    """A table, a view and a materialized view in the test's schema."""
    psql(
        conninfo,
        f"CREATE TABLE {schema}.flights (id bigint NOT NULL, carrier text, delay numeric(6,1) DEFAULT 0, CHECK (id > 0))",
        f"COMMENT ON TABLE {schema}.flights IS 'one row a flight'",
        f"COMMENT ON COLUMN {schema}.flights.delay IS 'minutes'",
        f"CREATE VIEW {schema}.late AS SELECT id FROM {schema}.flights WHERE delay > 15",
        f"CREATE MATERIALIZED VIEW {schema}.totals AS SELECT carrier, count(*) AS n FROM {schema}.flights GROUP BY carrier",
    )
    return schema


def test_rows_and_tags(conninfo: str, schema: str) -> None:
    """Tables as psql draws them, command tags as Postgres words them."""
    shown = psql(
        conninfo,
        f"CREATE TABLE {schema}.t (a integer, b text)",
        f"INSERT INTO {schema}.t VALUES (1, 'x'), (2, NULL)",
        f"UPDATE {schema}.t SET b = 'y' WHERE a = 2",
        f"DELETE FROM {schema}.t WHERE a = 1",
        f"SELECT * FROM {schema}.t",
        f"DROP TABLE {schema}.t",
    )
    tags = ["CREATE TABLE", "INSERT 0 2", "UPDATE 1", "DELETE 1"]
    table = [" a | b ", "---+---", " 2 | y", "(1 row)", ""]
    assert shown.splitlines() == [*tags, *table, "DROP TABLE"]


def test_copy_from_and_to_standard_streams(conninfo: str, schema: str) -> None:
    """`\\copy` reads and writes where psql runs."""
    psql(conninfo, f"CREATE TABLE {schema}.t (a integer, b text)")
    psql(conninfo, f"\\copy {schema}.t FROM pstdin WITH (FORMAT csv, HEADER true)", stdin="a,b\n1,one\n2,\n")
    shown = psql(conninfo, f"\\copy (SELECT * FROM {schema}.t ORDER BY a) TO STDOUT WITH (FORMAT csv)")
    assert shown == "1,one\n2,\n"


def test_lists(conninfo: str, objects: str) -> None:
    """`\\dn`, `\\dt`, `\\dv`, `\\dm`, `\\d` show each object under its kind."""
    assert f" {objects} " in psql(conninfo, "\\dn")
    kinds = {"\\dt": ("flights", "table"), "\\dv": ("late", "view"), "\\dm": ("totals", "materialized view")}
    for command, (name, kind) in kinds.items():
        lines = [line for line in psql(conninfo, f"{command} {objects}.*").splitlines() if f" {objects} " in line]
        assert len(lines) == 1, lines
        assert [part.strip() for part in lines[0].split("|")][1:3] == [name, kind]
    everything = psql(conninfo, f"SET search_path = {objects}", "\\d")
    assert all(name in everything for name in ["flights", "late", "totals"])


def test_describe_table(conninfo: str, objects: str) -> None:
    """`\\d table`: columns with types, NOT NULL, default, check."""
    shown = psql(conninfo, f"\\d {objects}.flights")
    rows = [[part.strip() for part in line.split("|")] for line in shown.splitlines() if "|" in line]
    assert rows == [
        ["Column", "Type", "Collation", "Nullable", "Default"],
        ["id", "bigint", "", "not null", ""],
        ["carrier", "text", "", "", ""],
        ["delay", "numeric(6,1)", "", "", "0"],
    ]
    assert "CHECK (" in shown


def test_describe_table_with_comments(conninfo: str, objects: str) -> None:
    """`\\d+` and `\\dt+` show the comments."""
    assert "minutes" in psql(conninfo, f"\\d+ {objects}.flights")
    assert "one row a flight" in psql(conninfo, f"\\dt+ {objects}.flights")


def test_describe_views(conninfo: str, objects: str) -> None:
    """`\\d+ view` shows what it selects."""
    assert "delay > " in psql(conninfo, f"\\d+ {objects}.late")
    assert "carrier" in psql(conninfo, f"\\d+ {objects}.totals")


@pytest.mark.parametrize("command", ["\\df", "\\du", "\\l", "\\conninfo", "\\dT", "\\di", "\\ds", "\\dp", "\\timing", "\\encoding"])
def test_other_commands_work(conninfo: str, command: str) -> None:
    """They end without an error, whatever they show."""
    psql(conninfo, command)


def test_errors_name_the_place(conninfo: str) -> None:
    """psql draws a caret under the word that the error is about."""
    arguments = [PSQL or "psql", conninfo, "-X", "-c", "SELECT *\nFROM nowhere"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == 'ERROR:  relation "nowhere" does not exist'
    assert lines[1] == "LINE 2: FROM nowhere"
    assert lines[2] == "             ^"


def test_fetch_count_uses_a_cursor(conninfo: str) -> None:
    """With FETCH_COUNT psql declares a cursor and fetches in portions."""
    shown = psql(conninfo, "\\set FETCH_COUNT 100", "\\t", "SELECT i FROM generate_series(1, 250) AS g(i)")
    assert len([line for line in shown.splitlines() if line.strip().isdigit()]) == 250
