"""Frameworks that need nothing of ours, or Starlette's response: one finite stream through each."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.types import Message

from trio_stream import Stream
from trio_stream.frameworks.starlette import StreamResponse

PROJECT = Path(__file__).parents[2]


async def items() -> AsyncIterator[dict[str, int]]:
    yield {"n": 1}


def get(app: Any, path: str) -> httpx.Response:
    with TestClient(app, backend="trio") as client:
        response: Any = client.get(path)
    return response  # type: ignore[no-any-return]


def is_whole(response: httpx.Response) -> None:
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.text == 'retry: 3000\ndata: {"n":1}\n\n'


def test_lilya_takes_a_stream() -> None:
    from lilya.apps import Lilya
    from lilya.routing import Path

    async def endpoint(request: Any) -> Stream:
        return Stream(items())

    is_whole(get(Lilya(routes=[Path("/a", endpoint)]), "/a"))


def test_ravyn_takes_a_stream_from_a_route_of_lilyas() -> None:
    from lilya.routing import Path
    from ravyn import Ravyn

    async def endpoint(request: Any) -> Stream:
        return Stream(items())

    is_whole(get(Ravyn(routes=[Path("/a", endpoint)]), "/a"))


def test_fasthtml_takes_starlettes_response_and_says_so() -> None:
    from fasthtml.common import FastHTML

    app = FastHTML(secret_key="of a test")  # or it would write one into this folder

    @app.get("/a")  # type: ignore[untyped-decorator]
    async def a() -> StreamResponse:
        return StreamResponse(Stream(items()))

    @app.get("/bare")  # type: ignore[untyped-decorator]
    async def bare() -> Any:
        return Stream(items())

    is_whole(get(app, "/a"))
    with pytest.raises(TypeError, match=r"return trio_stream\.frameworks\.starlette"):
        get(app, "/bare")


def test_readme_names_the_frameworks_in_which_a_stream_is_the_response() -> None:
    """Each that it names there is one that these tests, or test_frameworks, return one from."""
    text = " ".join((PROJECT / "README.md").read_text().split())
    words = r"is the response in (.*?), because (?:.*?); in (.*?) `StreamResponse\(stream\)` is"
    found = re.search(words, text)
    assert found
    assert re.findall(r"[A-Z][\w-]+", found[1]) == ["Starlette", "Litestar", "Lilya"]
    assert re.findall(r"[A-Z][\w-]+", found[2]) == ["FastAPI", "FastHTML", "Quart-Trio"]


async def test_starlette_does_not_see_on_trio_that_a_client_has_left() -> None:
    """As docs/asyncio.md says. Where this fails, Starlette does, and the page can do without."""
    send, receive = trio.open_memory_channel[Message](1)
    request = Request({"type": "http"}, receive.receive)
    send.send_nowait({"type": "http.disconnect"})
    assert not await request.is_disconnected()
    assert receive.receive_nowait() == {"type": "http.disconnect"}  # it is there all the same
