#!/usr/bin/env python3
"""Makes copy_out.tsv: rows, and the bytes that PostgreSQL 15 writes for them with COPY TO.

    make_copy_out.py CONNECTION > copy_out.tsv

CONNECTION is a psql connection string of a superuser of a server on this machine, which must be
able to write into the temporary folder. Columns: options, rows as in copy.tsv, the file in
hexadecimal. The table is (a text, "b b" text), for options that start with "one" (a text) and for
those that start with "typed" (a integer, b numeric(8,2), c boolean, d date, e bytea).
"""
import os
import random
import subprocess
import sys
import tempfile

TABLES = {
    "one": "a text",
    "two": 'a text, "b b" text',
    "typed": "a integer, b numeric(8,2), c boolean, d date, e bytea",
}

OPTIONS = {
    "two-csv": "FORMAT csv",
    "two-csv-header": "FORMAT csv, HEADER true",
    "two-csv-odd": "FORMAT csv, HEADER true, DELIMITER ' ', QUOTE '''', ESCAPE '\\', NULL 'N'",
    "two-csv-force": 'FORMAT csv, FORCE_QUOTE ("b b")',
    "two-csv-force-all": "FORMAT csv, FORCE_QUOTE *, NULL 'N'",
    "two-text": "FORMAT text",
    "two-text-header": "FORMAT text, HEADER true, DELIMITER ' '",
    "two-text-odd": "FORMAT text, DELIMITER '|', NULL 'N'",
    "one-csv": "FORMAT csv",
    "one-text": "FORMAT text",
    "typed-csv": "FORMAT csv",
    "typed-csv-odd": "FORMAT csv, DELIMITER '-', NULL '1'",
    "typed-csv-quote": "FORMAT csv, QUOTE '0', ESCAPE '.'",
    "typed-text": "FORMAT text",
    "typed-text-odd": "FORMAT text, DELIMITER '-', NULL 't'",
}

PIECES = ["a", "N", "\\N", ",", '"', "'", "\\", "\n", "\r", "\t", "|", " ", "\b", "\v", "\f", "\x01", "é", ";", "\\.", "t", ""]
TYPED = {
    "a": ["0", "1", "-17", "2147483647", None],
    "b": ["0.00", "-1.50", "1", "100.01", None],
    "c": ["t", "f", None],
    "d": ["2013-01-31", "0001-01-01", None],
    "e": ["\\x", "\\x00ff", "\\x2c220a", None],
}


def text(generator):
    if generator.random() < 0.1:
        return None
    return "".join(generator.choice(PIECES) for _ in range(generator.randrange(0, 4)))


def encoded(value):
    return "N" if value is None else "x" + value.encode().hex()


def literal(value):
    return "NULL" if value is None else "convert_from('\\x%s', 'UTF8')" % value.encode().hex()


def main():
    generator = random.Random(15)
    cases = []
    for name in OPTIONS:
        for _ in range(25):
            if name.startswith("typed"):
                rows = [[generator.choice(values) for values in TYPED.values()] for _ in range(4)]
            else:
                width = 1 if name.startswith("one") else 2
                rows = [[text(generator) for _ in range(width)] for _ in range(4)]
            cases.append((name, rows))
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        lines = []
        for number, (name, rows) in enumerate(cases):
            table = TABLES[name.split("-")[0]]
            types = [column.split()[-1] for column in table.split(", ")]
            lines.append(f"DROP TABLE IF EXISTS t; CREATE TEMP TABLE t ({table});")
            for row in rows:
                values = ", ".join(f"{literal(v)}::text::{t}" for v, t in zip(row, types))
                lines.append(f"INSERT INTO t VALUES ({values});")
            path = os.path.join(folder, str(number))
            lines.append(f"COPY t TO '{path}' WITH ({OPTIONS[name]});")
        script = os.path.join(folder, "script.sql")
        with open(script, "w") as file:
            file.write("\n".join(["SET client_min_messages = error;"] + lines))
        subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script, sys.argv[1]], check=True)
        for number, (name, rows) in enumerate(cases):
            with open(os.path.join(folder, str(number)), "rb") as file:
                shown = ";".join(",".join(encoded(value) for value in row) for row in rows)
                print(name, shown, file.read().hex(), sep="\t")


main()
