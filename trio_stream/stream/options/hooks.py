"""Who is told what becomes of a stream, and under which name it is counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, fields
from inspect import iscoroutine
from time import perf_counter
from typing import Any, Self

from ...checks import check_callable, check_kind
from ..registry import current_registry
from ..requested import Facts
from .label import check_label

__all__ = ["Hook", "StreamHooks", "Telling", "call_hook", "check_hook", "hook_all", "unhook_all"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Seconds that a hook may take before it is told: what waits for a disk or a network takes as long.
_LONG = 0.25

#: Called with a stream, or a subscription.
Hook = Callable[[Any], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHooks:
    """Functions that are called as a stream lives, each with the stream; many streams can share it.

    Sync functions, which do not block: while one runs, every stream of the process waits. What one
    raises is logged, and the stream goes on. They are called in the request's context, so that they
    find its context variables.

    Raises:
      TypeError: one is no function, or an async one.

    Attributes:
      on_open: it is served, or entered; nothing of it has run yet.
      on_first_byte: the first of its body is handed to the server, or read as its `value`.
      on_drain: its server has begun to shut down.
      on_stall: its client has taken nothing for ``stall_timeout`` and is cut off.
      on_drop: its upstream has sent what is in no event: see ``stream.statistics().dropped``.
      on_end: all of it has ended, also what was never open: a HEAD, a refusal.
    """

    on_open: Hook | None = None
    on_first_byte: Hook | None = None
    on_drain: Hook | None = None
    on_stall: Hook | None = None
    on_drop: Hook | None = None
    on_end: Hook | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            check_hook(field.name, getattr(self, field.name))


def check_hook(name: str, function: object, what: str = "takes the stream") -> None:
    """What a hook may be: a sync function, or None."""
    check_callable(name, function, what, takes=1, or_none=True)


def call_hook(name: str, function: Hook | None, subject: object, facts: Facts) -> None:
    """Call what the user wants called; an error in it is logged, with what ``facts`` gives."""
    if function is None:
        return
    began = perf_counter()
    try:
        result = function(subject)
    except Exception as error:  # the user's function may raise anything
        told = {"hook": name, "error": error, **facts()}
        log.error("%(hook)s= raised", told, exc_info=error)
    else:
        if iscoroutine(result):
            result.close()
            log.error(
                "%(hook)s= returned a coroutine, which nobody awaits: it must be sync",
                {"hook": name, **facts()},
            )
    if (seconds := perf_counter() - began) > _LONG:
        current_registry().warn_once(
            "%(hook)s= took %(seconds).2g s, in which every stream of this process waited: a hook "
            "must not block",
            {"hook": name, "seconds": seconds, **facts()},
        )


#: Those of every stream of this process.
_everywhere: list[StreamHooks] = []


def hook_all(hooks: StreamHooks) -> None:
    """Have these called for every stream of this process, behind each one's own."""
    _everywhere.append(hooks)


def unhook_all(hooks: StreamHooks) -> None:
    """Undo `hook_all`."""
    _everywhere[:] = [others for others in _everywhere if others is not hooks]


@dataclass(frozen=True, slots=True)
class Telling:
    """Those of a stream's options that say who is told of it, and as what."""

    hooks: StreamHooks | None
    on_end: Hook | None
    label: str | None

    def __post_init__(self) -> None:
        check_kind("hooks", self.hooks, StreamHooks, "a StreamHooks", or_none=True)
        check_hook("on_end", self.on_end)
        check_label(self.label)

    @classmethod
    def taken_from(cls, options: MutableMapping[str, Any]) -> Self:
        """What is given of these among all options: taken out, and checked."""
        hooks, on_end = options.pop("hooks", None), options.pop("on_end", None)
        return cls(hooks, on_end, options.pop("label", None))

    def tell(self, name: str, handle: Callable[[], object], facts: Facts) -> None:
        """Call the hooks of this name, with what ``handle`` gives."""
        if self.hooks is None and not _everywhere:
            return
        subject = handle()
        for hooks in (self.hooks, *_everywhere):
            if hooks is not None:
                call_hook(name, getattr(hooks, name), subject, facts)
