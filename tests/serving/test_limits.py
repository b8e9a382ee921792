"""`StreamLimits`: how many streams at once, and what the one too many is told."""

import pytest
import trio

from tests.support.raw import EVENT_SOURCE
from trio_stream import Stream, StreamLimits
from trio_stream.testing import connect


async def forever(stream: Stream) -> None:
    await trio.sleep_forever()


def silent(limits: StreamLimits) -> Stream:
    return Stream(forever, limits=limits, hold_headers=False)


def of_client(host: str) -> dict[str, object]:
    return {"scope": {"client": (host, 1)}}


async def test_the_one_too_many_is_told_503_and_when_to_return() -> None:
    limits = StreamLimits(total=1, retry_after=10)
    async with connect(silent(limits)) as first:
        assert first.status == 200
        async with connect(silent(limits)) as second:
            assert second.status == 503
            assert 10 <= int(second.headers["retry-after"]) <= 20
            assert b"503" in await second.read()
    async with connect(silent(limits)) as third:
        assert third.status == 200


async def test_an_event_source_is_told_in_its_own_way() -> None:
    limits = StreamLimits(total=1, retry_after=10, refuse="retry")
    async with (
        connect(silent(limits)),
        connect(silent(limits), headers=EVENT_SOURCE) as second,
    ):
        assert second.status == 200
        assert second.headers["content-type"].startswith("text/event-stream")
        body = await second.read()
        assert body.startswith(b"retry: ")
        assert body.count(b"\n") == 1  # a line: a block of it would be an event to some
        assert 10_000 <= int(body[7:]) <= 20_000
        assert second.ended == "complete"


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {}),
        ("POST", EVENT_SOURCE),
        ("GET", {"accept": "text/event-stream"}),  # fetch-event-source, MCP
        ("GET", {"accept": "text/event-stream", "cache-control": "no-store"}),  # httpx-sse
        ("GET", {"accept": "*/*", "cache-control": "no-cache"}),  # a page that is loaded anew
        ("GET", {**EVENT_SOURCE, "accept": "text/event-stream, text/html, application/json"}),
        ("GET", {**EVENT_SOURCE, "accept": "text/event-stream-like"}),
        ("GET", {**EVENT_SOURCE, "cache-control": "max-age=0"}),
    ],
)
async def test_who_is_no_event_source_is_told_the_status(
    method: str, headers: dict[str, str]
) -> None:
    limits = StreamLimits(total=1, retry_after=10, refuse="retry")
    async with (
        connect(silent(limits)),
        connect(silent(limits), method=method, headers=headers) as second,
    ):
        assert second.status == 503
        assert 10 <= int(second.headers["retry-after"]) <= 20


@pytest.mark.parametrize(
    "headers",
    [
        [("Accept", "text/event-stream"), ("Pragma", "no-cache"), ("Cache-Control", "no-cache")],
        [("accept", "Text/Event-Stream; charset=utf-8"), ("cache-control", "No-Cache, max-age=0")],
        [("cache-control", "max-age=0"), ("cache-control", "no-cache"), *EVENT_SOURCE.items()],
    ],
)
async def test_an_event_source_is_known_however_it_is_spelt(
    headers: list[tuple[str, str]],
) -> None:
    limits = StreamLimits(total=1, refuse="retry")
    async with (
        connect(silent(limits)),
        connect(silent(limits), headers=headers) as second,
    ):
        assert second.status == 200


async def test_the_returns_of_the_refused_are_spread() -> None:
    limits = StreamLimits(total=1, retry_after=10, refuse="retry")
    told = set()
    async with connect(silent(limits)):
        for _ in range(20):
            async with connect(silent(limits), headers=EVENT_SOURCE) as refused:
                assert [event async for event in refused.events()] == []
                told.add(refused.retry)
    assert len(told) > 10


async def test_each_key_has_a_limit_of_its_own() -> None:
    limits = StreamLimits(per_key=1)
    async with connect(silent(limits), **of_client("1.1.1.1")):  # type: ignore[arg-type]
        async with connect(silent(limits), **of_client("2.2.2.2")) as other:  # type: ignore[arg-type]
            assert other.status == 200
        async with connect(silent(limits), **of_client("1.1.1.1")) as same:  # type: ignore[arg-type]
            assert same.status == 503


async def test_a_key_of_ones_own() -> None:
    limits = StreamLimits(per_key=1, key=lambda scope: scope["query_string"])
    async with connect(silent(limits), query="user=a"):
        async with connect(silent(limits), query="user=b") as other:
            assert other.status == 200
        async with connect(silent(limits), query="user=a") as same:
            assert same.status == 503


async def test_a_refused_source_is_closed_and_never_run() -> None:
    ran = []

    async def source() -> None:
        ran.append(True)

    limits = StreamLimits(total=1)
    async with connect(silent(limits)):
        coroutine = source()  # a warning, which is an error here, if it is neither run nor closed
        async with connect(Stream(coroutine, limits=limits)) as refused:
            assert refused.status == 503
    assert not ran


async def test_places_are_given_back_also_after_a_failure() -> None:
    async def fail(stream: Stream) -> None:
        raise KeyError

    limits = StreamLimits(total=1)
    for _ in range(3):
        async with connect(Stream(fail, limits=limits), raise_app_exceptions=False) as client:
            assert client.status == 500
    statistics = limits.statistics()
    assert (statistics.open, statistics.keys, statistics.refused) == (0, 0, 0)


async def test_statistics() -> None:
    limits = StreamLimits(total=1)
    async with connect(silent(limits)):
        async with connect(silent(limits)):
            pass
        statistics = limits.statistics()
        assert (statistics.open, statistics.keys, statistics.refused) == (1, 1, 1)


async def test_a_key_that_is_async_would_be_everybodys_own() -> None:
    async def find(scope: object) -> str:
        raise AssertionError("never awaited")

    stream = silent(StreamLimits(per_key=1, key=lambda scope: find(scope)))
    with pytest.raises(TypeError, match="key= returned a coroutine"):
        async with connect(stream):
            raise AssertionError("it was answered")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"total": 0}, "total must be at least 1"),
        ({"per_key": -1}, "per_key must be at least 1"),
        ({"refuse": "hang up"}, "refuse must be 'status' or 'retry'"),
        ({"retry_after": 0}, "retry_after must be more than 0"),
    ],
)
def test_misuse(keywords: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StreamLimits(**keywords)  # type: ignore[arg-type]
