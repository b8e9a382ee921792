"""The signals that end a server: the first asks it to end in order, the second ends it at once.

`hypercorn` tells its workers by an event that it is to end. A worker keeps the signals' default
actions, though: one that goes to the whole process group, as systemd, supervisors and shells send
it, ends the worker before it hears of that.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import trio

try:
    from hypercorn.config import Config
    from hypercorn.trio.run import worker_serve
except ImportError:  # they have moved
    _is_known = False
else:
    _is_known = True

__all__ = ["listen_in_worker", "stopping"]

Stop = Callable[[], object]

#: What ends a server: a terminal's Ctrl-C, a supervisor, a terminal that is closed.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: How often Hypercorn's first process sends SIGTERM to workers that it has told already: when it
#: sees that one has ended, and when it exits.
_REPEATS = 2

#: Seconds within which several signals are one: `timeout` for one sends SIGTERM to the program, and
#: then to its group.
_TOGETHER = 0.1


@contextmanager
def stopping(stop: Stop) -> Iterator[None]:
    """Have ``stop`` called, in this Trio run, at the first signal that nobody else handles.

    For the main thread. What the signals did before is put back at the end of the block.
    """
    signals = _signals.get()
    if signals is None:
        signals = _Signals()
        _signals.set(signals)
    signals.add(stop)
    try:
        yield
    finally:
        signals.remove(stop)


def listen_in_worker() -> None:
    """Have a worker of the `hypercorn` command end in order, until it has ended.

    Called when the app has started up, and by each stream, because an app may have no lifespan.
    Does nothing but once in a Trio run, and nothing where the program is not Hypercorn's own.
    """
    if _has_looked.get():
        return
    _has_looked.set(True)
    worker = _find_worker()
    if worker is None or threading.current_thread() is not threading.main_thread():
        return
    terminate, others = worker
    signals = _Signals(others)
    _signals.set(signals)
    signals.add(terminate.set)


def _find_worker() -> tuple[trio.Event, _Others | None] | None:
    """What ends the Hypercorn worker that runs this task, and the other workers if there are any.

    None in other programs. A worker's main task is `worker_serve`. Nothing leads from a lifespan or
    an app's ``send`` to the event that ends it, so it is looked up there. What differs from
    Hypercorn 0.18 means None.
    """
    task = trio.lowlevel.current_task()
    while task.parent_nursery is not None:
        coroutine: Any = task.coro
        if _is_known and getattr(coroutine, "cr_code", None) is worker_serve.__code__:
            local = coroutine.cr_frame.f_locals
            context, config = local.get("context"), local.get("config")
            event = getattr(getattr(context, "terminate", None), "_event", None)
            if type(event) is trio.Event and isinstance(config, Config):
                return event, _Others(config.workers) if config.workers > 1 else None
        task = task.parent_nursery.parent_task
    return None


class _Signals:
    """Whom the signals are for, and what they did before."""

    def __init__(self, others: _Others | None = None) -> None:
        self._others = others
        self._token = trio.lowlevel.current_trio_token()
        self._stops: list[Stop] = []
        self._before: dict[int, Any] = {}
        self._asked_at: float | None = None

    def add(self, stop: Stop) -> None:
        if not self._stops:
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                if _is_free(number, handler):
                    self._before[number] = handler
                    signal.signal(number, self._hear)
        self._stops.append(stop)

    def remove(self, stop: Stop) -> None:
        self._stops.remove(stop)
        if not self._stops:
            self._asked_at = None
            for number, before in self._before.items():
                if signal.getsignal(number) == self._hear:  # else it is somebody else's by now
                    signal.signal(number, before)
            self._before.clear()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        # SIGHUP may come twice from a terminal that is closed: from the shell and from the kernel.
        if number == signal.SIGHUP or self._is_first(number):
            with suppress(trio.RunFinishedError):  # at the very end of the process
                self._token.run_sync_soon(self._stop)
            return
        if self._others is not None:
            self._others.end_at_once()
        before = self._before[number]
        signal.signal(number, signal.SIG_DFL if before is signal.SIG_IGN else before)
        signal.raise_signal(number)

    def _is_first(self, number: int) -> bool:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        if now - self._asked_at < _TOGETHER:
            return True
        return number == signal.SIGTERM and self._others is not None and self._others.have_ended()

    def _stop(self) -> None:
        for stop in self._stops:
            stop()


class _Others:
    """The other workers of a `hypercorn` that has several.

    As soon as one has ended, its first process sends all the others SIGTERM, without regard to
    whether they were told before and are about to end in order.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._repeats = _REPEATS

    def have_ended(self) -> bool:
        """Whether SIGTERM may have come again for no other reason than that one has ended."""
        if self._repeats == 0 or len(self._pids()) >= self._workers:
            return False
        self._repeats -= 1
        return True

    def end_at_once(self) -> None:
        """What was for all is to be heard by all: to the last it looks as if one has ended."""
        for pid in self._pids():
            if pid != os.getpid():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _pids(self) -> list[int]:
        """The workers that are there; none where the system does not tell."""
        first = os.getppid()
        try:
            children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        except OSError:
            return []
        return [int(child) for child in children if _is_worker(child)]


def _is_worker(pid: str) -> bool:
    """Whether this child of Hypercorn's is a worker, and not one that keeps an account of them."""
    try:
        return b"--multiprocessing-fork" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return False


def _is_free(number: int, handler: Any) -> bool:
    """Whether nobody has said what this signal is to do.

    Shells have what they start in the background ignore SIGINT, and so has Hypercorn its workers;
    that is not meant as a wish. Trio's own handler raises `KeyboardInterrupt`, as Python's does.
    """
    if number != signal.SIGINT:
        return bool(handler == signal.SIG_DFL)
    usual = (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler)
    return handler in usual or getattr(handler, "__module__", "").startswith("trio.")


_signals: trio.lowlevel.RunVar[_Signals | None] = trio.lowlevel.RunVar("trio_stream_signals", None)
_has_looked: trio.lowlevel.RunVar[bool] = trio.lowlevel.RunVar("trio_stream_worker", False)
