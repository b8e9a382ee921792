"""Seeing the live streams, ending one, counting ends, and the end hook."""

import logging
from dataclasses import dataclass

import pytest
import trio
import trio.testing

from trio_stream import (
    Stream,
    StreamLimits,
    TaskView,
    ended_streams,
    no_reconnect,
    open_streams,
    outcome_counts,
    stream_app,
)
from trio_stream.testing import connect


async def forever(stream: Stream) -> None:
    await trio.sleep_forever()


async def test_the_live_streams_are_listed_the_oldest_first(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def with_task(stream: Stream) -> None:
        stream.start_soon(trio.sleep_forever, name="a task of ours")
        await stream.send("one")
        await trio.sleep_forever()

    assert open_streams() == ()
    async with connect(Stream(with_task), "/first", scope={"client": ("10.0.0.1", 5)}):
        await trio.sleep(60)
        async with connect(Stream(forever, hold_headers=False), "/second"):
            await trio.testing.wait_all_tasks_blocked()
            first, second = open_streams()
            assert (first.age, second.age) == (60, 0)
            assert (first.request, second.request) == ("GET /first", "GET /second")
            assert first.client == ("10.0.0.1", 5)
            assert "a task of ours" in first.tasks
            assert first.statistics.events == 1
            assert first.statistics.outcome is None
    assert open_streams() == ()


async def test_a_label_stands_for_the_route() -> None:
    @dataclass
    class Route:
        path: str

    scope = {"route": Route("/orders/{id}")}
    for label, shown in (("orders", "orders"), (None, "/orders/{id}")):
        stream = Stream(forever, label=label, hold_headers=False)
        async with connect(stream, "/orders/5", scope=scope):
            (open_stream,) = open_streams()
            assert open_stream.route == shown
        assert ended_streams()[-1].route == shown


async def test_one_can_be_ended_from_there() -> None:
    async with connect(Stream(forever, hold_headers=False)) as client:
        (stream,) = open_streams()
        stream.close()
        await client.read()
        assert client.ended == "complete"
    assert outcome_counts() == {"closed": 1}


async def test_ends_are_counted_by_outcome() -> None:
    for _ in range(2):
        async with connect(Stream(["a"])) as client:
            await client.read()
    async with connect(Stream(forever, hold_headers=False)):
        pass
    assert outcome_counts() == {"completed": 2, "disconnected": 1}


def test_outside_trio_there_is_nothing_to_see() -> None:
    with pytest.raises(RuntimeError):
        open_streams()
    with pytest.raises(RuntimeError):
        ended_streams()


async def test_each_has_a_number_of_its_own_which_it_keeps_to_its_end() -> None:
    async with connect(Stream(forever, hold_headers=False), "/a"):
        async with connect(Stream(forever, hold_headers=False), "/b?token=t"):
            first, second = open_streams()
            assert first.number != second.number
        async with connect(Stream(forever, hold_headers=False), "/c"):
            again, third = open_streams()
            assert again.number == first.number
            assert third.number not in {first.number, second.number}
    numbers = [stream.number for stream in (second, third, first)]
    assert [ended.number for ended in ended_streams()] == numbers
    assert [ended.request for ended in ended_streams()] == ["GET /b", "GET /c", "GET /a"]


async def test_the_ended_are_kept_with_their_last_figures_a_hundred_of_them() -> None:
    limits = StreamLimits(total=1)
    for n in range(100):
        async with connect(Stream(["x"]), f"/{n}", scope={"client": ("::1", 5)}) as client:
            await client.read()
    async with connect(Stream(forever, limits=limits, hold_headers=False)):
        async with connect(Stream(["x"], limits=limits), "/refused") as client:
            await client.read()
        async with connect(Stream(["x"]), "/head", method="HEAD"):
            pass
        *others, refused, head = ended_streams()
    assert [ended.request for ended in others] == [f"GET /{n}" for n in range(2, 100)]
    assert (others[0].statistics.events, others[0].client) == (1, "[::1]:5")
    assert [ended.statistics.outcome for ended in (refused, head)] == ["refused", "answered"]


class Template:
    path = "/orders/{id}"


async def test_the_route_is_the_frameworks_template_or_the_path_without_a_query() -> None:
    async with connect(Stream(forever, hold_headers=False), "/orders/5", scope={"route": Template}):
        (stream,) = open_streams()
        assert (stream.route, stream.scope["path"]) == ("/orders/{id}", "/orders/5")
    async with connect(Stream(forever, hold_headers=False), "/x%3Ftoken=t"):
        (stream,) = open_streams()
        assert stream.route == "/x"


async def test_a_client_that_takes_nothing_is_stuck_and_its_sender_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def much(stream: Stream) -> None:
        while True:
            await stream.send("x" * 1000)

    stream = Stream(much, stall_timeout=None, buffer=4, hold_headers=False)
    async with connect(stream, socket_buffer=1000):
        await trio.sleep(20)
        (seen,) = open_streams()
        assert (seen.seconds_stuck, seen.seconds_silent) == (20, 20)
        counted = seen.statistics
        assert (counted.queued, counted.waiting_senders) == (4, 1)
        assert counted.queued_bytes == 4 * len(b"data: \n\n") + 4000
    async with connect(Stream(forever, ping=None, hold_headers=False)):
        await trio.sleep(20)
        (seen,) = open_streams()
        assert (seen.seconds_stuck, seen.seconds_silent) == (0, 20)


def find(task: TaskView, name: str) -> TaskView:
    """The one task of this name."""

    def each(task: TaskView) -> list[TaskView]:
        return [task, *(found for child in task.children for found in each(child))]

    (found,) = (task for task in each(task) if task.name == name)
    return found


async def grow(inner: int) -> None:
    async with trio.open_nursery() as nursery:
        if inner:
            nursery.start_soon(grow, inner - 1, name="the inner")
        nursery.start_soon(trio.sleep_forever, name=f"sleeper {inner}")


async def test_the_tree_of_tasks_tells_where_each_waits() -> None:
    async def parent(stream: Stream) -> None:
        stream.start_soon(grow, 1, name="tree")
        await trio.sleep_forever()

    async with connect(Stream(parent, hold_headers=False)):
        await trio.testing.wait_all_tasks_blocked()
        (stream,) = open_streams()
        tree = stream.task_tree()
        assert tree is not None
        assert any(place.startswith(f"{__name__}.{parent.__qualname__}:") for place in tree.places)
        sleeper, inner = find(tree, "tree").children
        assert (sleeper.name, sleeper.children) == ("sleeper 1", ())
        assert [child.name for child in inner.children] == ["sleeper 0"]
        assert sleeper.places[0].startswith("trio.")


async def test_a_tree_of_very_many_tasks_says_how_many_it_leaves_out() -> None:
    async def parent(stream: Stream) -> None:
        for _ in range(1000):
            stream.start_soon(trio.sleep_forever, name="one of many")

    async with connect(Stream(parent, hold_headers=False)):
        await trio.testing.wait_all_tasks_blocked()
        (stream,) = open_streams()
        tree = stream.task_tree()
        assert tree is not None
        left = sum(child.name == "one of many" for child in tree.children)
        assert 0 < left < 200
        assert tree.more + left == 1000


async def test_on_end_is_called_when_all_has_ended() -> None:
    order = []

    async def callback(stream: Stream) -> None:
        try:
            await trio.sleep_forever()
        finally:
            order.append("finally")

    def on_end(stream: Stream) -> None:
        order.append(f"ended: {stream.outcome}")

    async with connect(Stream(callback, on_end=on_end, hold_headers=False)):
        pass
    assert order == ["finally", "ended: disconnected"]


async def test_on_end_also_without_a_server() -> None:
    ends = []
    async with Stream(["a"], on_end=lambda stream: ends.append(stream.outcome)) as stream:
        async for _ in stream.value:
            pass
    assert ends == ["completed"]


async def test_an_on_end_that_raises_is_logged_and_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def on_end(stream: Stream) -> None:
        raise KeyError("in the hook")

    async with connect(Stream(["a"], on_end=on_end)) as client:
        await client.read()
        assert client.ended == "complete"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "on_end=" in record.getMessage()


async def test_no_reconnect_is_an_answer_without_a_body() -> None:
    async with connect(no_reconnect) as client:
        assert client.status == 204
        assert await client.read() == b""


async def test_last_event_id_from_the_header_or_else_the_query() -> None:
    seen = []

    @stream_app
    async def app(stream: Stream) -> None:
        seen.append(stream.last_event_id)

    for keywords in (
        {},
        {"last_event_id": "7"},
        {"query": "lastEventId=8"},
        {"query": "last_event_id=%C3%A9"},
        {"last_event_id": "é", "query": "last_event_id=9"},
    ):
        async with connect(app, **keywords) as client:  # type: ignore[arg-type]
            await client.read()
    assert seen == [None, "7", "8", "é", "é"]
