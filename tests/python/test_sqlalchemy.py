"""SQLAlchemy connects as to PostgreSQL, reflects, and its statements work."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql


@pytest.fixture
def engine(pg_address: tuple[str, int]) -> sa.Engine:
    """The dialect that its users take, over psycopg 3."""
    host, port = pg_address
    return sa.create_engine(f"postgresql+psycopg://tarn@{host}:{port}/tarn")


def test_reflects(engine: sa.Engine, schema: str) -> None:
    """Names, columns, types, nullability, views, comments."""
    with engine.begin() as connection:
        connection.execute(
            sa.text(f"CREATE TABLE {schema}.t (id bigint NOT NULL, name text, price numeric(10,2), at timestamptz, tags text[])")
        )
        connection.execute(sa.text(f"COMMENT ON TABLE {schema}.t IS 'a table'"))
        connection.execute(sa.text(f"CREATE VIEW {schema}.v AS SELECT id FROM {schema}.t"))
        connection.execute(sa.text(f"CREATE MATERIALIZED VIEW {schema}.m AS SELECT id FROM {schema}.t"))
    inspector = sa.inspect(engine)
    assert {"raw", "processed", "features", "public", schema} <= set(inspector.get_schema_names())
    assert inspector.get_table_names(schema) == ["t"]
    assert inspector.get_view_names(schema) == ["v"]
    assert inspector.get_materialized_view_names(schema) == ["m"]
    assert inspector.has_table("t", schema) and not inspector.has_table("nowhere", schema)
    columns = [(one["name"], str(one["type"]), one["nullable"]) for one in inspector.get_columns("t", schema)]
    assert columns == [
        ("id", "BIGINT", False), ("name", "TEXT", True), ("price", "NUMERIC(10, 2)", True),
        ("at", "TIMESTAMP", True), ("tags", "ARRAY", True),
    ]  # fmt: skip
    assert inspector.get_table_comment("t", schema) == {"text": "a table"}
    assert inspector.get_pk_constraint("t", schema)["constrained_columns"] == []
    assert inspector.get_foreign_keys("t", schema) == []
    assert inspector.get_indexes("t", schema) == []
    with engine.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {schema}.t ADD CONSTRAINT by_name PRIMARY KEY (name, id) NOT ENFORCED"))
    key = sa.inspect(engine).get_pk_constraint("t", schema)
    assert (key["name"], key["constrained_columns"]) == ("by_name", ["name", "id"])


def test_core_statements(engine: sa.Engine, schema: str) -> None:
    """A table made, filled, joined and counted by SQLAlchemy's own language."""
    table = sa.Table(
        "t", sa.MetaData(schema=schema),
        sa.Column("id", sa.BigInteger, nullable=False), sa.Column("name", sa.Text), sa.Column("price", sa.Numeric(10, 2)),
    )  # fmt: skip
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(table), [{"id": n, "name": f"n{n % 3}", "price": n} for n in range(10)])
        connection.execute(sa.update(table).where(table.c.id == 0).values(name="zero"))
        connection.execute(sa.delete(table).where(table.c.id > 8))
    counted = sa.select(table.c.name, sa.func.count(), sa.func.sum(table.c.price)).group_by(table.c.name).order_by(table.c.name)
    with engine.connect() as connection:
        rows = connection.execute(counted).all()
        assert [tuple(row) for row in rows] == [("n0", 2, 9), ("n1", 3, 12), ("n2", 3, 15), ("zero", 1, 0)]
        assert connection.execute(sa.select(table).where(table.c.id.in_([1, 2])).order_by(table.c.id)).all()[0].name == "n1"
        assert connection.scalar(sa.select(sa.func.count()).select_from(table).where(table.c.name.is_(None))) == 0


def test_upsert_and_returning(engine: sa.Engine, schema: str) -> None:
    """The dialect's own ON CONFLICT, and RETURNING of every statement that has it."""
    with engine.begin() as connection:
        connection.execute(
            sa.text(f"CREATE TABLE {schema}.t (id bigint PRIMARY KEY NOT ENFORCED, name text, n integer DEFAULT 7)")
        )
    table = sa.Table("t", sa.MetaData(schema=schema), autoload_with=engine)
    assert [column.name for column in table.primary_key] == ["id"]
    with engine.begin() as connection:
        made = connection.execute(sa.insert(table).values(id=1, name="one").returning(table.c.id, table.c.n)).one()
        assert tuple(made) == (1, 7)
        put = postgresql.insert(table).values([{"id": 1, "name": "uno", "n": 1}, {"id": 2, "name": "dos", "n": 2}])
        put = put.on_conflict_do_update(index_elements=["id"], set_={"name": put.excluded.name, "n": table.c.n + put.excluded.n})
        assert sorted(map(tuple, connection.execute(put.returning(table)).all())) == [(1, "uno", 8), (2, "dos", 2)]
        skip = postgresql.insert(table).values(id=2, name="again").on_conflict_do_nothing()
        assert connection.execute(skip.returning(table.c.id)).all() == []
        raised = sa.update(table).where(table.c.id == 2).values(n=table.c.n * 10).returning(table.c.n)
        assert connection.scalar(raised) == 20
        assert connection.scalar(sa.delete(table).where(table.c.id == 1).returning(table.c.name)) == "uno"
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(sa.select(table))] == [(2, "dos", 20)]


def test_rollback(engine: sa.Engine, schema: str) -> None:
    """A connection without commit leaves nothing."""
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE TABLE {schema}.t (a integer)"))
    with engine.connect() as connection:
        connection.execute(sa.text(f"INSERT INTO {schema}.t VALUES (1)"))
    with engine.connect() as connection:
        assert connection.scalar(sa.text(f"SELECT count(*) FROM {schema}.t")) == 0
