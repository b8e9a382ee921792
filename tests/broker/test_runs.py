"""What waits for the fan-out goes out together, topic by topic, where nobody hears of two."""

import re

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.broker.test_streams import Follower, settled
from trio_stream.broker.contract import Record, wire_form
from trio_stream.broker.contract.topics import Selection, compile_patterns
from trio_stream.broker.following.fanout import FanOut


class Listener(Follower):
    def __init__(self, *filters: str) -> None:
        super().__init__(0)
        self.selection = Selection(list(filters))
        self.hears = compile_patterns(filters)

    @property
    def numbers(self) -> list[int]:
        return [int(n) for n in re.findall(rb"data: (\d+)\n", b"".join(self.taken.taken))]


def event(number: int, topic: str, *, but: str = "") -> Record:
    return Record(number, topic, "", wire_form(number, b"data: %d\n\n" % number), but)


async def hand_out(listeners: list[Listener], items: list[Record | tuple[Record]]) -> None:
    """All that waits at once."""
    fanout = FanOut()
    for listener in listeners:
        fanout.add(listener)
    for item in items:
        if isinstance(item, tuple):
            fanout.pass_on(item[0])
        else:
            fanout.push([item])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fanout.run)
        await settled()
        nursery.cancel_scope.cancel()


async def test_busy_topics_take_a_write_each_whatever_comes_between() -> None:
    listeners = [Listener("a"), Listener("b"), Listener("a")]
    await hand_out(listeners, [event(n, "abc"[n % 3]) for n in range(1, 301)])
    assert [len(listener.taken.taken) for listener in listeners] == [1, 1, 1]
    assert [listener.taken.counted for listener in listeners] == [100, 100, 100]


async def test_who_hears_of_two_hears_in_order() -> None:
    one, two, all_of_them = listeners = [Listener("a"), Listener("a", "b"), Listener("*")]
    await hand_out(listeners, [event(n, "ab"[n % 2]) for n in range(1, 11)])
    assert one.numbers == [2, 4, 6, 8, 10]
    assert two.numbers == all_of_them.numbers == list(range(1, 11))


async def test_who_has_left_is_in_nobody_s_way() -> None:
    fanout = FanOut()
    staying, leaving = Listener("a"), Listener("a", "b")
    for listener in (staying, leaving, leaving):
        fanout.add(listener)
    fanout.discard(leaving)
    fanout.discard(leaving)
    fanout.add(other := Listener("b"))
    fanout.push([event(n, "ab"[n % 2]) for n in range(1, 101)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fanout.run)
        await settled()
        nursery.cancel_scope.cancel()
    assert [len(listener.taken.taken) for listener in (staying, other, leaving)] == [1, 1, 0]


TOPICS = ("a", "b", "b/c")
FILTERS = (("a",), ("b",), ("b/c",), ("a", "b"), ("b/*",), ("*",), ("a", "b/*"))


@settings(deadline=None)
@given(
    asked=st.lists(st.sampled_from(FILTERS), max_size=6),
    published=st.lists(st.tuples(st.sampled_from(TOPICS), st.booleans()), max_size=30),
)
def test_each_hears_all_of_its_own_in_order(
    asked: list[tuple[str, ...]], published: list[tuple[str, bool]]
) -> None:
    listeners = [Listener(*filters) for filters in asked]
    items: list[Record | tuple[Record]] = []
    for number, (topic, kept) in enumerate(published, 1):
        record = event(number, topic)
        passing = Record(0, topic, "", b"data: %d\n\n" % number)
        items.append(record if kept else (passing,))
    trio.run(hand_out, listeners, items)
    for listener in listeners:
        expected = [n for n, (topic, _) in enumerate(published, 1) if listener.hears(topic)]
        assert listener.numbers == expected
