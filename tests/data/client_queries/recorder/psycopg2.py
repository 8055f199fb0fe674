"""What psycopg 2 asks: connecting, type look-ups."""
import sys
sys.path.pop(0)  # this file has the module's name
import psycopg2
import psycopg2.extras


def connect(c):
    c.cursor().execute("SELECT 1")


def settings(c):
    c.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=True)
    c.cursor().execute("SHOW server_version")


def hstore(c):
    psycopg2.extras.HstoreAdapter.get_oids(c)


def composite(c):
    try:
        psycopg2.extras.register_composite("no_such_type", c)
    except psycopg2.ProgrammingError:
        pass


connection = psycopg2.connect(dbname="tarn")
globals()[sys.argv[1]](connection)
