"""What psycopg 3 asks: connecting, type look-ups."""
import sys
import psycopg
from psycopg.types import TypeInfo
from psycopg.types.composite import CompositeInfo
from psycopg.types.enum import EnumInfo
from psycopg.types.multirange import MultirangeInfo
from psycopg.types.range import RangeInfo


def connect(c):
    c.execute("SELECT 1")


def type_info(c):
    TypeInfo.fetch(c, "jsonb")
    TypeInfo.fetch(c, "hstore")
    TypeInfo.fetch(c, "pg_catalog.int4")


def composite_info(c):
    CompositeInfo.fetch(c, "no_such_type")


def enum_info(c):
    EnumInfo.fetch(c, "no_such_type")


def range_info(c):
    RangeInfo.fetch(c, "no_such_type")
    MultirangeInfo.fetch(c, "no_such_type")


with psycopg.connect(dbname="tarn") as connection:
    globals()[sys.argv[1]](connection)
