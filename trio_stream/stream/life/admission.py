"""Whether a request may have its stream: its limits, whose it is, and what `authorize` says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, final

from ...transport.base import ClientGone
from ...transport.while_connected import while_connected
from ..answers.refusal import FORBIDDEN, Refusal
from ..options.principals import current_principals

if TYPE_CHECKING:
    from ...transport.asgi import AsgiTransport, Scope
    from ..core.state import StreamState

__all__ = ["Admission"]

#: Answers a request that is refused.
Answer = Callable[[Any, Any], Awaitable[None]]


@final
class Admission:
    """One stream's, from the request to the stream's end."""

    __slots__ = ("_held", "_state")

    def __init__(self, state: StreamState) -> None:
        self._state = state
        self._held: tuple[Callable[[], None], ...] = ()

    async def ask(self, scope: Scope, transport: AsgiTransport) -> Answer | None:
        """What answers the request if it may not have the stream; else None, until `release`.

        The limits that need no principal are asked first: so many requests at once ask `authorize`,
        and no more. A checkpoint if there is one. Raises what it raises, ``key=`` and `receive`.

        Raises:
          ClientGone: the client has left meanwhile, and `authorize` was cancelled.
        """
        state = self._state
        limits, access = state.options.limits, state.options.access
        if limits is not None and not self._hold(limits.admit(scope)):
            return limits.answer
        if access.authorize is not None:
            asking = partial(access.ask, scope, state.principal)
            verdict, has_left = await while_connected(transport.wait_disconnected, asking)
            if has_left:
                raise ClientGone("the client has left before it was answered")
            if isinstance(verdict, Refusal):
                return verdict.answer
            state.principal = verdict
        if state.principal is None:
            return None
        if current_principals().is_refused(state.principal):
            return FORBIDDEN.answer
        if limits is not None and not self._hold(limits.admit_principal(state.principal)):
            return limits.answer
        return None

    def claim(self, principal: str) -> bool:
        """The open stream, which was nobody's, is this one's: whether he may have one now.

        It counts for his limit, which ends none that is open.
        """
        if current_principals().is_refused(principal):
            return False
        self._state.principal = principal
        current_principals().join(self._state)
        limits = self._state.options.limits
        if limits is not None:
            self._hold(limits.admit_principal(principal, is_open=True))
        return True

    def _hold(self, release: Callable[[], None] | None) -> bool:
        if release is not None:
            self._held += (release,)
        return release is not None

    def release(self) -> None:
        """It is over: others may have its place."""
        held, self._held = self._held, ()
        for release in held:
            release()
