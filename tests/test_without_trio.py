"""Where there is no Trio run, what needs one says so at once."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from trio_stream import EventSource, Stream, StreamMiddleware, open_broker, stream_app

URL = "http://[::1]:9/"


@pytest.mark.parametrize(
    "use",
    [
        lambda: open_broker().__aenter__(),
        lambda: EventSource(URL).__aenter__(),
        lambda: EventSource(URL).connect(),
        lambda: EventSource(URL).receive(),
        lambda: anext(aiter(EventSource(URL))),
    ],
)
def test_it_says_what_to_start_it_with(use: Callable[[], Awaitable[object]]) -> None:
    with pytest.raises(RuntimeError, match="runs on Trio: start a program with"):
        use().__await__().send(None)


@stream_app
async def app(stream: Stream) -> None:
    await stream.send("a word")


@pytest.mark.parametrize("application", [app, StreamMiddleware(app)])
def test_a_server_does_not_start(application: Callable[..., Awaitable[None]]) -> None:
    """Or it would look well, and answer each stream by a 500."""
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    with pytest.raises(RuntimeError, match="runs on Trio"):
        application({"type": "lifespan", "state": {}}, receive, send).__await__().send(None)
    [message] = said
    assert message["type"] == "lifespan.startup.failed"
    assert "a server with hypercorn --worker-class trio" in message["message"]
