"""One connection to Redis: the border at which whatever coredis raises becomes an error of ours."""

from __future__ import annotations

import re
from typing import Any, final

import coredis.exceptions
import trio
from coredis.connection import BaseConnection, Location

from ...errors import BrokerUnavailableError
from ..servers.troubles import ServerRefusedError, UnreachableError
from .script import Script

__all__ = ["PATIENCE", "MovedError", "RefusedError", "Wire", "translated"]

#: Seconds for a connection to be made, and for an answer to anything that does not block.
PATIENCE = 5.0

#: The first words of errors for which coredis has classes, and which it leaves out of their text.
_CODES = {
    coredis.exceptions.AuthenticationFailureError: "WRONGPASS",
    coredis.exceptions.AuthenticationRequiredError: "NOAUTH",
    coredis.exceptions.AuthorizationError: "NOPERM",
    coredis.exceptions.BusyLoadingError: "LOADING",
    coredis.exceptions.ClusterDownError: "CLUSTERDOWN",
    coredis.exceptions.NoScriptError: "NOSCRIPT",
    coredis.exceptions.ReadOnlyError: "READONLY",
    coredis.exceptions.TryAgainError: "TRYAGAIN",
    coredis.exceptions.UnblockedError: "UNBLOCKED",
    coredis.exceptions.UnknownCommandError: "UNKNOWN",
    coredis.exceptions.WrongTypeError: "WRONGTYPE",
}

#: What Redis calls ``ERR``.
_OURS = frozenset({"ERR", "UNKNOWN"})

#: The same for those for which it has none. Redis 6 says first which script was refused.
_IN_SCRIPT = r"Error running script .*?: -?(?=[A-Z]{2,} )"
_CODE = re.compile(rf"(?:{_IN_SCRIPT})?([A-Z]{{2,}})\b", re.DOTALL)

#: What is left out of an error's text: the place in a script, which is not where the fault is, and
#: arguments, which may be a password or an event.
_TOO_MUCH = re.compile(rf"^{_IN_SCRIPT}|,? (?:script: |with args beginning).*", re.DOTALL)

#: Answers of a Redis that is not the one to talk to: it starts, or another one has the keys. They
#: are as good as none, and who it is now is asked again.
_ELSEWHERE = frozenset({"CLUSTERDOWN", "LOADING", "MASTERDOWN", "TRYAGAIN", "UNBLOCKED"})

#: Answers of one that will do it after a while, or another one in its place.
_PASSING = frozenset({"BUSY", "MISCONF", "NOREPLICAS", "READONLY"})


class MovedError(UnreachableError):
    """It is a node of a cluster, and another one has the keys, or is getting them.

    Attributes:
      host, port: the other one.
      for_good: whether it has them all.
    """

    def __init__(self, host: str, port: int, for_good: bool) -> None:
        there = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        super().__init__(
            "this Redis is a node of a cluster, and another one has the broker's keys, "
            f"{there}: open redis+cluster://{there}"
        )
        self.host = host
        self.port = port
        self.for_good = for_good

    def __reduce__(self) -> tuple[type[MovedError], tuple[str, int, bool]]:
        return (type(self), (self.host, self.port, self.for_good))


class RefusedError(ServerRefusedError):
    """Redis answered with an error, and nothing was done.

    Attributes:
      code: the error's first word, such as ``"OOM"``.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[RefusedError], tuple[str, str]]:
        return (type(self), (str(self), self.code))

    @property
    def passes(self) -> bool:
        """Whether Redis will do it after a while, without anybody's doing."""
        return self.code in _PASSING

    @property
    def is_for_all(self) -> bool:
        """Whether it refuses all that is written now, and not this alone."""
        return self.passes or self.code == "OOM"


@final
class Wire:
    """A connection, from its making to its end.

    Attributes:
      location: where to.
      failure: why it was given up from this side; None when it was not.
    """

    def __init__(self, connection: BaseConnection, location: Location) -> None:
        self._connection = connection
        self.location = location
        self._reads_alone = True
        self.failure: BrokerUnavailableError | None = None

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Connect, and return when the connection is lost.

        Raises:
          UnreachableError, RefusedError: there never was one.
        """
        try:
            await self._connection.run(task_status=task_status)
        except Exception as exc:  # noqa: BLE001  # nothing of ours is done in there
            raise translated(exc) from None
        finally:
            # What coredis 6.9 leaves open, and warns of, when a connection is refused.
            for value in vars(self._connection).values():
                if type(value).__name__ in {"MemoryObjectSendStream", "MemoryObjectReceiveStream"}:
                    value.close()

    def give_up(self, why: BrokerUnavailableError) -> None:
        """Have the connection closed, if it is not lost already."""
        if self._connection.usable and self.failure is None:
            self.failure = why
            self._connection.invalidate()

    async def request(self, command: bytes, *args: Any, timeout: float = PATIENCE) -> Any:
        """Ask Redis, and return its answer as bytes and lists.

        Raises:
          UnreachableError: there is no answer.
          RefusedError: the answer is an error.
        """
        try:
            return await self._connection.create_request(
                command, *args, decode=False, timeout=timeout, disconnect_on_cancellation=False
            )
        except Exception as exc:  # noqa: BLE001  # anyio's; whatever ended coredis' tasks
            error = translated(exc)
        if isinstance(error, UnreachableError):  # nobody knows what it would answer next
            self.give_up(error)
        raise error from None

    async def call(self, script: Script, keys: list[str], *args: Any) -> Any:
        """Run a script that Redis has or has not got yet; raises what `request` does.

        One that only reads is told to, where Redis knows how (7.0): it goes on while writing is
        paused.
        """
        if script.reads and self._reads_alone:
            try:
                return await self._call(b"_RO", script, keys, args)
            except RefusedError as exc:
                if exc.code not in {"UNKNOWN", "NOPERM"}:
                    raise
                self._reads_alone = False
        return await self._call(b"", script, keys, args)

    async def _call(self, ending: bytes, script: Script, keys: list[str], args: Any) -> Any:
        try:
            return await self.request(b"EVALSHA" + ending, script.sha, len(keys), *keys, *args)
        except RefusedError as exc:
            if exc.code != "NOSCRIPT":
                raise
        return await self.request(b"EVAL" + ending, script.text, len(keys), *keys, *args)


def translated(exc: Exception) -> UnreachableError | RefusedError:
    """The error that a user gets, whose text tells all: what is behind it may hold a password."""
    if isinstance(exc, coredis.exceptions.AskError):
        for_good = isinstance(exc, coredis.exceptions.MovedError)
        return MovedError(exc.host, exc.port, for_good)
    if isinstance(exc, TimeoutError):
        return UnreachableError("Redis does not answer in time")
    text = _text(exc)
    code = _code(exc)
    if code and not text.startswith(code) and code not in _OURS:
        text = f"{code} {text}"
    if code == "NOAUTH":
        # What it says of its protocol would hide that.
        text = "NOAUTH Authentication required. It belongs into the URL: redis://user:password@host"
    if code and code not in _ELSEWHERE:
        return RefusedError(f"Redis answered: {text}", code)
    return UnreachableError(f"Redis does not answer: {text}")


def _code(exc: Exception) -> str:
    """The first word of an error that Redis answered, or ``""``."""
    code = next((_CODES[kind] for kind in type(exc).__mro__ if kind in _CODES), "")
    if not code and isinstance(exc, coredis.exceptions.ResponseError):
        found = _CODE.match(str(exc))
        code = found[1] if found else "ERR"
    return code


def _text(exc: BaseException) -> str:
    """What an exception says, and the one behind it, such as what is wrong with a certificate."""
    texts = [_TOO_MUCH.sub("", str(exc)) or type(exc).__name__]
    if exc.__cause__ is not None and str(exc.__cause__):
        texts.append(_text(exc.__cause__))
    return ": ".join(texts)
