"""What SQLAlchemy 2 asks when it connects and reflects."""
import sys
sys.path.pop(0)  # this file has the module's name
from sqlalchemy import MetaData, create_engine, inspect

_ENGINE = create_engine("postgresql+psycopg:///tarn")


def connect(i):
    i.bind.connect().close()


def get_schema_names(i):
    i.get_schema_names()


def get_table_names(i):
    i.get_table_names()
    i.get_table_names(schema="raw")


def get_temp_table_names(i):
    i.get_temp_table_names()


def get_view_names(i):
    i.get_view_names(schema="processed")


def get_materialized_view_names(i):
    i.get_materialized_view_names(schema="features")


def get_view_definition(i):
    i.get_view_definition("big", schema="processed")


def has_table(i):
    i.has_table("labels")
    i.has_table("nothing", schema="raw")


def has_schema(i):
    i.has_schema("raw")


def get_columns(i):
    i.get_columns("tx", schema="raw")


def get_columns_default_schema(i):
    i.get_columns("labels")


def get_multi_columns(i):
    i.get_multi_columns(schema="raw")


def get_pk_constraint(i):
    i.get_pk_constraint("tx", schema="raw")


def get_foreign_keys(i):
    i.get_foreign_keys("tx", schema="raw")


def get_unique_constraints(i):
    i.get_unique_constraints("tx", schema="raw")


def get_check_constraints(i):
    i.get_check_constraints("tx", schema="raw")


def get_indexes(i):
    i.get_indexes("tx", schema="raw")


def get_table_comment(i):
    i.get_table_comment("tx", schema="raw")


def get_table_options(i):
    i.get_table_options("tx", schema="raw")


def get_sequence_names(i):
    i.get_sequence_names()


def has_sequence(i):
    i.has_sequence("nothing")


def get_enums(i):
    i.get_enums()


def get_domains(i):
    i.get_domains()


def has_type(i):
    i.dialect.has_type(i.bind.connect(), "mood")


def reflect(i):
    MetaData().reflect(i.bind, schema="raw", views=True)


globals()[sys.argv[1]](inspect(_ENGINE))
