"""An application's lifespan around a test."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import outcome
import trio

from ..checks import check_callable
from ..transport.asgi import Message, Scope
from ..transport.memory import Application
from .background import Alongside

__all__ = ["lifespan"]


@asynccontextmanager
async def lifespan(app: Application) -> AsyncGenerator[dict[str, Any]]:
    """Start an ASGI application up, and shut it down when the block is left.

    Gives the state that the application has filled in; its requests see it with
    ``connect(app, scope={"state": state})``.

    Raises:
      RuntimeError: the application said that it cannot start, or cannot shut down, or returned
        early. What it raises comes out as it is.
    """
    check_callable("app", app, "takes scope, receive and send", takes=3, awaited=True)
    server = _LifespanServer()
    async with Alongside(server.run, app):
        await server.ask("startup")
        yield server.state
        await server.ask("shutdown")


class _LifespanServer:
    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self._requests, self._receive = trio.open_memory_channel[Message](1)
        self._replied = trio.Event()
        self._reply: Message | None = None
        self._failure: BaseException | None = None
        self._ended = trio.Event()

    async def run(self, app: Application) -> None:
        scope: Scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        result = await outcome.acapture(app, scope, self._receive.receive, self._send)
        if isinstance(result, outcome.Error):
            self._failure = result.error
        self._ended.set()
        self._replied.set()

    async def ask(self, step: str) -> None:
        self._reply = None
        if not self._ended.is_set():
            self._replied = trio.Event()
            await self._requests.send({"type": f"lifespan.{step}"})
            await self._replied.wait()
        if self._reply is not None and self._reply["type"].endswith(".failed"):
            with trio.move_on_after(1):  # most apps raise right after that what happened
                await self._ended.wait()
        if self._failure is not None:
            raise self._failure
        if self._reply is None:
            raise RuntimeError(f"the app's lifespan returned without an answer to {step}")
        if self._reply["type"] != f"lifespan.{step}.complete":
            raise RuntimeError(f"{self._reply['type']}: {self._reply.get('message', '')}")

    async def _send(self, message: Message) -> None:
        self._reply = message
        self._replied.set()
        await trio.lowlevel.checkpoint()
