"""Reading from Redis what is too old in part: it says so itself, nothing has trimmed it yet."""

import pytest

from tests.support.redis_server import redis_server
from trio_stream import Broker, Stream, open_broker
from trio_stream.broker.contract.topics import Selection
from trio_stream.broker.redis.history import _Found
from trio_stream.testing import connect


async def read_all(broker: Broker, after: str | None, limit: int) -> tuple[list[str], bool]:
    """The ids after one, page by page, and whether it was told that some are gone."""
    cursor, ids, gone = int(after or 0), [], False
    while True:
        page = await broker.engine.read(Selection(["old", "y*", "young"]), cursor, limit)
        ids += [str(record.id) for record in page.records]
        gone = gone or bool(page.gone)
        if not page.records:
            return ids, gone
        cursor = page.upto


#: KEYS topic; ARGV count milliseconds. As if its first events had been published earlier.
EARLIER = """
local entries = redis.call('XRANGE', KEYS[1], '-', '+')
redis.call('DEL', KEYS[1])
for i, entry in ipairs(entries) do
  local place, ms = string.match(entry[2][6], '(%d+:%d+:)(%d+)')
  if i <= tonumber(ARGV[1]) then ms = string.format('%.0f', ms - ARGV[2]) end
  redis.call('XADD', KEYS[1], entry[1], 'k', entry[2][2], 'e', entry[2][4], 'm', place .. ms)
end
"""


async def test_what_is_too_old_hides_nothing_that_is_not() -> None:
    async with redis_server() as server:
        async with open_broker(server.url, history_age=3600) as broker:
            first = await broker.publish("old", 0)
            old = await broker.publish_many("old", range(1, 12))
            [early] = await broker.publish_many("young", [0])
            young = await broker.publish_many("young", range(1, 12))
            between = await broker.publish_many("old", range(12, 14))
        for topic, count in (("old", 12), ("young", 1)):
            key = "{trio_stream}:t:" + topic
            await server.command("EVAL", EARLIER, "1", key, str(count), "3600000")
        # Another process, which has read none of it.
        async with open_broker(server.url, history_age=3600) as broker:
            for limit in (1, 3, 5, 1000):
                for after in (None, first, old[-1], early):
                    assert await read_all(broker, after, limit) == (young + between, after != early)
                assert await read_all(broker, young[3], limit) == (young[4:] + between, False)
            stream = Stream(broker.subscribe("old", after="earliest"), ping=None)
            async with connect(stream) as client:
                assert [(await client.receive_event()).id for _ in between] == between


@pytest.mark.parametrize(
    ("times", "kept", "before"),
    [
        ([9, 9, 9], [], 30),
        ([9, 10, 11], [20, 30], 10),
        ([11, 12, 13], [10, 20, 30], 5),
        ([11, 9, 12], [10, 20, 30], 5),  # the clock was set back
        ([9, 11, 9], [20, 30], 10),
        ([], [], None),
    ],
)
def test_only_the_beginning_of_a_topic_is_too_old(
    times: list[int], kept: list[int], before: int | None
) -> None:
    previous, entries = 5, []
    for id, milliseconds in zip(range(10, 40, 10), times, strict=False):
        place = b"%d:0:%d" % (previous, milliseconds)
        entries.append((b"%d-0" % id, [b"k", b"", b"e", b"data: x\n\n", b"m", place]))
        previous = id
    found = _Found()
    assert found.add("t", entries, oldest=10) == before
    assert [record.id for record in found.records] == kept
