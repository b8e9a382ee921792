"""Making the tables of topics in a PostgreSQL database: ``trio-stream migrate URL``."""

from __future__ import annotations

from importlib.resources import files

import psycopg

from ...errors import BrokerUnavailableError
from .address import conninfo_of
from .entrance import check_version
from .statements import VERSION

__all__ = ["migrate", "schema_sql"]


def schema_sql() -> str:
    """What makes all of it in a database that has nothing of it, for people with migrations."""
    return (files(__package__) / "schema.sql").read_text()


def migrate(url: str) -> str:
    """Bring a database to this version of the schema, in one transaction; says what was done.

    Raises:
      ValueError: it is no URL of PostgreSQL.
      BrokerUnavailableError: it cannot be reached, has a newer version, or the role may not.
    """
    try:
        with psycopg.connect(conninfo_of(url)) as connection:
            # One at a time: two that see that nothing is there would both make it.
            connection.execute("SELECT pg_advisory_xact_lock(1953655151, 5)")
            if _version(connection):
                return f"it has version {VERSION} already"
            # libpq takes many statements at once where there are no values.
            connection.execute(schema_sql().encode())
            return f"made version {VERSION}"
    except psycopg.errors.InsufficientPrivilege:
        raise BrokerUnavailableError(
            "PostgreSQL: this role may not make a schema in the database: do it as the database's "
            "owner, or as one whom he grants CREATE ON DATABASE; trio-stream migrate --sql prints "
            "what there is to do"
        ) from None
    except psycopg.errors.DuplicateSchema:
        raise BrokerUnavailableError(
            "PostgreSQL: the database has a schema trio_stream already, without topics; "
            "if nothing else needs it, DROP SCHEMA trio_stream"
        ) from None
    except psycopg.Error as exc:
        message = exc.diag.message_primary or " ".join(str(exc).split())
        raise BrokerUnavailableError(f"PostgreSQL: {message}") from None


def _version(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    """Of what is there, 0 for nothing; there is no older one yet that could be brought to this."""
    [[there]] = connection.execute("SELECT to_regclass('trio_stream.log') IS NOT NULL").fetchall()
    if not there:
        return 0
    [[version]] = connection.execute("SELECT version FROM trio_stream.log").fetchall()
    assert isinstance(version, int)
    check_version(version)
    return version
