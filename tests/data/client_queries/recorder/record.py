#!/usr/bin/env python3
"""Records what clients ask of PostgreSQL's catalogs, and what PostgreSQL 15 answers.

Usage: record.py LOG [CLIENT ...]

LOG is the server's JSON log (log_destination = jsonlog, log_statement = all). The server is found by
PGHOST, PGPORT and PGUSER; the database is `tarn`, made by ../schema.sql. Each client runs once for each
thing that it is asked (`asks` below); the statements that the log shows for it become
../CLIENT/ASK.sql, and their answers, asked once more by this script, ../CLIENT/ASK.expected.

OIDs of the schema's objects differ from server to server; they are written as <raw.tx> and the like.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import psycopg

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent
JARS = os.environ.get("PGJDBC", "jars/*")

PSQL = {
    "l": r"\l", "l_plus": r"\l+", "du": r"\du", "dg_plus": r"\dg+", "dn": r"\dn", "dn_plus": r"\dn+",
    "d": r"\d", "d_plus": r"\d+", "dt": r"\dt", "dt_schema": r"\dt raw.*", "dt_all": r"\dt *.*tx*",
    "dt_plus_schema": r"\dt+ raw.*", "dv": r"\dv", "dv_all": r"\dv *.big", "dv_plus": r"\dv+ processed.*",
    "dm": r"\dm", "dm_schema": r"\dm features.*", "di": r"\di", "ds": r"\ds", "df": r"\df", "df_plus": r"\df+",
    "d_table": r"\d raw.tx", "d_plus_table": r"\d+ raw.tx", "d_labels": r"\d labels", "d_plus_labels": r"\d+ labels",
    "d_view": r"\d processed.big", "d_plus_view": r"\d+ processed.big",
    "d_matview": r"\d features.user_7d", "d_plus_matview": r"\d+ features.user_7d", "d_missing": r"\d nothing",
    "sv": r"\sv processed.big", "dd": r"\dd", "dp": r"\dp", "dp_schema": r"\dp raw.*", "dx": r"\dx", "db": r"\db",
    "types": r"\dT", "types_plus": r"\dT+ public.*", "config": r"\dconfig search*", "foreign_servers": r"\des",
    "foreign_tables": r"\dE", "access_methods": r"\dA", "operators": r"\do no_such", "languages": r"\dL",
    "conversions": r"\dc public.*", "casts": r"\dC no_such", "domains": r"\dD", "collations": r"\dO", "event_triggers": r"\dy",
    "publications": r"\dRp", "subscriptions": r"\dRs", "statistics": r"\dX", "partitioned": r"\dP", "role_settings": r"\drds",
    "default_privileges": r"\ddp", "text_search": r"\dF public.*", "function_missing": r"\sf nothing",
}


def psql(ask):
    subprocess.run(["psql", "-X", "-q", "-d", "tarn", "-c", PSQL[ask]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def python(client, ask):
    subprocess.run([sys.executable, str(HERE / f"{client}.py"), ask], check=True, stdout=subprocess.DEVNULL)


def java(ask):
    subprocess.run(["java", "-cp", JARS, str(HERE / "Metadata.java"), ask], check=True, stdout=subprocess.DEVNULL)


def listed(file):
    """The functions or cases that a client's script offers."""
    text = (HERE / file).read_text()
    return re.findall(r"^def (\w+)\(|^\s*case \"(\w+)\"", text, re.M)


def asks(client):
    if client == "psql":
        return list(PSQL)
    file = "Metadata.java" if client == "pgjdbc" else f"{client}.py"
    return [a or b for a, b in listed(file) if not (a or b).startswith("_")]


def run(client, ask):
    if client == "psql":
        psql(ask)
    elif client == "pgjdbc":
        java(ask)
    else:
        python(client, ask)


LEADING_COMMENT = re.compile(r"^\s*(/\*.*?\*/|--[^\n]*\n)\s*", re.S)
CATALOG = re.compile(r"pg_|information_schema|current_|version\(|'|\bshow\b", re.I)


def of_interest(text):
    """Whether the statement only reads, and reads something of the server rather than a table."""
    while LEADING_COMMENT.match(text):
        text = LEADING_COMMENT.sub("", text, count=1)
    return re.match(r"(SELECT|WITH|SHOW)\b", text, re.I) and CATALOG.search(text)


OWN = "recorder"


def logged(log, start, connection):
    """The log's entries from `start` to now: the server writes it a little later than it answers."""
    mark = f"SELECT 'mark {start}'"
    connection.execute(mark)
    for _ in range(200):
        with log.open() as lines:
            lines.seek(start)
            text = lines.read()
        if mark in text and text.endswith("\n"):
            return [json.loads(line) for line in text.splitlines()]
        time.sleep(0.02)
    raise TimeoutError(log)


def statements(entries):
    """(text, parameters) of every statement of the client, without those that failed."""
    found, seen = [], set()
    for entry in entries:
        if entry.get("application_name") == OWN:
            continue
        message = entry.get("message", "")
        if entry.get("error_severity") == "ERROR" and found:
            found.pop()
            continue
        match = re.match(r"(?:statement|execute [^:]*): (.*)", message, re.S)
        if not match or not of_interest(match[1]):
            continue
        detail = entry.get("detail", "")
        parameters = [p for p in re.findall(r"\$\d+ = ('(?:[^']|'')*'|NULL)", detail)]
        key = (match[1], tuple(parameters))
        if key not in seen:
            seen.add(key)
            found.append(key)
    return found


def steady(client, text):
    """dbt's made-up table names change from run to run; the schema's own table stands in for them."""
    if client != "dbt":
        return text
    text = re.sub(r"/\* \{.*?\} \*/\n?", "", text)
    return re.sub(r"table_name = '\w+'", "table_name = 'tx'", text)


class Oids:
    """OIDs of the schema's objects as names, both ways."""

    def __init__(self, connection):
        rows = connection.execute(
            "SELECT c.oid, n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE n.nspname IN ('public','raw','processed','features')"
            " UNION ALL SELECT oid, nspname FROM pg_namespace WHERE nspname IN ('public','raw','processed','features')"
        ).fetchall()
        self.names = {str(oid): name for oid, name in rows}
        self.oids = {f"<{name}>": oid for oid, name in self.names.items()}

    def hide(self, text):
        return re.sub(r"(?<![\w.])\d{4,5}(?![\w.])", lambda m: f"<{self.names[m[0]]}>" if m[0] in self.names else m[0], text)


def value(text):
    return "\\N" if text is None else str(text).replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def answer(connection, text, parameters):
    """Asks again; every value in its text form."""
    cursor = connection.cursor()
    literal = re.sub(r"\$(\d+)", lambda m: parameters[int(m[1]) - 1], text) if parameters else text
    cursor.execute(literal.encode())
    result = cursor.pgresult
    names = [result.fname(i).decode() for i in range(result.nfields)]
    rows = [[result.get_value(r, c) for c in range(result.nfields)] for r in range(result.ntuples)]
    return names, [[None if v is None else v.decode() for v in row] for row in rows]


def main():
    log = pathlib.Path(sys.argv[1])
    clients = sys.argv[2:] or ["psql", "psycopg3", "psycopg2", "sqlalchemy", "asyncpg", "dbt", "pgjdbc"]
    connection = psycopg.connect(dbname="tarn", autocommit=True, application_name=OWN)
    oids = Oids(connection)
    for client in clients:
        folder = OUT / client
        folder.mkdir(exist_ok=True)
        for ask in asks(client):
            start = log.stat().st_size
            run(client, ask)
            found = statements(logged(log, start, connection))
            title = PSQL[ask] if client == "psql" else ask
            sql, expected = [f"-- asked: {title}\n"], []
            for text, parameters in dict.fromkeys((steady(client, t), p) for t, p in found):
                try:
                    told = answer(connection, text, parameters)
                except psycopg.Error as error:
                    print(f"{client}/{ask}: left out, {str(error).splitlines()[0]}: {text[:80]}")
                    continue
                names, rows = told
                sql.append("\n-- query" + "".join(f" {p}" for p in parameters) + "\n" + oids.hide(text.strip()).rstrip(";") + "\n")
                expected.append("-- query\n" + "\t".join(names) + "\n")
                expected.extend(oids.hide("\t".join(value(v) for v in row)) + "\n" for row in rows)
            if expected:
                (folder / f"{ask}.sql").write_text("".join(sql))
                (folder / f"{ask}.expected").write_text("".join(expected))


main()
