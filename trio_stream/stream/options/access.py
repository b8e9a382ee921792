"""Who may have a stream: whose it is said to be, and what is asked before and while it is open."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import trio

from ...checks import check_callable, check_seconds
from ..answers.refusal import FORBIDDEN, Refusal
from .principals import check_principal

if TYPE_CHECKING:
    from ...transport.asgi import Scope

__all__ = ["Access", "Authorize", "Verdict"]

#: What `Stream` takes as ``authorize``, and what that may say.
Verdict = str | int | Refusal | None
Authorize = Callable[[Any], Verdict | Awaitable[Verdict]]

_WORDS = (
    "authorize= returns a principal as text, True, a status such as 403, a Refusal, or None, which "
    "is a 403"
)


@dataclass(frozen=True, slots=True)
class Access:
    """The keywords of `Stream` that say who may have it."""

    principal: str | None
    authorize: Authorize | None
    recheck: float | None

    @classmethod
    def taken_from(cls, options: MutableMapping[str, Any]) -> Self:
        """What is given of these among all options: taken out, and checked."""
        principal, authorize = options.pop("principal", None), options.pop("authorize", None)
        recheck = options.pop("recheck", None)
        check_callable(
            "authorize", authorize, "takes the scope", takes=1, or_none=True, awaited=True
        )
        check_seconds("recheck", recheck, "None asks once", or_none=True)
        if recheck is not None and authorize is None:
            raise TypeError("recheck= needs authorize=, which is asked again")
        return cls(None if principal is None else check_principal(principal), authorize, recheck)

    async def ask(self, scope: Scope, principal: str | None) -> str | Refusal | None:
        """What `authorize` says of a request: a refusal, or whose stream it is.

        Args:
          principal: whose it is as far as is known; for another one it is refused.

        Raises whatever `authorize` does, and a `TypeError` or `ValueError` for what it returns.
        """
        assert self.authorize is not None
        verdict = self.authorize(scope)
        if inspect.isawaitable(verdict):
            verdict = await verdict
        else:
            await trio.lowlevel.checkpoint()
        if verdict is True:
            return principal
        if verdict is None or verdict is False:
            return FORBIDDEN
        if isinstance(verdict, Refusal):
            return verdict
        if isinstance(verdict, int):
            return _refusal_of(verdict)
        if not isinstance(verdict, str):
            raise TypeError(f"{_WORDS}, not a {type(verdict).__name__}")
        found = check_principal(verdict, "the principal that authorize= returns")
        return found if principal in {None, found} else FORBIDDEN


def _refusal_of(status: int) -> Refusal:
    try:
        return Refusal(status)
    except ValueError as exc:
        words = f"authorize= returned an int: {exc}. A user's number is str(number)"
        raise ValueError(words) from None
