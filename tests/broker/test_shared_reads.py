"""What many read of a server's log at once: some pages at a time, and each once for all."""

from __future__ import annotations

import random

import pytest
import trio
import trio.testing

from trio_stream.broker.contract import Page, Record, wire_form
from trio_stream.broker.contract.topics import Selection
from trio_stream.broker.servers.shared_reads import SharedReads
from trio_stream.errors import BrokerUnavailableError

Clock = trio.testing.MockClock

SELECTION, LIMIT = Selection(["t"]), 100


class Log:
    """Events of a topic with these ids, of which a page takes its time."""

    def __init__(self, ids: list[int]) -> None:
        self.ids = ids
        self.asked: list[int] = []
        self.now = self.most = 0
        self.trimmed = 0
        self.fails = False

    async def read(self, selection: Selection, after: int, limit: int) -> Page:
        self.asked.append(after)
        self.now += 1
        self.most = max(self.most, self.now)
        ids = [id for id in self.ids if id > max(after, self.trimmed)]
        try:
            await trio.sleep(0.01)
        finally:
            self.now -= 1
        if self.fails:
            raise BrokerUnavailableError("away")
        records = [Record(id, "t", "", wire_form(id, b"data: x\n\n")) for id in ids[:limit]]
        upto = ids[limit - 1] if len(ids) >= limit else max(self.ids[-1], after)
        return Page(records, upto, {"t": self.trimmed} if after < self.trimmed else {})


def ids_of(seed: int) -> list[int]:
    """2,000 that follow one another, or nearly, or not at all, as others' events lie between."""
    spread = (1, 3, 1000)[seed % 3]
    chosen = random.Random(seed).sample(range(10**9, 10**9 + 2000 * spread), 2000)
    return sorted(chosen)


async def take(reads: SharedReads, after: int, selection: Selection = SELECTION) -> list[int]:
    """All there is behind an id."""
    found: list[int] = []
    while (page := await reads.read(selection, after, LIMIT)).records:
        found += [record.id for record in page.records]
        assert after < found[-1] <= page.upto
        after = page.upto
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_a_crowd_has_all_and_nothing_twice_by_few_pages(
    autojump_clock: Clock, seed: int
) -> None:
    log = Log(ids_of(seed))
    reads = SharedReads(log.read)
    done = 0

    async def client(after: int) -> None:
        nonlocal done
        assert await take(reads, after) == [id for id in log.ids if id > after]
        done += 1

    places = [0, *random.Random(seed).sample(range(log.ids[0] - 9, log.ids[-1]), 400)]
    async with trio.open_nursery() as nursery:
        for place in places:
            nursery.start_soon(client, place)
    assert done == len(places)
    assert log.most == 2
    # By itself each would have asked for eleven, on average.
    assert len(log.asked) < 3 * len(places)
    assert reads.waiting == 0


async def test_who_is_alone_begins_where_he_is_and_has_full_pages(autojump_clock: Clock) -> None:
    log = Log(ids_of(0))
    reads = SharedReads(log.read)
    place = log.ids[7]
    assert len(await take(reads, place)) == 2000 - 8
    assert log.asked == [place, *log.ids[107::100], log.ids[-1]]


async def test_what_is_shared_is_not_older_than_who_asks(autojump_clock: Clock) -> None:
    """A page is shared by those who have come before it was asked for."""
    log = Log([1, 2, 3])
    reads = SharedReads(log.read)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reads.read, SELECTION, 1, LIMIT)
        await trio.testing.wait_all_tasks_blocked()
        assert log.asked == [1]
        log.ids.append(4)
        page = await reads.read(SELECTION, 1, LIMIT)
        assert [record.id for record in page.records] == [2, 3, 4]


async def test_nobody_reads_before_his_place_who_shares_it_with_nobody(
    autojump_clock: Clock,
) -> None:
    log = Log(ids_of(0))
    reads = SharedReads(log.read)
    await take(reads, 0)
    log.asked.clear()
    places = random.Random(1).sample(log.ids[:-200], 50)
    async with trio.open_nursery() as nursery:
        for n, place in enumerate(places):
            nursery.start_soon(reads.read, Selection([f"t{n}"]), place, LIMIT)
    assert sorted(log.asked) == sorted(places)


async def test_nobody_hears_of_a_gap_that_is_not_his(autojump_clock: Clock) -> None:
    log = Log(list(range(1, 2001)))
    reads = SharedReads(log.read)
    await take(reads, 0)
    log.trimmed = 1001
    gone: dict[int, bool] = {}

    async def client(after: int) -> None:
        page = await reads.read(SELECTION, after, LIMIT)
        gone[after] = bool(page.gone)
        assert page.records[0].id == max(after, log.trimmed) + 1

    async with trio.open_nursery() as nursery:
        for after in range(990, 1100):
            nursery.start_soon(client, after)
    assert gone == {after: after < log.trimmed for after in range(990, 1100)}


async def test_who_has_an_id_that_was_lost_reads_from_there(autojump_clock: Clock) -> None:
    """As an older one need not be told of a gap that he has to be told of."""
    log = Log(list(range(1, 2001)))
    reads = SharedReads(log.read, lambda place: 300 < place < 400)
    await take(reads, 0)
    log.asked.clear()
    async with trio.open_nursery() as nursery:
        for after in range(290, 410):
            nursery.start_soon(reads.read, SELECTION, after, LIMIT)
    assert set(range(301, 400)) <= set(log.asked)


async def test_each_hears_that_it_fails_and_may_ask_again(autojump_clock: Clock) -> None:
    log = Log(list(range(1, 2001)))
    reads = SharedReads(log.read)
    log.fails = True
    errors: list[BrokerUnavailableError] = []

    async def client() -> None:
        with pytest.raises(BrokerUnavailableError, match="away") as failed:
            await reads.read(SELECTION, 5, LIMIT)
        errors.append(failed.value)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(client)
    assert len(set(map(id, errors))) == 10
    assert len(log.asked) < 10
    log.fails = False
    assert (await reads.read(SELECTION, 5, LIMIT)).records[0].id == 6


async def test_who_leaves_leaves_it_to_the_others(autojump_clock: Clock) -> None:
    log = Log(list(range(1, 2001)))
    reads = SharedReads(log.read)
    found: list[int] = []

    async def client(after: int) -> None:
        found.append((await reads.read(SELECTION, after, LIMIT)).records[0].id)

    async with trio.open_nursery() as nursery:
        for after in (1, 2):
            nursery.start_soon(client, after)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.005):
            async with trio.open_nursery() as leaving:
                leaving.start_soon(client, 3)
                await trio.testing.wait_all_tasks_blocked()
                for _ in range(3):
                    nursery.start_soon(client, 3)
    assert sorted(found) == [2, 3, 4, 4, 4]
    assert reads.waiting == 0
