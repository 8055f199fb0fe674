"""SQLAlchemy connects as to PostgreSQL, reflects, and its statements work."""

import pytest
import sqlalchemy as sa


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
        assert connection.execute(sa.select(table).where(table.c.id.in_([1, 2]))).all()[0].name == "n1"
        assert connection.scalar(sa.select(sa.func.count()).select_from(table).where(table.c.name.is_(None))) == 0


def test_rollback(engine: sa.Engine, schema: str) -> None:
    """A connection without commit leaves nothing."""
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE TABLE {schema}.t (a integer)"))
    with engine.connect() as connection:
        connection.execute(sa.text(f"INSERT INTO {schema}.t VALUES (1)"))
    with engine.connect() as connection:
        assert connection.scalar(sa.text(f"SELECT count(*) FROM {schema}.t")) == 0
