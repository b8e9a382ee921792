"""Whether a database has the schema that this version of the library is for."""

from __future__ import annotations

from ...errors import BrokerUnavailableError
from ..servers.troubles import UnreachableError
from .faults import POOLED, RefusedError
from .statements import VERSION, VERSION_OF
from .values import read_int
from .wire import Wire

__all__ = ["check_schema", "check_version"]


async def check_schema(wire: Wire) -> None:
    """See that this is what can be worked with.

    Raises:
      RefusedError: there is no schema, or another version's, or the role may not, or there is a
        pooler between.
      UnreachableError: it is a standby.
    """
    if wire.is_pooled:
        raise RefusedError(
            "PostgreSQL is behind a pooler here, which gives each transaction another connection: "
            "a broker needs connections that stay its own, without a pooler between",
            POOLED,
        )
    try:
        version, standby = await wire.one(VERSION_OF)
    except RefusedError as exc:
        if exc.state == "42501":
            raise RefusedError(
                "this role may not open a broker in this PostgreSQL database: its owner lets it "
                "by SELECT trio_stream.let_serve(role)",
                exc.state,
            ) from None
        if exc.state not in {"3F000", "42P01"}:
            raise
        raise RefusedError(
            "this PostgreSQL database has no topics yet: run trio-stream migrate with its URL",
            exc.state,
        ) from None
    if read_int(standby or b""):
        raise UnreachableError("this PostgreSQL is a standby, which can only be read")
    check_version(read_int(version or b""))


def check_version(found: int) -> None:
    """`BrokerUnavailableError` for a schema of another version."""
    if found < VERSION:
        raise BrokerUnavailableError(
            f"the topics of this PostgreSQL database have version {found} of their schema, and "
            f"this trio_stream needs {VERSION}: run trio-stream migrate with its URL"
        )
    if found > VERSION:
        raise BrokerUnavailableError(
            f"the topics of this PostgreSQL database have version {found} of their schema, and "
            f"this trio_stream knows {VERSION}: run a newer trio_stream"
        )
