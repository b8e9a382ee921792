"""The stream objects of sync SDKs, read in a thread: closed there, also while they are silent."""

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import httpx
import httpx2
import openai
import pytest
import trio
import trio.testing

from tests.stream.helpers import data_of
from tests.stream.upstream_server import answer, chunk, head, upstream
from tests.support.tasks import NothingLeft
from trio_stream import Stream
from trio_stream.stream.upstream.foreign import hang_up
from trio_stream.testing import connect

Clock = trio.testing.MockClock


class Answer:
    """As openai's and anthropic's: an iterator that makes another one, and closes its response."""

    def __init__(self, response: Any, lines: Iterator[str]) -> None:
        self.response = response
        self.lines = lines
        self.closed_in: list[int] = []

    def __iter__(self) -> Iterator[str]:
        yield from self.lines

    def __next__(self) -> str:
        return next(self.lines)

    def close(self) -> None:
        self.closed_in.append(threading.get_ident())
        if self.response is not None:
            self.response.close()


class Managed:
    """One that is no iterator, but a context manager."""

    closed = 0

    def __iter__(self) -> Iterator[int]:
        return iter([1])

    def __enter__(self) -> "Managed":
        raise AssertionError

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        raise AssertionError

    def close(self) -> None:
        self.closed += 1


def lines(seen: list[int], count: float = float("inf")) -> Iterator[str]:
    while len(seen) < count:
        seen.append(threading.get_ident())
        yield "line"


@pytest.mark.parametrize("count", [2, float("inf")], ids=["to its end", "client leaves"])
async def test_it_is_closed_once_in_its_own_thread(count: float, autojump_clock: Clock) -> None:
    seen: list[int] = []
    source = Answer(None, lines(seen, count))
    async with connect(Stream(source)) as client:
        await client.receive_event()
        if count == 2:
            await client.read()
    assert source.closed_in == seen[:1]
    assert threading.get_ident() not in source.closed_in


async def test_one_that_fails_is_closed(autojump_clock: Clock) -> None:
    def failing() -> Iterator[str]:
        yield "line"
        raise KeyError("in the thread")

    source = Answer(None, failing())
    with pytest.raises(KeyError, match="in the thread"):
        await data_of(Stream(source))
    assert len(source.closed_in) == 1


async def test_one_that_is_a_manager_is_closed(autojump_clock: Clock) -> None:
    source = Managed()
    assert await data_of(Stream(source)) == ["1"]
    assert source.closed == 1


def by_httpx(http: Any, url: str) -> Answer:
    response = http.send(http.build_request("GET", url), stream=True)
    return Answer(response, response.iter_lines())


def by_openai(client: openai.OpenAI, url: str) -> Any:
    asking = client.with_options(base_url=url)
    return asking.chat.completions.create(model="none", messages=[], stream=True)


CHUNK = b'data: {"id":"1","object":"chat.completion.chunk","choices":[]}\n\n'
asked = pytest.mark.parametrize(
    ("client", "ask"),
    [
        (lambda: httpx.Client(timeout=60), by_httpx),
        (lambda: httpx2.Client(timeout=60), by_httpx),
        (lambda: openai.OpenAI(api_key="none", timeout=60), by_openai),
    ],
    ids=["httpx", "httpx2", "openai"],
)


@asked
@pytest.mark.parametrize("talks", [True, False], ids=["talking", "silent"])
async def test_the_upstream_hears_at_once_that_the_client_has_left(
    client: Callable[[], Any],
    ask: Callable[[Any, str], Any],
    talks: bool,
    caplog: pytest.LogCaptureFixture,
    no_task_left: NothingLeft,
) -> None:
    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head("text/event-stream") + chunk(CHUNK))
        while talks:
            await stream.send_all(chunk(CHUNK))
            await trio.sleep(0.01)
        await trio.sleep_forever()

    with trio.fail_after(30):
        async with upstream(respond) as server:
            with client() as api:
                stream = Stream(trio.to_thread.run_sync(ask, api, server.url))
                async with connect(stream) as reader:
                    await reader.receive_event()
                # By now: a thread that was left after its 5 s would be in the log.
                await server.hung_up.wait()
    assert stream.outcome == "disconnected"
    assert [record for record in caplog.records if record.name == "trio_stream"] == []
    await no_task_left()


@asked
async def test_an_answer_to_its_end(
    client: Callable[[], Any], ask: Callable[[Any, str], Any], no_task_left: NothingLeft
) -> None:
    respond = answer("text/event-stream", CHUNK, CHUNK)
    with trio.fail_after(30):
        async with upstream(respond) as server:
            with client() as api:
                data = await data_of(Stream(trio.to_thread.run_sync(ask, api, server.url)))
    assert len([line for line in data if line]) == 2
    await no_task_left()


@pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_a_connection_that_others_may_have_is_left_alone(module: Any) -> None:
    """A response that was read to its end has given its connection back."""

    def read(url: str) -> None:
        with module.Client(timeout=60) as http:
            response = http.send(http.build_request("GET", url), stream=True)
            response.read()
            assert not hang_up(response)

    with trio.fail_after(30):
        async with upstream(answer("text/plain", b"text")) as server:
            await trio.to_thread.run_sync(read, server.url)


@pytest.mark.parametrize("source", [None, object(), [1], httpx.Response(200)])
def test_what_has_no_connection(source: Any) -> None:
    assert not hang_up(source)
