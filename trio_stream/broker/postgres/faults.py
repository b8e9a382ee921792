"""PostgreSQL's errors, by what a person, or a retry, can do about them."""

from __future__ import annotations

from psycopg import pq

from ...errors import BrokerUnavailableError
from ..servers.troubles import ServerRefusedError, UnreachableError

__all__ = ["POOLED", "RefusedError", "error_of"]

#: States of a server that is not the one to talk to now: it starts, ends, or is a standby.
_ELSEWHERE = frozenset({"25006", "57P01", "57P02", "57P03", "57P05", "53300"})

#: What is done after a while, without anybody's doing: somebody's lock, a time limit, a deadlock.
_PASSING = frozenset({"40001", "40P01", "55P03", "57014"})

#: What a statement meets that was prepared on another connection than it is run on: the first is
#: also the state of what says that there is a pooler.
POOLED = "26000"
_POOLED = frozenset({POOLED, "42P05"})

#: What says that the schema is not there, or not this version's.
_UNKNOWN = frozenset({"3F000", "42P01", "42703", "42883"})


class RefusedError(ServerRefusedError):
    """PostgreSQL answered with an error, and nothing was done.

    Attributes:
      state: its code, such as ``"53100"``.
    """

    def __init__(self, message: str, state: str) -> None:
        super().__init__(message)
        self.state = state

    def __reduce__(self) -> tuple[type[RefusedError], tuple[str, str]]:
        return (type(self), (str(self), self.state))

    @property
    def passes(self) -> bool:
        """Whether PostgreSQL will do it after a while, without anybody's doing."""
        return self.state in _PASSING

    @property
    def is_for_all(self) -> bool:
        """Whether it refuses all that is written now, and not this alone."""
        return self.state[:2] not in {"22", "23"}


def error_of(result: pq.abc.PGresult) -> BrokerUnavailableError:
    """What an answer that is an error is here.

    Its first line alone: the others may hold what is in a row, which is an event.
    """
    state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(
        errors="replace"
    )
    if not state or state[:2] == "08" or state in _ELSEWHERE:
        return UnreachableError(f"PostgreSQL: {message or 'the connection is lost'}")
    if state in _POOLED:
        message += ": a broker needs connections that stay its own, without a pooler between"
    if state in _UNKNOWN:
        message += ": run trio-stream migrate with this URL"
    return RefusedError(f"PostgreSQL: {message}", state)
