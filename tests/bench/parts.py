"""The parts of the bench. Each measures Tarn and its peer one after the other and reports the ratio."""

import re
import subprocess
import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql
import duckdb
import numpy as np
import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from peers import PostgreSql, Tarn

HERE = Path(__file__).resolve().parent
TABLES = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]
BLOCK = 1 << 20


class Report:
    """Figures as they come, and the table at the end."""

    def __init__(self) -> None:
        self.figures: list[dict] = []

    def add(self, work: str, tarn: float, peers: dict[str, float], unit: str) -> None:
        """`unit` is seconds (less is better) or something per second (more is better)."""
        less = unit in ("s", "MiB")
        ratios = {name: tarn / value if value else float("nan") for name, value in peers.items()}
        figure = {"work": work, "unit": unit, "tarn": tarn, "peers": peers, "ratios": ratios, "less_is_better": less}
        self.figures.append(figure)
        print("  " + self.line(figure), flush=True)

    def broken(self, part: str, error: Exception) -> None:
        """A part that could not run is a line too."""
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        self.figures.append({"work": part, "broken": reason})
        print(f"  {part}: BROKEN: {reason}", flush=True)

    def line(self, figure: dict) -> str:
        """One figure in words."""
        if "broken" in figure:
            return f"{figure['work']:44} BROKEN: {figure['broken']}"
        number = lambda value: f"{value:,.3f}" if value < 100 else f"{value:,.0f}"  # noqa: E731
        better = "less is better" if figure["less_is_better"] else "more is better"
        peers = "; ".join(
            f"{name} {number(value)}, ratio {figure['ratios'][name]:.2f}" for name, value in figure["peers"].items()
        )
        return f"{figure['work']:44} tarn {number(figure['tarn'])} {figure['unit']}; {peers or 'no peer'} ({better})"

    def table(self) -> str:
        """All of them."""
        return "\n".join(self.line(figure) for figure in self.figures)


class Bench:
    """What the parts share: data, servers, the report."""

    def __init__(self, folder: Path, binary: Path, scale: float, repeat: int, seconds: int) -> None:
        self.folder, self.binary, self.scale, self.repeat, self.seconds = folder, binary, scale, repeat, seconds
        self.report = Report()

    @cached_property
    def tarn(self) -> Tarn:
        """Started when a part first needs it."""
        return Tarn(self.binary, self.folder / "tarn")

    @cached_property
    def postgres(self) -> PostgreSql:
        """Started when a part first needs it."""
        return PostgreSql()

    def close(self) -> None:
        """Ends what was started."""
        for name in ["tarn", "postgres"]:
            if name in self.__dict__:
                self.__dict__[name].close()

    def data(self, form: str) -> Path:
        """TPC-H as `parquet` or `csv` files, made once."""
        folder = self.folder / f"tpch-{self.scale:g}-{form}"
        if not (folder / "made").exists():
            program = self.folder / "python" / "bin" / "tpchgen-cli"
            options = ["--row-group-bytes=32MB"] if form == "parquet" else []
            subprocess.run([program, form, "-q", "-s", f"{self.scale:g}", "-o", folder, *options], check=True)
            (folder / "made").touch()
        return folder

    @cached_property
    def tpch_in_tarn(self) -> None:
        """The eight tables, loaded from Parquet."""
        folder = self.data("parquet")
        with self.tarn.connect() as connection:
            for statement in statements((HERE / "tables.sql").read_text()):
                connection.execute(statement)
            for table in TABLES:
                connection.execute(f"COPY {table} FROM '{folder}/{table}.parquet' WITH (FORMAT parquet)")

    @cached_property
    def lineitem_in_postgres(self) -> None:
        """The largest table, with the index that its lookups need."""
        with self.postgres.connect() as connection:
            copy_in(connection, self.data("csv") / "lineitem.csv", "lineitem_kept")
            connection.execute("CREATE INDEX ON lineitem_kept (l_orderkey)")
            connection.execute("VACUUM ANALYZE lineitem_kept")


def statements(text: str) -> list[str]:
    """The statements of a file without its comments."""
    return [part.strip() for part in re.sub(r"--.*", "", text).split(";") if part.strip()]


def seconds(work: Callable[[], object]) -> float:
    """How long it took."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def copy_in(connection: psycopg.Connection, file: Path, table: str) -> float:
    """`COPY FROM STDIN` of a csv file into a new table shaped like lineitem; the time of the COPY alone."""
    create = next(one for one in statements((HERE / "tables.sql").read_text()) if one.startswith("CREATE TABLE lineitem "))
    connection.execute(f"DROP TABLE IF EXISTS {table}")
    connection.execute(create.replace("lineitem", table, 1))

    def send() -> None:
        with file.open("rb") as source, connection.cursor() as cursor:
            with cursor.copy(f"COPY {table} FROM STDIN WITH (FORMAT csv, HEADER true)") as copy:
                while block := source.read(BLOCK):
                    copy.write(block)

    return seconds(send)


def tpch(bench: Bench) -> None:
    """The 22 queries over Postgres wire, rows fetched, against DuckDB over the same rows in Parquet."""
    bench.tpch_in_tarn  # noqa: B018
    duck = duckdb.connect()
    for table in TABLES:
        duck.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{bench.data('parquet')}/{table}.parquet')")
    ours = theirs = 0.0
    with bench.tarn.connect() as connection:
        for number, query in enumerate(statements((HERE / "tpch.sql").read_text()), start=1):
            mine, other = [], []
            for _ in range(bench.repeat):
                mine.append(seconds(lambda query=query: connection.execute(query).fetchall()))
                other.append(seconds(lambda query=query: duck.execute(query).fetchall()))
            same_answer(number, connection.execute(query).fetchall(), duck.execute(query).fetchall())
            ours, theirs = ours + min(mine), theirs + min(other)
            bench.report.add(f"TPC-H query {number}", min(mine), {"DuckDB, Parquet": min(other)}, "s")
    bench.report.add("TPC-H, 22 queries", ours, {"DuckDB, Parquet": theirs}, "s")


def same_answer(number: int, ours: list[tuple], theirs: list[tuple]) -> None:
    """A fast wrong answer is worth nothing: same number of rows, numbers equal to four figures."""
    assert len(ours) == len(theirs), f"query {number}: {len(ours)} rows, not {len(theirs)}"
    for left, right in zip(ours, theirs, strict=True):
        for one, other in zip(left, right, strict=True):
            if isinstance(other, str) or not hasattr(other, "__float__"):
                assert one == other, f"query {number}: {one!r}, not {other!r}"
            else:
                assert abs(float(one) - float(other)) <= 1e-4 * max(1.0, abs(float(other))), f"query {number}: {one}, not {other}"


def copy(bench: Bench) -> None:
    """COPY FROM STDIN of lineitem as csv, committed, the same client for both."""
    file = bench.data("csv") / "lineitem.csv"
    with bench.tarn.connect() as ours, bench.postgres.connect() as theirs:
        mine = copy_in(ours, file, "lineitem_copied")
        other = copy_in(theirs, file, "lineitem_copied")
        count = "SELECT count(*) FROM lineitem_copied"
        rows = ours.execute(count).fetchone()[0]
        assert rows == theirs.execute(count).fetchone()[0]
        for connection in (ours, theirs):
            connection.execute("DROP TABLE lineitem_copied")
    bench.report.add("COPY FROM STDIN csv, lineitem", rows / mine, {"PostgreSQL": rows / other}, "rows/s")


def export(bench: Bench) -> None:
    """All of lineitem out of the server: COPY TO STDOUT, psycopg's named cursor, Flight SQL; and the memory it took."""
    bench.tpch_in_tarn, bench.lineitem_in_postgres  # noqa: B018
    idle = bench.tarn.memory_mib("VmRSS")
    bench.tarn.reset_peak()
    with bench.tarn.connect() as ours, bench.postgres.connect() as theirs:
        rates = [copy_out(ours, "lineitem"), copy_out(theirs, "lineitem_kept")]
        bench.report.add("COPY TO STDOUT csv, lineitem", rates[0], {"PostgreSQL": rates[1]}, "MB/s")
    with bench.tarn.connect() as ours, bench.postgres.connect() as theirs:
        rates = [cursor_rate(ours, "lineitem"), cursor_rate(theirs, "lineitem_kept")]
        bench.report.add("psycopg named cursor, lineitem", rates[0], {"PostgreSQL": rates[1]}, "rows/s")
    if bench.tarn.flight:
        bench.report.add("Flight SQL, lineitem", flight_rate(bench.tarn.flight), {}, "MB/s")
    peak = bench.tarn.memory_mib("VmHWM")
    bench.report.add("server memory above idle while exporting", peak - idle, {}, "MiB")


def copy_out(connection: psycopg.Connection, table: str) -> float:
    """Megabytes of csv a second."""
    started, size = time.perf_counter(), 0
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT WITH (FORMAT csv)") as copy:
        for block in copy:
            size += len(block)
    return size / 1e6 / (time.perf_counter() - started)


def cursor_rate(connection: psycopg.Connection, table: str) -> float:
    """Rows a second through a server-side cursor in binary."""
    started, rows = time.perf_counter(), 0
    with connection.transaction(), connection.cursor(name="all", binary=True) as cursor:
        cursor.itersize = 10_000
        cursor.execute(f"SELECT l_orderkey, l_extendedprice, l_shipdate, l_shipmode FROM {table}")
        for _ in cursor:
            rows += 1
    return rows / (time.perf_counter() - started)


def flight_rate(address: str) -> float:
    """Megabytes of Arrow a second."""
    started, size = time.perf_counter(), 0
    with flight_sql.connect(f"grpc://{address}") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM lineitem")
        for batch in cursor.fetch_record_batch():
            size += batch.nbytes
    return size / 1e6 / (time.perf_counter() - started)


def pgbench(bench: Bench, port: int, user: str, script: str, clients: int) -> float:
    """Transactions a second that PostgreSQL's own load tool gets from a server, with prepared statements."""
    file = bench.folder / "pgbench.sql"
    file.write_text(script)
    # Debian keeps the server's tools off the PATH.
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
    program = str(found[-1]) if found else "pgbench"
    command = [program, "-n", "-M", "prepared", "-f", str(file), "-c", str(clients), "-j", "2", "-T", str(bench.seconds)]
    place = ["-h", "127.0.0.1", "-p", str(port), "-U", user, "tarn" if user == "tarn" else "postgres"]
    done = subprocess.run([*command, *place], capture_output=True, text=True, check=False)
    found_rate = re.search(r"tps = ([\d.]+)", done.stdout)
    if done.returncode or not found_rate:
        raise RuntimeError(done.stderr.strip() or done.stdout)
    return float(found_rate.group(1))


def both(bench: Bench, work: str, script: Callable[[str], str], clients: int) -> None:
    """The same script against both servers."""
    mine = pgbench(bench, bench.tarn.port, "tarn", script("tarn"), clients)
    other = pgbench(bench, bench.postgres.port, "postgres", script("postgres"), clients)
    bench.report.add(f"{work}, {clients} clients", mine, {"PostgreSQL": other}, "1/s")


def lookup(bench: Bench) -> None:
    """One order's lines by key, prepared; PostgreSQL has an index on it."""
    bench.tpch_in_tarn, bench.lineitem_in_postgres  # noqa: B018
    keys = int(6_000_000 * bench.scale)
    tables = {"tarn": "lineitem", "postgres": "lineitem_kept"}
    for clients in (1, 8):
        both(
            bench, "point lookup",
            lambda name: f"\\set key random(1, {keys})\nSELECT * FROM {tables[name]} WHERE l_orderkey = :key;\n", clients,
        )  # fmt: skip


def insert(bench: Bench) -> None:
    """Single-row INSERTs, each a durable commit; then whether the last are slower than the first."""
    for server in (bench.tarn, bench.postgres):
        with server.connect() as connection:
            connection.execute("DROP TABLE IF EXISTS events")
            connection.execute("CREATE TABLE events (id bigint, payload text)")
    script = "\\set id random(1, 1000000000)\nINSERT INTO events VALUES (:id, 'a payload of some letters');\n"
    for clients in (1, 32):
        both(bench, "single-row INSERT commits", lambda _: script, clients)
    growth(bench)


def growth(bench: Bench, inserts: int = 2_000, window: int = 100) -> None:
    """2,000 commits on a new table: the median of the last hundred over that of an early hundred."""
    with bench.tarn.connect() as connection:
        connection.execute("CREATE TABLE grown (id bigint)")
        taken = [
            seconds(lambda number=number: connection.execute("INSERT INTO grown VALUES (%s)", (number,), prepare=True))
            for number in range(inserts)
        ]
        connection.execute("DROP TABLE grown")
    early = float(np.median(taken[window // 2 : window // 2 + window]))
    late = float(np.median(taken[-window:]))
    bench.report.add("INSERT commit, last hundred of 2,000", late, {"an early hundred": early}, "s")


def asof(bench: Bench) -> None:
    """A million labels joined with the last of ten million rows of their key."""
    left, right = asof_data(bench)
    sql = "SELECT count(*), sum(r.value) FROM {left} l ASOF {left_word}JOIN {right} r {condition}"
    ours = sql.format(
        left="asof_labels", right="asof_rows", left_word="", condition="MATCH_CONDITION (l.ts >= r.ts) ON l.key = r.key"
    )
    theirs = sql.format(
        left=f"'{left}'", right=f"'{right}'", left_word="LEFT ", condition="ON l.key = r.key AND l.ts >= r.ts"
    )
    with bench.tarn.connect() as connection:
        for table, file, value in [("asof_labels", left, ""), ("asof_rows", right, ", value double precision")]:
            connection.execute(f"CREATE TABLE {table} (key bigint, ts timestamptz{value})")
            connection.execute(f"COPY {table} FROM '{file}' WITH (FORMAT parquet)")
        bench.tarn.reset_peak()
        mine = min(seconds(lambda: connection.execute(ours).fetchall()) for _ in range(bench.repeat))
        peak = bench.tarn.memory_mib("VmHWM")
        answer = connection.execute(ours).fetchone()
    duck = duckdb.connect()
    other = min(seconds(lambda: duck.execute(theirs).fetchall()) for _ in range(bench.repeat))
    expected = duck.execute(theirs).fetchone()
    assert answer[0] == expected[0] and abs(answer[1] - expected[1]) <= 1e-6 * abs(expected[1]), f"{answer}, not {expected}"

    def with_polars() -> None:
        labels, rows = pl.scan_parquet(left).sort("ts"), pl.scan_parquet(right).sort("ts")
        joined = labels.join_asof(rows, on="ts", by="key", check_sortedness=False)
        joined.select(pl.len(), pl.col("value").sum()).collect()

    third = min(seconds(with_polars) for _ in range(bench.repeat))
    rows = int(10_000_000 * bench.scale)
    bench.report.add(f"point-in-time join, {rows // 10:,} x {rows:,}", mine, {"DuckDB": other, "polars": third}, "s")
    bench.report.add("server memory at its peak in that join", peak, {}, "MiB")


def asof_data(bench: Bench) -> tuple[Path, Path]:
    """Both sides in random order, a fixed seed: a key has about a thousand rows."""
    rows = int(10_000_000 * bench.scale)
    keys = max(rows // 1000, 1)
    paths = []
    for name, count in [("labels", rows // 10), ("rows", rows)]:
        path = bench.folder / f"asof-{bench.scale:g}-{name}.parquet"
        paths.append(path)
        if path.exists():
            continue
        random = np.random.default_rng(7 if name == "rows" else 8)
        table = {
            "key": pa.array(random.integers(0, keys, count)),
            "ts": pa.array(random.integers(0, 10**15, count)).cast(pa.timestamp("us", tz="UTC")),
        }
        if name == "rows":
            table["value"] = pa.array(random.random(count))
        pq.write_table(pa.table(table), path)
    return paths[0], paths[1]


def change(bench: Bench) -> None:
    """Rows of lineitem changed, deleted, merged and put, each a durable commit."""
    bench.tpch_in_tarn, bench.lineitem_in_postgres  # noqa: B018
    work = {
        "UPDATE of 1% of the rows, everywhere": "UPDATE {t} SET l_discount = l_discount / 2 WHERE l_orderkey % 100 = 1",
        "UPDATE of one order": "UPDATE {t} SET l_comment = 'changed' WHERE l_orderkey = 4711",
        "DELETE of a range of time": "DELETE FROM {t} WHERE l_shipdate < DATE '1992-06-01'",
        "MERGE of 60,000 rows, half of them new": """
            MERGE INTO {t} t USING (SELECT l_orderkey * (1 + l_linenumber % 2 * 100) AS k, l_linenumber AS n, l_quantity AS q
              FROM {t} WHERE l_orderkey % 100 = 2 AND l_orderkey < 6000000) s ON t.l_orderkey = s.k AND t.l_linenumber = s.n
            WHEN MATCHED THEN UPDATE SET l_quantity = s.q + 1
            WHEN NOT MATCHED THEN INSERT (l_orderkey, l_linenumber, l_quantity) VALUES (s.k, s.n, s.q)""",
    }
    with bench.tarn.connect() as ours, bench.postgres.connect() as theirs:
        ours.execute("CREATE TABLE changed AS SELECT * FROM lineitem")
        theirs.execute("CREATE TABLE changed AS SELECT * FROM lineitem_kept")
        theirs.execute("CREATE INDEX ON changed (l_orderkey)")
        theirs.execute("VACUUM ANALYZE changed")
        for what, sql in work.items():
            counts = []
            times = [
                seconds(lambda connection=connection: counts.append(connection.execute(sql.format(t="changed")).rowcount))
                for connection in (ours, theirs)
            ]
            assert counts[0] == counts[1], f"{what}: {counts}"
            bench.report.add(what, times[0], {"PostgreSQL": times[1]}, "s")
        check = "SELECT count(*), sum(l_quantity), sum(l_discount) FROM changed"
        assert ours.execute(check).fetchone() == theirs.execute(check).fetchone()
        for connection in (ours, theirs):
            connection.execute("DROP TABLE changed")
        keyed = "CREATE TABLE counted (id bigint PRIMARY KEY{0}, n bigint)"
        ours.execute(keyed.format(" NOT ENFORCED"))
        theirs.execute(keyed.format(""))
    put = "INSERT INTO counted VALUES (:id, 1) ON CONFLICT (id) DO UPDATE SET n = counted.n + 1;\n"
    both(bench, "single-row upserts", lambda _: f"\\set id random(1, 10000)\n{put}", 1)


def files(bench: Bench, many: int = 10_000, few: int = 10, times: int = 200) -> None:
    """A table of 10,000 files and versions beside one of ten: point queries, appends, a cold open."""
    tarn = Tarn(bench.binary, bench.folder / "tarn-files", "--compaction", "false")
    query = "SELECT * FROM {t} WHERE id = %s"
    try:
        with tarn.connect() as connection:
            for table, count in (("few", few), ("many", many)):
                connection.execute(f"CREATE TABLE {table} (id bigint, payload text)")
                for number in range(count):
                    connection.execute(f"INSERT INTO {table} VALUES (%s, 'a payload')", (number,), prepare=True)
            taken: dict[str, list[float]] = {}
            # In turns, so that both meet the same machine.
            for number in range(times):
                for table, count in (("few", few), ("many", many)):
                    key = number * 7919 % count
                    ask = lambda table=table, key=key: connection.execute(query.format(t=table), (key,), prepare=True).fetchall()  # noqa: E731
                    taken.setdefault(f"ask {table}", []).append(seconds(ask))
            for number in range(times // 2):
                for table in ("few", "many"):
                    row = (1_000_000 + number,)
                    add = lambda table=table, row=row: connection.execute(f"INSERT INTO {table} VALUES (%s, 'x')", row, prepare=True)  # noqa: E731
                    taken.setdefault(f"add {table}", []).append(seconds(add))
                    ask = lambda table=table: connection.execute(query.format(t=table), (5,), prepare=True).fetchall()  # noqa: E731
                    taken.setdefault(f"ask {table} after a commit", []).append(seconds(ask))
        middle = {what: float(np.median(all_of_them)) for what, all_of_them in taken.items()}
        for work, verb in (("point query", "ask {t}"), ("append", "add {t}"), ("point query after a commit", "ask {t} after a commit")):
            figures = [middle[verb.format(t=table)] for table in ("many", "few")]
            bench.report.add(f"{work}, {many:,} files", figures[0], {f"{few} files": figures[1]}, "s")
        tarn.stop()
        tarn.start()
        with tarn.connect() as connection:
            opened = [seconds(lambda table=table: connection.execute(query.format(t=table), (5,)).fetchall()) for table in ("few", "many")]
        bench.report.add(f"cold open, {many:,} files", opened[1], {f"{few} files": opened[0]}, "s")
    finally:
        tarn.close()


def dashboard(bench: Bench, clients: int = 8) -> None:
    """Eight clients at once, each the same twelve queries in an order of its own; DuckDB reads the same files."""
    bench.tpch_in_tarn  # noqa: B018
    queries = statements((HERE / "dashboard.sql").read_text())
    duck = duckdb.connect()
    with bench.tarn.connect() as connection:
        for table in TABLES:
            path = connection.execute("SELECT pg_relation_filepath(%s)", (table,)).fetchone()[0]
            place = bench.tarn.folder / "warehouse" / path
            duck.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{place}/*.parquet')")
        for number, query in enumerate(queries, start=1):
            same_answer(number, connection.execute(query).fetchall(), duck.execute(query).fetchall())

    def load(open_one: Callable[[], object]) -> list[float]:
        taken: list[float] = []

        def client(number: int) -> None:
            connection, random = open_one(), np.random.default_rng(number)
            until = time.perf_counter() + bench.seconds
            while time.perf_counter() < until:
                for at in random.permutation(len(queries)):
                    taken.append(seconds(lambda at=at: connection.execute(queries[at]).fetchall()))
            connection.close()

        threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return taken

    def keeping() -> object:
        connection = bench.tarn.connect()
        connection.execute("SET tarn.result_cache = on")
        return connection

    ours, theirs = load(bench.tarn.connect), load(duck.cursor)
    kept = load(keeping)
    for share in (50, 95):
        figures = [float(np.percentile(taken, share)) for taken in (ours, theirs)]
        bench.report.add(f"dashboards, {clients} clients, {share}th percentile", figures[0], {"DuckDB, same files": figures[1]}, "s")
    rates = [len(taken) / bench.seconds for taken in (ours, theirs)]
    bench.report.add(f"dashboards, {clients} clients, queries", rates[0], {"DuckDB, same files": rates[1]}, "1/s")
    bench.report.add(f"dashboards, {clients} clients, results kept, queries", len(kept) / bench.seconds, {"DuckDB, same files": rates[1]}, "1/s")


PARTS: dict[str, Callable[[Bench], None]] = {
    "tpch": tpch,
    "copy": copy,
    "export": export,
    "lookup": lookup,
    "insert": insert,
    "asof": asof,
    "change": change,
    "files": files,
    "dashboard": dashboard,
}
