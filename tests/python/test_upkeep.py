"""Files are written anew while others write: no row is lost or doubled, and nobody's statement fails."""

import threading
import time
from collections.abc import Callable

import deltalake
import psycopg

Find = Callable[[str], str]
WRITERS = 3
ROWS = 60


class Crew:
    """Threads with a connection each; the first error of any is the test's."""

    def __init__(self, conninfo: str, schema: str) -> None:
        self.conninfo, self.schema = conninfo, schema
        self.threads: list[threading.Thread] = []
        self.errors: list[Exception] = []
        self.done = threading.Event()

    def start(self, work: Callable[[psycopg.Connection], None]) -> threading.Thread:
        """Begins one of them."""

        def run() -> None:
            try:
                with psycopg.connect(self.conninfo, autocommit=True) as connection:
                    connection.execute(f"SET search_path = {self.schema}")
                    work(connection)
            except Exception as error:
                self.errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        self.threads.append(thread)
        return thread

    def repeat(self, statement: str) -> None:
        """One that says the same until the others are done."""

        def work(connection: psycopg.Connection) -> None:
            while not self.done.is_set():
                connection.execute(statement)

        self.start(work)

    def finish(self, writers: list[threading.Thread]) -> None:
        """Waits for all."""
        for writer in writers:
            writer.join()
        self.done.set()
        for thread in self.threads:
            thread.join()
        assert not self.errors, self.errors


def test_beside_writers(pg: psycopg.Connection, conninfo: str, schema: str, delta_path: Find) -> None:
    """Inserts, changes and deletes of rows of one's own, beside OPTIMIZE, ZORDER BY and VACUUM."""
    pg.execute("CREATE TABLE t (writer bigint NOT NULL, id bigint NOT NULL, seen bigint NOT NULL)")
    crew = Crew(conninfo, schema)

    def writing(writer: int) -> Callable[[psycopg.Connection], None]:
        def work(connection: psycopg.Connection) -> None:
            for row in range(ROWS):
                connection.execute("INSERT INTO t VALUES (%s, %s, 0)", (writer, row))
                if row % 20 == 19:
                    again(connection, "UPDATE t SET seen = seen + 1 WHERE writer = %s AND id = %s", (writer, row))
                    again(connection, "DELETE FROM t WHERE writer = %s AND id = %s", (writer, row - 1))

        return work

    writers = [crew.start(writing(writer)) for writer in range(WRITERS)]
    crew.repeat("OPTIMIZE t")
    crew.repeat("OPTIMIZE t ZORDER BY (id, writer)")
    crew.repeat("VACUUM t")
    crew.finish(writers)

    expected = [
        (writer, row, int(row % 20 == 19)) for writer in range(WRITERS) for row in range(ROWS) if row % 20 != 18
    ]
    assert pg.execute("SELECT * FROM t ORDER BY writer, id").fetchall() == expected
    pg.execute("OPTIMIZE t")
    pg.execute("VACUUM t RETAIN 0 HOURS")
    assert pg.execute("SELECT * FROM t ORDER BY writer, id").fetchall() == expected
    table = deltalake.DeltaTable(delta_path(schema))
    rows = [(row["writer"], row["id"], row["seen"]) for row in table.to_pyarrow_table().to_pylist()]
    assert sorted(rows) == expected
    assert len(table.file_uris()) == 1


def again(connection: psycopg.Connection, statement: str, values: tuple) -> None:
    """A statement that may meet others on one file: the server has tried 15 times when it is refused."""
    for _ in range(20):
        try:
            changed = connection.execute(statement, values).rowcount
        except psycopg.errors.SerializationFailure:
            continue
        assert changed == 1
        return
    raise AssertionError(f"refused again and again: {statement}")


def test_small_files_are_put_together(pg: psycopg.Connection, schema: str, delta_path: Find) -> None:
    """Nobody asks for it."""
    pg.execute("CREATE TABLE t (id bigint NOT NULL)")
    for row in range(64):
        pg.execute("INSERT INTO t VALUES (%s)", (row,))
    end = time.monotonic() + 90
    files = 64
    while files > 32 and time.monotonic() < end:
        time.sleep(1)
        files = len(deltalake.DeltaTable(delta_path(schema)).file_uris())
    assert files <= 32
    assert pg.execute("SELECT count(*), sum(id) FROM t").fetchone() == (64, 2016)
