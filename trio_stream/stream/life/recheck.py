"""Asking `authorize` again while a stream is open."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from ..answers.refusal import Refusal
from ..apart import about
from ..outcome import Outcome
from ..registry import current_registry

if TYPE_CHECKING:
    from ..core.state import StreamState
    from .admission import Admission

__all__ = ["plan_recheck", "recheck"]

log: logging.Logger = logging.getLogger("trio_stream")


def plan_recheck(state: StreamState) -> None:
    """Have `authorize` asked again in about ``recheck`` seconds."""
    seconds = state.options.access.recheck
    if seconds is not None:
        state.recheck_at = trio.current_time() + about(seconds)
        state.look_again(state.recheck_at)


async def recheck(state: StreamState, admission: Admission) -> None:
    """Ask once, and end the stream if it may not go on. Whatever `authorize` raises is logged.

    One that was let in as nobody's is from then on whose it is found to be: a session in which
    somebody has logged in.

    That it cannot be asked is no answer: a database that is away for a minute would end all
    streams, whose clients all come back to be refused. Who would rather end them catches the error
    in `authorize` and returns a status.
    """
    access = state.options.access
    assert access.recheck is not None
    try:
        with trio.fail_after(access.recheck):
            verdict = await access.ask(state.scope, state.principal)
    except Exception as error:  # noqa: BLE001  # the user's function may raise anything
        _warn(state, error)
    else:
        if isinstance(verdict, Refusal) or (
            verdict is not None and state.principal is None and not admission.claim(verdict)
        ):
            state.end(Outcome.REVOKED)
            return
    plan_recheck(state)


def _warn(state: StreamState, error: Exception) -> None:
    log.log(
        current_registry().news_level("recheck", logging.WARNING),
        "authorize= could not be asked again, so its streams go on, and it is asked later: "
        "%(error)s",
        {"error": type(error).__name__, **state.facts()},
        exc_info=error,
    )
