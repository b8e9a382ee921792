"""Sources that somebody else has read already are refused, and no empty streams that look whole."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import httpx2
import openai
import pytest
import trio

from tests.stream.helpers import data_of, read_failure
from trio_stream import Stream


async def numbers() -> AsyncIterator[int]:
    yield 1
    yield 2


def blocking_numbers() -> Iterator[int]:
    yield 1
    yield 2


async def test_an_async_generator_that_has_ended_or_is_closed() -> None:
    ended, closed = numbers(), numbers()
    assert [number async for number in ended] == [1, 2]
    await closed.aclose()  # type: ignore[attr-defined]
    for generator in (ended, closed):
        with pytest.raises(RuntimeError, match="async_generator that has been read to its end"):
            Stream(generator)


def test_a_generator_that_has_ended() -> None:
    generator = blocking_numbers()
    assert list(generator) == [1, 2]
    with pytest.raises(RuntimeError, match="that has been read to its end, or closed: hand it"):
        Stream(generator)


async def test_one_that_another_task_reads() -> None:
    async def silent() -> AsyncIterator[int]:
        await trio.sleep_forever()
        yield 1

    generator = silent()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(generator.__anext__)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="is being read by another task"):
            Stream(generator)
        nursery.cancel_scope.cancel()


async def test_one_that_was_read_in_part_goes_on() -> None:
    generator, blocking = numbers(), blocking_numbers()
    assert (await anext(generator), next(blocking)) == (1, 1)
    assert await data_of(Stream(generator)) == ["2"]
    assert await data_of(Stream(blocking)) == ["2"]


class Body(httpx.AsyncByteStream, httpx2.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        yield b"data: 2\n\n"


def response(module: Any) -> Any:
    request = module.Request("POST", "http://example.org/")
    headers = {"content-type": "text/event-stream"}
    return module.Response(200, headers=headers, stream=Body(), request=request)


async def read_some(response: Any) -> None:
    async for _ in response.aiter_bytes():
        break


async def read_all(response: Any) -> None:
    async for _ in response.aiter_bytes():
        pass


READINGS: list[Callable[[Any], Any]] = [read_some, read_all, lambda response: response.aclose()]


@pytest.mark.parametrize("module", [httpx, httpx2])
@pytest.mark.parametrize("read", READINGS, ids=["some", "all", "closed"])
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
async def test_a_response(module: Any, read: Callable[[Any], Any]) -> None:
    given = response(module)
    await read(given)
    with pytest.raises((module.StreamConsumed, module.StreamClosed)) as caught:
        Stream(given)
    assert "hand it over unread" in caught.value.__notes__[0]


@pytest.mark.parametrize("module", [httpx, httpx2])
async def test_a_response_in_memory_can_be_read_again(module: Any) -> None:
    given = response(module)
    await given.aread()
    assert await data_of(Stream(given)) == ["1", "2"]


async def sdk_stream() -> Any:
    client = openai.AsyncOpenAI(api_key="k")
    given = response(httpx2)
    return openai.AsyncStream(cast_to=object, response=given, client=client)


async def test_an_sdks_stream_object() -> None:
    stream = await sdk_stream()
    assert [item async for item in stream] == [1, 2]
    with pytest.raises(RuntimeError, match="cannot stream a AsyncStream that has been read to"):
        Stream(stream)


async def test_one_that_is_found_in_the_stream_is_a_500() -> None:
    async def find() -> Any:
        generator = numbers()
        async for _ in generator:
            pass
        return generator

    stream = Stream(find())
    with pytest.raises(RuntimeError, match="has been read to its end"):
        await read_failure(stream)
    assert stream.outcome == "failed"
