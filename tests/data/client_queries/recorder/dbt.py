"""What dbt-postgres asks for a project of a table, a view, an incremental model, a snapshot and tests."""
import os
import pathlib
import sys
sys.path.pop(0)  # this file has the module's name
import tempfile

_FILES = {
    "dbt_project.yml": "name: p\nversion: '1.0.0'\nprofile: p\nflags: {send_anonymous_usage_stats: false}\n",
    "profiles.yml": "p:\n  target: dev\n  outputs:\n    dev: {type: postgres, host: %s, port: %s, user: %s, password: x, dbname: tarn, schema: raw, threads: 1}\n"
    % (os.environ["PGHOST"], os.environ["PGPORT"], os.environ["PGUSER"]),
    "models/a.sql": "{{ config(materialized='table') }} select 1 as id, 'x'::text as name",
    "models/b.sql": "select id from {{ ref('a') }}",
    "models/c.sql": "{{ config(materialized='incremental', unique_key='id') }} select id from {{ ref('a') }}",
    "models/schema.yml": "models:\n  - name: a\n    description: first\n    config: {persist_docs: {relation: true, columns: true}}\n    columns: [{name: id, description: key, data_tests: [unique, not_null]}]\n",
    "seeds/s.csv": "id,name\n1,x\n",
}


def _dbt(*arguments):
    from dbt.cli.main import dbtRunner
    result = dbtRunner().invoke([*arguments, "--project-dir", str(_HERE), "--profiles-dir", str(_HERE), "--quiet"])
    assert result.success, result.exception


def _clean():
    import psycopg
    with psycopg.connect(dbname="tarn", autocommit=True) as c:
        c.execute("DROP TABLE IF EXISTS raw.a, raw.c, raw.s CASCADE")


def build():
    _dbt("build")
    _dbt("build")
    _clean()


def docs():
    _dbt("build")
    _dbt("docs", "generate")
    _clean()


_HERE = pathlib.Path(tempfile.gettempdir()) / "tarn-record-dbt"
for name, text in _FILES.items():
    (_HERE / name).parent.mkdir(parents=True, exist_ok=True)
    (_HERE / name).write_text(text)
globals()[sys.argv[1]]()
