"""Making the tables of topics in a PostgreSQL database: ``trio-stream migrate URL``."""

from __future__ import annotations

import re
from importlib.resources import files

import psycopg

from ...errors import BrokerUnavailableError
from .address import conninfo_of
from .entrance import check_version
from .statements import VERSION

__all__ = ["migrate", "schema_sql"]

#: The first of the versions that can be brought to this one, each by a file to the next.
_OLDEST = 1

#: What is replaced in a database that has an older version of it.
_FUNCTION = re.compile(r"^CREATE FUNCTION .*?\$\$;$", re.DOTALL | re.MULTILINE)

#: Who may serve, or publish, may call what is new, too; and nobody else.
_GRANTS = """
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA trio_stream FROM PUBLIC;
DO $do$ DECLARE
    may record;
BEGIN
    FOR may IN SELECT DISTINCT proname, pg_get_userbyid(grantee) AS role
        FROM pg_proc, aclexplode(proacl) WHERE pronamespace = 'trio_stream'::regnamespace
        AND proname IN ('enter', 'publish') AND grantee <> proowner
    LOOP
        IF may.proname = 'enter' THEN
            PERFORM trio_stream.let_serve(may.role);
        ELSE
            EXECUTE format('GRANT EXECUTE ON FUNCTION trio_stream.check_fully(bytea, bytea, bytea, '
                'bytea, boolean, bytea, double precision), trio_stream.will_number(bigint), '
                'trio_stream.number_own() TO %I', may.role);
        END IF;
    END LOOP;
END $do$
"""


def schema_sql() -> str:
    """What makes all of it in a database that has nothing of it, for people with migrations."""
    return (files(__package__) / "schema.sql").read_text()


def _upgrade_sql(found: int) -> str:
    """What makes this version of an older one, with all that is there."""
    steps = [
        (files(__package__) / f"from_{version}.sql").read_text()
        for version in range(found, VERSION)
    ]
    functions = _FUNCTION.findall(schema_sql())
    replaced = [text.replace("CREATE", "CREATE OR REPLACE", 1) for text in functions]
    return "\n".join([*steps, *replaced, _GRANTS])


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
            found = _version(connection)
            if found == VERSION:
                return f"it has version {VERSION} already"
            if found:
                connection.execute(_upgrade_sql(found).encode())
                return f"made version {VERSION} of version {found}"
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
    """Of what is there, 0 for nothing; an error, if that cannot be brought to this one."""
    [[there]] = connection.execute("SELECT to_regclass('trio_stream.log') IS NOT NULL").fetchall()
    if not there:
        return 0
    [[version]] = connection.execute("SELECT version FROM trio_stream.log").fetchall()
    assert isinstance(version, int)
    if not _OLDEST <= version < VERSION:
        check_version(version)
    return version
