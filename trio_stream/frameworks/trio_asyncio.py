"""For SDKs that need asyncio, by trio-asyncio: a loop, and its async iterables as sources.

::

    from trio_stream.frameworks.trio_asyncio import open_asyncio

    @asynccontextmanager
    async def lifespan(app):
        async with open_asyncio() as asyncio:
            yield {"asyncio": asyncio}

    async def chat(request):
        answer = mistral.chat.stream_async(model=..., messages=...)
        return Stream(request.state.asyncio.source(answer))

An answer is read in one asyncio task of its own, from its opening to its close: so frameworks that
keep something of asyncio's open between two items find it in the task in which they opened it.
"""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Coroutine,
)
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from contextvars import copy_context
from functools import partial
from typing import Any

import trio
import trio_asyncio  # type: ignore[import-untyped]

from ..checks import check_on_trio
from ..stream.answers.needs_asyncio import advise
from ..stream.source.contract import CLOSE_TIMEOUT, HeadersWaitFor, Sink, Source
from ..stream.source.iterables import AsyncSource
from ..stream.source.leaving import keeping_connections

__all__ = ["AsyncioLoop", "open_asyncio"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Items that may wait between the asyncio task and the stream; the task waits when they do.
_HANDOVER = 16

Given = AsyncIterable[Any] | Awaitable[Any] | AbstractAsyncContextManager[Any] | Callable[[], Any]


@asynccontextmanager
async def open_asyncio() -> AsyncGenerator[AsyncioLoop]:
    """Open an asyncio loop inside Trio, for as long as the block lasts: the server's lifespan.

    SDKs keep connections for the next answer, and these belong to a loop: so one for all streams,
    and not one for each. In the block it is trio-asyncio's current one. What fails in it unseen,
    in a task that nobody waits for, is logged, and ends neither the loop nor the server.
    """
    check_on_trio()
    failure: Exception | None = None
    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(_log_failure)
        try:
            yield AsyncioLoop(loop)
        except Exception as error:  # noqa: BLE001 - raised below: here it would go into two groups
            failure = error
    if failure is not None:
        raise failure


class AsyncioLoop:
    """An asyncio loop that is open, whose async iterables are sources. Made by `open_asyncio`."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop

    def source(self, source: Given) -> Source:
        """Make a source for a `Stream` of what needs asyncio. The stream owns it and closes it.

        When the stream ends, the task that reads it is cancelled, as asyncio cancels: at once.
        What it raises before its first item is known before the headers go out.

        Args:
          source: an async iterable; an awaitable or an async context manager of one; or a function
            that takes nothing and returns one of these, called on the loop.

        Raises:
          TypeError: ``source`` is none of them: what needs no asyncio is the `Stream`'s own.
        """
        if not _is_given(source):
            raise _not_given(source)
        return _AsyncioSource(self._loop, source)


class _AsyncioSource:
    """What needs asyncio: read in a task of the loop's, put into the sink in the stream's own."""

    headers_wait_for: HeadersWaitFor = "item"

    def __init__(self, loop: Any, source: Given) -> None:
        self._loop = loop
        self._source = source
        self._task: Any = None
        self._begun = False
        self._failure: Exception | None = None
        self._gave_up = False

    async def run(self, sink: Sink) -> None:
        if not self._loop.is_running():
            self.close_unawaited()
            raise RuntimeError("the block of open_asyncio has been left, and its loop has ended")
        items = _Items(self._loop)
        task = self._task = self._start(self._read(items))
        task.add_done_callback(items.end)
        try:
            await items.forward(sink)
        except BaseException:
            await self._leave(task, items)
            raise
        self._raise_failure(task)

    async def _leave(self, task: Any, items: _Items) -> None:
        """The stream has ended before the task: it is cancelled, and may close what it has open."""
        task.cancel()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_TIMEOUT) as scope:
            await items.ended.wait()
        if scope.cancelled_caught:
            log.warning(
                "%(source)r did not end within %(timeout)g s of its stream's end; its asyncio task "
                "was abandoned",
                {"source": self._source, "timeout": CLOSE_TIMEOUT},
            )
        elif not task.cancelled() and task.exception() is not None:
            log.error(
                "%(source)r failed as it was left",
                {"source": self._source, "error": task.exception()},
                exc_info=task.exception(),
            )
        if not self._begun:
            self.close_unawaited()

    def _raise_failure(self, task: Any) -> None:
        if self._gave_up:
            log.warning(
                "closing %(source)r took more than %(timeout)g s and was cancelled",
                {"source": self._source, "timeout": CLOSE_TIMEOUT},
            )
            if self._failure is not None:
                raise self._failure
        elif task.cancelled():
            raise RuntimeError(
                f"{self._source!r} was cancelled, and not by its stream: by itself, or because "
                "the block of open_asyncio was left"
            )
        elif (failure := task.exception()) is not None:
            advise(failure, on_asyncio=True)
            raise failure

    async def aclose(self) -> None:
        if self.close_unawaited() or not self._loop.is_running():
            return
        items = _Items(self._loop)
        task = self._start(_close(self._source))
        task.add_done_callback(items.end)
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_TIMEOUT):
            await items.ended.wait()
        if not task.cancel():
            self._raise_failure(task)

    def close_unawaited(self) -> bool:
        if isinstance(self._source, AsyncIterable):
            return AsyncSource(self._source).close_unawaited()
        if inspect.iscoroutine(self._source):
            self._source.close()
        return True

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> Any:
        context = copy_context()  # the stream's, as for any task that is started in it
        context.run(trio_asyncio.current_loop.set, self._loop)
        return self._loop.create_task(coroutine, context=context)

    # On asyncio.

    async def _read(self, items: _Items) -> None:
        self._begun = True
        limit = None
        try:
            async with AsyncExitStack() as opened:
                iterable = await _open(self._source, opened)
                opened.push_async_callback(_close, iterable)
                iterator = aiter(iterable)
                if iterator is not iterable:
                    opened.push_async_callback(_close, iterator)
                opened.push_async_callback(_leave_connections, self._loop, iterator)
                try:
                    async for item in iterator:
                        await items.put(item)
                except Exception as error:
                    self._failure = error
                    raise
                finally:
                    limit = self._loop.call_later(CLOSE_TIMEOUT, self._give_up)
        finally:
            if limit is not None:
                limit.cancel()

    def _give_up(self) -> None:
        """It takes too long to close."""
        self._gave_up = True
        self._task.cancel()


class _Items:
    """Carries items from a task of asyncio's to one of Trio's, which run in the same thread."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._items: deque[Any] = deque()
        self._room: Any = None
        self._news = trio.Event()
        self.ended = trio.Event()

    # On asyncio.

    async def put(self, item: Any) -> None:
        """Hand one over, and wait until there is room for another."""
        self._items.append(item)
        self._news.set()
        if len(self._items) >= _HANDOVER:
            self._room = self._loop.create_future()
            await self._room

    def end(self, task: Any) -> None:
        """The task has ended, with an error or without."""
        if not task.cancelled():
            task.exception()  # asked for: to asyncio it is no longer one that nobody has seen
        self.ended.set()
        self._news.set()

    # On Trio.

    async def forward(self, sink: Sink) -> None:
        """Put all of them into ``sink``, those before an error, too."""
        put = sink.put
        while await self._is_next():
            while self._items:
                if (wait := put(self._items.popleft())) is not None:
                    await wait
            if self._room is not None and not self._room.done():
                self._room.set_result(None)

    async def _is_next(self) -> bool:
        """Wait for the next; False when there is none any more."""
        while not self._items and not self.ended.is_set():
            self._news = trio.Event()
            await self._news.wait()
        return bool(self._items)


def _is_given(source: object) -> bool:
    kinds = (AsyncIterable, Awaitable, AbstractAsyncContextManager)
    return isinstance(source, kinds) or callable(source)


def _not_given(source: object) -> TypeError:
    return TypeError(
        f"a {type(source).__name__} is no source for asyncio: that is an async iterable, an "
        "awaitable or an async context manager of one, or a function that returns one of these; "
        "what needs no asyncio is given to the Stream itself"
    )


async def _open(source: Any, opened: AsyncExitStack) -> AsyncIterable[Any]:
    """What is to be iterated. What is a manager is entered, also if it is iterable itself."""
    if isinstance(source, AbstractAsyncContextManager):
        given = await opened.enter_async_context(source)
    elif isinstance(source, AsyncIterable):
        return source
    elif inspect.isawaitable(source):
        given = await source
    elif callable(source):
        given = source()
    else:
        raise _not_given(source)
    if given is not source:
        return await _open(given, opened)
    if isinstance(given, AsyncIterable):
        return given
    raise TypeError(f"a {type(source).__name__} gave itself, and it is not iterable")


async def _close(iterable: object) -> None:
    close = getattr(iterable, "aclose", None) or getattr(iterable, "close", None)
    if close is not None:
        closing = close()
        if inspect.isawaitable(closing):
            await closing


async def _leave_connections(loop: Any, iterator: object) -> None:
    """As `leave` does on Trio: by reads that are cancelled."""
    for generator in keeping_connections(iterator):
        is_open = True
        while is_open:
            read = loop.create_task(_next(generator))
            done = loop.create_future()
            read.add_done_callback(partial(_set, done))
            loop.call_soon(read.cancel)  # once it has begun
            await done
            is_open = not read.cancelled() and read.exception() is None and read.result()


async def _next(generator: AsyncGenerator[Any, Any]) -> bool:
    """Take an item that is dropped; False when there is none any more."""
    async for _ in generator:
        return True
    return False


def _set(future: Any, task: object) -> None:
    if not future.done():
        future.set_result(None)


def _log_failure(loop: Any, context: dict[str, Any]) -> None:
    """As asyncio's own loop does. trio-asyncio's would end, and with it what it was opened in."""
    message = context.get("message", "a task failed")
    error = context.get("exception")
    log.error("on asyncio: %(what)s", {"what": message, "error": error}, exc_info=error)
