"""What somebody else has read already: as a source it would be an empty stream that looks whole."""

from __future__ import annotations

import inspect
from typing import Any

from ..upstream.foreign import http_modules
from .upstream import is_response

__all__ = ["refuse_used"]

_OVER = "has been read to its end, or closed"
_INSTEAD = "hand it over unread, and make a new one for each stream"


def refuse_used(source: object) -> None:
    """Raise a `RuntimeError` for what has ended, was closed, or is being read by somebody."""
    if is_response(source):
        _refuse_used_response(source)
    elif (how := _how_used(source)) is not None:
        raise RuntimeError(f"cannot stream a {type(source).__name__} that {how}: {_INSTEAD}")


def _how_used(source: Any) -> str | None:
    if inspect.isasyncgen(source):
        return _how_generator_is(source.ag_frame, running=source.ag_running)
    if inspect.isgenerator(source):
        return _how_generator_is(source.gi_frame, running=source.gi_running)
    # The stream object of an SDK; of one that was read in part, the rest may be wanted.
    response: Any = getattr(source, "response", None)
    is_over = is_response(response) and response.is_closed and not _is_in_memory(response)
    return _OVER if is_over else None


def _how_generator_is(frame: object, *, running: bool) -> str | None:
    if running:
        return "is being read by another task"
    return _OVER if frame is None else None


def _refuse_used_response(response: Any) -> None:
    """Raise what httpx, or httpx2, would where it is read, when the headers may have gone out."""
    # One whose body is in memory can be read as often as one likes.
    if (response.is_stream_consumed or response.is_closed) and not _is_in_memory(response):
        [http] = [module for module in http_modules() if isinstance(response, module.Response)]
        used = http.StreamConsumed if response.is_stream_consumed else http.StreamClosed
        error: Exception = used()
        error.add_note(f"A Stream cannot have this response as its source: {_INSTEAD}.")
        raise error


def _is_in_memory(response: Any) -> bool:
    not_read = tuple(module.ResponseNotRead for module in http_modules())
    try:
        _ = response.content
    except not_read:
        return False
    return True
