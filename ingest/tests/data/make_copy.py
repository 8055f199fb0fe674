#!/usr/bin/env python3
"""Makes copy.tsv: inputs of COPY FROM, and the rows or the error that PostgreSQL 15 gives.

    make_copy.py CONNECTION > copy.tsv

CONNECTION is a psql connection string of a superuser of a server on this machine, which must be
able to read the temporary folder. Columns, in COPY's text format: table, options, input in
hexadecimal, SQLSTATE or 00000, message, detail, hint, context, rows. A row is its values, each an
x and hexadecimal digits or N for NULL, joined by commas; rows are joined by semicolons.
"""
import os
import random
import subprocess
import sys
import tempfile

TABLES = {
    "one": "a text",
    "two": "a text, b text",
    "typed": "a integer, b date, c varchar(3)",
}

OPTIONS = {
    "csv": "FORMAT csv",
    "csv-header": "FORMAT csv, HEADER true",
    "csv-match": "FORMAT csv, HEADER match",
    "csv-escape": "FORMAT csv, ESCAPE '\\'",
    "csv-odd": "FORMAT csv, DELIMITER ';', QUOTE '''', NULL 'N'",
    "csv-force": "FORMAT csv, NULL 'N', FORCE_NULL (a), FORCE_NOT_NULL (b)",
    "csv-force-both": "FORMAT csv, NULL 'N', FORCE_NULL (a, b), FORCE_NOT_NULL (a)",
    "text": "FORMAT text",
    "text-header": "FORMAT text, HEADER match",
    "text-odd": "FORMAT text, DELIMITER '|', NULL ''",
}

CSV_PIECES = ["a", "b", "N", " ", ",", ",", ",", ";", '"', '"', '"', "'", "\\", ".", "é", "\n", "\n", "\n", "\r", "\r\n", '"x"', '"",', "\\.\n"]
TEXT_PIECES = ["a", "N", "x", "t", "1", "7", "4", "\t", "\t", "\t", "|", "\\", "\\", "\\", ".", "é", "\n", "\n", "\n", "\r", "\r\n", "\\N", "\\.\n", "\\t", "\\x4", "\\101"]


def by_hand():
    """Cases that each show one rule."""
    two = [
        b"", b"\n", b"a,b", b"a,b\n", b"a,b\r\nc,d\r\n", b"a,b\rc,d\r", b"a,b\rc,d", b"a,b\r\nc,d\n", b"a,b\nc,d\r\n", b"a,b\nc\rd,e\n",
        b"a,b\n\\.\nc\n", b"a,b\n\\.", b"a,b\r\n\\.\r\nc,d\r\n", b"a,b\r\n\\.\nc,d\r\n", b"a,b\n\\.\r\n", b"a,b\n\\.x,y\n", b"\\.\n", b"\\.\r\n",
        b'a,"b\nc"\nd\n', b'"a\r\nb",c\r\nd\r\n', b'"a""b",""\n', b'a"b,"c\n', b'"a,b', b'x"a,b"y,z\n', b'"a"b,"c"d\n', b'"a" ,b\n', b'"",\n', b'N,"N"\n',
        b"a\n", b"a,b,c\n", b"a,b\nc,d,e\n", b"\xff,b\n", b"a,\xc3\x28\n", b"ok,ok\na\xe2\x82,b\n", b"a\x00,b\n", b"a,b\nc,\xff\nx\n", b"x\n\xff,b\n",
        b"a,b\r", b"a,b\n\r", b"a,b\n\n", b",\n", b"a,b\n,", b'"a\\"b",c\n', b'"a\\\\",c\n', b'"a\\b",c\n', b"\\N,\\t\n",
        b'"' + b"q" * 150 + b'"\n', b"a," + "é".encode() * 80 + b",c\n",
        b'"h1\nh2",b\nx,y\nz\n', b"a,b\nx,y\n", b"b,a\nx,y\n", b"a\nx,y\n", b"a,b,c\nx,y\n", b"N,b\nx,y\n", b'"N",b\n', b",b\nx,y\n", b'"a","b"\nx,y\n', b"A,b\n", b"a,b\r\nx,y\r\n",
    ]
    for data in two:
        for name in OPTIONS:
            if name.startswith("csv"):
                yield "two", name, data
    text = [
        b"", b"\n", b"a\tb", b"a\tb\n", b"a\\\tb\tc\n", b"a\\\nb\tc\nd\n", b"\\N\t\\\\N\n", b"\\N\\N\tb\n", b"\\.\n", b"a\tb\n\\.\nc\n", b"a\tb\n\\.", b"a\tb\\.\n", b"a\tb\\.c\n",
        b"a\tb\r\nc\td\r\n", b"a\tb\rc\td\r", b"a\tb\nc\td\r\n", b"a\tb\r\nc\td\n", b"a\tb\r\n\\.\n", b"a\tb\n\\.\r\n", b"a\tb\r\n\\.\r\n", b"a\tb\r\n\\.x",
        b"\\b\\f\\n\\r\\t\\v\\a\t\\1\\12\\123\\1234\\8\\x\\x4\\x41\\x411\\xg\n", b"\\xff\tb\n", b"\\xc3\\xa9\tb\n", b"\\000\tb\n", b"\\x00\tb\n", b"\\377\tb\n", b"a\tb\\", b"a\\", b"a\n", b"a\tb\tc\n",
        b"\xff\tb\n", b"a\t\x00\n", b"x\\\ty\n", b"\\\r\tb\n", b"\\\r\n\tb\n", b"|\n", b"a|b\n", b"a\\|b|\n", b"|\\N\n", b"\\|\\\n|x\nz\n", b"a\tb\nx\ty\n", b"b\ta\n",
    ]
    for data in text:
        for name in OPTIONS:
            if name.startswith("text"):
                yield "two", name, data
    one = [b"", b"\n", b"\n\n", b"a\n\nb\n", b'""\n', b"\\.\n", b" \n", b"a", b"\r\n\r\n", b"a,\n"]
    for data in one:
        yield "one", "csv", data
        yield "one", "text", data
        yield "one", "csv-header", data
    typed = [
        b"1,2013-01-31,abc\n2,2013-02-01,\n", b"1,2013-01-31,abcd\n", b"x,2013-13-01,abcd\n", b"1,2013-13-01,abcd\n", b"1\n", b"x\n", b"1,2013-13-01\n", b"1,x\n2\n", b"1,2013-01-31,a\n2,bad,b\n3\n",
        b"1,2013-01-31,a\n2\n3,bad,b\n", b"99999999999,,\n", b",,\n", b'"1","2013-01-31"," a "\n', b'1,2013-01-31,"a\nb"\nx,,\n', b'1,"x\ny",\n', b"1,2013-01-31,a,b\n", b"x,2013-01-31,a,b\n",
    ]
    for data in typed:
        yield "typed", "csv", data
        yield "typed", "text", data.replace(b",", b"\t")


def at_random(generator):
    for name in OPTIONS:
        pieces = CSV_PIECES if name.startswith("csv") else TEXT_PIECES
        for _ in range(160):
            count = generator.randrange(1, 14)
            data = "".join(generator.choice(pieces) for _ in range(count))
            yield generator.choice(["one", "two"]), name, data.encode()


def main():
    cases = list(by_hand()) + list(at_random(random.Random(15)))
    # Options that name columns need a table that has them.
    cases = [case for case in cases if not (case[0] == "one" and "force" in case[1])]
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        lines = [
            "SET client_min_messages = error;",
            "CREATE FUNCTION pg_temp.attempt(statement text, rows text) RETURNS text[] LANGUAGE plpgsql AS $$",
            "DECLARE state text := '00000'; message text := ''; detail text := ''; hint text := ''; context text := ''; shown text := '';",
            "BEGIN BEGIN EXECUTE statement; EXECUTE rows INTO shown; EXCEPTION WHEN OTHERS THEN",
            "GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,",
            "hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT; END;",
            "RETURN ARRAY[state, message, detail, hint, split_part(context, E'\\nSQL statement', 1), shown]; END $$;",
            "CREATE TEMP TABLE answers (number serial, kind text, options text, input text, answer text[]);",
        ]
        for number, (table, name, data) in enumerate(cases):
            path = os.path.join(folder, str(number))
            with open(path, "wb") as file:
                file.write(data)
            os.chmod(path, 0o644)
            columns = [column.split()[0] for column in TABLES[table].split(", ")]
            row = "||','||".join(f"coalesce('x' || encode(convert_to({c}::text, 'UTF8'), 'hex'), 'N')" for c in columns)
            statement = f"COPY t FROM '{path}' WITH ({OPTIONS[name]})".replace("'", "''")
            rows = f"SELECT coalesce(string_agg({row}, ';' ORDER BY ctid), '') FROM t".replace("'", "''")
            lines.append(f"DROP TABLE IF EXISTS t; CREATE TEMP TABLE t ({TABLES[table]});")
            lines.append(
                f"INSERT INTO answers (kind, options, input, answer) "
                f"SELECT '{table}', '{name}', '{data.hex()}', pg_temp.attempt('{statement}', '{rows}');"
            )
        lines.append(
            "COPY (SELECT kind, options, input, answer[1], answer[2], answer[3], answer[4], answer[5], answer[6] "
            "FROM answers ORDER BY number) TO STDOUT;"
        )
        script = os.path.join(folder, "script.sql")
        with open(script, "w") as file:
            file.write("\n".join(lines))
        subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script, sys.argv[1]], check=True)


main()
